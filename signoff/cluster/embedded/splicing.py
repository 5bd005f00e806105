"""Connections that are spliced: what one side sends, the other receives.

Written with raw protocols: a hop costs two reads and two writes, no copy.
"""

import asyncio
import ctypes
import socket
from contextlib import suppress

from signoff.cluster.embedded.network import Endpoint

DIAL_SECONDS = 2.0
"""An endpoint on loopback accepts at once or not at all."""
_HIGH_WATER = 256 * 1024


class Half(asyncio.Protocol):
    """One side of a spliced connection: what it receives goes to `peer`; it is paused while `peer` is full."""

    def __init__(self, peer: "Half | None" = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer = peer
        self._finished_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(_HIGH_WATER)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
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
            self.close_when_written()
            peer.close_when_written()
        return True

    def close_when_written(self) -> None:
        """End the connection once all that it was given is sent."""
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side in the same way."""
        self.transport = None
        peer, self.peer = self.peer, None
        if peer is None or peer.transport is None:
            return
        if exc is not None:
            reset(peer.transport)
        else:
            peer.transport.close()

    def pause_writing(self) -> None:
        """It is full: have the other side wait."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()


class Caller(Half):
    """The side that connected to what is served here; it is read no further until the other side is there."""

    async def dial(self, endpoint: Endpoint, seconds: float) -> Half:
        """Connect to the endpoint.

        Raises:
            OSError, TimeoutError: it does not accept.
        """
        async with asyncio.timeout(seconds):
            _, backend = await asyncio.get_running_loop().create_connection(
                lambda: Half(self), endpoint.host, endpoint.port
            )
        return backend

    def splice(self, backend: Half) -> None:
        """From now on what either side sends goes to the other."""
        if self.transport is None:  # the caller went away meanwhile
            backend.peer = None
            backend.close_when_written()
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
