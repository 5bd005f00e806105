"""The network that the API describes: Services, their ports, and the endpoints on loopback that stand behind them."""

import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from signoff.cluster.embedded.address_range import to_loopback
from signoff.cluster.embedded.kubeapi import Json

HOST_NAMES = "external-dns.alpha.kubernetes.io/hostname"
"""The annotation that gives a Service of type LoadBalancer its names in the house's DNS, with commas between them.

Source: https://kubernetes-sigs.github.io/external-dns/latest/docs/annotations/annotations/
"""
_SERVICE_NAME = re.compile(r"(?P<service>[-a-z0-9]+)\.(?P<namespace>[-a-z0-9]+)\.svc(?:\.cluster\.local)?")


class UnknownHost(Exception):
    """A name of the cluster's domain that no Service has."""


class Outside(Exception):
    """A place that is none of the cluster's."""


@dataclass(frozen=True)
class Endpoint:
    """Where a connection may go: the loopback twin of a pod's address, and the target port."""

    host: str
    port: int


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service, as it is served on loopback."""

    namespace: str
    service: str
    name: str
    host: str
    port: int


@dataclass
class Endpoints:
    """What the EndpointSlices say of one Service port: the endpoints to ask, and those for want of others."""

    ready: list[Endpoint] = field(default_factory=list)
    terminating: list[Endpoint] = field(default_factory=list)

    @property
    def usable(self) -> list[Endpoint]:
        """The ready ones; while there is none, the terminating ones that still serve (as kube-proxy does)."""
        return self.ready or self.terminating


def headless_address(pod_range: str, namespace: str, name: str) -> str:
    """Where a headless Service is served on loopback, for containers in whose texts its name has been replaced.

    DNS would give them the pods' own addresses, again at each look; this stands for whichever pod is ready then. It is
    in the range of the pods ("10.100"), in which no node's numbers reach 128.
    """
    number = zlib.crc32(f"{namespace}/{name}".encode())
    return to_loopback(f"{pod_range}.{128 + number % 127}.{1 + number // 127 % 254}")


def service_ports(service: Json, slices: list[Json], pod_range: str) -> list[ServicePort]:
    """The TCP ports of a Service: at its ClusterIP; of its pods if it is headless; none if it is external."""
    spec, meta = service["spec"], service["metadata"]
    address = spec.get("clusterIP")
    if not address or ":" in address:
        return []
    if address == "None":
        host = headless_address(pod_range, meta["namespace"], meta["name"])
        numbers = {(port.get("name") or "", port["port"]) for each in slices for port in each.get("ports") or []}
        return [ServicePort(meta["namespace"], meta["name"], name, host, number) for name, number in sorted(numbers)]
    return [
        ServicePort(meta["namespace"], meta["name"], port.get("name") or "", to_loopback(address), port["port"])
        for port in spec.get("ports", [])
        if port.get("protocol", "TCP") == "TCP"
    ]


def endpoints_of(slices: list[Json], port_name: str, pod_range: str) -> Endpoints:
    """The endpoints of a Service's port of that name. Those that are no pods are reached at their real addresses."""

    def numbers(each: Json) -> list[int]:
        return [port["port"] for port in each.get("ports") or [] if (port.get("name") or "") == port_name]

    return _endpoints_at(slices, numbers, pod_range)


def _endpoints_at(slices: list[Json], numbers: Callable[[Json], list[int]], pod_range: str) -> Endpoints:
    """The endpoints of all slices, each at the ports of its slice that `numbers` gives."""
    found = Endpoints()
    for each in slices:
        for endpoint in each.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            addresses = [to_loopback(ip) if ip.startswith(f"{pod_range}.") else ip for ip in endpoint["addresses"]]
            places = [Endpoint(address, number) for address in addresses for number in numbers(each)]
            if conditions.get("ready") is not False:
                found.ready += places
            elif conditions.get("serving") and conditions.get("terminating"):
                found.terminating += places
    return found


class Network:
    """What the API says now of Services and EndpointSlices, and where connections lead by it.

    `pod_range` and `service_range` are the first two numbers of the addresses of pods and of Services.
    """

    def __init__(self, pod_range: str, service_range: str) -> None:
        self._pod_range, self._service_range = pod_range, service_range
        self.services: dict[tuple[str, str], Json] = {}
        self.slices: dict[tuple[str, str], Json] = {}
        """Both by namespace and name."""

    def served(self) -> dict[ServicePort, list[Endpoint]]:
        """Every port that is served on loopback, with the endpoints that new connections go to."""
        by_service: dict[tuple[str, str], list[Json]] = {}
        for each in self.slices.values():
            by_service.setdefault(_service_of(each), []).append(each)
        return {
            port: endpoints_of(by_service.get(key, []), port.name, self._pod_range).usable
            for key, service in self.services.items()
            for port in service_ports(service, by_service.get(key, []), self._pod_range)
        }

    def way_to(self, host: str, port: int) -> Endpoint | None:
        """Where a connection goes that a pod makes to this host; None if it is refused.

        Pods are reached on loopback, and Services at any endpoint of theirs, by their addresses, their names in the
        cluster, and those that the annotation `HOST_NAMES` gives them.

        Raises:
            UnknownHost: there is no such Service.
            Outside: it is anything else, or a Service that is only a name for something else.
        """
        name = host.lower().removesuffix(".")
        if _is_address(name):
            return self._way_to_address(name, port)
        if found := _SERVICE_NAME.fullmatch(name):
            service = self.services.get((found["namespace"], found["service"]))
            if service is None:
                raise UnknownHost(name)
            return self._way_to_service(service, port)
        named = next((each for each in self.services.values() if name in _host_names(each)), None)
        if named is None:
            raise Outside(name)
        return self._way_to_service(named, port)

    def _way_to_address(self, ip: str, port: int) -> Endpoint | None:
        if ip.startswith(f"{self._service_range}."):
            service = next((each for each in self.services.values() if each["spec"].get("clusterIP") == ip), None)
            return self._way_to_service(service, port) if service else None
        own = (self._pod_range, to_loopback(self._pod_range), to_loopback(self._service_range))
        if not ip.startswith(tuple(f"{each}." for each in own)):
            raise Outside(ip)
        return Endpoint(to_loopback(ip), port)

    def _way_to_service(self, service: Json, port: int) -> Endpoint | None:
        """Any endpoint of the Service's port; of a headless one's pods, which have all their ports open, that port."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            raise Outside(spec["externalName"])
        slices = [each for each in self.slices.values() if _service_of(each) == _key(service)]
        if spec.get("clusterIP") == "None":
            endpoints = _endpoints_at(slices, lambda _: [port], self._pod_range)
        else:
            found = (each for each in service_ports(service, slices, self._pod_range) if each.port == port)
            served = next(found, None)
            endpoints = endpoints_of(slices, served.name, self._pod_range) if served else Endpoints()
        return random.choice(endpoints.usable) if endpoints.usable else None


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _service_of(endpoint_slice: Json) -> tuple[str, str]:
    """Namespace and name of the Service whose slice it is."""
    meta = endpoint_slice["metadata"]
    return meta["namespace"], (meta.get("labels") or {}).get("kubernetes.io/service-name", "")


def _host_names(service: Json) -> Iterator[str]:
    """The names that the house's DNS has for the Service."""
    if service["spec"].get("type") == "LoadBalancer":
        names = (service["metadata"].get("annotations") or {}).get(HOST_NAMES, "")
        yield from (name.strip().lower().removesuffix(".") for name in names.split(",") if name.strip())


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
