"""The way in from outside: the route that leads the host name to LiteLLM, and the certificate that it is served by."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from signoff.core.errors import SignoffError
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.gateway.deployment import Deployment
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, routes_in
from signoff.kube.undo import Apply, Undo
from signoff.parity.recorder_pod import RecorderPod, RemoteRecorder
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.way_in import controllers
from signoff.way_in.certificates import Certificates, CertificateState
from signoff.way_in.handshake import Handshake, handshake
from signoff.way_in.traefik import Traefik

RECORDED = "signoff-way-in"
"""The recorder's route, which is a path, and what the copied object is called after."""
_HTTP, _HTTPS = 80, 443
_NOT_FOUND = 404


@dataclass(frozen=True)
class WayIn:
    """The way to LiteLLM under the host name, as manifests declare it and as the cluster's controllers make it."""

    deployment: Deployment
    route: Route

    @property
    def host(self) -> str:
        """The host name."""
        return self.deployment.settings.host

    @property
    def file(self) -> str:
        """Where the route names LiteLLM's Service: file and line."""
        return self.deployment.manifests.shown(self.route.where)

    @cached_property
    def traefik(self) -> Traefik:
        """The ingress controller."""
        return Traefik(self.kube, self.deployment.cluster)

    @cached_property
    def certificates(self) -> Certificates:
        """What cert-manager says."""
        return Certificates(self.kube, self.deployment.cluster)

    @property
    def kube(self) -> Kube:
        """The cluster's API."""
        return self.deployment.kube

    @property
    def endpoint(self) -> Endpoint:
        """LiteLLM under its host name by HTTPS, trusted if a root of the issuer's is behind its certificate."""
        told = {"host": self.host, "authorities": "".join(self.roots())}
        return replace(self._asked, url=self._url(_HTTPS).replace("http://", "https://"), **told)

    @property
    def timed_endpoint(self) -> Endpoint:
        """The same as whoever times requests reaches it: by its address in the cluster, if that is where it is done."""
        if not self.deployment.cluster.tunnelled:
            return self.endpoint
        address, port = self.deployment.cluster.address_in_pods(controllers.NAMESPACE, controllers.TRAEFIK, _HTTPS)
        return replace(self.endpoint, url=f"https://{address}:{port}")

    @property
    def plain(self) -> Endpoint:
        """The same by HTTP."""
        return replace(self._asked, url=self._url(_HTTP), host=self.host)

    @property
    def _asked(self) -> Endpoint:
        return Endpoint("", self.deployment.manifests.roles.model.asked, self.deployment.keys.gateway)

    def _url(self, port: int) -> str:
        return self.deployment.cluster.service_url(controllers.NAMESPACE, controllers.TRAEFIK, port)

    def roots(self) -> list[str]:
        """The roots of the issuer, as PEM."""
        return self.certificates.roots(self.route)

    def certificate(self) -> CertificateState:
        """What cert-manager says of the certificate."""
        return self.certificates.of(self.route)

    def handshake(self, host: str, newest: int = 0) -> Handshake:
        """What is served under a name, by a TLS version at most `newest`, as `signoff.way_in.handshake` says."""
        address = urlsplit(self._url(_HTTPS))
        return handshake((str(address.hostname), int(address.port or _HTTPS)), host, newest)

    def timeouts(self) -> dict[str, float]:
        """Traefik's own time-outs, in seconds, of the entry point that the host is served at."""
        return self.traefik.timeouts(next(iter(self.route.entry_points), "websecure"))

    def wait(self) -> None:
        """Wait until LiteLLM is reached under its host name, with a certificate that its issuer's roots vouch for.

        Raises:
            WaitFailed: it is not; with the cause as far as the cluster and its controllers tell it.
        """
        with causes.of(Subject.GATEWAY):
            eventually(f"https://{self.host} to lead to LiteLLM", WAY_IN_LEADS, self._look)

    def _look(self) -> None:
        if missing := list(self._missing()):
            raise Hopeless("; ".join(missing))
        state = self.certificate()
        if state.object and not state.ready:
            raise NotYet(f"{state.object} is not Ready: {'; '.join(self.certificates.told_of(self.route))}")
        try:
            with OpenAIClient(self.endpoint) as client:
                answer = client.models()
        except NoAnswer as error:
            raise NotYet("; ".join([str(error), *self.trouble()])) from None
        if answer.status == _NOT_FOUND and not answer.json:
            raise NotYet("; ".join(["Traefik answers 404", *self.trouble()]))

    def trouble(self) -> list[str]:
        """What is wrong with the route and its certificate: as the cluster's objects, Traefik and cert-manager say."""
        own = self.route.manifest.body["metadata"]["name"]
        words = self.traefik.told_of(self.route.kind, own, self.route.namespace)
        missing = list(self._missing())
        # What is missing is also what Traefik complains of.
        told = missing or [f"Traefik says: {each}" for each in words]
        return [*told, *self.certificates.told_of(self.route)]

    def _missing(self) -> Iterator[str]:
        """What the route names and the cluster lacks, and who else claims its host."""
        route = self.route
        yield from self._missing_service()
        there = {
            (each["metadata"]["namespace"], each["metadata"]["name"])
            for each in self.kube.objects("traefik.io/v1alpha1", "Middleware")
        }
        for each in route.middlewares:
            if "@" not in each.name and (each.namespace, each.name) not in there:
                yield f"it goes through the Middleware {each.name} of {each.namespace}, which is not there"
        known = self.traefik.entry_points()
        for name in route.entry_points:
            if known and name not in known:
                yield f"its entry point {name} is none of Traefik's ({', '.join(sorted(known))})"
        if route.secret and not self.certificates.secret(route) and self.certificates.object(route) is None:
            yield (
                f"its certificate is to be in the Secret {route.secret} of {route.secret_namespace}, "
                "which is not there, and no Certificate has it written"
            )
        yield from self._rivals()

    def _missing_service(self) -> Iterator[str]:
        route = self.route
        services = self.kube.objects("v1", "Service", route.service_namespace)
        ports = {each["metadata"]["name"]: each["spec"].get("ports") or [] for each in services}
        if route.service not in ports:
            yield f"it leads to the Service {route.service} of {route.service_namespace}, which is not there"
            return
        own = [value for port in ports[route.service] for value in (port["port"], port.get("name")) if value]
        if route.port not in own:
            yield f"it leads to port {route.port} of the Service {route.service}, which has {', '.join(map(str, own))}"

    def _rivals(self) -> Iterator[str]:
        """Other routes that lead the same host, at the same entry points, somewhere else."""
        for version, kind in _VERSIONS.items():
            bodies = self.kube.objects(version, kind)
            for each in routes_in([Manifest(Path(), "", body) for body in bodies], ""):
                if _is_rival(each, self.route, self.host):
                    yield (
                        f"{each.name} of {each.namespace} leads {self.host} to another Service as well, "
                        f"{each.service} of {each.service_namespace}"
                    )

    @contextmanager
    def recorded(self, undo: Undo) -> Iterator[tuple[Endpoint, RemoteRecorder, str]]:
        """A copy of the route for one path below the host, that leads to a recorder in front of LiteLLM.

        Gives the endpoint below which that path is, the recorder, and the name of its own route.

        Raises:
            WaitFailed: the recorder or the copied route does not answer.
        """
        own = self.deployment.gateway
        pod = RecorderPod(own, own)
        manifests = self.deployment.manifests
        for each in pod.manifests(manifests.gateway_image, manifests.settings.allowed_nodes):
            undo.make(Apply(each, own.namespace))
        recorder = pod.answering(self.deployment)
        undo.make(Apply(copied(self.route, self.host, pod), own.namespace))
        endpoint = replace(self.endpoint, url=f"{self.endpoint.url}/{RECORDED}")
        with recorder:
            eventually("the copied route to lead to the recorder", WAY_IN_LEADS, lambda: _answers(endpoint))
            yield endpoint, recorder, RECORDED


