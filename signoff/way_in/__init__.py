"""The way in from outside: the route that leads the host name to LiteLLM, and the certificate that it is served by."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import urlsplit

from signoff.core.errors import SignoffError
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.core.words import listed
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.gateway.deployment import Deployment
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, ingress_class, routes_in
from signoff.kube.undo import Apply, Undo
from signoff.parity.recorder_pod import RecorderPod, RemoteRecorder
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.way_in import controllers
from signoff.way_in.cause import Cause
from signoff.way_in.certificates import Certificates, CertificateState
from signoff.way_in.handshake import Handshake, handshake
from signoff.way_in.traefik import Traefik
from signoff.way_in.trouble import ASKED, COPY, SECURE, Trouble

RECORDED = COPY
"""The recorder's route, which is a path, and what the copied object is called after."""
CHAT = "/v1/chat/completions"
"""What is mostly asked for by the way in."""
_HTTP, _HTTPS = 80, 443
_OF_AN_INGRESS = (404, 502, 503, 504)
"""What an ingress answers itself that has no route, or nobody behind it."""


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

    @property
    def leads_to(self) -> str:
        """The URL inside the cluster of the Service and port that the route names."""
        route = self.route
        there = self.kube.objects("v1", "Service", route.service_namespace)
        named = (each["spec"].get("ports") or () for each in there if each["metadata"]["name"] == route.service)
        own = next(named, ())
        number = next((port["port"] for port in own if route.port in (port["port"], port.get("name"))), route.port)
        return f"http://{route.service}.{route.service_namespace}.svc.cluster.local:{number}"

    @cached_property
    def traefik(self) -> Traefik:
        """The ingress controller."""
        return Traefik(self.kube, self.deployment.cluster)

    @cached_property
    def certificates(self) -> Certificates:
        """What cert-manager says."""
        return Certificates(self.kube, self.deployment.cluster, self.deployment.manifests.where)

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
        if not self.deployment.is_timed_inside:
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
        """The time-outs in seconds of Traefik's entry point for the host, and of the route's own way to LiteLLM."""
        return {
            **self.traefik.timeouts(next(iter(self.route.entry_points), SECURE)),
            **self.traefik.timeouts_of_transport(self.route),
        }

    def wait(self) -> None:
        """Wait until LiteLLM is reached under its host name, with a certificate that its issuer's roots vouch for.

        Raises:
            SignoffError: it is an Ingress for another controller than this cluster has, or its certificate is for a
                name that nobody can prove here.
            WaitFailed: it is not; with the cause as far as the cluster and its controllers tell it. One that waiting
                does not mend ends the wait after `HOPELESS_GRACE`.
        """
        if "controllers" in self.deployment.cluster.capabilities:
            with causes.of(Subject.CLUSTER):
                self._check_class()
                controllers.wait(self.kube)
                self._check_names()
        with causes.of(Subject.GATEWAY):
            eventually(f"https://{self.host} to lead to LiteLLM", WAY_IN_LEADS, self._look)

    def _check_class(self) -> None:
        """See that a controller here serves an Ingress of this class: what another would make of it, nobody can tell.

        Raises:
            SignoffError: none does.
        """
        named = ingress_class(self.route.manifest) if self.route.kind == "Ingress" else ""
        if named and not any(
            each["metadata"]["name"] == named for each in self.kube.objects("networking.k8s.io/v1", "IngressClass")
        ):
            raise SignoffError(
                f"{self.route.name} is of the class {named}, which no controller of this cluster serves",
                where=self.file,
                hint=f"this cluster has {controllers.TRAEFIK}; waive way-in, and judge it on your own cluster",
            )

    def _check_names(self) -> None:
        """See that the certificate's names can be proved here: that of a wildcard, only DNS-01 proves (RFC 8555, 8.3).

        Raises:
            SignoffError: one cannot.
        """
        state = self.certificate()
        wild = [name for name in state.dns_names if name.startswith("*.")]
        if wild and state.server == controllers.DIRECTORY:
            raise SignoffError(
                f"{state.object} is for {listed(wild)}, which only DNS-01 proves, and here names are proved by HTTP-01",
                where=self.file,
                hint="judge it on your own cluster and waive way-in here, or name the host in dnsNames",
            )

    def _look(self) -> None:
        if unread := self._trouble.unread():
            raise Hopeless(_told(unread), grace=0)
        symptom = _symptom(self.endpoint)
        found = self._trouble.causes() if symptom else self._trouble.rivals()
        if symptom or found:
            told = _told(found) or symptom
            raise Hopeless(told) if any(each.stays for each in found) else NotYet(told)

    def trouble(self) -> list[str]:
        """What is wrong with the route and its certificate, a sentence each, as far as the cluster tells it."""
        return [each.sentence for each in self._trouble.causes()]

    @property
    def _trouble(self) -> Trouble:
        return Trouble(self.deployment, self.route, self.traefik, self.certificates)

    @contextmanager
    def recorded(self, undo: Undo) -> Iterator[tuple[Endpoint, RemoteRecorder, str]]:
        """A copy of the route for one path below the host, that leads to a recorder in front of LiteLLM.

        Gives the endpoint below which that path is, the recorder, and the name of its own route.

        Raises:
            SignoffError: it cannot be told which rule of the route is to be copied.
            WaitFailed: the recorder or the copied route does not answer.
        """
        own = self.deployment.gateway
        if not self.route.takes(CHAT):
            raise SignoffError(
                f"nobody can tell which rule of {self.route.name} a request for {CHAT} goes by, to copy that one",
                where=self.file,
                hint="write a rule of Host and PathPrefix alone for it",
            )
        pod = RecorderPod(own, own)
        manifests = self.deployment.manifests
        for each in pod.manifests(manifests.gateway_image, manifests.settings.allowed_nodes):
            undo.make(Apply(each, own.namespace))
        recorder = pod.answering(self.deployment)
        undo.make(Apply(copied(self.route, self.host, pod), own.namespace))
        endpoint = replace(self.endpoint, url=f"{self.endpoint.url}/{RECORDED}")
        with recorder:
            eventually("the copied route to lead to the recorder", WAY_IN_LEADS, lambda: _leads(endpoint))
            yield endpoint, recorder, RECORDED


