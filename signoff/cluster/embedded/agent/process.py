"""A container's main process and all that it starts."""

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from signoff.cluster.embedded import namespaces
from signoff.cluster.embedded.namespaces import View
from signoff.cluster.embedded.processes import MARK, descendants, kill, pids
from signoff.core.processes import dying_with
from signoff.core.waiting import until

_CONTAINER_MARK = "SIGNOFF_CONTAINER"
"""In the environment of every process of a container; its value is the container's id."""
_LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """How a container's process is started; `ports` are those it will listen on."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    ports: tuple[int, ...] = ()
    view: View | None = None
    """What it sees of the file system: in namespaces of its own, or without them what this user sees."""


def _begun(
    launch: Launch, marks: dict[str, str], out: IO[bytes]
) -> "tuple[subprocess.Popen[bytes], Callable[[], None]]":
    """The process, and what waits until it is the program."""
    env = {**launch.env, **marks}
    how: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": out,
        "stderr": out,
        "preexec_fn": dying_with(os.getpid()),
        "start_new_session": True,
    }
    if launch.view is None:
        return subprocess.Popen(launch.argv, env=env, cwd=launch.cwd, **how), lambda: None
    begun = namespaces.begin(launch.argv, env, launch.cwd, launch.view, marks=marks, **how)
    return begun.process, begun.wait


class Process:
    """A started process, leader of a session and process group of its own.

    Started from the main thread, since the parent-death signal follows the spawning thread.
    """

    @classmethod
    async def start(cls, launch: Launch, log: Path, cluster: Path) -> "Process":
        """Start it with both its outputs in `log`; other containers go on while its namespaces are made.

        Raises:
            OSError: it cannot be started.
        """
        own_id = uuid.uuid4().hex
        with log.open("ab") as out:
            begun, wait = _begun(launch, {MARK: str(cluster), _CONTAINER_MARK: own_id}, out)
        process = cls(begun, own_id)
        try:
            await asyncio.to_thread(wait)
        except BaseException:
            process._signal_group(signal.SIGKILL)  # at once: who gives up a second time does not wait for the rest
            await process.kill()
            raise
        return process

    def __init__(self, process: "subprocess.Popen[bytes]", own_id: str) -> None:
        self.id, self._process = own_id, process
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
        self._exit.set_result(128 - code if code < 0 else code)

    async def wait(self) -> int:
        """Wait for the end of the main process; gives its exit code, or 128 and the signal that killed it."""
        return await asyncio.shield(self._exit)

    @property
    def pid(self) -> int:
        """The main process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the main process lives."""
        return not self._exit.done()

    async def end(self, seconds_left: Callable[[], float]) -> None:
        """Ask the process group to end; kill it when its time is over, which may be cut short meanwhile."""
        self._signal_group(signal.SIGTERM)
        while self.running and (left := seconds_left()) > 0:
            await asyncio.wait([self._exit], timeout=min(left, _LOOK_EVERY_SECONDS))
        await self.kill()

    async def kill(self) -> None:
        """Kill the main process, its group, its descendants, and whatever else carries this container's mark."""
        if self.running:
            for pid in await asyncio.to_thread(descendants, self._process.pid):
                kill(pid)
        self._signal_group(signal.SIGKILL)
        await until(self._kill_marked, every=_LOOK_EVERY_SECONDS / 10)

    async def _kill_marked(self) -> bool:
        """Kill what still carries the mark; whether there was nothing left to kill."""
        left = await asyncio.to_thread(marked, self.id)
        for pid in left:
            kill(pid)
        return not left

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


def marked(container: str) -> list[int]:
    """The living processes that carry the container's mark; a zombie has no environment any more."""
    entry = f"{_CONTAINER_MARK}={container}".encode()
    return [pid for pid in pids() if entry in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