_VERSIONS = {
    "traefik.io/v1alpha1": "IngressRoute",
    "networking.k8s.io/v1": "Ingress",
    "gateway.networking.k8s.io/v1": "HTTPRoute",
}


def of(deployment: Deployment) -> WayIn | None:
    """The way in that the manifests declare; None if no route among them leads the host to LiteLLM's Service."""
    route = route_in(deployment.manifests)
    return None if route is None else WayIn(deployment, route)


def route_in(manifests: StoryManifests) -> Route | None:
    """The route of the host, with TLS before one without, one that leads to LiteLLM's own Service before another."""
    own = manifests.roles.gateway
    every = [*manifests.gateway, *controllers.beside(manifests)]
    found = [each for each in routes_in(every, manifests.settings.namespace) if manifests.settings.host in each.hosts]
    found.sort(key=lambda each: (not each.tls, (each.service, each.service_namespace) != (own.service, own.namespace)))
    return found[0] if found else None


def _is_rival(each: Route, own: Route, host: str) -> bool:
    same = (each.name, each.namespace) == (own.name, own.namespace)
    elsewhere = (each.service, each.service_namespace) != (own.service, own.service_namespace)
    meets = not each.entry_points or not own.entry_points or set(each.entry_points) & set(own.entry_points)
    return host in each.hosts and not same and elsewhere and bool(meets) and not _is_of_the_suite(each)


