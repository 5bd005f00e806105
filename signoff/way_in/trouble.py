"""What is wrong with a way in, as its objects, Traefik and cert-manager say: each cause once, and where it arises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.words import listed
from signoff.core.yaml_lines import Path as Place
from signoff.gateway.deployment import Deployment
from signoff.kube.client import Kube, describe_pod, is_ready, labels_text
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, routes_in
from signoff.way_in.cause import Cause
from signoff.way_in.certificates import Certificates
from signoff.way_in.traefik import Traefik

ASKED = "/v1/models"
"""What LiteLLM is asked for to see whether the way in leads to it."""
COPY = "signoff-way-in"
"""The end of the name of the suite's own copy of a route."""
_TRAEFIK, _OF_V2 = "traefik.io/v1alpha1", "traefik.containo.us/"
_VERSIONS = {
    _TRAEFIK: "IngressRoute",
    "networking.k8s.io/v1": "Ingress",
    "gateway.networking.k8s.io/v1": "HTTPRoute",
}
_SOLVER = "acme.cert-manager.io/http01-solver"


@dataclass(frozen=True)
class Trouble:
    """Of one route of a deployment."""

    deployment: Deployment
    route: Route
    traefik: Traefik
    certificates: Certificates

    def causes(self, *, shut: bool = True) -> list[Cause]:
        """All that is known; what only follows from another is left out.

        Of a way in that is not `shut` a log without an API tells of the past.
        """
        if unread := self.unread():
            return unread
        of_route = list(self._of_route()) or list(self._of_router())
        found = [*of_route, *self.certificates.causes(self.route, self._host)]
        if not found and (shut or self.traefik.entrance.api):
            found = list(self._of_log())
        return [self._placed(each) for each in found]

    def unread(self) -> list[Cause]:
        """That nobody on the cluster reads such an object."""
        return list(self._unread())

    def rivals(self) -> list[Cause]:
        """Other routes that lead the host, at the same entry points, somewhere else."""
        return list(self._rivals())

    @property
    def _host(self) -> str:
        return self.deployment.settings.host

    @property
    def _kube(self) -> Kube:
        return self.deployment.kube

    @property
    def _body(self) -> Mapping[str, Any]:
        return self.route.manifest.body

    def _at(self, *place: str | int) -> str:
        manifest = self.route.manifest
        return self.deployment.manifests.shown(manifest.place(*place))

    def _placed(self, cause: Cause) -> Cause:
        """The cause; where no file of its own is known, with that of the route's certificate."""
        return cause if cause.file else replace(cause, file=self._at(*self._place_of_tls))

    @property
    def _place_of_tls(self) -> Place:
        return {"IngressRoute": ("spec", "tls", "secretName"), "Ingress": ("spec", "tls")}.get(
            self.route.kind, ("spec", "parentRefs")
        )

    def _unread(self) -> Iterator[Cause]:
        own = self.route.manifest
        if own.body["apiVersion"].startswith(_OF_V2):
            yield Cause(_of_v2(own), self._at("apiVersion"))
        elif not self._kube.knows(own):
            what = f"{own.kind} of {own.body['apiVersion']}"
            told = f"{own.name} is not there, since the cluster does not know {what}: its CRD is not installed"
            yield Cause(told, self._at("apiVersion"))

    # The route

    def _of_route(self) -> Iterator[Cause]:
        """What the route names and the cluster lacks, and who else claims its host."""
        yield from self._of_service()
        yield from self._of_named()
        yield from self._of_entry_points()
        yield from self._of_secret()
        yield from self._rivals()

    def _of_service(self) -> Iterator[Cause]:
        route, namespace = self.route, self.route.service_namespace
        if _at_place(self._body, route.place).get("kind", "Service") != "Service":
            return  # one of Traefik's own, of which it tells itself
        at, name = self._at(*route.place), f"the Service {route.service} of {namespace}"
        there = {each["metadata"]["name"]: each for each in self._kube.objects("v1", "Service", namespace)}
        if route.service not in there:
            elsewhere = self._elsewhere("v1", "Service", route.service)
            yield Cause(f"{route.name} leads to {name}, which is not there{elsewhere}", at)
            return
        spec = there[route.service]["spec"]
        ports = spec.get("ports") or []
        if route.port not in [value for port in ports for value in (port["port"], port.get("name"))]:
            own = listed([f"{each['port']} ({each['name']})" if each.get("name") else each["port"] for each in ports])
            yield Cause(f"{route.name} leads to port {route.port} of {name}, which has {own or 'none'}", at)
        elif selector := spec.get("selector"):
            yield from self._of_pods(name, selector)

    def _of_pods(self, name: str, selector: Mapping[str, str]) -> Iterator[Cause]:
        route = self.route
        file = self.deployment.manifests.where(
            f"Service/{route.service}", "spec", "selector", namespace=route.service_namespace
        )
        pods = self._kube.pods(route.service_namespace, selector)
        if not pods:
            told = f"{name}, to which {route.name} leads, selects no pod: none has the labels {labels_text(selector)}"
            yield Cause(told, file or self._at(*route.place))
        elif not any(map(is_ready, pods)):
            states = "; ".join(f"{each.metadata.name}: {describe_pod(each)}" for each in pods)
            told = f"no pod of {name}, to which {route.name} leads, is Ready: {states}"
            yield Cause(told, file or self._at(*route.place), stays=False)

    def _of_named(self) -> Iterator[Cause]:
        """Traefik's own objects that the route names."""
        for verb, kind, name, namespace, place in self._named():
            there = self._objects(_TRAEFIK, kind, namespace)
            if there is None or any(
                (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name) for each in there
            ):
                continue
            written = self._written(kind, name, namespace)
            if written and written.body["apiVersion"].startswith(_OF_V2):
                line = written.place("apiVersion")
                yield Cause(_of_v2(written), self.deployment.manifests.shown(line))
            else:
                elsewhere = self._elsewhere(_TRAEFIK, kind, name)
                told = f"{self.route.name} {verb} the {kind} {name} of {namespace}, which is not there{elsewhere}"
                yield Cause(told, self._at(*place))

    def _named(self) -> Iterator[tuple[str, str, str, str, Place]]:
        """How it names each, its kind, name and namespace, and where."""
        route = self.route
        for at, each in enumerate(route.middlewares):
            if "@" not in each.name:
                yield "goes through", "Middleware", each.name, each.namespace, (*route.place[:3], "middlewares", at)
        options = _at_place(self._body, ("spec", "tls", "options")) if route.kind == "IngressRoute" else {}
        if options.get("name") and "@" not in options["name"]:
            namespace = str(options.get("namespace") or route.namespace)
            yield "speaks TLS by", "TLSOption", str(options["name"]), namespace, ("spec", "tls", "options")

    def _written(self, kind: str, name: str, namespace: str) -> Manifest | None:
        """The object as the manifests have it."""
        try:
            return self.deployment.manifests.object(f"{kind}/{name}", namespace)
        except KeyError:
            return None

    def _of_entry_points(self) -> Iterator[Cause]:
        known, own = self.traefik.entry_points(), self.route.entry_points
        lacking = [name for name in own if known and name.lower() not in known]
        secure = self.traefik.entrance.secure
        at = self._at("spec", "entryPoints")
        if lacking:
            told = f"{self.route.name} is at the entry point {listed(lacking)}, and Traefik's are"
            yield Cause(f"{told} {listed(sorted(known))}", at)
        elif known and own and secure not in own:
            told = f"{self.route.name} is at the entry point {listed(own)} alone, and https is spoken at {secure}"
            yield Cause(told, at)

    def _of_secret(self) -> Iterator[Cause]:
        route = self.route
        named = f"the Secret {route.secret} of {route.secret_namespace}"
        if self.certificates.unread(route):
            return
        if route.secret and not self.certificates.secret(route) and self.certificates.object(route) is None:
            told = f"{route.name} has its certificate in {named}, which is not there, and no Certificate has it written"
            yield Cause(told + self._elsewhere("v1", "Secret", route.secret), self._at(*self._place_of_tls))
        if not route.secret and route.kind != "HTTPRoute" and self._objects(_TRAEFIK, "TLSStore") == []:
            resolver = _at_place(self._body, ("spec", "tls")).get("certResolver")
            if resolver and self.traefik.has_resolver(str(resolver)):
                return
            of = f": its certResolver {resolver} is none of this Traefik's" if resolver else ""
            yield Cause(f"{route.name} names no Secret with a certificate{of}", self._at("spec", "tls"))

    def _elsewhere(self, version: str, kind: str, name: str) -> str:
        """That another namespace has an object of this kind and name, if one has."""
        every = self._objects(version, kind) or []
        found = [each["metadata"]["namespace"] for each in every if each["metadata"]["name"] == name]
        return f"; there is one in {listed(found)}" if found else ""

    def _objects(self, version: str, kind: str, namespace: str = "") -> list[dict[str, Any]] | None:
        """The objects of a kind; None where they may not be listed, as for whoever may read some namespaces only."""
        try:
            return self._kube.objects(version, kind, namespace)
        except ForbiddenError:
            return None

    def _rivals(self) -> Iterator[Cause]:
        for version, kind in _VERSIONS.items():
            bodies = self._objects(version, kind)
            if bodies is None:
                bodies = self._objects(version, kind, self.route.namespace) or []
            for each in routes_in([Manifest(Path(), "", body) for body in bodies], ""):
                if _is_rival(each, self.route, self._host):
                    own = f"{self.route.service} of {self.route.service_namespace}"
                    told = f"{each.name} of {each.namespace} leads {self._host} to the Service {each.service} of "
                    told += f"{each.service_namespace}, and {self.route.name} to {own}"
                    file = self.deployment.manifests.where(each.name, *each.place, namespace=each.namespace)
                    yield Cause(told, file or self._at(*self.route.place))

    # What Traefik says

    def _of_router(self) -> Iterator[Cause]:
        for told in self.traefik.told_of(self.route, self._host):
            yield Cause(f"Traefik says of {self.route.name}: {told}", self._at(*self.route.place[:3], "match"))

    def _of_log(self) -> Iterator[Cause]:
        """Why it made nothing of the route, where nothing else tells anything."""
        for told in self.traefik.last_words(self.route, self._host):
            yield Cause(f"Traefik says of {self.route.name}: {told}", self._at(*self.route.place))


