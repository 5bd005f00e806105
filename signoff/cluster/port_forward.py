"""A Service's port on this machine's loopback, through the API server, for clusters whose network is another one.

Each connection goes to a pod that is Ready at that moment, so no repair is due when pods come and go, or the API server
does: the next connection finds what is there then. Without a Ready pod a connection is reset, as a Service without
endpoints refuses. What broke a connection is kept, so that nobody else is blamed for it.
"""

import asyncio
import contextlib
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent import futures
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.cluster.base import TunnelBreak
from signoff.cluster.tunnel import Cut, Dialler, EndedByPod, Tunnel
from signoff.core.errors import SignoffError
from signoff.core.timeouts import END_SHOWS, TUNNEL_OPENS
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import reason_of

LOG = logging.getLogger(__name__)
T = TypeVar("T")

_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on with no time: closing sends RST (socket(7))."""
_LOOKS_AT_ONCE = 32
_UNASKED = (ApiException, HTTPError, OSError, TimeoutError)
"""The API server could not be asked."""
Identity = tuple[str, frozenset[tuple[str, int]]]
"""A pod's uid, and how often each container was restarted: another one once the pod or a container of it has ended."""


class Forwards:
    """The forwards of one cluster, each opened when its Service is first asked for."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._open: dict[tuple[str, str, int], ServiceForward] = {}

    def service_url(self, namespace: str, service: str, port: int) -> str:
        """Where a Service's port is reached.

        Raises:
            SignoffError: there is no such Service.
        """
        self._service(namespace, service)
        return self.url(namespace, service, port)

    def address_in_pods(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        """The Service's ClusterIP and this port.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        address = self._service(namespace, service).spec.cluster_ip
        if not address or address == "None":
            raise SignoffError(f"the Service {namespace}/{service} has no ClusterIP")
        return str(address), port

    def _service(self, namespace: str, name: str) -> Any:
        with config.new_client_from_config(str(self._kubeconfig)) as api:
            try:
                return client.CoreV1Api(api).read_namespaced_service(name, namespace)
            except ApiException as error:
                raise SignoffError(f"no Service {namespace}/{name}: {reason_of(error)}") from error

    def url(self, namespace: str, service: str, port: int) -> str:
        """Where the Service's port is reached."""
        key = (namespace, service, port)
        if key not in self._open:
            self._open[key] = ServiceForward(self._kubeconfig, *key)
        return self._open[key].url

    def breaks(self, since: float) -> list[TunnelBreak]:
        """What has broken a connection since this moment of `time.monotonic()`, in the order in which it did."""
        found = [each for forward in self._open.values() for each in forward.breaks(since)]
        return sorted(found, key=lambda each: each.moment)

    def close(self) -> None:
        """Close all."""
        for each in self._open.values():
            each.close()
        self._open.clear()