def _is_of_the_suite(route: Route) -> bool:
    """Whether it is the copy that leads to a recorder, or cert-manager's own, which answers a challenge."""
    own = route.manifest.body["metadata"]
    labels = own.get("labels") or {}
    return own["name"].endswith(RECORDED) or "acme.cert-manager.io/http01-solver" in labels


def copied(route: Route, host: str, recorder: RecorderPod) -> Manifest:
    """The route once more, for the recorder's path alone and to the recorder; all else is as it is.

    Raises:
        SignoffError: nobody knows where an object of its kind has these.
    """
    body = deepcopy(route.manifest.body)
    body["metadata"] = {
        "name": f"{body['metadata']['name']}-{RECORDED}",
        "namespace": route.namespace,
        "annotations": _without_certificate(body["metadata"].get("annotations") or {}),
    }
    spec, path, service = body["spec"], f"/{RECORDED}", recorder.workload
    match route.kind:
        case "IngressRoute":
            rule = spec["routes"][route.place[2]]
            rule["match"] = f"Host(`{host}`) && PathPrefix(`{path}`)"
            rule["services"] = [{"name": service.service, "namespace": service.namespace, "port": service.port}]
            if "priority" in rule:
                rule["priority"] += 1
            spec["routes"] = [rule]
        case "Ingress":
            backend = {"service": {"name": service.service, "port": {"number": service.port}}}
            paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
            spec["rules"] = [{"host": host, "http": {"paths": paths}}]
        case "HTTPRoute":
            rule = spec["rules"][route.place[2]]
            rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
            rule["backendRefs"] = [{"name": service.service, "namespace": service.namespace, "port": service.port}]
            spec["rules"] = [rule]
        case _:
            raise SignoffError(f"there is no way to copy a {route.kind}", where=route.where)
    return Manifest(route.manifest.file, "", body)


def _without_certificate(annotations: Mapping[str, str]) -> dict[str, str]:
    """An Ingress' annotations without those that ask for a certificate: the copy shares the one that is there."""
    return {name: value for name, value in annotations.items() if not name.startswith("cert-manager.io/")}


def _answers(endpoint: Endpoint) -> None:
    try:
        with OpenAIClient(endpoint) as client:
            answer = client.models()
    except NoAnswer as error:
        raise NotYet(str(error)) from None
    if answer.status == _NOT_FOUND and not answer.json:
        raise NotYet("Traefik answers 404")