def _of_v2(manifest: Manifest) -> str:
    group = manifest.body["apiVersion"].partition("/")[0]
    return f"{manifest.name} is not read: {group} is Traefik v2's group; v3 reads {_TRAEFIK} only"


def _is_rival(each: Route, own: Route, host: str) -> bool:
    """Whether it leads the host elsewhere and comes no later than one's own; one rule may have several Services."""
    same = (each.name, each.namespace, each.place[:3]) == (own.name, own.namespace, own.place[:3])
    elsewhere = not same and (each.service, each.service_namespace) != (own.service, own.service_namespace)
    meets = not each.entry_points or not own.entry_points or set(each.entry_points) & set(own.entry_points)
    first = each.takes(ASKED) and each.priority >= own.priority
    return host in each.hosts and elsewhere and first and bool(meets) and not _is_of_the_suite(each)


def _is_of_the_suite(route: Route) -> bool:
    """Whether it is the copy that leads to a recorder, or cert-manager's own, which answers a challenge."""
    own = route.manifest.body["metadata"]
    return own["name"].endswith(COPY) or _SOLVER in (own.get("labels") or {})


def _at_place(body: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    """The mapping at a place of an object; an empty one where there is none."""
    found: Any = body
    for key in place:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return {}
    return found if isinstance(found, dict) else {}
