"""The recorder in a thread of this process, where a pod runs it otherwise."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from signoff.core.timeouts import REQUEST
from signoff.in_cluster.received import Fault, Seen
from signoff.in_cluster.recorder import Proxy


class Recorder:
    """A context manager; `url(route)` is a base URL without `/v1`."""

    def __init__(self, upstream: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self._proxy, self._host, self._port = Proxy(upstream), host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._runner: web.AppRunner = self._call(self._proxy.serve(self._host, self._port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, route: str) -> str:
        """The base URL of a route."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/{route}"

    @contextlib.contextmanager
    def recording(self, route: str, fault: Fault | None = None) -> Iterator[Seen]:
        """What the route receives inside this block; it plays `fault` meanwhile."""
        begun = self._proxy.begin(route, fault)
        try:
            yield lambda: list(begun.received)
        finally:
            begun.fault = None

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(REQUEST.seconds)
