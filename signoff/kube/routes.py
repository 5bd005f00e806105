"""The ways in that manifests declare: who leads a host name from outside to which Service, and with what certificate.

An IngressRoute (Traefik), an Ingress and an HTTPRoute (Gateway API) say the same in different places; here they are of
one form. Sources: https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/crd/http/ingressroute/,
https://kubernetes.io/docs/concepts/services-networking/ingress/, https://gateway-api.sigs.k8s.io/reference/spec/.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signoff.core.yaml_lines import Path as Place
from signoff.kube.objects import Manifest

KINDS = ("IngressRoute", "Ingress", "HTTPRoute")
GROUPS = ("traefik.io", "cert-manager.io", "acme.cert-manager.io", "gateway.networking.k8s.io")
"""The groups of the kinds that a way in is made of, beside Kubernetes' own."""
CLUSTER_ISSUER_ANNOTATION = "cert-manager.io/cluster-issuer"
"""With which a ClusterIssuer is asked for an Ingress' certificate (https://cert-manager.io/docs/usage/ingress/)."""
_MATCHER = re.compile(r"(!?)\s*\b(\w+)\(([^)]*)\)")
_QUOTED = re.compile(r"[`\"']([^`\"']+)[`\"']")
_HOSTS, _PREFIX = ("Host", "HostSNI"), "PathPrefix"


@dataclass(frozen=True)
class Middleware:
    """One that an IngressRoute sends its requests through."""

    name: str
    namespace: str


@dataclass(frozen=True)
class Route:
    """One rule of an object that leads from outside to a Service; `place` is where the object names that Service."""

    manifest: Manifest
    namespace: str
    hosts: tuple[str, ...]
    service: str
    service_namespace: str
    port: int | str
    place: Place
    entry_points: tuple[str, ...] = ()
    """Of Traefik; none: all of them."""
    tls: bool = False
    secret: str = ""
    """The Secret with the certificate, if one is named."""
    secret_namespace: str = ""
    middlewares: tuple[Middleware, ...] = ()
    parents: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)
    """The Gateways of an HTTPRoute."""
    paths: tuple[str, ...] = ("/",)
    """What the paths begin with that its rule takes; nothing, where it asks for more than a host and a prefix."""
    priority: int = 0
    """Of two rules that take a request it goes by the one of the higher priority: Traefik's, the longer rule."""

    @property
    def kind(self) -> str:
        """Of the object."""
        return self.manifest.kind

    @property
    def name(self) -> str:
        """Of the object, with its kind."""
        return self.manifest.name

    @property
    def where(self) -> str:
        """File and line."""
        return self.manifest.place(*self.place)

    def takes(self, path: str) -> bool:
        """Whether every request for this path goes this way, if no other rule comes first."""
        return any(path.startswith(each) for each in self.paths)


def routes_in(found: Sequence[Manifest], namespace: str) -> list[Route]:
    """The rules of all objects that lead to a Service; `namespace` is that of objects which name none."""
    return [route for each in found if each.kind in KINDS for route in _READ[each.kind](each, found, namespace)]


def is_of_a_way_in(manifest: Manifest) -> bool:
    """Whether an object is a route, a certificate, or of another kind that only the controllers of a way in know."""
    return manifest.kind in KINDS or str(manifest.body["apiVersion"]).partition("/")[0] in GROUPS


def ingress_class(ingress: Manifest) -> str:
    """The class of an Ingress: which controller is to serve it; empty for the cluster's default."""
    spec, noted = _table(ingress.body.get("spec")), _table(ingress.body["metadata"].get("annotations"))
    return str(spec.get("ingressClassName") or noted.get("kubernetes.io/ingress.class") or "")


def secret_of(certificate: Manifest) -> str:
    """The Secret that a Certificate is kept in; empty if it names none."""
    return str(_table(certificate.body.get("spec")).get("secretName") or "")


def _of_an_ingress_route(manifest: Manifest, _: Sequence[Manifest], namespace: str) -> Iterator[Route]:
    spec, own = _table(manifest.body.get("spec")), _namespace(manifest, namespace)
    tls = spec.get("tls")
    secret = str(_table(tls).get("secretName") or "")
    for at, rule in enumerate(_tables(spec.get("routes"))):
        match = str(rule.get("match", ""))
        through = tuple(
            Middleware(str(each.get("name")), str(each.get("namespace") or own))
            for each in _tables(rule.get("middlewares"))
        )
        for number, service in enumerate(_tables(rule.get("services"))):
            yield Route(
                manifest=manifest,
                namespace=own,
                hosts=_hosts_of(match),
                service=str(service.get("name")),
                service_namespace=str(service.get("namespace") or own),
                port=service.get("port", ""),
                place=("spec", "routes", at, "services", number),
                paths=_paths_of(match),
                priority=given if isinstance(given := rule.get("priority"), int) and given else len(match),
                entry_points=tuple(map(str, spec.get("entryPoints") or ())),
                tls=tls is not None,
                secret=secret,
                secret_namespace=own,
                middlewares=through,
            )


