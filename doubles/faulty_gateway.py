"""A double of LiteLLM for the matrix: it passes everything on through the recorder, and tampers when told to.

It stands where LiteLLM stands: a model called `hosted_vllm-3` is the backend's behind the recorder's route 3.
"""

import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from doubles.backend import MODEL

Json = dict[str, Any]
Events = list[str]
DONE = "[DONE]"
PASSED_ON = {"x-request-id", "traceparent", "retry-after"}
"""Headers that an honest gateway passes on, in both directions."""


@dataclass(frozen=True)
class Tampering:
    """What is done to request, status, headers, body and events on their way; the rest is honest."""

    request: Callable[[Json], None] | None = None
    body: Callable[[Json], None] | None = None
    raw: Callable[[str], str] | None = None
    events: Callable[[Events], Events] | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer; an empty one is left out."""
    sends: dict[str, str] = field(default_factory=dict)
    """Headers of the request."""
    calls: int = 1
    leaks_key: bool = False
    cuts: bool = False


@dataclass
class FaultyGateway:
    """`route_url` gives a route's base URL in the recorder; `tampering` may be changed while it runs."""

    route_url: Callable[[str], str]
    tampering: Tampering = field(default_factory=Tampering)
    model: str = MODEL
    """The backend's."""

    def app(self) -> web.Application:
        app = web.Application()
        app.cleanup_ctx.append(self._session)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def _session(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._http:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        sent = json.loads(raw) if raw else None
        route = "route0"
        if isinstance(sent, dict):
            prefix, _, number = str(sent.get("model")).rpartition("-")
            if prefix in ("hosted_vllm", "openai"):
                route, sent["model"] = f"route{number}", self.model
            if self.tampering.request:
                self.tampering.request(sent)
        headers = {name: value for name, value in request.headers.items() if name.lower() in PASSED_ON}
        headers |= self.tampering.sends
        headers["Authorization"] = request.headers["Authorization"] if self.tampering.leaks_key else "Bearer none"
        for _ in range(self.tampering.calls):
            url = self.route_url(route) + request.path
            async with self._http.request(request.method, url, json=sent, headers=headers) as answer:
                kind, status = answer.content_type, answer.status
                passed = {name.lower(): value for name, value in answer.headers.items() if name.lower() in PASSED_ON}
                text, broken = await _read(answer)
        headers = {
            "content-type": kind,
            **passed,
            **{name.lower(): text for name, text in self.tampering.headers.items()},
        }
        sent_back = {name: text for name, text in headers.items() if text}
        return await self._answer(request, status, kind, sent_back, text, cut=broken or self.tampering.cuts)

    async def _answer(
        self, request: web.Request, status: int, kind: str, headers: Json, text: str, *, cut: bool
    ) -> web.StreamResponse:
        tampering = self.tampering
        if kind == "text/event-stream" and tampering.events:
            whole = [part.removeprefix("data: ") for part in text.split("\n\n") if part.startswith("data: ")]
            text = "".join(f"data: {data}\n\n" for data in tampering.events(whole))
            cut = False
        elif kind == "application/json" and tampering.body:
            body = copy.deepcopy(json.loads(text))
            tampering.body(body)
            text = json.dumps(body)
        if tampering.raw:
            text = tampering.raw(text)
        response = web.StreamResponse(status=tampering.status or status, headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write((text if not tampering.cuts else text[: len(text) // 2]).encode())
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response


async def _read(answer: aiohttp.ClientResponse) -> tuple[str, bool]:
    """What came, and whether it broke off."""
    came = bytearray()
    try:
        async for piece in answer.content.iter_any():
            came += piece
    except aiohttp.ClientError:
        return came.decode(), True
    return came.decode(), False


# What tampering is made of


def at(path: str, change: Callable[[Any, Any], None]) -> Callable[[Json], None]:
    """Call `change` with what holds the last name of a path such as `choices.0.message.content`, and that name."""

    def tell(body: Json) -> None:
        *way, last = [int(name) if name.isdigit() else name for name in path.split(".")]
        holder: Any = body
        for name in way:
            holder = holder[name]
        change(holder, last)

    return tell


def drop(path: str) -> Callable[[Json], None]:
    return at(path, lambda holder, name: holder.pop(name))


def put(path: str, value: Any) -> Callable[[Json], None]:
    def change(holder: Any, name: Any) -> None:
        holder[name] = value

    return at(path, change)


def rename(path: str, new: str) -> Callable[[Json], None]:
    def change(holder: Any, name: Any) -> None:
        holder[new] = holder.pop(name)

    return at(path, change)


def add_to(path: str, more: Any) -> Callable[[Json], None]:
    def change(holder: Any, name: Any) -> None:
        holder[name] += more

    return at(path, change)


def chunk(number: int, change: Callable[[Json], None]) -> Callable[[Events], Events]:
    """The tampering `change` in one event of a stream."""

    def tell(events: Events) -> Events:
        told = list(events)
        body = json.loads(told[number])
        change(body)
        told[number] = json.dumps(body)
        return told

    return tell


def each_chunk(change: Callable[[Json], None]) -> Callable[[Events], Events]:
    """The tampering `change` in every event of a stream that has what it is about."""

    def tell(events: Events) -> Events:
        told = []
        for data in events:
            if data != DONE:
                body = json.loads(data)
                try:
                    change(body)
                except (KeyError, IndexError):
                    body = json.loads(data)
                data = json.dumps(body)
            told.append(data)
        return told

    return tell
