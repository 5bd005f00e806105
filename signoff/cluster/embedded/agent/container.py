"""One container of a pod: from the pull of its image through its starts to its last end."""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

import aiohttp

from signoff.cluster.embedded.agent.backoff import BackOff, Restarts
from signoff.cluster.embedded.agent.environment import ConfigError
from signoff.cluster.embedded.agent.preparation import prepared, pulled, refresh
from signoff.cluster.embedded.agent.runtime import Context
from signoff.cluster.embedded.agent.sources import Sources
from signoff.cluster.embedded.agent.start import CannotStart, Start
from signoff.cluster.embedded.agent.status import POD_INITIALIZING
from signoff.cluster.embedded.agent.volumes import MountError
from signoff.cluster.embedded.kubeapi import ApiError

LOG = logging.getLogger(__name__)

_CONFIG_AGAIN_SECONDS = 2.0


class Phase(Enum):
    """What a container is at; its state in the API (`status.ContainerState`) follows from what happens there."""

    WAITING = "waits for the init containers before it"
    PREPARING = "pulls its image and writes its files, until both can be done"
    RUNNING = "has a process"
    BACKING_OFF = "has crashed, and waits before it starts again"
    STOPPING = "ends, since its pod does"
    FINISHED = "has ended and does not start again"


_NEXT = {
    Phase.WAITING: {Phase.PREPARING, Phase.STOPPING},
    Phase.PREPARING: {Phase.RUNNING, Phase.STOPPING},
    Phase.RUNNING: {Phase.PREPARING, Phase.BACKING_OFF, Phase.STOPPING, Phase.FINISHED},
    Phase.BACKING_OFF: {Phase.PREPARING, Phase.STOPPING},
    Phase.STOPPING: {Phase.FINISHED},
    Phase.FINISHED: set[Phase](),
}
"""Which phases may follow each."""


class Container:
    """Runs one container again and again, as its pod's restart policy says; `state` tells how it is."""

    def __init__(self, context: Context) -> None:
        self.state, self.logs = context.state, context.logs
        if context.pod_spec.get("initContainers"):
            self.state.wait_for(POD_INITIALIZING)
        self._context = context
        self._phase = Phase.WAITING
        self._start: Start | None = None
        """In phase RUNNING, and while that process is being stopped."""
        self._restarts = Restarts()
        self._living: asyncio.Task[None] | None = None

    def _enter(self, phase: Phase) -> None:
        if phase not in _NEXT[self._phase]:
            raise RuntimeError(f"container {self.state.name}: {self._phase.name} cannot become {phase.name}")
        self._phase = phase

    @property
    def pid(self) -> int | None:
        """The main process; None while there is none."""
        start = self._start  # once: the Summary API asks from another thread
        return start.pid if start else None

    @property
    def _stopping(self) -> bool:
        return self._phase is Phase.STOPPING

    async def live(self) -> None:
        """Run it until it will not start again."""
        self._living = asyncio.current_task()
        while not self._stopping:
            self._enter(Phase.PREPARING)
            code = await self._run(await self._started())
            if self._stopping or not self._starts_again(code):
                break
            if seconds := self._restarts.wait():
                self._enter(Phase.BACKING_OFF)
                self._tell_crash_loop(seconds)
                await asyncio.sleep(seconds)
        self._enter(Phase.FINISHED)
        self.state.finished = True
        self._context.set_ready(self._context.runs_to_completion and self.state.succeeded)

    async def stop(self, seconds_left: Callable[[], float], its_turn: Callable[[], bool] = lambda: True) -> None:
        """End it gracefully within these seconds, once it is its turn, or before it starts.

        One that has finished stays as it is, and one that is being stopped is waited for.
        """
        if self._phase is Phase.FINISHED:
            return
        if self._phase is Phase.STOPPING:
            if self._living:
                await asyncio.wait([self._living])
            return
        self._enter(Phase.STOPPING)
        if self._start:
            await self._start.stop(seconds_left, its_turn)
        elif self._living:
            self._living.cancel()

    async def refresh(self, sources: Sources) -> None:
        """Have the volumes of a running container show what ConfigMaps, Secrets and the pod itself say now.

        Raises:
            MountError: a volume cannot be set up any more; all stay as they are.
        """
        if self._start:
            await refresh(self._context, sources, self._start.prepared.translate)

    async def _started(self) -> Start:
        """Start it, however long that takes."""
        back_off = BackOff()
        while True:
            image = await pulled(self._context)
            try:
                return await Start.of(self._context, await prepared(self._context, image))
            except (ConfigError, MountError) as error:
                self._tell_failure("CreateContainerConfigError", error)
                await asyncio.sleep(_CONFIG_AGAIN_SECONDS)
            except CannotStart as error:
                self._tell_failure("CreateContainerError", error)
                await asyncio.sleep(back_off.next())
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("%s: %s", self.state.name, error)
                await asyncio.sleep(_CONFIG_AGAIN_SECONDS)
            except OSError as error:  # of its folders: no room left, say
                self._tell_failure("CreateContainerError", error)
                await asyncio.sleep(back_off.next())

    async def _run(self, start: Start) -> int:
        self._enter(Phase.RUNNING)
        self._start = start
        self._restarts.started()
        try:
            return await start.run()
        finally:
            self._start = None

    def _starts_again(self, code: int) -> bool:
        policy = self._context.pod_spec.get("restartPolicy", "Always")
        if self._context.is_sidecar:
            return True
        if self._context.runs_to_completion:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    def _tell_failure(self, reason: str, error: Exception) -> None:
        self._context.wait_for(reason, str(error))
        self._context.event("Warning", "Failed", f"Error: {error}")

    def _tell_crash_loop(self, seconds: float) -> None:
        meta = self._context.facts.pod["metadata"]
        name, pod = self.state.name, f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        said = f"back-off {_go_duration(seconds)} restarting failed container={name} pod={pod}"
        self._context.wait_for("CrashLoopBackOff", said)
        self._context.event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}")


def _go_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: 10s, 1m20s."""
    minutes, rest = divmod(int(seconds), 60)
    return (f"{minutes}m" if minutes else "") + f"{rest}s"