class ServiceForward:
    """Listens at `url` until `close`; costs some milliseconds a connection and a fraction of one a request.

    One thread serves all connections, and none of them waits for another: one that hangs while it is opened is given
    up after a while.
    """

    def __init__(self, kubeconfig: Path, namespace: str, service: str, port: int) -> None:
        self._name = f"{namespace}/{service}"
        self._pods = _Pods(kubeconfig, namespace, service, port)
        self._namespace = namespace
        self._dialler = Dialler(self._pods.configuration)
        self._threads = futures.ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix=f"pods of {service}")
        self._breaks: list[tuple[float, futures.Future[TunnelBreak]]] = []
        self._serving: set[asyncio.Task[None]] = set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._loop, self._closing = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name=f"forward to {service}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end what is open."""
        with contextlib.suppress(RuntimeError):  # it was closed before
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def breaks(self, since: float) -> list[TunnelBreak]:
        """What has broken a connection since this moment of `time.monotonic()`, whoever did it.

        Whose doing it was takes a moment to find out, which is waited for.
        """
        return [found.result() for moment, found in list(self._breaks) if moment >= since]

    def _run(self, listener: socket.socket) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen(listener))
        self._threads.shutdown(wait=False)
        self._pods.close()

    async def _listen(self, listener: socket.socket) -> None:
        """Accept connections until `close`; where descriptors run out, asyncio accepts again after a second."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                serving = asyncio.ensure_future(self._serve(session, reader, writer))
                self._serving.add(serving)
                serving.add_done_callback(self._serving.discard)

            server = await asyncio.start_server(accepted, sock=listener)
            await self._closing.wait()
            server.close()
            for each in self._serving:
                each.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(
        self, session: aiohttp.ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        orderly = False
        try:
            orderly = await self._serve_by_a_pod(session, reader, writer)
        except OSError as error:  # the caller is gone
            LOG.debug("a caller of %s ended: %s", self._name, error)
        except Exception as error:
            LOG.exception("a connection to %s failed", self._name)
            self._note("", None, Cut(f"the forward itself failed: {type(error).__name__}: {error}"))
        finally:
            _end(writer, orderly=orderly)

    async def _serve_by_a_pod(
        self, session: aiohttp.ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve the connection by a tunnel to a Ready pod until either side ends it; whether it ended in order."""
        opened = await self._open(session)
        if opened is None:
            return False
        tunnel, pod = opened
        before = asyncio.ensure_future(self._in_thread(self._pods.identity_or_none, pod))
        try:
            await _splice(reader, writer, tunnel)
        except (Cut, EndedByPod) as error:
            self._note(pod, before.result() if before.done() else None, error)
            return False
        finally:
            before.cancel()
            await tunnel.close()
        return True

    async def _open(self, session: aiohttp.ClientSession) -> tuple[Tunnel, str] | None:
        """A tunnel to a Ready pod, and its name; None if there is none. Each Ready pod is tried once."""
        pod = ""
        broken: Cut | EndedByPod | None = None
        try:
            async with asyncio.timeout(TUNNEL_OPENS.seconds):
                found, headers = await self._in_thread(self._pods.ready)
        except _UNASKED as error:
            found, headers = [], {}
            broken = Cut(f"the API server could not be asked for the Service's pods: {_plain(error)}")
        for pod, port in found:
            try:
                async with asyncio.timeout(TUNNEL_OPENS.seconds):
                    return await self._dialler.dial(session, headers, self._namespace, pod, port), pod
            except TimeoutError:
                broken = Cut(f"it was not open after {TUNNEL_OPENS.seconds:g} s")
            except (Cut, EndedByPod) as error:
                broken = error
        if broken is not None:
            self._note(pod, None, broken)
        return None

    def _note(self, pod: str, before: Identity | None, broken: Cut | EndedByPod) -> None:
        """Keep what broke a connection, before its caller feels it."""
        moment, at = time.monotonic(), datetime.now(UTC)

        def found() -> TunnelBreak:
            by_tunnel = isinstance(broken, Cut) and self._pods.stays(pod, before)
            return TunnelBreak(moment, at, self._name, pod, str(broken), by_tunnel=by_tunnel)

        self._breaks.append((moment, self._threads.submit(found)))

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._threads, function, *arguments)


