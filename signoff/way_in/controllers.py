"""The controllers of a way in on a cluster of the suite's own: Traefik, cert-manager, and Pebble for Let's Encrypt.

They are the real ones, in a namespace of their own, and stay as long as the cluster does. What a route and a
certificate need of a cluster beside them is made here as well: the definitions of their kinds, and the issuers and
Gateways that the manifests name and do not hold, since those are a cluster's and not an application's.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

import trustme
import yaml
from kubernetes.client.exceptions import ApiException

from signoff.cluster.base import Cluster
from signoff.core.console import progress
from signoff.core.timeouts import KINDS_KNOWN, WAY_IN_LEADS
from signoff.core.waiting import NotYet, eventually
from signoff.kube import cleanup, shipping
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.routes import CLUSTER_ISSUER_ANNOTATION, Route, routes_in
from signoff.kube.undo import Delete
from signoff.programs import controllers, crds

NAMESPACE = "signoff-controllers"
TRAEFIK, TRAEFIK_API, CERT_MANAGER, PEBBLE, PEBBLE_DNS = (
    "traefik",
    "traefik-api",
    "cert-manager",
    "pebble",
    "pebble-dns",
)
"""Deployments and Services."""
TIMEOUT_SECONDS = 5


def directory(namespace: str) -> str:
    """The URL of the directory of a Pebble there, in the place of Let's Encrypt's.

    That is https://acme-v02.api.letsencrypt.org/directory.
    """
    return f"https://{PEBBLE}.{namespace}.svc.cluster.local:14000/dir"


DIRECTORY = directory(NAMESPACE)
"""That of the suite's own clusters."""
_MANIFESTS = Path(__file__).with_name("manifests")
_DEFINITIONS = {
    "traefik-v3.yaml": ("traefik.io/v1alpha1", "IngressRoute"),
    "cert-manager.yaml": ("cert-manager.io/v1", "ClusterIssuer"),
    "gateway-api.yaml": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
}
"""Files of definitions, each with one of the kinds in it."""
_ISSUER = "signoff-pebble"
_CLUSTER_ISSUER = ("cert-manager.io/v1", "ClusterIssuer")
_ISSUED_BY, _ISSUED_BY_KIND = "cert-manager.io/issuer-name", "cert-manager.io/issuer-kind"
"""Annotations of a Secret that cert-manager has written."""
_SOLVER = {"http01": {"ingress": {"ingressClassName": TRAEFIK}}}


def wanted_by(manifests: StoryManifests) -> bool:
    """Whether something among the manifests is a route, a certificate, or of another of the controllers' kinds."""
    return bool(manifests.way_in)


def images(manifests: StoryManifests) -> dict[str, tuple[str, ...]]:
    """The controllers' images, with the nodes on which they may run; none where nothing wants them."""
    return {each.image: manifests.settings.allowed_nodes for each in controllers.EVERY if wanted_by(manifests)}


def with_pebble(manifests: StoryManifests) -> StoryManifests:
    """The manifests as a cluster of the suite's own can have them: who asks an ACME server asks Pebble.

    Let's Encrypt proves names by the public DNS, where nobody finds this cluster; and its limits are for certificates
    that somebody uses (https://letsencrypt.org/docs/rate-limits/).
    """
    notes, changed = list(manifests.notes), []
    for each in manifests.gateway:
        acme = _acme_of(each.body)
        if acme is None:
            changed.append(each)
            continue
        body = deepcopy(each.body)
        body["spec"]["acme"] = _of_pebble(acme, each.body["metadata"]["name"])
        changed.append(replace(each, body=body))
        notes.append(f"{each.name} asks Pebble in the place of {acme.get('server', 'an ACME server')}")
    made = (each.name for each in issuers_beside(manifests))
    notes += [f"{name} is not among the manifests: made here, and asks Pebble" for name in made]
    return replace(manifests, gateway=changed, notes=tuple(notes))


def _acme_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """What an issuer says of its ACME server; None of one that has none, and of all else."""
    spec = body.get("spec") if body["kind"] in ("Issuer", "ClusterIssuer") else None
    acme = spec.get("acme") if isinstance(spec, dict) else None
    return acme if isinstance(acme, dict) else None


