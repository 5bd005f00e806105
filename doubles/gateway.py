"""A gateway that passes everything through, and tampers in one named way with chat completions.

Standard library and aiohttp only, and nothing of the suite, so that it also runs from a copy inside a pod:
`python -m doubles.gateway --host 127.0.0.1 --port 4000 --upstream http://127.0.0.1:8000 --tampering changed_text`
"""

import argparse
import asyncio
import copy
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from aiohttp import web

Json = dict[str, Any]
Events = list[str]

REFUSED_SECONDS = 3.0
"""A Service may refuse for a moment after its pods have become Ready: kube-proxy follows a little later."""

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"}


def _each_chunk(change: Callable[[Json, int], None]) -> Callable[[Events], Events]:
    """The same tampering in every chunk of a stream; `change` edits the chunk, told its number."""

    def tell(events: Events) -> Events:
        told = []
        for number, data in enumerate(events):
            if data != "[DONE]":
                chunk = json.loads(data)
                change(chunk, number)
                data = json.dumps(chunk, ensure_ascii=False)
            told.append(data)
        return told

    return tell


def _part(body: Json) -> Json:
    choice = (body.get("choices") or [{}])[0]
    part = choice.get("message") or choice.get("delta") or {}
    return part if isinstance(part, dict) else {}


def _change_text(body: Json, number: int = 1) -> None:
    part = _part(body)
    if part.get("content") and number == 1:
        part["content"] += "!"


def _swap_finish_reason(body: Json, number: int = 0) -> None:
    for choice in body.get("choices") or []:
        if choice.get("finish_reason"):
            choice["finish_reason"] = "length" if choice["finish_reason"] == "stop" else "stop"


def _unknown_finish_reason(body: Json, number: int = 0) -> None:
    for choice in body.get("choices") or []:
        if choice.get("finish_reason"):
            choice["finish_reason"] = "abort"


def _change_usage(body: Json, number: int = 0) -> None:
    if body.get("usage"):
        body["usage"]["completion_tokens"] += 1


def _put(key: str, value: Any, *, since: int = 0) -> Callable[[Json, int], None]:
    def change(body: Json, number: int = since) -> None:
        if number >= since:
            body[key] = value

    return change


def _drop(key: str) -> Callable[[Json, int], None]:
    def change(body: Json, number: int = 0) -> None:
        body.pop(key, None)

    return change


def _same_text(body: Json, number: int = 0) -> None:
    part = _part(body)
    if number == 0:  # a stream's first chunk is always there; which of the others hold text depends on the moment
        part["content"] = "always this"
    elif part.get("content"):
        part["content"] = ""


def _always_length(body: Json, number: int = 0) -> None:
    for choice in body.get("choices") or []:
        if choice.get("finish_reason"):
            choice["finish_reason"] = "length"


def _drop_role(body: Json, number: int = 0) -> None:
    _part(body).pop("role", None)


def _text_as_list(body: Json, number: int = 0) -> None:
    _part(body)["content"] = ["a", "b"]


def _usage_chunkless(events: Events) -> Events:
    return [data for data in events if data == "[DONE]" or not json.loads(data).get("usage")]


