"""What a kubelet serves to the API server: containers' logs, pods' ports, what pods use, and its own health.

Over TLS, and only to holders of the cluster's keys.
"""

import asyncio
import ssl
from collections.abc import Callable

from aiohttp import web

from signoff.cluster.embedded.agent import portforward
from signoff.cluster.embedded.agent.config import AgentConfig
from signoff.cluster.embedded.agent.container import Container
from signoff.cluster.embedded.agent.logs import excerpt
from signoff.cluster.embedded.kubeapi import Json

Find = Callable[[str, str, str], Container | None]
"""A container by namespace, pod and name."""
Summary = Callable[[], Json]
"""What the node's pods use just now."""

_LOOK_EVERY_SECONDS = 0.2
_NO_TIMES = {"timestamps", "sinceSeconds", "sinceTime"}


def tls(config: AgentConfig) -> ssl.SSLContext:
    """Serve with the agent's key, and let in only who has a certificate of the cluster's CA."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(config.serving_cert, config.serving_key)
    return context


def application(find: Find, summary: Summary, locate: portforward.Locate) -> web.Application:
    """The routes; what is not there answers 501 and says so."""

    async def logs(request: web.Request) -> web.StreamResponse:
        return await _logs(request, find)

    async def port_forward(request: web.Request) -> web.StreamResponse:
        return await portforward.serve(request, locate)

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(summary))

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/healthz", healthy)
    app.router.add_get("/stats/summary", stats)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    app.router.add_route("*", "/portForward/{namespace}/{pod}", port_forward)
    app.router.add_route("*", "/{rest:.*}", _not_there)
    return app


async def _not_there(request: web.Request) -> web.StreamResponse:
    what = request.match_info["rest"].partition("/")[0]
    return web.Response(status=501, text=f"the embedded cluster has no {what or 'such thing'}\n")


async def _logs(request: web.Request, find: Find) -> web.StreamResponse:
    names = request.match_info
    container = find(names["namespace"], names["pod"], names["container"])
    if container is None:
        return web.Response(status=404, text=f"container {names['container']} is not known\n")
    query = request.query
    previous = query.get("previous") == "true"
    if unknown := _NO_TIMES & query.keys() - {key for key, value in query.items() if value == "false"}:
        text = f"the embedded cluster keeps no times of log lines, so {', '.join(sorted(unknown))} cannot be had\n"
        return web.Response(status=400, text=text)
    try:
        path = container.logs.of(container.state.start_to_read(previous=previous))
    except LookupError as error:
        named = f'container "{names["container"]}" in pod "{names["pod"]}"'
        return web.Response(status=400, text=str(error.args[0]).format(named))
    log = await asyncio.to_thread(path.read_bytes)
    part = excerpt(log, tail_lines=_number(query.get("tailLines")), limit_bytes=_number(query.get("limitBytes")))
    answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await answer.prepare(request)
    await answer.write(part)
    if query.get("follow") == "true" and not previous:
        restart, end, running = container.state.restarts, len(log), True
        while running:  # its last words are read once it has ended
            running = bool(container.state.running_since) and container.state.restarts == restart
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            with path.open("rb") as file:
                file.seek(end)
                fresh = file.read()
            await answer.write(fresh)
            end += len(fresh)
    return answer


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