def _of_pebble(acme: Mapping[str, Any], name: str, server: str = DIRECTORY) -> dict[str, Any]:
    """An account at Pebble; nobody proves a name by DNS records here, so that HTTP-01 takes the place of DNS-01.

    Without a selector it is for all names that no other solver is for.
    """
    given = acme.get("solvers") or []
    by_http = [each for each in given if "http01" in each]
    solvers = by_http if by_http and by_http == given else [*by_http, _SOLVER]
    key = acme.get("privateKeySecretRef") or {"name": f"{name}-account"}
    return {"server": server, "skipTLSVerify": True, "privateKeySecretRef": key, "solvers": solvers}


def start(kube: Kube, cluster: Cluster, manifests: StoryManifests, namespace: str = NAMESPACE) -> None:
    """Apply all that a way in needs of the cluster; nothing is waited for but the kinds, which manifests are of.

    In another `namespace` than the suite's own they are what a person has on a cluster.

    Raises:
        SignoffError: the definitions of the kinds cannot be had, or the API server refuses an object.
    """
    found = [*manifests.backend, *manifests.gateway]
    uses_gateways = any(str(each.body["apiVersion"]).startswith("gateway.networking.k8s.io/") for each in found)
    progress("way in", "Traefik, cert-manager and Pebble start beside vLLM")
    _define(kube, uses_gateways=uses_gateways)
    new = kube.make_namespace(namespace)
    if new:
        kube.wait_for_namespace(namespace)
    filled = _Filled(kube, cluster, manifests, namespace, uses_gateways=uses_gateways)
    for name in ("traefik", "pebble", "cert-manager"):
        filled.apply(name)
    forgotten = set() if new else _forget_issuers(kube, namespace)
    for each in beside(manifests, directory(namespace)):
        if each.body["metadata"].get("namespace") and kube.make_namespace(each.body["metadata"]["namespace"]):
            kube.wait_for_namespace(each.body["metadata"]["namespace"])
        kube.apply(each, manifests.roles.gateway.namespace)
    _forget_certificates(kube, forgotten)


def _forget_issuers(kube: Kube, namespace: str) -> set[str]:
    """Remove the ClusterIssuers that ask Pebble, and give their names; those of a namespace go with what else is there.

    A Pebble that was started again knows no account, and cert-manager, which asks about an account once, would use it
    for good. Of an issuer that is made anew it asks again.
    """
    kube.wait_until_available(namespace, PEBBLE, WAY_IN_LEADS)
    servers = {
        each["metadata"]["name"]: (each["spec"].get("acme") or {}).get("server")
        for each in kube.objects(*_CLUSTER_ISSUER)
    }
    asking = {name for name, server in servers.items() if server == directory(namespace)}
    gone = [Delete(*_CLUSTER_ISSUER, "", name) for name in sorted(asking)]
    for each in gone:
        each.make(kube)
    for each in gone:
        each.wait(kube)
    return asking


def _forget_certificates(kube: Kube, issuers: Collection[str]) -> None:
    """Remove the Secrets that these ClusterIssuers filled, in any namespace: Pebble's root changes with each start.

    Not before the issuers are there anew: cert-manager obtains another one at once.
    """
    for each in kube.core.list_secret_for_all_namespaces(label_selector=cleanup.OBTAINED).items:
        noted = each.metadata.annotations or {}
        if noted.get(_ISSUED_BY_KIND) == "ClusterIssuer" and noted.get(_ISSUED_BY) in issuers:
            kube.delete("v1", "Secret", each.metadata.namespace, each.metadata.name)


def wait(kube: Kube) -> None:
    """Wait until those that were started are available.

    Raises:
        WaitFailed: one is not.
    """
    for each in kube.apps.list_namespaced_deployment(NAMESPACE).items:
        kube.wait_until_available(NAMESPACE, each.metadata.name, WAY_IN_LEADS)