def _told(found: Sequence[Cause]) -> str:
    return "; ".join(each.sentence for each in found)


def of(deployment: Deployment) -> WayIn | None:
    """The way in that the manifests declare; None if no route among them leads the host to LiteLLM's Service."""
    route = route_in(deployment.manifests)
    return None if route is None else WayIn(deployment, route)


def route_in(manifests: StoryManifests) -> Route | None:
    """The rule for the host that a chat completion goes by, with TLS before one without.

    That is the one of the highest priority among those that take its path; where nobody can tell, one that leads to
    LiteLLM's own Service before another.
    """
    own = manifests.roles.gateway
    every = [*manifests.gateway, *controllers.beside(manifests)]
    found = [each for each in routes_in(every, manifests.settings.namespace) if manifests.settings.host in each.hosts]

    def rank(each: Route) -> tuple[bool, bool, int, bool]:
        elsewhere = (each.service, each.service_namespace) != (own.service, own.namespace)
        return not each.tls, not each.takes(CHAT), -each.priority, elsewhere

    return min(found, key=rank, default=None)


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
            led = {"name": service.service, "namespace": service.namespace, "port": service.port}
            rule["services"] = [{**rule["services"][route.place[4]], **led}]
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


def _leads(endpoint: Endpoint) -> None:
    if symptom := _symptom(endpoint):
        raise NotYet(symptom)


def _symptom(endpoint: Endpoint) -> str:
    """How a request under a host name shows that it does not pass the ingress; empty if it does."""
    try:
        with OpenAIClient(endpoint) as client:
            answer = client.get(ASKED)
    except NoAnswer as error:
        return error.what
    of_the_ingress = answer.status in _OF_AN_INGRESS and not answer.json
    return f"https://{endpoint.host} answers {answer.status}, and that is not LiteLLM's" if of_the_ingress else ""
