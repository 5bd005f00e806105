"""Port-forward as a kubelet serves it to the API server: one WebSocket, and for each port a connection to the pod.

The protocol is "v4.channel.k8s.io", which client libraries speak; kubectl's own, SPDY, is not there. Each message
begins with its channel: of port n from 0, 2n are its bytes in both directions and 2n+1 what went wrong, and both first
tell the port's number.

Source: k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from aiohttp import WSMsgType, web

Locate = Callable[[str, str], str | None]
"""The address on which a pod listens, by its namespace and name."""

_PROTOCOL = "v4.channel.k8s.io"
_PIECE = 65536


async def serve(request: web.Request, locate: Locate) -> web.StreamResponse:
    """Forward the ports that the query names until the pod or the caller ends all of them."""
    names = request.match_info
    address = locate(names["namespace"], names["pod"])
    if address is None:
        return web.Response(status=404, text="pod does not exist\n")
    socket = web.WebSocketResponse(protocols=(_PROTOCOL,), max_msg_size=0)
    if not socket.can_prepare(request):
        told = "the embedded cluster has port-forward by WebSocket alone, not by SPDY, as kubectl asks for it\n"
        return web.Response(status=501, text=told)
    try:
        ports = [_port(number) for each in request.query.getall("port", []) for number in each.split(",")]
    except ValueError as error:
        return web.Response(status=400, text=f"{error}\n")
    await socket.prepare(request)
    forwards = [_Forward(socket, channel, address, port) for channel, port in enumerate(ports)]
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_distribute(socket, forwards))
        await asyncio.gather(*(each.run() for each in forwards))
        await socket.close()
        reading.cancel()
    return socket


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(f"no port: {number}")
    return number


async def _distribute(socket: web.WebSocketResponse, forwards: "list[_Forward]") -> None:
    """Give each forward what the caller sends it; when the caller leaves, end them."""
    async for message in socket:
        channel = message.data[0] if message.type is WSMsgType.BINARY and message.data else None
        if channel is not None and channel % 2 == 0 and channel // 2 < len(forwards):
            await forwards[channel // 2].write(message.data[1:])
    for each in forwards:
        each.end()


class _Forward:
    """One port's connection to the pod."""

    def __init__(self, socket: web.WebSocketResponse, number: int, address: str, port: int) -> None:
        self._socket, self._address, self._port = socket, address, port
        self._data, self._error = bytes([2 * number]), bytes([2 * number + 1])
        self._connected = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._to_pod: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Connect, and pass on what the pod sends until it or the caller ends that."""
        self._running = asyncio.create_task(self._pass_on())
        with suppress(asyncio.CancelledError, ConnectionError):  # the caller is gone
            await self._running

    async def _pass_on(self) -> None:
        for channel in (self._data, self._error):
            await self._socket.send_bytes(channel + self._port.to_bytes(2, "little"))
        try:
            from_pod, self._to_pod = await asyncio.open_connection(self._address, self._port)
            self._connected.set()
            while piece := await from_pod.read(_PIECE):
                await self._socket.send_bytes(self._data + piece)
        except OSError as error:
            told = os.strerror(error.errno).lower() if error.errno else str(error)
            await self._socket.send_bytes(self._error + f"error forwarding port {self._port} to pod: {told}".encode())
        finally:
            self._connected.set()
            if self._to_pod is not None:
                self._to_pod.close()

    async def write(self, piece: bytes) -> None:
        """Send this to the pod, once it has accepted; what it takes no more is lost with its connection."""
        await self._connected.wait()
        if self._to_pod is not None and not self._to_pod.is_closing():
            self._to_pod.write(piece)
            with suppress(OSError):
                await self._to_pod.drain()

    def end(self) -> None:
        """The caller has left."""
        if self._running is not None:
            self._running.cancel()
