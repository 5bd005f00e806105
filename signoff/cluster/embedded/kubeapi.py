"""A small asyncio client of the Kubernetes API, for the processes of the embedded cluster.

The `kubernetes` package takes 0.5 s and 60 MB to import and blocks; the node agent and the service proxy need only
requests of plain JSON and watches that never give up.
"""

import asyncio
import json as json_text
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

from signoff.core.timeouts import API_REQUEST, CONTROL_PLANE_READY
from signoff.core.waiting import until

Json = dict[str, Any]

_GONE = 410
_BACK_OFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_WATCH_SECONDS = 300
"""How long the server keeps one watch open; a connection that died silently is noticed by then at the latest."""
_LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one watch event: etcd's own limit of 1.5 MB per object is well below it, also when it is escaped."""


class ApiError(Exception):
    """An answer other than 2xx: `status` is the HTTP code, `reason` Kubernetes' word such as "NotFound"."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason, self.message = status, reason, message
        super().__init__(f"{status} {reason}: {message}")


class KubeApi:
    """The API server at `server` ("https://host:port"), reached with a client certificate; an async context manager."""

    def __init__(self, server: str, ca: str, cert: str, key: str) -> None:
        self._server = server.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca)
        self._tls.load_cert_chain(cert, key)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=_LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("KubeApi is used outside its `async with`")
        return self._session

    async def until_ready(self) -> None:
        """Return once the server serves; who waits keeps the deadline."""
        await until(self._is_ready, every=CONTROL_PLANE_READY.every)

    async def _is_ready(self) -> bool:
        try:
            await self.request("GET", "/readyz")
        except (ApiError, aiohttp.ClientError, TimeoutError):
            return False
        return True

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content_type: str | None = None,
        params: dict[str, str] | None = None,
    ) -> Json:
        """Send one request and return the decoded object.

        A patch names its kind in `content_type`, such as "application/strategic-merge-patch+json".

        Raises:
            ApiError: the server answered with an error.
            aiohttp.ClientError, TimeoutError: there was no answer within `limits.API_REQUEST`.
        """
        headers = {"Accept": "application/json"}
        body = None
        if json is not None:
            body = json_text.dumps(json).encode()
            headers["Content-Type"] = content_type or "application/json"
        timeout = aiohttp.ClientTimeout(total=API_REQUEST.seconds)
        async with self._open.request(
            method, self._server + path, data=body, headers=headers, params=params, timeout=timeout
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise _api_error(answer.status, text)
            decoded = json_text.loads(text) if text.startswith("{") else {"text": text}
            return dict(decoded)

    async def watch(self, path: str, **params: str) -> AsyncIterator[tuple[str, Json]]:
        """Follow a collection for ever: ("SYNC", list) at every (re)list, then (event type, object).

        The event types are ADDED, MODIFIED and DELETED. Each "SYNC" replaces all that was known before it. Survives an
        expired version (410), disconnects and restarts of the API server; between tries it backs off up to 2 s. A
        refusal (401, 403) is raised, since waiting does not fix it.
        """
        failures = 0
        while True:
            try:
                listed = await self.request("GET", path, params=params)
                failures = 0
                yield "SYNC", listed
                version = str(listed["metadata"]["resourceVersion"])
                async for event, obj in self._watch_from(path, params, version):
                    failures = 0
                    yield event, obj
            except ApiError as refused:
                if refused.status in (401, 403):
                    raise
                if refused.status == _GONE:
                    continue
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):  # ValueError: a line was cut off
                pass
            await asyncio.sleep(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])
            failures += 1

    async def _watch_from(self, path: str, params: dict[str, str], version: str) -> AsyncIterator[tuple[str, Json]]:
        """Resume the watch from `version` for as long as the server goes along; raises when a relist is needed."""
        while True:
            query = params | {
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(_WATCH_SECONDS),
            }
            silent = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_SECONDS + 30)
            async with self._open.get(self._server + path, params=query, timeout=silent) as answer:
                if answer.status >= 400:
                    raise _api_error(answer.status, await answer.text())
                async for line in answer.content:
                    event = json_text.loads(line)
                    kind, obj = event["type"], event["object"]
                    if kind == "ERROR":
                        raise ApiError(obj.get("code", 500), obj.get("reason", ""), obj.get("message", ""))
                    version = obj["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        yield kind, obj
            await asyncio.sleep(_BACK_OFF_SECONDS[0])


def _api_error(status: int, text: str) -> ApiError:
    try:
        answer = json_text.loads(text)
        return ApiError(status, answer.get("reason", ""), answer.get("message", text))
    except (ValueError, AttributeError):
        return ApiError(status, "", text[:500])