def _malformed_chunk(events: Events) -> Events:
    return [*events[:1], events[1][: len(events[1]) // 2], *events[2:]]


def _finish_index(events: Events) -> int:
    def finishes(data: str) -> bool:
        return data != "[DONE]" and any(c.get("finish_reason") for c in json.loads(data).get("choices") or [])

    return next(i for i, data in enumerate(events) if finishes(data))


def _truncated(events: Events) -> Events:
    return events[:3]


def _truncated_as_success(events: Events) -> Events:
    last = json.loads(events[2])
    last["choices"][0] |= {"delta": {}, "finish_reason": "stop"}
    return [*events[:2], json.dumps(last), "[DONE]"]


def _repeat_finish(events: Events) -> Events:
    finish = _finish_index(events)
    again = json.loads(events[finish])
    again["choices"][0]["delta"] = {}
    return [*events[: finish + 1], json.dumps(again), *events[finish + 1 :]]


def _content_after_finish(events: Events) -> Events:
    finish = _finish_index(events)
    late = json.loads(events[finish])
    late["choices"][0] |= {"delta": {"content": " late"}, "finish_reason": None}
    return [*events[: finish + 1], json.dumps(late), *events[finish + 1 :]]


def _error_event(events: Events) -> Events:
    error = {"error": {"message": "upstream went away", "type": "server_error", "param": None, "code": "500"}}
    return [*events[:2], json.dumps(error), *events[2:]]


STREAM_TAMPERINGS: dict[str, Callable[[Events], Events]] = {
    "changed_text": _each_chunk(_change_text),
    "swapped_finish_reason": _each_chunk(_swap_finish_reason),
    "unknown_finish_reason": _each_chunk(_unknown_finish_reason),
    "same_text": _each_chunk(_same_text),
    "always_length": _each_chunk(_always_length),
    "changed_usage": _each_chunk(_change_usage),
    "dropped_usage": _usage_chunkless,
    "malformed_chunk": _malformed_chunk,
    "truncated": _truncated,
    "truncated_as_success": _truncated_as_success,
    "duplicate_chunk": lambda events: [*events[:2], *events[1:]],
    "no_done": lambda events: events[:-1],
    "done_twice": lambda events: [*events, "[DONE]"],
    "chunk_after_done": lambda events: [*events, events[1]],
    "no_finish": lambda events: [*events[: _finish_index(events)], *events[_finish_index(events) + 1 :]],
    "two_finishes": _repeat_finish,
    "content_after_finish": _content_after_finish,
    "error_event": _error_event,
    "changing_id": _each_chunk(_put("id", "chatcmpl-other", since=2)),
    "changing_model": _each_chunk(_put("model", "other", since=2)),
    "changing_created": _each_chunk(_put("created", 1, since=2)),
    "no_role": _each_chunk(_drop_role),
    "no_id": _each_chunk(_drop("id")),
    "no_object": _each_chunk(_drop("object")),
    "wrong_object": _each_chunk(_put("object", "text_completion")),
    "text_created": _each_chunk(_put("created", "now")),
    "no_choices": _each_chunk(_drop("choices")),
    "text_as_list": _each_chunk(_text_as_list),
    "no_events": lambda events: [],
}
"""What each tampering makes of the data texts of a stream."""

BODY_TAMPERINGS: dict[str, Callable[..., None]] = {
    "changed_text": _change_text,
    "swapped_finish_reason": _swap_finish_reason,
    "unknown_finish_reason": _unknown_finish_reason,
    "same_text": _same_text,
    "always_length": _always_length,
    "changed_usage": _change_usage,
    "dropped_usage": _drop("usage"),
    "no_role": _drop_role,
    "no_id": _drop("id"),
    "no_object": _drop("object"),
    "wrong_object": _put("object", "text_completion"),
    "text_created": _put("created", "now"),
    "no_choices": _drop("choices"),
    "text_as_list": _text_as_list,
}
"""What each tampering makes of the body of an answer that is not streamed."""

OTHER_TAMPERINGS = ("delay", "cut", "server_error", "asks_aside", "one_token", "cached", "batches")
"""A late answer (`--delay-ms`), a connection broken off in the middle of it, a status 500 with an HTML page, an honest
answer after the same was asked of another server (`--aside`), an answer of a single token, whatever was asked for, the
first answer again to whatever is asked, and a stream of which eight events at a time are passed on."""
BATCH = 8

TAMPERINGS = tuple(sorted({*STREAM_TAMPERINGS, *BODY_TAMPERINGS, *OTHER_TAMPERINGS}))


class Gateway:
    """Passes through to `upstream`; `tampering` may be changed while it runs, None is honest."""

    def __init__(
        self,
        upstream: str,
        tampering: str | None = None,
        *,
        delay_ms: float = 150.0,
        jitter_ms: float = 0.0,
        aside: str = "",
    ) -> None:
        if tampering is not None and tampering not in TAMPERINGS:
            raise ValueError(f"no tampering named {tampering}; there are {', '.join(TAMPERINGS)}")
        self.upstream, self.tampering = upstream.rstrip("/"), tampering
        self.delay_ms, self.jitter_ms, self.aside = delay_ms, jitter_ms, aside.rstrip("/")
        self.headers: dict[str, str] = {}
        """What it adds to each answer, as LiteLLM does."""
        self.key = ""
        """With which it asks upstream, whatever the client's is."""
        self.tampers_with: Callable[[bytes], bool] = lambda sent: True
        """Of chat completions those with this body; all others pass through honestly."""
        self._random = random.Random(14)
        self._kept: dict[bool, tuple[str, bytes]] = {}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.cleanup_ctx.append(self._session)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def _session(self, app: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as self._http:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        tampered_with = request.path.endswith("/chat/completions") and self.tampers_with(sent)
        tampering = self.tampering if tampered_with else None
        if tampering == "server_error":
            return web.Response(status=500, text="<html>Internal Server Error</html>", content_type="text/html")
        if tampering == "delay":
            await asyncio.sleep((self.delay_ms + self._random.expovariate(1) * self.jitter_ms) / 1000)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if tampering == "one_token":
            sent = json.dumps({**json.loads(sent), "max_tokens": 1}).encode()
        if tampering == "cached":
            return await self._kept_answer(request, sent, headers)
        if tampering == "asks_aside":
            async with self._http.request(
                request.method, self.aside + str(request.rel_url), data=sent, headers=headers
            ):
                pass
        url = self.upstream + str(request.rel_url)
        until = asyncio.get_running_loop().time() + REFUSED_SECONDS
        while True:
            try:
                async with self._http.request(
                    request.method, url, data=sent or None, headers=headers, allow_redirects=False
                ) as answer:
                    return await self._pass_on(request, answer, tampering)
            except aiohttp.ClientConnectionError as error:
                refused = isinstance(error, aiohttp.ClientConnectorError)
                if refused and asyncio.get_running_loop().time() < until:
                    await asyncio.sleep(0.2)
                    continue
                message = {"message": str(error), "type": "gateway", "param": None}
                return web.json_response({"error": message}, status=502)

    async def _kept_answer(self, request: web.Request, sent: bytes, headers: dict[str, str]) -> web.Response:
        """The first answer of this kind, streamed or not, whatever is asked for."""
        kind = bool(json.loads(sent).get("stream"))
        if kind not in self._kept:
            url = self.upstream + str(request.rel_url)
            async with self._http.request(request.method, url, data=sent, headers=headers) as answer:
                self._kept[kind] = answer.headers["Content-Type"], await answer.read()
        content_type, kept = self._kept[kind]
        return web.Response(body=kept, headers={"Content-Type": content_type})

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse, tampering: str | None
    ) -> web.StreamResponse:
        headers = [(key, value) for key, value in answer.headers.items() if key.lower() not in HOP_BY_HOP]
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(headers)
        response.headers.update(self.headers)
        is_stream = answer.content_type == "text/event-stream"
        told = None
        if is_stream and tampering in STREAM_TAMPERINGS:
            told = _tell_events(await answer.read(), STREAM_TAMPERINGS[tampering])
        elif not is_stream and answer.status == 200 and tampering in BODY_TAMPERINGS:
            told = _tell_body(await answer.read(), BODY_TAMPERINGS[tampering])
        await response.prepare(request)
        if told is not None:
            await response.write(told)
            return response
        async for piece in _batches(answer) if tampering == "batches" and is_stream else answer.content.iter_any():
            if tampering == "cut":
                await response.write(piece[: max(1, len(piece) // 2)])
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(piece)
        return response


async def _batches(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """A stream's events, so many at a time."""
    rest = b""
    async for piece in answer.content.iter_any():
        rest += piece
        if rest.count(b"\n\n") >= BATCH:
            yield rest
            rest = b""
    yield rest


def _tell_events(stream: bytes, tampering: Callable[[Events], Events]) -> bytes:
    parts = stream.decode().split("\n\n")
    events = [part.removeprefix("data: ") for part in parts if part.startswith("data: ")]
    return "".join(f"data: {data}\n\n" for data in tampering(events)).encode()


def _tell_body(body: bytes, tampering: Callable[..., None]) -> bytes:
    told = copy.deepcopy(json.loads(body))
    tampering(told)
    return json.dumps(told, ensure_ascii=False).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="any base URL; paths, queries and headers pass through")
    parser.add_argument("--tampering", choices=TAMPERINGS)
    parser.add_argument("--delay-ms", type=float, default=150.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--header", metavar="NAME=VALUE", help="added to each answer, in place of one of that name")
    parser.add_argument("--aside", default="", help="the other server that `asks_aside` asks")
    parser.add_argument("--key", default="", help="asks with this one, whatever the client's is")
    args = parser.parse_args()
    gateway = Gateway(args.upstream, args.tampering, delay_ms=args.delay_ms, jitter_ms=args.jitter_ms, aside=args.aside)
    gateway.key = args.key
    if args.header:
        name, _, value = args.header.partition("=")
        gateway.headers[name] = value
    web.run_app(gateway.app(), host=args.host, port=args.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
