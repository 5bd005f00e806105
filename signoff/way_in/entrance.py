"""Where a cluster is entered: by the Service of the ingress controller that serves a route; and how from here.

On a cluster of the suite's own that is known. On a person's own it is found by what stands there: an IngressRoute is
served by a Traefik, an Ingress and an HTTPRoute by whom their class names. A Traefik is known by its image; any other
controller by its Service, whose address it writes into the status of what it serves.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.kube.client import Kube, is_ready
from signoff.kube.rights import Question
from signoff.kube.routes import Route, ingress_class
from signoff.way_in import controllers
from signoff.way_in.handshake import handshake

TRAEFIK = "Traefik"
HTTP, HTTPS = 80, 443
SECURE = "websecure"
"""Traefik's entry point for HTTPS, as its chart and k3s call it."""
_INGRESS, GATEWAY_API = "networking.k8s.io/v1", "gateway.networking.k8s.io/v1"
_OF_TRAEFIK = "traefik.io/"
"""What it calls itself in classes begins with this: traefik.io/ingress-controller, traefik.io/gateway-controller."""
_TRAEFIKS_IMAGE = re.compile(r"(?:^|[/-])traefik$")
"""docker.io/library/traefik, k3s' rancher/mirrored-library-traefik."""
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PROVIDERS = {"IngressRoute": "kubernetescrd", "Ingress": "kubernetesingress", "HTTPRoute": "kubernetesgateway"}
_NAMES = {HTTP: ("web", "http"), HTTPS: (SECURE, "https")}
"""How a port is called that has another number."""
_OUTSIDE_FIRST = ("LoadBalancer", "NodePort", "ClusterIP")
_NAME_IT = 'name its Service in the settings: ingress = "kube-system/traefik"'


class Published(NamedTuple):
    """An address at which a controller is entered from outside, with its ports; no `http` where it has none."""

    host: str
    https: int
    http: int | None


@dataclass(frozen=True)
class Entrance:
    """The Service by which a cluster is entered, and whose it is."""

    namespace: str
    service: str
    """Empty where the controller's pods have the ports of their nodes, and no Service."""
    controller: str
    """"Traefik", or what another calls itself in its class."""
    https: int
    http: int | None
    published: Sequence[Published] = ()
    arguments: Sequence[str] = ()
    """Of Traefik's own container; none where they are not known."""
    pods: Mapping[str, str] | None = None
    """The labels of its pods."""
    secure: str = SECURE
    """What Traefik calls its entry point for HTTPS."""
    api: str = ""
    """The Service of Traefik's API, where the suite has one."""

    @property
    def is_traefik(self) -> bool:
        """Whether it is a Traefik."""
        return self.controller == TRAEFIK

    @property
    def name(self) -> str:
        """Of the Service with its namespace, else of the controller."""
        return (
            f"the Service {self.namespace}/{self.service}" if self.service else f"{self.controller} of {self.namespace}"
        )


OWN = Entrance(
    controllers.NAMESPACE,
    controllers.TRAEFIK,
    TRAEFIK,
    HTTPS,
    HTTP,
    pods={"app.kubernetes.io/name": controllers.TRAEFIK},
    api=controllers.TRAEFIK_API,
)
"""That of the suite's own clusters."""


# How it is reached


@dataclass(frozen=True)
class Door:
    """Where this machine enters, by URLs with an address; `told` says how. Without `http` there is no plain HTTP."""

    https: str
    http: str
    told: str

    @property
    def address(self) -> tuple[str, int]:
        """Where TLS is spoken."""
        parts = urlsplit(self.https)
        return str(parts.hostname), int(parts.port or HTTPS)


