"""Probes and lifecycle handlers: HTTP, TCP and exec, in the kubelet's words."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit

import aiohttp

from signoff.cluster.embedded.kubeapi import Json

ProbeKind = Literal["Startup", "Readiness", "Liveness"]
RunCommand = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container for at most so many seconds; gives its exit code and what it wrote."""

_BODY_BYTES = 1024
_MAX_REDIRECTS = 10


class HandlerError(Exception):
    """The handler cannot even be asked: it names a port that is not there, or is of a kind that is not supported."""


@dataclass(frozen=True)
class Target:
    """The container that is asked: the address where it listens, the one that its pod reports, its specification (for
    named ports), and how to run a command in it.
    """

    address: str
    pod_ip: str
    container: Json
    run_command: RunCommand
    http: aiohttp.ClientSession

    def port(self, wanted: int | str) -> int:
        """The number of a port given by number or name.

        Raises:
            HandlerError: the container names no such port.
        """
        for port in self.container.get("ports") or []:
            if port.get("name") == wanted:
                return int(port["containerPort"])
        try:
            return int(wanted)
        except ValueError:
            raise HandlerError(f'strconv.Atoi: parsing "{wanted}": invalid syntax') from None


async def perform(handler: Json, target: Target, seconds: float) -> str | None:
    """Do what a probe or a lifecycle handler says; None when it went well, else what went wrong.

    Raises:
        HandlerError: it cannot be done at all.
    """
    if action := handler.get("httpGet"):
        return await _http_get(action, target, seconds)
    if action := handler.get("tcpSocket"):
        return await _connect(action.get("host"), target.port(action["port"]), target, seconds)
    if action := handler.get("exec"):
        return await _exec(action["command"], target, seconds)
    if action := handler.get("sleep"):
        await asyncio.sleep(min(action["seconds"], seconds))
        return None
    kinds = [kind for kind in handler if isinstance(handler[kind], dict)]
    raise HandlerError(f"the embedded cluster has no {', '.join(kinds)} handler")


async def _exec(command: list[str], target: Target, seconds: float) -> str | None:
    try:
        code, output = await target.run_command(command, seconds)
    except TimeoutError:
        return f'command timed out: "{" ".join(command)}" timed out after {seconds:g}s'
    except OSError as error:
        raise HandlerError(f"exec: {command[0]}: {error.strerror}") from error
    return None if code == 0 else output


async def _connect(host: str | None, port: int, target: Target, seconds: float) -> str | None:
    shown = f"dial tcp {host or target.pod_ip}:{port}"
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host or target.address, port)
    except TimeoutError:
        return f"{shown}: i/o timeout"
    except OSError as error:
        return f"{shown}: connect: {_plain(error)}"
    writer.close()
    return None


async def _http_get(action: Json, target: Target, seconds: float) -> str | None:
    scheme, port = action.get("scheme", "HTTP").lower(), target.port(action["port"])
    place = f"{port}/{action.get('path', '/').removeprefix('/')}"
    host, shown_host = action.get("host") or target.address, action.get("host") or target.pod_ip
    shown = f'Get "{scheme}://{shown_host}:{place}"'
    headers = {"User-Agent": "kube-probe/1.35", "Accept": "*/*"}
    headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
    try:
        async with asyncio.timeout(seconds):
            status = await _status_of(f"{scheme}://{host}:{place}", headers, target.http)
    except TimeoutError:
        return f"{shown}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    except aiohttp.ClientConnectorError as error:
        return f"{shown}: dial tcp {shown_host}:{port}: connect: {_plain(error.os_error)}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{shown}: {error or type(error).__name__}"
    return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


async def _status_of(url: str, headers: dict[str, str], http: aiohttp.ClientSession) -> int:
    """The status at the end of the redirects; one that leads to another host is not followed, and counts as it is."""
    for _ in range(_MAX_REDIRECTS):
        async with http.get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
            await answer.content.read(_BODY_BYTES)
            elsewhere = urljoin(url, answer.headers.get("Location", ""))
            if not 300 <= answer.status < 400 or urlsplit(elsewhere).hostname != urlsplit(url).hostname:
                return answer.status
            url = elsewhere
    raise ValueError(f"stopped after {_MAX_REDIRECTS} redirects")


def _plain(error: OSError) -> str:
    # asyncio writes its own words over the system's.
    return os.strerror(error.errno).lower() if error.errno else str(error)


@dataclass
class Probe:
    """One probe of a container with its numbers; `note` hears of every failed look."""

    kind: ProbeKind
    spec: Json
    target: Target
    note: Callable[[str], None]

    async def verdicts(self, since: float) -> AsyncIterator[bool]:
        """Look at each period, and give each look that ends a row of as many equal ones as its threshold asks.

        `initialDelaySeconds` count from `since`, when the container started (in the event loop's time).
        """
        loop = asyncio.get_running_loop()
        due = max(since + self.spec.get("initialDelaySeconds", 0), loop.time())
        last, in_a_row = None, 0
        while True:
            await asyncio.sleep(due - loop.time())
            seen = await self._look()
            in_a_row = in_a_row + 1 if seen is last else 1
            last = seen
            if in_a_row >= self._threshold(success=seen):
                yield seen
            due = max(due + self.spec.get("periodSeconds", 10), loop.time())

    def _threshold(self, *, success: bool) -> int:
        key, default = ("successThreshold", 1) if success else ("failureThreshold", 3)
        return int(self.spec.get(key, default))

    async def _look(self) -> bool:
        try:
            failure = await perform(self.spec, self.target, self.spec.get("timeoutSeconds", 1))
        except HandlerError as error:
            self.note(f"{self.kind} probe errored and resulted in unknown state: {error}")
            return False
        if failure is not None:
            self.note(f"{self.kind} probe failed: {failure}")
        return failure is None
