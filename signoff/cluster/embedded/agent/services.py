"""The Services of the cluster and where each is served."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from signoff.cluster.embedded.address_range import served_port, to_loopback
from signoff.cluster.embedded.kubeapi import Json, KubeApi
from signoff.cluster.embedded.network import headless_address


class Services:
    """Follows all Services; `addresses` maps "service.namespace" to its address on loopback.

    A headless Service has one too, behind which its ready pods take turns; an ExternalName is its own address.
    """

    def __init__(self, api: KubeApi, pod_range: str) -> None:
        self._api, self._pod_range = api, pod_range
        self._addresses: dict[str, str] = {}
        self._links: dict[str, dict[str, str]] = {}
        self._changed = asyncio.Event()

    @property
    def addresses(self) -> Mapping[str, str]:
        """Every Service with what stands for its name."""
        return self._addresses

    def links(self, namespace: str) -> dict[str, str]:
        """The variables that `enableServiceLinks` puts into the pods of a namespace.

        Those of the API server (KUBERNETES_SERVICE_HOST and so on) are `access.api_variables`.
        """
        prefix = f".{namespace}"
        found = [links for name, links in sorted(self._links.items()) if name.endswith(prefix)]
        return {name: value for links in found for name, value in links.items()}

    async def run(self) -> None:
        """Follow the API for ever."""
        async for event, obj in self._api.watch("/api/v1/services"):
            if event == "SYNC":
                self._addresses.clear()
                self._links.clear()
            for service in obj["items"] if event == "SYNC" else [obj]:
                self._note(service, gone=event == "DELETED")
            self._changed.set()
            self._changed = asyncio.Event()

    def _note(self, service: Json, *, gone: bool) -> None:
        name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
        self._links.pop(name, None)
        self._addresses.pop(name, None)
        address = self._address_of(service)
        if gone or not address:
            return
        self._addresses[name] = address
        if service["spec"].get("clusterIP") != "None" and name != "kubernetes.default":
            self._links[name] = dict(links_of(service, address))

    def _address_of(self, service: Json) -> str:
        spec, meta = service["spec"], service["metadata"]
        if spec.get("type") == "ExternalName":
            return str(spec["externalName"])
        if spec.get("clusterIP") == "None":
            return headless_address(self._pod_range, meta["namespace"], meta["name"])
        return to_loopback(spec["clusterIP"]) if spec.get("clusterIP") else ""

    async def missing(self, names: Iterable[str], seconds: float) -> set[str]:
        """Wait until all of these exist, but no longer than this; gives those that still do not."""
        wanted = set(names)
        try:
            async with asyncio.timeout(seconds):
                while wanted - self._addresses.keys():
                    await self._changed.wait()
        except TimeoutError:
            pass
        return wanted - self._addresses.keys()


def links_of(service: Json, address: str) -> Iterator[tuple[str, str]]:
    """The variables of one Service, as `k8s.io/kubernetes/pkg/kubelet/envvars` makes them."""
    prefix, ports = _as_variable(service["metadata"]["name"]), service["spec"].get("ports") or []
    for number, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        served = served_port(port["port"])
        url = f"{protocol.lower()}://{address}:{served}"
        if number == 0:
            yield f"{prefix}_SERVICE_HOST", address
            yield f"{prefix}_SERVICE_PORT", str(served)
            yield f"{prefix}_PORT", url
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{_as_variable(port['name'])}", str(served)
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        yield link, url
        yield f"{link}_PROTO", protocol.lower()
        yield f"{link}_PORT", str(served)
        yield f"{link}_ADDR", address


def _as_variable(name: str) -> str:
    return name.upper().replace("-", "_")
