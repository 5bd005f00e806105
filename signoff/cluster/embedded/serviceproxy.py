"""Services by forwarding: `python -m signoff.cluster.embedded.serviceproxy --config DIR/agent.json`.

Follows Services and EndpointSlices, listens on the loopback twin of each ClusterIP, and splices every connection to the
loopback twin of one endpoint. Written with raw protocols: a hop costs two reads and two writes, no copy.

As kube-proxy, it takes an endpoint at random for each connection and tries no other: a pod that is Ready and does not
accept is an error that the client sees (a reset here, a refusal there). Left out: session affinity, node ports, UDP.
"""

import argparse
import asyncio
import ctypes
import json
import logging
import random
import socket
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from signoff.cluster.embedded.address_range import to_loopback
from signoff.cluster.embedded.claims import Claims
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi

LOG = logging.getLogger("serviceproxy")

_LISTEN_AGAIN_SECONDS = 1.0
_DIAL_SECONDS = 2.0
"""An endpoint on loopback accepts at once or not at all."""
_HIGH_WATER = 256 * 1024
_TCP_LISTEN = "0A"


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
    found = Endpoints()
    for each in slices:
        numbers = [port["port"] for port in each.get("ports") or [] if (port.get("name") or "") == port_name]
        for endpoint in each.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            addresses = [to_loopback(ip) if ip.startswith(f"{pod_range}.") else ip for ip in endpoint["addresses"]]
            places = [Endpoint(address, number) for address in addresses for number in numbers]
            if conditions.get("ready") is not False:
                found.ready += places
            elif conditions.get("serving") and conditions.get("terminating"):
                found.terminating += places
    return found


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


class _Half(asyncio.Protocol):
    """One side of a spliced connection: what it receives goes to `peer`; it is paused while `peer` is full."""

    def __init__(self, peer: "_Half | None" = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer = peer
        self._finished_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(_HIGH_WATER)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end on and stay open for the other direction, until that has ended as well."""
        self._finished_reading = True
        peer = self.peer
        if peer is None or peer.transport is None:
            return True
        if peer.transport.can_write_eof():
            with suppress(OSError):
                peer.transport.write_eof()
        if peer._finished_reading:
            self._close_when_written()
            peer._close_when_written()
        return True

    def _close_when_written(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        peer, self.peer = self.peer, None
        if peer is None or peer.transport is None:
            return
        if exc is not None:
            reset(peer.transport)
        else:
            peer.transport.close()

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()


class _Client(_Half):
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
                async with asyncio.timeout(_DIAL_SECONDS):
                    _, backend = await asyncio.get_running_loop().create_connection(
                        lambda: _Half(self), endpoint.host, endpoint.port
                    )
                self._splice(backend)
                return
        if self.transport is not None:
            reset(self.transport)

    def _splice(self, backend: _Half) -> None:
        if self.transport is None:  # the client went away meanwhile
            backend.peer = None
            backend._close_when_written()
            return
        self.peer = backend
        if backend.transport is None:  # the endpoint accepted and went away
            reset(self.transport)
        else:
            self.transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """End the connection by RST, so that the other side sees an error and no orderly end."""
    with suppress(OSError):
        linger = ctypes.c_int * 2
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(linger(1, 0)))
    transport.abort()


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

    def __init__(self, api: KubeApi, pod_range: str) -> None:
        self._api, self._pod_range = api, pod_range
        self._services: dict[tuple[str, str], Json] = {}
        self._slices: dict[tuple[str, str], Json] = {}
        self._forwarders: dict[ServicePort, Forwarder] = {}
        self._told: set[ServicePort] = set()
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the API for ever."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow("/api/v1/services", self._services))
            both.create_task(self._follow("/apis/discovery.k8s.io/v1/endpointslices", self._slices))

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
        by_service: dict[tuple[str, str], list[Json]] = {}
        for each in self._slices.values():
            meta = each["metadata"]
            service = (meta.get("labels") or {}).get("kubernetes.io/service-name", "")
            by_service.setdefault((meta["namespace"], service), []).append(each)
        wanted = {
            port: endpoints_of(by_service.get(key, []), port.name, self._pod_range).usable
            for key, service in list(self._services.items())
            for port in service_ports(service, by_service.get(key, []), self._pod_range)
        }
        for gone in [port for port in self._forwarders if port not in wanted]:
            await self._forwarders.pop(gone).close()
            self._told.discard(gone)
        for port, endpoints in wanted.items():
            if port not in self._forwarders:
                self._forwarders[port] = Forwarder(port.host, port.port, self._teller(port))
            await self._forwarders[port].serve(endpoints)

    def _teller(self, port: ServicePort) -> Callable[[OSError], None]:
        """What to do when the port is taken: say so once, as an event on the Service."""

        def tell(error: OSError) -> None:
            if port in self._told:
                return
            self._told.add(port)
            text = (
                f"cannot listen on {port.host}:{port.port}: {error.strerror}; {holder_of(port.host, port.port)} has it"
            )
            LOG.warning("%s/%s: %s", port.namespace, port.service, text)
            task = asyncio.get_running_loop().create_task(self._write_event(port, text))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

        return tell

    async def _write_event(self, port: ServicePort, text: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        service = self._services.get((port.namespace, port.service), {}).get("metadata", {})
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
        pod_ranges = {node["pod_prefix"].rpartition(".")[0] for node in config["nodes"]}
        await api.until_ready()
        async with asyncio.TaskGroup() as both:
            both.create_task(ServiceProxy(api, pod_ranges.pop() if pod_ranges else "").run())
            both.create_task(Claims(api, Path(config["dir"])).run())


def main() -> None:
    """Run the service proxy until it is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(description="Serve the ClusterIPs of an embedded cluster on loopback.")
    parser.add_argument("--config", type=Path, required=True)
    asyncio.run(serve(json.loads(parser.parse_args().config.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