def door(kube: Kube, cluster: Cluster, entrance: Entrance, host: str) -> Door:
    """The published address if this machine reaches the same there as by a forward, else the forward.

    Home networks are alike: what answers at an address of one need not be the cluster that is meant.

    Raises:
        SignoffError: there is no way from this machine.
    """
    may_forward = entrance == OWN or _may_forward(kube, entrance.namespace)
    forward = _forward(cluster, entrance) if entrance.service and may_forward else None
    by_forward = _leaf(forward.address, host) if forward and entrance.published else ""
    for each, leaf in zip(entrance.published, _leaves(entrance.published, host), strict=True):
        if leaf and (leaf == by_forward or not by_forward):
            plain = f"http://{_bracketed(each.host)}:{each.http}" if each.http else ""
            told = f"at {each.host}:{each.https}, which {entrance.name} has for clients outside"
            return Door(f"https://{_bracketed(each.host)}:{each.https}", plain, told)
    if forward:
        return forward
    why = "this user may not forward to its pods" if entrance.service else "it has no Service to forward to"
    raise SignoffError(
        f"this machine does not reach {entrance.name} from outside, and {why}",
        where=listed([f"{each.host}:{each.https}" for each in entrance.published]) or entrance.namespace,
        hint=f"run this where your clients are, or bind signoff-look-only in {entrance.namespace}",
    )


def _may_forward(kube: Kube, namespace: str) -> bool:
    api = client.AuthorizationV1Api(kube.core.api_client)
    asked = Question("create", "", "pods/portforward", namespace)
    return bool(api.create_self_subject_access_review(asked.review).status.allowed)


def _forward(cluster: Cluster, entrance: Entrance) -> Door:
    https, http = (
        port and cluster.service_url(entrance.namespace, entrance.service, port)
        for port in (entrance.https, entrance.http)
    )
    told = f"through {entrance.name}"
    if cluster.tunnelled:
        told = f"through a forward to {entrance.name}, so that the client's address is the forward's"
    return Door(str(https).replace("http://", "https://"), str(http or ""), told)


def _leaves(published: Sequence[Published], host: str) -> list[str]:
    with ThreadPoolExecutor(max(1, len(published))) as pool:
        return list(pool.map(lambda each: _leaf((each.host, each.https), host), published))


def _leaf(address: tuple[str, int], host: str) -> str:
    """The certificate that is served there under a host name; empty if none is."""
    return next(iter(handshake(address, host).chain), "")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# Which it is


def find(kube: Kube, route: Route, named: str = "") -> Entrance:
    """The entrance of a person's cluster that leads to a route; `named` is its Service, as `namespace/name`.

    Raises:
        SignoffError: what would tell may not be read, nothing serves the route, or several do: nobody's fault that
            could be held against the gateway. Or HTTPS is not spoken there, or no controller has the route's class.
    """
    with causes.of(Subject.CLUSTER):
        if named:
            namespace, _, name = named.partition("/")
            return _Search(kube, route, namespace).named(name)
        return _Search(kube, route).found()


