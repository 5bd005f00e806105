"""Probes and lifecycle handlers: HTTP, TCP and exec, in the kubelet's words."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp

from signoff.cluster.embedded.kubeapi import Json

ProbeKind = Literal["Startup", "Readiness", "Liveness"]
RunCommand = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container for at most so many seconds; gives its exit code and what it wrote."""

_BODY_BYTES = 1024


@dataclass(frozen=True)
class Target:
    """The container that is asked: its address, its specification (for named ports), and how to run a command in it."""

    address: str
    container: Json
    run_command: RunCommand
    http: aiohttp.ClientSession

    def port(self, wanted: int | str) -> int:
        """The number of a port given by number or name.

        Raises:
            LookupError: the container names no such port.
        """
        if isinstance(wanted, int):
            return wanted
        for port in self.container.get("ports") or []:
            if port.get("name") == wanted:
                return int(port["containerPort"])
        raise LookupError(f"couldn't find port: {wanted!r}")


async def perform(handler: Json, target: Target, seconds: float) -> str | None:
    """Do what a probe or a lifecycle handler says; None when it went well, else what went wrong."""
    try:
        async with asyncio.timeout(seconds):
            if action := handler.get("httpGet"):
                return await _http_get(action, target)
            if action := handler.get("tcpSocket"):
                _, writer = await asyncio.open_connection(target.address, target.port(action["port"]))
                writer.close()
                return None
            if action := handler.get("exec"):
                code, output = await target.run_command(action["command"], seconds)
                return None if code == 0 else f"command failed with exit code {code}: {output}".rstrip(": ")
            if action := handler.get("sleep"):
                await asyncio.sleep(action["seconds"])
                return None
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except (aiohttp.ClientError, OSError, LookupError) as error:
        return str(error) or type(error).__name__
    return f"the embedded cluster has no {', '.join(handler)} handler"


async def _http_get(action: Json, target: Target) -> str | None:
    host = action.get("host") or target.address
    scheme = action.get("scheme", "HTTP").lower()
    path = "/" + action.get("path", "/").removeprefix("/")
    url = f"{scheme}://{host}:{target.port(action['port'])}{path}"
    headers = {"User-Agent": "kube-probe/1.35", "Accept": "*/*"}
    headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
    async with target.http.get(url, headers=headers, ssl=False) as answer:
        await answer.content.read(_BODY_BYTES)
        # Redirects were followed; a kubelet takes any status from 200 to 399 for success.
        return None if 200 <= answer.status < 400 else f"HTTP probe failed with statuscode: {answer.status}"


@dataclass
class Probe:
    """One probe of a container with its numbers; `note` hears of every failed look."""

    kind: ProbeKind
    spec: Json
    target: Target
    note: Callable[[str], None]

    async def until(self, *, success: bool) -> None:
        """Look at each period until the threshold of successes, or of failures, in a row is reached."""
        threshold = self.spec.get("successThreshold", 1) if success else self.spec.get("failureThreshold", 3)
        in_a_row = 0
        while in_a_row < threshold:
            in_a_row = in_a_row + 1 if await self.look() is success else 0
            if in_a_row < threshold:
                await asyncio.sleep(self.period)

    async def until_decided(self) -> bool:
        """Look at each period until one of both thresholds is reached: True for success."""
        successes = failures = 0
        while True:
            if await self.look():
                successes, failures = successes + 1, 0
            else:
                successes, failures = 0, failures + 1
            if successes >= self.spec.get("successThreshold", 1):
                return True
            if failures >= self.spec.get("failureThreshold", 3):
                return False
            await asyncio.sleep(self.period)

    async def look(self) -> bool:
        """Ask once."""
        failure = await perform(self.spec, self.target, self.spec.get("timeoutSeconds", 1))
        if failure is not None:
            self.note(f"{self.kind} probe failed: {failure}")
        return failure is None

    async def initial_delay(self) -> None:
        """Wait for `initialDelaySeconds`."""
        await asyncio.sleep(self.spec.get("initialDelaySeconds", 0))

    @property
    def period(self) -> float:
        """Seconds from one look to the next."""
        return float(self.spec.get("periodSeconds", 10))
