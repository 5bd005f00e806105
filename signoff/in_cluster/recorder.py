"""The recorder: a transparent reverse proxy between LiteLLM and vLLM that keeps each request as it arrived.

Each *route* is a path prefix, `http://host:port/<route>/v1`, and so a backend of its own in LiteLLM's eyes: requests of
cases that run side by side are told apart without a mark in them, and LiteLLM's own memory of one backend's faults
does not reach another case. Everything is passed on byte by byte, except where a case asks a route for a fault that the
real vLLM does not produce on demand. The recorder is never in the way when latency is measured.

It is told what to do, and asked what it saw, under `/-/routes/<route>` (`RemoteRecorder` in `recorder_pod`).
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from signoff.core.timeouts import RECORDER_DRAINS
from signoff.in_cluster.received import CONTROL, Fault, Received

_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"}


@dataclass
class Route:
    """What a route has seen since it was last cleared, and the fault that it plays."""

    fault: Fault | None = None
    received: list[Received] = field(default_factory=list)


class Proxy:
    """The recorder itself, as an aiohttp application."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.rstrip("/")
        self._routes: dict[str, Route] = {}

    async def serve(self, host: str, port: int) -> web.AppRunner:
        """Listen; port 0 takes a free one."""
        app = web.Application(client_max_size=64 * 2**20)
        app.cleanup_ctx.append(self._session)
        app.router.add_route("*", CONTROL + "{route}", self._control)
        app.router.add_route("*", "/{route}/{path:.*}", self._handle)
        # handler_cancellation: the answer to a caller who has left is no longer fetched, as vLLM itself would see it.
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=RECORDER_DRAINS.seconds,
            auto_decompress=False,
        )
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner

    def begin(self, route: str, fault: Fault | None) -> Route:
        """Forget what the route has received, and play `fault` from now on."""
        self._routes[route] = Route(fault)
        return self._routes[route]

    async def _control(self, request: web.Request) -> web.Response:
        """PUT begins a recording with the fault in its body, GET gives what was received, DELETE ends the fault."""
        name = request.match_info["route"]
        if request.method == "PUT":
            told = await request.json()
            self.begin(name, Fault(**told) if told else None)
        elif request.method == "DELETE":
            self._routes[name].fault = None
        return web.json_response([asdict(each) for each in self._routes[name].received])

    async def _session(self, _app: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as self._http:
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        route = self._routes.setdefault(request.match_info["route"], Route())
        raw = await request.read()
        path = "/" + request.match_info["path"]
        received = Received(request.method, path, dict(request.headers), _parsed(raw), time.monotonic())
        route.received.append(received)
        fault = route.fault or Fault()
        if fault.times and len(route.received) > fault.times:
            fault = Fault()
        try:
            return await self._answer(request, raw, path, received, fault)
        except asyncio.CancelledError:
            received.left = True
            raise
        except ConnectionResetError:
            received.left = True
            return web.Response(status=499)  # nobody reads it
        except aiohttp.ClientError as error:
            received.status, received.failed = 502, str(error) or type(error).__name__
            return web.json_response({"error": {"message": f"recorder: {error}", "type": "recorder"}}, status=502)

    async def _answer(
        self, request: web.Request, raw: bytes, path: str, received: Received, fault: Fault
    ) -> web.StreamResponse:
        await asyncio.sleep(fault.delay)
        if fault.status:
            received.status = fault.status
            return _refusal(fault)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        url = f"{self.upstream}{path}" + (f"?{request.query_string}" if request.query_string else "")
        async with self._http.request(
            request.method, url, data=raw or None, headers=headers, allow_redirects=False
        ) as answer:
            received.status = answer.status
            return await self._pass_on(request, answer, received, fault)

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse, received: Received, fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend((k, v) for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP)
        response.headers.extend(fault.headers)
        is_stream = answer.content_type == "text/event-stream"
        await asyncio.sleep(0 if is_stream else fault.hold)
        await response.prepare(request)
        left = fault.die_after
        async for piece in _events(answer) if is_stream and fault != Fault() else answer.content.iter_any():
            if left is not None and left < (1 if is_stream else len(piece)):
                await response.write(piece[:left])
                assert request.transport is not None
                await asyncio.sleep(RECORDER_DRAINS.seconds)
                request.transport.abort()
                return response
            await response.write(piece)
            received.bytes += len(piece)
            received.events += piece.count(b"\n\n")
            if left is not None:
                left -= 1 if is_stream else len(piece)
            await asyncio.sleep(fault.pause)
        received.whole = True
        return response


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The stream's events one by one, each with its blank line."""
    rest = b""
    async for piece in answer.content.iter_any():
        *whole, rest = (rest + piece).split(b"\n\n")
        for event in whole:
            yield event + b"\n\n"
    if rest:
        yield rest


def _refusal(fault: Fault) -> web.Response:
    """An error in the words that vLLM and OpenAI use."""
    status = fault.status
    kind = {404: "NotFoundError", 422: "UnprocessableEntityError", 429: "RateLimitError"}.get(
        status, "InternalServerError" if status >= 500 else "BadRequestError"
    )
    error = {"message": f"fault on demand: {status}", "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status, headers=fault.headers)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", errors="backslashreplace")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="vLLM's base URL, without /v1")
    options = parser.parse_args()

    async def serve() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        runner = await Proxy(options.upstream).serve(options.host, options.port)
        await stopped.wait()
        await runner.cleanup()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