@dataclass(frozen=True)
class _Search:
    """Looks for the entrance to one route, in one namespace or in all."""

    kube: Kube
    route: Route
    within: str = ""

    def named(self, name: str) -> Entrance:
        """The one of this Service."""
        there = [each for each in self._all("v1", "Service") if each["metadata"]["name"] == name]
        if not there:
            raise SignoffError(
                f"the setting ingress names the Service {self.within}/{name}, which is not there", hint=_NAME_IT
            )
        pods = self._selected(there[0])
        is_traefik = any(map(_runs_traefik, pods))
        return self._entrance(there[0], pods, TRAEFIK if is_traefik else self._class()[1] or "an ingress controller")

    def found(self) -> Entrance:
        """The one that what stands on the cluster tells."""
        of_class, controller = self._class()
        if controller and not controller.startswith(_OF_TRAEFIK):
            return self._by_address(of_class, controller)
        return self._traefik()

    def _class(self) -> tuple[str, str]:
        """The route's class, and the controller that serves it; both empty where that is not known.

        Raises:
            SignoffError: it is of a class that nobody serves.
        """
        route = self.route
        if route.kind == "IngressRoute":
            return "", _OF_TRAEFIK
        try:
            own = ingress_class(route.manifest) if route.kind == "Ingress" else self._gateway_class()
            kind = "IngressClass" if route.kind == "Ingress" else "GatewayClass"
            classes = self.kube.objects(_INGRESS if route.kind == "Ingress" else GATEWAY_API, kind)
        except ForbiddenError:
            return "", ""
        if not own:
            classes = [each for each in classes if _annotations(each).get(_DEFAULT_CLASS) == "true"]
            own = classes[0]["metadata"]["name"] if len(classes) == 1 else ""
        spec: Mapping[str, Any] = next((each["spec"] for each in classes if each["metadata"]["name"] == own), {})
        controller = str(spec.get("controller") or spec.get("controllerName") or "")
        if own and not controller and not _annotations(route.manifest.body).get(_CLASS_ANNOTATION):
            with causes.of(Subject.GATEWAY):
                raise SignoffError(
                    f"{route.name} is of the class {own}, which no controller of this cluster serves",
                    where=route.where,
                    hint=f"the cluster's are {listed([each['metadata']['name'] for each in classes]) or 'none'}",
                )
        return own, controller

    def _gateway_class(self) -> str:
        gateway = self._gateway()
        return str(gateway["spec"].get("gatewayClassName") or "") if gateway else ""

    def _gateway(self) -> dict[str, Any] | None:
        """The first Gateway that the route is attached to."""
        named = (
            (str(each.get("name")), str(each.get("namespace") or self.route.namespace)) for each in self.route.parents
        )
        return next((found for each in named if (found := self.kube.object(GATEWAY_API, "Gateway", *each))), None)

    # By the address that a controller writes down

    def _by_address(self, of_class: str, controller: str) -> Entrance:
        addresses = self._addresses()
        if not addresses:
            raise SignoffError(
                f"{controller}, which serves {self.route.name} as its class {of_class}, publishes no address in its "
                "status, so that nobody can tell its Service",
                where=self.route.where,
                hint=_NAME_IT,
            )
        services = [each for each in self._all("v1", "Service") if addresses & set(_own_addresses(each))]
        leading = [each for each in services if _port(each, HTTPS) or _port(each, HTTP)]
        if not leading:
            raise SignoffError(
                f"no Service has the address {listed(sorted(addresses))}, at which {controller} serves "
                f"{self.route.name}",
                where=self.route.where,
                hint=_NAME_IT,
            )
        leading.sort(key=lambda each: _port(each, HTTPS) is None)
        return self._entrance(leading[0], self._selected(leading[0]), controller)

    def _addresses(self) -> set[str]:
        """What the status of an Ingress, or of an HTTPRoute's Gateway, says."""
        try:
            if self.route.kind == "HTTPRoute":
                gateway = self._gateway() or {}
                return {str(each.get("value")) for each in (gateway.get("status") or {}).get("addresses") or ()}
            every = self.kube.objects(_INGRESS, "Ingress", self.route.namespace)
        except ForbiddenError:
            return set()
        name = self.route.manifest.body["metadata"]["name"]
        own: dict[str, Any] = next((each for each in every if each["metadata"]["name"] == name), {})
        return set(_balanced(own))

    # Traefik

    def _traefik(self) -> Entrance:
        pods = [each for each in self._pods() if _runs_traefik(each)]
        if not pods:
            raise SignoffError(
                f"nothing on this cluster is known for a Traefik, which is to serve {self.route.name}",
                where=self.route.where,
                hint=f"if its image is called otherwise, {_NAME_IT}",
            )
        several = [each for each in _each_with_its_pods(pods) if _reads(_arguments(each[0]), self.route)]
        several = several or list(_each_with_its_pods(pods))
        found = [self._of_pods(each) for each in several]
        published = self._addresses() if self.route.kind != "IngressRoute" else set()
        told = [each for each in found if published & {one.host for one in each.published}]
        if len(found) > 1 and len(told) != 1:
            raise SignoffError(
                f"{len(found)} Traefiks may serve {self.route.name}: {listed([each.name for each in found])}",
                where=self.route.where,
                hint=_NAME_IT,
            )
        return (told or found)[0]

    def _of_pods(self, pods: Sequence[Any]) -> Entrance:
        """The entrance of a Traefik with these pods: its Service, the one for those outside before another."""
        namespace, labels = pods[0].metadata.namespace, pods[0].metadata.labels or {}
        leading = [
            each
            for each in self._all("v1", "Service")
            if each["metadata"]["namespace"] == namespace
            and (selector := each["spec"].get("selector"))
            and selector.items() <= labels.items()
            and (_port(each, HTTPS) or _port(each, HTTP))
        ]

        def rank(service: dict[str, Any]) -> tuple[bool, int]:
            kind = str(service["spec"].get("type") or "ClusterIP")
            return _port(service, HTTPS) is None, _OUTSIDE_FIRST.index(kind) if kind in _OUTSIDE_FIRST else 9

        if leading:
            return self._entrance(min(leading, key=rank), pods, TRAEFIK)
        ports = {name: _of_the_node(pods[0], name) for name in (HTTPS, HTTP)}
        if (https := ports[HTTPS]) is None:
            raise self._no_https(f"{TRAEFIK} of {namespace}", "no Service, and no port of its node for https")
        published = [Published(each.status.host_ip, https, ports[HTTP]) for each in pods if each.status.host_ip]
        return Entrance(namespace, "", TRAEFIK, https, ports[HTTP], published, _arguments(pods[0]), labels)

    def _entrance(self, service: dict[str, Any], pods: Sequence[Any], controller: str) -> Entrance:
        metadata, https, http = service["metadata"], _port(service, HTTPS), _port(service, HTTP)
        if https is None:
            own = listed([str(each["port"]) for each in service["spec"].get("ports") or ()]) or "none"
            raise self._no_https(f"the Service {metadata['namespace']}/{metadata['name']}", f"the ports {own}")
        arguments = _arguments(pods[0]) if pods and controller == TRAEFIK else ()
        return Entrance(
            metadata["namespace"],
            metadata["name"],
            controller,
            int(https["port"]),
            int(http["port"]) if http else None,
            list(self._published(service, pods, https, http)),
            arguments,
            service["spec"].get("selector") or None,
            _secure(https, entry_points(arguments)),
        )

    def _no_https(self, what: str, has: str) -> SignoffError:
        error = SignoffError(
            f"https is not led in: {what}, by which {self.route.name} is served, has {has}",
            where=self.route.where,
            hint="open port 443 of your ingress controller's Service",
        )
        error.subject = Subject.GATEWAY  # type: ignore[attr-defined]
        return error

    def _published(
        self, service: dict[str, Any], pods: Sequence[Any], https: Mapping[str, Any], http: Mapping[str, Any] | None
    ) -> Iterator[Published]:
        for each in (*_balanced(service), *(service["spec"].get("externalIPs") or ())):
            yield Published(each, int(https["port"]), int(http["port"]) if http else None)
        if https.get("nodePort"):
            for each in dict.fromkeys(pod.status.host_ip for pod in pods if pod.status.host_ip):
                yield Published(each, int(https["nodePort"]), int(http["nodePort"]) if http else None)

    # The API

    def _all(self, version: str, kind: str) -> list[dict[str, Any]]:
        try:
            return self.kube.objects(version, kind, self.within)
        except ForbiddenError:
            raise self._may_not(f"{kind}s") from None

    def _pods(self) -> list[Any]:
        core = self.kube.core
        try:
            if self.within:
                return list(core.list_namespaced_pod(self.within).items)
            return list(core.list_pod_for_all_namespaces().items)
        except ApiException as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            raise self._may_not("pods") from None

    def _may_not(self, what: str) -> SignoffError:
        where = f"the namespace {self.within}" if self.within else "all namespaces"
        return SignoffError(
            f"{what} of {where} may not be listed, so that nobody can tell which Service leads to {self.route.name}",
            where=self.route.where,
            hint=f"bind signoff-look-only in the ingress controller's namespace, and {_NAME_IT}",
        )

    def _selected(self, service: dict[str, Any]) -> list[Any]:
        """The Ready pods of a Service, as far as they may be listed."""
        selector = service["spec"].get("selector")
        try:
            found = self.kube.pods(service["metadata"]["namespace"], selector) if selector else []
        except ApiException as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return []
        return [each for each in found if is_ready(each)]


