"""Services by forwarding: `python -m signoff.cluster.embedded.serviceproxy --config DIR/agent.json`.

Follows Services and EndpointSlices, listens on the loopback twin of each ClusterIP, and splices every connection to the
loopback twin of one endpoint. Programs that dial the addresses themselves do so by the relay (`socks`), which knows
the same.

As kube-proxy, it takes an endpoint at random for each connection and tries no other: a pod that is Ready and does not
accept is an error that the client sees (a reset here, a refusal there). Left out: session affinity, node ports, UDP.
"""

import argparse
import asyncio
import json
import logging
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from signoff.cluster.embedded import socks
from signoff.cluster.embedded.address_range import served_port
from signoff.cluster.embedded.claims import Claims
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi
from signoff.cluster.embedded.network import Endpoint, Network, ServicePort
from signoff.cluster.embedded.splicing import DIAL_SECONDS, Caller, reset

LOG = logging.getLogger("serviceproxy")

_LISTEN_AGAIN_SECONDS = 1.0
_TCP_LISTEN = "0A"


class Forwarder:
    """Serves one Service port: a connection goes to any endpoint, and keeps it.

    While there is no endpoint the listener is closed, so that connecting is refused, as by kube-proxy.
    """

    def __init__(self, host: str, port: int, cannot_listen: Callable[[OSError], None]) -> None:
        self.host, self.port = host, port
        self._cannot_listen = cannot_listen
        self._endpoints: list[Endpoint] = []
        self._server: asyncio.Server | None = None
        self._again: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()

    async def serve(self, endpoints: list[Endpoint]) -> None:
        """From now on send new connections to these; established ones stay where they are."""
        async with self._changing:
            self._endpoints = endpoints
            if endpoints and self._server is None:
                await self._listen()
            elif not endpoints:
                self._stop()

    async def close(self) -> None:
        """Accept no more connections."""
        await self.serve([])

    def endpoint(self) -> Endpoint | None:
        """Any endpoint that a new connection may go to, or None."""
        return random.choice(self._endpoints) if self._endpoints else None

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Client(self), self.host, self.port, backlog=1024
            )
        except OSError as error:
            self._cannot_listen(error)
            self._again = asyncio.get_running_loop().call_later(_LISTEN_AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self._retry = asyncio.get_running_loop().create_task(self._listen_if_needed())

    async def _listen_if_needed(self) -> None:
        async with self._changing:
            if self._endpoints and self._server is None and self._again is None:
                await self._listen()

    def _stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._server is not None:
            self._server.close()
            self._server = None


class _Client(Caller):
    """The side that connected to the Service."""

    def __init__(self, forwarder: Forwarder) -> None:
        super().__init__()
        self._forwarder = forwarder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        """Connect to an endpoint; if it does not accept, the client's connection is reset."""
        endpoint = self._forwarder.endpoint()
        with suppress(OSError, TimeoutError):
            if endpoint is not None:
                self.splice(await self.dial(endpoint, DIAL_SECONDS))
                return
        if self.transport is not None:
            reset(self.transport)


def holder_of(host: str, port: int) -> str:
    """Who listens on the port at `host` or at all addresses: "pid 12 (nginx)", as far as this user may see it."""
    number = int.from_bytes(socket.inet_aton(host), "little")
    wanted = {f"{number:08X}:{port:04X}", f"00000000:{port:04X}", f"{'0' * 32}:{port:04X}"}
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
                words = line.split()
                if words[1] in wanted and words[3] == _TCP_LISTEN:
                    inodes.add(f"socket:[{words[9]}]")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"pid {process.name} ({(process / 'comm').read_text(encoding='utf-8').strip()})"
    return "a process that this user cannot see"


class ServiceProxy:
    """Keeps one `Forwarder` per Service port in step with the API."""

    def __init__(self, api: KubeApi, network: Network) -> None:
        self._api, self._network = api, network
        self._forwarders: dict[ServicePort, Forwarder] = {}
        self._told: set[ServicePort] = set()
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the API for ever."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow("/api/v1/services", self._network.services))
            both.create_task(self._follow("/apis/discovery.k8s.io/v1/endpointslices", self._network.slices))

    async def _follow(self, path: str, known: dict[tuple[str, str], Json]) -> None:
        async for event, obj in self._api.watch(path):
            if event == "SYNC":
                known.clear()
                known.update({_key(each): each for each in obj["items"]})
            elif event == "DELETED":
                known.pop(_key(obj), None)
            else:
                known[_key(obj)] = obj
            await self._apply()

    async def _apply(self) -> None:
        """Serve exactly what the Services and EndpointSlices of now say."""
        wanted = self._network.served()
        for gone in [port for port in self._forwarders if port not in wanted]:
            await self._forwarders.pop(gone).close()
            self._told.discard(gone)
        for port, endpoints in wanted.items():
            if port not in self._forwarders:
                self._forwarders[port] = Forwarder(port.host, served_port(port.port), self._teller(port))
            await self._forwarders[port].serve(endpoints)

    def _teller(self, port: ServicePort) -> Callable[[OSError], None]:
        """What to do when the port is taken: say so once, as an event on the Service."""

        def tell(error: OSError) -> None:
            if port in self._told:
                return
            self._told.add(port)
            number = served_port(port.port)
            text = f"cannot listen on {port.host}:{number}: {error.strerror}; {holder_of(port.host, number)} has it"
            LOG.warning("%s/%s: %s", port.namespace, port.service, text)
            task = asyncio.get_running_loop().create_task(self._write_event(port, text))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

        return tell

    async def _write_event(self, port: ServicePort, text: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        service = self._network.services.get((port.namespace, port.service), {}).get("metadata", {})
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{port.service}.", "namespace": port.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Service",
                "namespace": port.namespace,
                "name": port.service,
                "uid": service.get("uid", ""),
            },
            "type": "Warning",
            "reason": "PortTaken",
            "message": text,
            "source": {"component": "serviceproxy"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with suppress(ApiError, aiohttp.ClientError, TimeoutError):
            await self._api.request("POST", f"/api/v1/namespaces/{port.namespace}/events", json=event)


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


async def serve(config: Mapping[str, Any]) -> None:
    """Serve the cluster that the configuration names (agent.json, the supervisor's), and give claims their folders."""
    async with KubeApi(config["server"], config["ca"], config["cert"], config["key"]) as api:
        network = Network(config["pod_range"], config["service_range"])
        await api.until_ready()
        relay = await socks.listen(network, *config["relay"])
        async with relay, asyncio.TaskGroup() as forever:
            forever.create_task(ServiceProxy(api, network).run())
            forever.create_task(Claims(api, Path(config["dir"])).run())


def main() -> None:
    """Run the service proxy until it is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(description="Serve the ClusterIPs of an embedded cluster on loopback.")
    parser.add_argument("--config", type=Path, required=True)
    asyncio.run(serve(json.loads(parser.parse_args().config.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