class _Pods:
    """What the API says of a Service's pods; asked by several threads."""

    def __init__(self, kubeconfig: Path, namespace: str, service: str, port: int) -> None:
        self._namespace, self._service, self._port = namespace, service, port
        configuration = client.Configuration()
        configuration.retries = 1  # of several, each of which may hang, none would end in time
        self._api = config.new_client_from_config(str(kubeconfig), client_configuration=configuration)
        self._core, self._discovery = client.CoreV1Api(self._api), client.DiscoveryV1Api(self._api)

    @property
    def configuration(self) -> Any:
        """How the API server is reached."""
        return self._api.configuration

    def close(self) -> None:
        """Free the client."""
        self._api.close()

    def ready(self) -> tuple[list[tuple[str, int]], dict[str, str]]:
        """Names of the Ready pods, in random order, with the port that each listens on; what authorises a tunnel.

        Raises:
            ApiException, HTTPError: the API server could not be asked.
        """
        limit = TUNNEL_OPENS.seconds
        try:
            service = self._core.read_namespaced_service(self._service, self._namespace, _request_timeout=limit)
        except ApiException as error:
            if error.status == 404:
                return [], {}
            raise
        names = {each.name or "" for each in service.spec.ports or [] if each.port == self._port}
        slices = self._discovery.list_namespaced_endpoint_slice(
            self._namespace, label_selector=f"kubernetes.io/service-name={self._service}", _request_timeout=limit
        ).items
        found = [
            (end.target_ref.name, port.port)
            for piece in slices
            for port in piece.ports or []
            if (port.name or "") in names
            for end in piece.endpoints or []
            if end.conditions.ready and end.target_ref is not None
        ]
        random.shuffle(found)
        return found, {each["key"]: each["value"] for each in self.configuration.auth_settings().values()}

    def identity_or_none(self, pod: str) -> Identity | None:
        """As `_identity`, and None as well where the API server could not be asked."""
        try:
            return self._identity(pod)
        except _UNASKED:
            return None

    def _identity(self, name: str) -> Identity | None:
        """What tells the pod from another one; None if it is gone, ending or not Ready."""
        try:
            pod = self._core.read_namespaced_pod(name, self._namespace, _request_timeout=END_SHOWS.seconds)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        conditions = {each.type: each.status for each in pod.status.conditions or []}
        if pod.metadata.deletion_timestamp or conditions.get("Ready") != "True":
            return None
        statuses = pod.status.container_statuses or []
        return pod.metadata.uid, frozenset((each.name, each.restart_count) for each in statuses)

    def stays(self, pod: str, before: Identity | None) -> bool:
        """Whether a pod, whose connection has just broken, goes on as before, as far as can be told.

        A kubelet tells of a container's end a little later.
        """

        def look() -> None:
            try:
                now = self._identity(pod)
            except _UNASKED as error:
                raise NotYet(_plain(error)) from error
            if now is not None and before in (now, None):
                raise NotYet("it goes on")

        if not pod:
            return True
        try:
            eventually(f"an end of the pod {pod}", END_SHOWS, look)
        except WaitFailed:
            return True
        return False


async def _splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: Tunnel) -> None:
    """Pass on what either side sends until one of them ends: a tunnel cannot be half closed.

    Raises:
        Cut, EndedByPod: the tunnel ended in no order.
        OSError: the caller did.
    """
    to_pod = asyncio.ensure_future(_to_pod(reader, tunnel))
    from_pod = asyncio.ensure_future(_from_pod(tunnel, writer))
    try:
        await asyncio.wait((to_pod, from_pod), return_when=asyncio.FIRST_COMPLETED)
        if from_pod.done() or not to_pod.result():
            await from_pod
    finally:
        for each in (to_pod, from_pod):
            each.cancel()
        await asyncio.gather(to_pod, from_pod, return_exceptions=True)


async def _to_pod(reader: asyncio.StreamReader, tunnel: Tunnel) -> bool:
    """Pass on what the caller sends; whether it was the caller who ended it, and not the tunnel that takes no more."""
    while piece := await reader.read(_PIECE):
        try:
            await tunnel.send(piece)
        except OSError:
            return False
    return True


async def _from_pod(tunnel: Tunnel, writer: asyncio.StreamWriter) -> None:
    while piece := await tunnel.receive():
        writer.write(piece)
        await writer.drain()


def _end(writer: asyncio.StreamWriter, *, orderly: bool) -> None:
    """End the caller's connection: by RST where it was not in order, so that no answer that was cut seems whole."""
    if orderly:
        writer.close()
        return
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _plain(error: BaseException) -> str:
    """An error of the client in one line, without pages of headers."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return " ".join(str(getattr(error, "reason", None) or error or "no answer in time").split())[:300]
