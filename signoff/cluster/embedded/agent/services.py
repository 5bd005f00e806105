"""The Services of the cluster and where each is served."""

import asyncio
from collections.abc import Iterable, Mapping

from signoff.cluster.embedded.kubeapi import Json, KubeApi
from signoff.cluster.embedded.slot import to_loopback


class Services:
    """Follows all Services; `addresses` maps "service.namespace" to its address on loopback."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._addresses: dict[str, str] = {}
        self._changed = asyncio.Event()

    @property
    def addresses(self) -> Mapping[str, str]:
        """Every Service that has a ClusterIP."""
        return self._addresses

    async def run(self) -> None:
        """Follow the API for ever."""
        async for event, obj in self._api.watch("/api/v1/services"):
            if event == "SYNC":
                self._addresses.clear()
            for service in obj["items"] if event == "SYNC" else [obj]:
                self._note(service, gone=event == "DELETED")
            self._changed.set()
            self._changed = asyncio.Event()

    def _note(self, service: Json, *, gone: bool) -> None:
        name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
        address = service["spec"].get("clusterIP")
        if gone or not address or address == "None":
            self._addresses.pop(name, None)
        else:
            self._addresses[name] = to_loopback(address)

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
