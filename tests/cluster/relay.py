"""A TCP relay between this process and an API server, which a test can cut, close, or have hold a request back."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml


class Relay:
    """Passes on bytes, of which it understands none: they are TLS."""

    def __init__(self, server: str) -> None:
        place = urlsplit(server)
        self._there = str(place.hostname), int(place.port or 443)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._refuses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._to_hold = 0
        self.held = 0
        """How many connections are held back: accepted, and led nowhere."""
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accepted, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _stop(self) -> None:
        self._server.close()
        await self._cut()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def kubeconfig(self, own: Path, folder: Path) -> Path:
        """A copy of the cluster's kubeconfig that leads here, and still asks for the server's own name."""
        config = yaml.safe_load(own.read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        cluster["tls-server-name"] = urlsplit(cluster["server"]).hostname
        cluster["server"] = f"https://127.0.0.1:{self.port}"
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def cut(self) -> None:
        """Break all connections off, as a network does, or an API server that is killed."""
        self._do(self._cut())

    async def _cut(self) -> None:
        for pair in self._pairs:
            for each in pair:
                each.transport.abort()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut, and accept none for a while."""
        self._refuses = True
        self.cut()
        yield
        self._refuses = False

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Pass nothing on for a while, as a network that loses everything."""
        self._flows.clear()
        yield
        self._loop.call_soon_threadsafe(self._flows.set)

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Hold so many of the next connections back."""
        self._to_hold, self.held = count, 0
        yield
        self._to_hold = 0

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        if self._to_hold:
            self._to_hold, self.held = self._to_hold - 1, self.held + 1
            await reader.read(0)
            return
        from_there, there = await asyncio.open_connection(*self._there)
        pair = writer, there
        self._pairs.add(pair)
        await asyncio.gather(self._pass_on(reader, there), self._pass_on(from_there, writer))
        self._pairs.discard(pair)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