def _annotations(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body["metadata"].get("annotations") or {}


def _own_addresses(service: dict[str, Any]) -> Iterator[str]:
    spec = service["spec"]
    yield from (*_balanced(service), *(spec.get("externalIPs") or ()), *(spec.get("clusterIPs") or ()))


def _balanced(body: Mapping[str, Any]) -> Iterator[str]:
    """The addresses that a load balancer has given an object."""
    for each in ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        yield from (str(each[name]) for name in ("ip", "hostname") if each.get(name))


def _port(service: Mapping[str, Any], number: int) -> Mapping[str, Any] | None:
    """The port of a Service that has this number, else one that is called so."""
    ports = [each for each in service["spec"].get("ports") or () if each.get("protocol", "TCP") == "TCP"]
    by_number = (each for each in ports if each["port"] == number)
    by_name = (each for each in ports if each.get("name") in _NAMES[number])
    return next(by_number, None) or next(by_name, None)


def _of_the_node(pod: Any, number: int) -> int | None:
    """The port of its node at which a pod takes what is for this one."""
    for container in pod.spec.containers:
        for each in container.ports or ():
            own = each.host_port or (each.container_port if pod.spec.host_network else None)
            if own and (own == number or each.name in _NAMES[number]) and (each.protocol or "TCP") == "TCP":
                return int(own)
    return None


def _runs_traefik(pod: Any) -> bool:
    return _traefiks(pod) is not None


def _traefiks(pod: Any) -> Any:
    """The container that runs Traefik's image."""
    return next((each for each in pod.spec.containers if _TRAEFIKS_IMAGE.search(_repository(each.image or ""))), None)


def _repository(image: str) -> str:
    """An image without its tag and digest."""
    name = image.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def _arguments(pod: Any) -> Sequence[str]:
    container = _traefiks(pod)
    return (*(container.command or ()), *(container.args or ())) if container else ()


def _each_with_its_pods(pods: Iterable[Any]) -> Iterator[list[Any]]:
    """The pods of each Traefik: those with one owner's labels, but for what tells their versions apart."""
    several: dict[tuple[Any, ...], list[Any]] = {}
    for each in pods:
        labels = {name: value for name, value in (each.metadata.labels or {}).items() if not name.endswith("-hash")}
        several.setdefault((each.metadata.namespace, tuple(sorted(labels.items()))), []).append(each)
    for found in several.values():
        yield sorted(found, key=lambda each: not is_ready(each))


def _reads(arguments: Sequence[str], route: Route) -> bool:
    """Whether a Traefik with these arguments takes notice of a route; so if they do not tell.

    Source: https://doc.traefik.io/traefik/reference/install-configuration/configuration-options/
    """
    own, told = f"--providers.{_PROVIDERS[route.kind]}", values(arguments)
    if any(name.startswith("--providers.") for name in told) and not any(name.startswith(own) for name in told):
        return False
    namespaces, wanted = told.get(f"{own}.namespaces"), told.get(f"{own}.ingressclass")
    is_within = not namespaces or route.namespace in namespaces.split(",")
    has = _annotations(route.manifest.body).get(_CLASS_ANNOTATION)
    return is_within and (route.kind != "IngressRoute" or not wanted or wanted == has)


def _secure(port: Mapping[str, Any], known: Collection[str]) -> str:
    """What Traefik calls the entry point that a port of its Service leads to: mostly as the port, or where it leads."""
    called = (str(port.get(name) or "") for name in ("name", "targetPort"))
    return next((each for each in called if each.lower() in known), SECURE)


def entry_points(arguments: Sequence[str]) -> list[str]:
    """The entry points that a Traefik's arguments name, in small letters."""
    parts = (name.split(".") for name in values(arguments) if name.startswith("--entrypoints."))
    return list(dict.fromkeys(each[1] for each in parts))


def values(arguments: Sequence[str]) -> dict[str, str]:
    """What each of a program's arguments `--name=value` says, by its name in small letters."""
    pairs = (each.partition("=") for each in arguments if each.startswith("--"))
    return {name.lower(): value for name, _, value in pairs}