def _hosts_of(match: str) -> tuple[str, ...]:
    """The host names of a rule; one that it excludes (`!Host(...)`) is none of them."""
    listed = (values for no, name, values in _MATCHER.findall(match) if name in _HOSTS and not no)
    return tuple(name for values in listed for name in _QUOTED.findall(values))


def _paths_of(match: str) -> tuple[str, ...]:
    """What the paths begin with that a rule takes."""
    matchers = [each for each in _MATCHER.findall(match) if each[0] or each[1] not in _HOSTS]
    if any(no or name != _PREFIX for no, name, _ in matchers):
        return ()
    return tuple(path for _, _, values in matchers for path in _QUOTED.findall(values)) or ("/",)


def _of_an_ingress(manifest: Manifest, _: Sequence[Manifest], namespace: str) -> Iterator[Route]:
    spec, own = _table(manifest.body.get("spec")), _namespace(manifest, namespace)
    by_host = {
        host: str(each.get("secretName") or "")
        for each in _tables(spec.get("tls"))
        for host in map(str, each.get("hosts") or [""])
    }
    for at, rule in enumerate(_tables(spec.get("rules"))):
        host = str(rule.get("host") or "")
        for number, path in enumerate(_tables(_table(rule.get("http")).get("paths"))):
            service = _table(_table(path.get("backend")).get("service"))
            port = _table(service.get("port"))
            begins = str(path.get("path") or "/")
            yield Route(
                manifest=manifest,
                namespace=own,
                hosts=(host,) if host else (),
                service=str(service.get("name")),
                service_namespace=own,
                port=port.get("number") or port.get("name") or "",
                place=("spec", "rules", at, "http", "paths", number, "backend", "service"),
                tls=host in by_host or "" in by_host,
                secret=by_host.get(host, by_host.get("", "")),
                secret_namespace=own,
                paths=() if path.get("pathType") == "Exact" else (begins,),
                priority=len(f"Host(`{host}`) && PathPrefix(`{begins}`)"),
            )


def _of_an_http_route(manifest: Manifest, found: Sequence[Manifest], namespace: str) -> Iterator[Route]:
    spec, own = _table(manifest.body.get("spec")), _namespace(manifest, namespace)
    parents = tuple(_tables(spec.get("parentRefs")))
    hosts = tuple(map(str, spec.get("hostnames") or ()))
    secret = next(_certificates_of(parents, hosts, found, own, namespace), None)
    for at, rule in enumerate(_tables(spec.get("rules"))):
        paths = _paths_of_matches(list(_tables(rule.get("matches"))))
        for number, service in enumerate(_tables(rule.get("backendRefs"))):
            yield Route(
                manifest=manifest,
                namespace=own,
                hosts=hosts,
                service=str(service.get("name")),
                service_namespace=str(service.get("namespace") or own),
                port=service.get("port", ""),
                place=("spec", "rules", at, "backendRefs", number),
                tls=secret is not None,
                secret=secret[0] if secret else "",
                secret_namespace=secret[1] if secret else "",
                parents=parents,
                paths=paths,
                priority=max(map(len, paths), default=0),
            )


def _paths_of_matches(matches: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the paths begin with that an HTTPRoute's rule takes by its path alone."""
    by_path = [_table(each.get("path")) for each in matches if set(each) <= {"path"}]
    prefixes = [each for each in by_path if each.get("type", _PREFIX) == _PREFIX]
    return tuple(str(each.get("value") or "/") for each in prefixes) if matches else ("/",)


def _certificates_of(
    parents: Sequence[Mapping[str, Any]], hosts: Sequence[str], found: Sequence[Manifest], own: str, namespace: str
) -> Iterator[tuple[str, str]]:
    """The Secrets of the listeners that a route of these hosts is attached to, each with its namespace."""
    for parent in parents:
        for gateway in found:
            there = _namespace(gateway, namespace)
            named = (str(parent.get("name")), str(parent.get("namespace") or own))
            if gateway.kind != "Gateway" or (gateway.body["metadata"]["name"], there) != named:
                continue
            for listener in _tables(_table(gateway.body.get("spec")).get("listeners")):
                if parent.get("sectionName") in (None, listener.get("name")) and _is_for(listener, hosts):
                    for each in _tables(_table(listener.get("tls")).get("certificateRefs")):
                        yield str(each.get("name")), str(each.get("namespace") or there)


def _is_for(listener: Mapping[str, Any], hosts: Sequence[str]) -> bool:
    """Whether a listener takes one of these names: it has none itself, the same, or `*.` and what comes after a dot."""
    name = str(listener.get("hostname") or "")
    return not name or any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for host in hosts)


_READ = {"IngressRoute": _of_an_ingress_route, "Ingress": _of_an_ingress, "HTTPRoute": _of_an_http_route}


def _namespace(manifest: Manifest, namespace: str) -> str:
    return str(manifest.body["metadata"].get("namespace") or namespace)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in (value if isinstance(value, list) else []) if isinstance(each, dict))
