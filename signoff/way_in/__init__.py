"""The way in from outside: the route that leads the host name to LiteLLM, and the certificate that it is served by."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.core.words import listed
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.gateway.deployment import Deployment
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Key, Manifest
from signoff.kube.routes import Route, ingress_class, routes_in
from signoff.kube.undo import Apply, Undo
from signoff.parity.recorder_pod import RecorderPod, RemoteRecorder
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.way_in import controllers, entrance
from signoff.way_in.cause import Cause
from signoff.way_in.certificates import Certificates, CertificateState
from signoff.way_in.entrance import GATEWAY_API, Door, Entrance
from signoff.way_in.handshake import Handshake, handshake
from signoff.way_in.traefik import Traefik
from signoff.way_in.trouble import ASKED, COPY, Trouble

RECORDED = COPY
"""The recorder's route, which is a path, and what the copied object is called after."""
CHAT = "/v1/chat/completions"
"""What is mostly asked for by the way in."""
_CERT_MANAGERS = "cert-manager.io/"
"""What is in the names of cert-manager's annotations."""
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

    @property
    def has_own_controllers(self) -> bool:
        """Whether the suite has put the controllers there; else they are a person's."""
        return "controllers" in self.deployment.cluster.capabilities

    @cached_property
    def entrance(self) -> Entrance:
        """The Service of the ingress controller that serves the route.

        Raises:
            SignoffError: it cannot be told, or serves no https, as `signoff.way_in.entrance` says.
        """
        if self.has_own_controllers:
            return entrance.OWN
        return entrance.find(self.kube, self.route, self.deployment.settings.ingress)

    @cached_property
    def door(self) -> Door:
        """Where this machine enters.

        Raises:
            SignoffError: as `entrance` does; or there is no way from this machine.
        """
        with causes.of(Subject.CLUSTER):
            return entrance.door(self.kube, self.deployment.cluster, self.entrance, self.host)

    @property
    def entered(self) -> str:
        """How a person's own ingress is reached; empty of the suite's own."""
        return "" if self.has_own_controllers else self.door.told

    @cached_property
    def traefik(self) -> Traefik:
        """The ingress controller."""
        return Traefik(self.kube, self.deployment.cluster, self.entrance)

    @cached_property
    def certificates(self) -> Certificates:
        """What cert-manager says."""
        where = self.deployment.manifests.where
        return Certificates(self.kube, self.deployment.cluster, where, are_the_suites=self.has_own_controllers)

    @property
    def kube(self) -> Kube:
        """The cluster's API."""
        return self.deployment.kube

    @property
    def endpoint(self) -> Endpoint:
        """LiteLLM under its host name by HTTPS, trusted if a root of the issuer's is behind its certificate."""
        told = {"host": self.host, "authorities": "".join(self.roots())}
        return replace(self._asked, url=self.door.https, **told)

    @property
    def timed_endpoint(self) -> Endpoint:
        """The same as whoever times requests reaches it: by its address in the cluster, if that is where it is done."""
        if not self.deployment.is_timed_inside:
            return self.endpoint
        own = self.entrance
        if not own.service:
            return replace(self.endpoint, url=f"https://{own.published[0].host}:{own.published[0].https}")
        address, port = self.deployment.cluster.address_in_pods(own.namespace, own.service, own.https)
        return replace(self.endpoint, url=f"https://{address}:{port}")

    @property
    def plain(self) -> Endpoint:
        """The same by HTTP; see `no_plain`."""
        return replace(self._asked, url=self.door.http or f"http://{self.host}", host=self.host)

    @property
    def no_plain(self) -> str:
        """Why nobody can ask by HTTP; empty where one can."""
        return "" if self.door.http else f"refused: {self.entrance.name} has no port for plain HTTP"

    @property
    def _asked(self) -> Endpoint:
        return Endpoint("", self.deployment.manifests.roles.model.asked, self.deployment.keys.gateway)

    def roots(self) -> list[str]:
        """The roots of the issuer, as PEM."""
        return self.certificates.roots(self.route)

    def certificate(self) -> CertificateState:
        """What cert-manager says of the certificate, and on a person's own cluster why it has no say."""
        found = self.certificates.of(self.route)
        return found if self.has_own_controllers else replace(found, untold=self._untold())

    def _untold(self) -> str:
        """Why cert-manager has no say, or cannot be asked."""
        spec = self.route.manifest.body.get("spec") or {}
        resolver = str((spec.get("tls") or {}).get("certResolver") or "") if self.route.kind == "IngressRoute" else ""
        if resolver and self.traefik.has_resolver(resolver):
            return (
                f"Traefik gets the certificate itself, by its resolver {resolver}, and cert-manager has no part in it"
            )
        if not self.certificates.has_cert_manager():
            return "cert-manager is not on this cluster"
        return listed(self.certificates.unread(self.route))

    def handshake(self, host: str, newest: int = 0) -> Handshake:
        """What is served under a name, by a TLS version at most `newest`, as `signoff.way_in.handshake` says."""
        return handshake(self.door.address, host, newest)

    def timeouts(self) -> dict[str, float]:
        """The time-outs in seconds of Traefik's entry point for the host, and of the route's own way to LiteLLM."""
        return {
            **self.traefik.timeouts(next(iter(self.route.entry_points), self.entrance.secure)),
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
        if self.has_own_controllers:
            with causes.of(Subject.CLUSTER):
                self._check_class()
                controllers.wait(self.kube)
                self._check_names()
        if self.entered:
            progress("way in", f"https://{self.host} is asked {self.entered}")
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
        return [each.sentence for each in self._trouble.causes(shut=False)]

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
    route = route_in(deployment.manifests, _beside(deployment))
    return None if route is None else WayIn(deployment, route)


def _beside(deployment: Deployment) -> list[Manifest]:
    """What routes rest on, and the manifests name and do not hold: as it is made here, or a person's own Gateways."""
    manifests = deployment.manifests
    if "controllers" in deployment.cluster.capabilities:
        return controllers.beside(manifests)
    routes = routes_in(manifests.gateway, manifests.settings.namespace)
    named = (
        (str(each.get("name")), str(each.get("namespace") or own.namespace)) for own in routes for each in own.parents
    )
    there = {each.key(manifests.settings.namespace) for each in manifests.gateway}
    lacking = [each for each in dict.fromkeys(named) if Key(f"Gateway/{each[0]}", each[1]) not in there]
    with suppress(ForbiddenError):
        found = (deployment.kube.object(GATEWAY_API, "Gateway", *each) for each in lacking)
        return [Manifest(None, "", each) for each in found if each]
    return []


def route_in(manifests: StoryManifests, beside: Sequence[Manifest] = ()) -> Route | None:
    """The rule for the host that a chat completion goes by, with TLS before one without.

    That is the one of the highest priority among those that take its path; where nobody can tell, one that leads to
    LiteLLM's own Service before another.
    """
    own = manifests.roles.gateway
    every = [*manifests.gateway, *beside]
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
        "annotations": _of_the_ingress(body["metadata"].get("annotations") or {}),
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


def _of_the_ingress(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those that an ingress controller reads.

    The copy shares the certificate that is there, and whoever keeps a person's objects must not take it for theirs.
    """
    return {name: value for name, value in annotations.items() if "ingress" in name and _CERT_MANAGERS not in name}


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
