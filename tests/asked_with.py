"""A server that notes with which key it was asked, and answers as both arms would."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from doubles.serving import running

Asked = list[tuple[str, str]]
"""The first part of the path ("direct", "proxied"), and the header Authorization."""
_SAYS = {"index": 0, "finish_reason": "stop"}
_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@contextmanager
def asked_with(tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Asked]]:
    """The server's base URL, and what it is asked with as it comes; by HTTPS where it is to be."""
    asked: Asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path.split("/")[1], request.headers.get("Authorization", "")))
        body = await request.json() if request.can_read_body else {}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "well, well"}
            return web.json_response({"choices": [{**_SAYS, "message": message}], "usage": _USAGE})
        chunks = [{"choices": [{**_SAYS, "delta": {"content": "well"}}]}, {"choices": [], "usage": _USAGE}]
        events = [*map(json.dumps, chunks), "[DONE]"]
        return web.Response(text="".join(f"data: {each}\n\n" for each in events), content_type="text/event-stream")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    with running(app, tls) as url:
        yield url, asked