def _define(kube: Kube, *, uses_gateways: bool) -> None:
    """Have the cluster know the kinds of Traefik, cert-manager and, where it is used, the Gateway API."""
    files = definitions()
    new = []
    for name, (version, kind) in _DEFINITIONS.items():
        probe = Manifest(files[name], "", {"apiVersion": version, "kind": kind, "metadata": {"name": "any"}})
        if (uses_gateways or name != "gateway-api.yaml") and not kube.knows(probe):
            for each in objects_in(files[name]):
                kube.apply(each, NAMESPACE)
            new.append(probe)

    def known() -> None:
        for each in new:
            if not kube.knows(each):
                raise NotYet(f"{each.body['kind']} is not served yet")

    eventually("the kinds of a way in to be known", KINDS_KNOWN, known)


def definitions() -> dict[str, Path]:
    """The files with the definitions of the controllers' kinds, by name.

    Raises:
        SignoffError: they can be neither downloaded nor taken from their modules.
    """
    return crds.find(lambda text: progress("way in", text))


def objects_in(file: Path, text: str | None = None) -> list[Manifest]:
    """The objects of a file of the suite's own or of a project's, or of this text in its place."""
    told = file.read_text(encoding="utf-8") if text is None else text
    checksum = hashlib.sha256(told.encode()).hexdigest()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [Manifest(file, checksum, body) for body in yaml.load_all(told, Loader=loader) if body]


class _Filled:
    """The manifests of the controllers, with what only this cluster can tell filled in."""

    def __init__(
        self, kube: Kube, cluster: Cluster, manifests: StoryManifests, namespace: str, *, uses_gateways: bool
    ) -> None:
        self._kube, self._cluster, self._namespace = kube, cluster, namespace
        self._told = {
            "namespace": namespace,
            "hosts": ",".join(dict.fromkeys((manifests.settings.host, *_hosts_of(manifests)))),
            "nodes": json.dumps(shipping.on_nodes(manifests.settings.allowed_nodes)),
            "timeout": f"{TIMEOUT_SECONDS}s",
            "gateway_api": str(uses_gateways).lower(),
            "traefik": controllers.TRAEFIK.image,
            "cert_manager": controllers.CERT_MANAGER.image,
            "solver": controllers.ACME_SOLVER.image,
            "pebble": controllers.PEBBLE.image,
            "pebble_dns": controllers.PEBBLE_DNS.image,
        }

    def apply(self, name: str) -> None:
        """Apply the Services of a file first: the addresses of these are told to what is applied after them."""
        file = _MANIFESTS / f"{name}.yaml"
        text = file.read_text(encoding="utf-8")
        for each in objects_in(file, Template(text).safe_substitute(self._told)):
            if each.kind == "Service":
                self._kube.apply(each, self._namespace)
        self._told |= self._addresses(name)
        for each in objects_in(file, Template(text).substitute(self._told)):
            if each.kind != "Service":
                self._kube.apply(each, self._namespace)

    def _addresses(self, name: str) -> dict[str, str]:
        if name == "traefik":
            address, http = self._cluster.address_in_pods(self._namespace, TRAEFIK, 80)
            _, https = self._cluster.address_in_pods(self._namespace, TRAEFIK, 443)
            return {"address": address, "http_port": str(http), "https_port": str(https)}
        if name == "pebble":
            self._kube.apply(_pebbles_pair(self._kube, self._namespace), self._namespace)
            address, port = self._cluster.address_in_pods(self._namespace, PEBBLE_DNS, 8053)
            return {"nameserver": f"{address}:{port}"}
        return {}


def _hosts_of(manifests: StoryManifests) -> Iterator[str]:
    for route in routes_in(manifests.gateway, manifests.settings.namespace):
        yield from route.hosts


def _pebbles_pair(kube: Kube, namespace: str) -> Manifest:
    """The Secret with Pebble's own key and certificate, and with its root; the one that is there stays."""
    try:
        there = kube.core.read_namespaced_secret(PEBBLE, namespace)
        data = dict(there.data)
    except ApiException:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        made = authority.issue_cert(*names_of(PEBBLE, namespace), key_type=trustme.KeyType.ECDSA)
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        parts = {"tls.crt": chain, "tls.key": made.private_key_pem.bytes(), "ca.crt": authority.cert_pem.bytes()}
        data = {name: b64encode(each).decode() for name, each in parts.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
    return shipping.manifest(Path(__file__), PEBBLE, namespace, body)


def names_of(service: str, namespace: str = NAMESPACE) -> tuple[str, ...]:
    """The names by which pods ask a Service of the controllers' namespace."""
    inside = f"{service}.{namespace}.svc"
    return f"{inside}.cluster.local", inside, service


def beside(manifests: StoryManifests, server: str = DIRECTORY) -> list[Manifest]:
    """What the manifests name and do not hold, as a cluster would have it: issuers, and Gateways with a certificate."""
    return [*issuers_beside(manifests, server), *_gateways_beside(manifests, server)]


def issuers_beside(manifests: StoryManifests, server: str = DIRECTORY) -> list[Manifest]:
    """The ClusterIssuers that certificates name and that are not among the manifests, each an account at Pebble.

    An Issuer is a namespace's own, and so is one whose kind is left out: no cluster brings it.
    """
    there = {each.name for each in manifests.gateway}
    return [
        _of_the_cluster(*_CLUSTER_ISSUER, {"name": name}, {"acme": _of_pebble({}, name, server)})
        for name in dict.fromkeys(_cluster_issuers_named(manifests.gateway))
        if f"ClusterIssuer/{name}" not in there
    ]


def _cluster_issuers_named(found: Sequence[Manifest]) -> Iterator[str]:
    """The ClusterIssuers of cert-manager's own that Certificates and annotated Ingresses name."""
    for each in found:
        if each.kind == "Certificate" and str(each.body["apiVersion"]).startswith("cert-manager.io/"):
            reference = (each.body.get("spec") or {}).get("issuerRef") or {}
            is_own = reference.get("group", "cert-manager.io") == "cert-manager.io"
            if is_own and reference.get("kind") == "ClusterIssuer" and reference.get("name"):
                yield str(reference["name"])
        if name := (each.body["metadata"].get("annotations") or {}).get(CLUSTER_ISSUER_ANNOTATION):
            yield str(name)


def _gateways_beside(manifests: StoryManifests, server: str) -> list[Manifest]:
    """The Gateways, with a class of Traefik's, that HTTPRoutes name and that are not among the manifests."""
    namespace = manifests.settings.namespace
    there = {(each.name, each.body["metadata"].get("namespace", namespace)) for each in manifests.gateway}
    made: dict[tuple[str, str], Manifest] = {}
    for route in routes_in(manifests.gateway, namespace):
        for parent in route.parents:
            name, own = str(parent.get("name")), str(parent.get("namespace") or route.namespace)
            if (f"Gateway/{name}", own) not in there:
                made[(name, own)] = _gateway(name, own, str(parent.get("sectionName") or "websecure"), route)
    of_traefik = made or any(each.kind == "Gateway" for each in manifests.gateway)
    return [*([_gateway_class()] if of_traefik else []), *([_account(server)] if made else []), *made.values()]


def _gateway_class() -> Manifest:
    spec = {"controllerName": "traefik.io/gateway-controller"}
    return _of_the_cluster("gateway.networking.k8s.io/v1", "GatewayClass", {"name": TRAEFIK}, spec)


def _account(server: str) -> Manifest:
    """The issuer of the Gateways that are made here."""
    return _of_the_cluster(*_CLUSTER_ISSUER, {"name": _ISSUER}, {"acme": _of_pebble({}, _ISSUER, server)})


def _gateway(name: str, namespace: str, section: str, route: Route) -> Manifest:
    """A Gateway whose certificate cert-manager obtains; its listeners have the ports of Traefik's entry points."""
    everywhere = {"namespaces": {"from": "All"}}
    secure = {
        "name": section,
        "port": 8443,
        "protocol": "HTTPS",
        "hostname": route.hosts[0] if route.hosts else None,
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": f"{name}-tls"}]},
        "allowedRoutes": everywhere,
    }
    metadata = {"name": name, "namespace": namespace, "annotations": {CLUSTER_ISSUER_ANNOTATION: _ISSUER}}
    spec = {"gatewayClassName": TRAEFIK, "listeners": [secure]}
    return _of_the_cluster("gateway.networking.k8s.io/v1", "Gateway", metadata, spec)


def _of_the_cluster(version: str, kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Manifest:
    """An object that a cluster has, and no application brings."""
    return Manifest(Path(__file__), "", {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
