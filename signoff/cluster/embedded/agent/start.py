"""One start of a container, from the birth of its process to the end of all that it left."""

import asyncio
import itertools
import logging
from collections.abc import Callable

from signoff.cluster.embedded.agent.downward import quantity
from signoff.cluster.embedded.agent.launch import TERMINATION_LOG, taken_ports
from signoff.cluster.embedded.agent.logs import last_words
from signoff.cluster.embedded.agent.memory import held_by
from signoff.cluster.embedded.agent.preparation import Prepared
from signoff.cluster.embedded.agent.probes import HandlerError, Probe, ProbeKind, Target, perform
from signoff.cluster.embedded.agent.process import Process
from signoff.cluster.embedded.agent.runtime import Context
from signoff.cluster.embedded.kubeapi import Json
from signoff.cluster.embedded.serviceproxy import holder_of
from signoff.core.waiting import until

LOG = logging.getLogger(__name__)

_LOOK_AT_MEMORY_SECONDS = 1.0
_POST_START_SECONDS = 3600.0
"""A kubelet sets no limit."""
_TURN_SECONDS = 0.1
_KILLED_AT_LEAST_SECONDS = 2.0
"""What a container has to end in even when its grace period is over (a kubelet's minimum)."""


class CannotStart(Exception):
    """The process cannot be started: CreateContainerError."""


class Start:
    """A container that runs, with its hooks, probes and limit of memory."""

    def __init__(self, context: Context, prepared: Prepared, process: Process) -> None:
        self.prepared = prepared
        self._context, self._state = context, context.state
        self._number, self._commands = context.state.next_start, itertools.count()
        self._stopping, self._out_of_memory = False, False
        self._end_noted = asyncio.Event()
        self._process = process
        context.event("Normal", "Created", "Container created")

    @classmethod
    async def of(cls, context: Context, prepared: Prepared) -> "Start":
        """Start the process.

        Raises:
            CannotStart: a port is taken, or there is no such program.
        """
        launch, address = prepared.launch, context.facts.address
        if taken := taken_ports(address, launch.ports):
            holders = "; ".join(f"port {port} is taken on this machine by {holder_of(address, port)}" for port in taken)
            raise CannotStart(holders)
        try:
            log = context.logs.begin(context.state.next_start)
            process = await Process.start(launch, log, context.runtime.cluster_dir)
        except OSError as error:
            raise CannotStart(f"exec {launch.argv[0]}: {error.strerror}") from error
        return cls(context, prepared, process)

    @property
    def pid(self) -> int | None:
        """The main process; None once it has ended."""
        return self._process.pid if self._process.running else None

    async def run(self) -> int:
        """Follow it until all that it left has ended; gives the exit code."""
        self._context.event("Normal", "Started", "Container started")
        meanwhile = [asyncio.create_task(each) for each in (self._follow(), self._keep_to_limit())]
        try:
            code = await self._process.wait()
            self._note_end(code)
        finally:
            self._end_noted.set()
            for task in meanwhile:
                task.cancel()
            await self._process.kill()
        self._context.changed()
        return code

    async def stop(self, seconds_left: Callable[[], float], its_turn: Callable[[], bool]) -> None:
        """End it gracefully: its preStop handler, SIGTERM once it is its turn, and SIGKILL when no seconds are left."""
        self._stopping = True
        if self._process.running:
            await self._end(f"Stopping container {self._state.name}", seconds_left, its_turn)
        # Killed processes lose their mark while the kernel still takes their memory away: their end is known later.
        await self._end_noted.wait()

    async def _follow(self) -> None:
        """Do what postStart says, ask the startup probe until it holds, then readiness and liveness side by side."""
        since = asyncio.get_running_loop().time()
        if (handler := self._handler("postStart")) and await self._hook_failed(handler, _POST_START_SECONDS):
            self._context.event("Warning", "FailedPostStartHook", "PostStartHook failed")
            await self._end_for("FailedPostStartHook")
            return
        self._note_running()
        self._context.changed()
        if startup := self._probe("Startup", "startupProbe"):
            async for started in startup.verdicts(since):
                if started:
                    break
                await self._kill_for(startup)
                return
        self._state.started = True
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow_readiness(since))
            if liveness := self._probe("Liveness", "livenessProbe"):
                both.create_task(self._follow_liveness(liveness, since))

    async def _follow_readiness(self, since: float) -> None:
        self._context.set_ready(not self._context.runs_to_completion and "readinessProbe" not in self._context.spec)
        if probe := self._probe("Readiness", "readinessProbe"):
            async for ready in probe.verdicts(since):
                if ready is not self._state.ready:
                    self._context.set_ready(ready)

    async def _follow_liveness(self, probe: Probe, since: float) -> None:
        async for alive in probe.verdicts(since):
            if not alive:
                await self._kill_for(probe)
                return

    async def _keep_to_limit(self) -> None:
        """Kill it when it holds more memory than its limit."""
        limit = ((self._context.spec.get("resources") or {}).get("limits") or {}).get("memory")
        while limit and self._process.running:
            if await asyncio.to_thread(held_by, self._process.pid) > quantity(limit):
                self._out_of_memory = self._process.running
                await self._process.kill()
            await asyncio.sleep(_LOOK_AT_MEMORY_SECONDS)

    async def _kill_for(self, probe: Probe) -> None:
        """End the process because a probe says so; it is then restarted like any that has ended.

        The words are the kubelet's (pkg/kubelet/kuberuntime/kuberuntime_manager.go and kuberuntime_container.go).
        """
        if not self._stopping:
            failed = f"{self._state.name} failed {probe.kind.lower()} probe"
            why = f"Init container {failed}" if self._context.is_sidecar else f"Container {failed}, will be restarted"
            await self._end_for(why, probe.spec.get("terminationGracePeriodSeconds"))

    async def _end_for(self, why: str, grace: float | None = None) -> None:
        """End it in the probe's own grace period, or the pod's."""
        if grace is None:
            grace = self._context.pod_spec.get("terminationGracePeriodSeconds", 30)
        over = asyncio.get_running_loop().time() + grace
        await self._end(why, lambda: over - asyncio.get_running_loop().time())

    async def _end(
        self, why: str, seconds_left: Callable[[], float], its_turn: Callable[[], bool] = lambda: True
    ) -> None:
        self._context.event("Normal", "Killing", why)
        if (handler := self._handler("preStop")) and seconds_left() > 0:
            await self._pre_stop(handler, seconds_left())

        async def has_come() -> bool:
            return its_turn() or seconds_left() <= 0

        await until(has_come, every=_TURN_SECONDS)
        over = asyncio.get_running_loop().time() + _KILLED_AT_LEAST_SECONDS
        await self._process.end(lambda: max(seconds_left(), over - asyncio.get_running_loop().time()))

    async def _pre_stop(self, handler: Json, seconds: float) -> None:
        """Do what preStop says, unless the process ends meanwhile."""
        hook = asyncio.create_task(self._hook_failed(handler, seconds))
        ended = asyncio.create_task(self._process.wait())
        await asyncio.wait({hook, ended}, return_when=asyncio.FIRST_COMPLETED)
        if hook.done() and hook.result():
            self._context.event("Warning", "FailedPreStopHook", "PreStopHook failed")
        hook.cancel()
        ended.cancel()

    def _handler(self, name: str) -> Json | None:
        return (self._context.spec.get("lifecycle") or {}).get(name)

    async def _hook_failed(self, handler: Json, seconds: float) -> bool:
        try:
            failure = await perform(handler, self._target(), seconds)
        except HandlerError as error:
            failure = str(error)
        if failure is not None:
            LOG.info("a lifecycle hook of %s failed: %s", self._state.name, failure)
        return failure is not None

    def _probe(self, kind: ProbeKind, key: str) -> Probe | None:
        spec = self._context.spec.get(key)

        def note(text: str) -> None:
            if kind == "Readiness" or not self._stopping:
                self._context.event("Warning", "Unhealthy", text)

        return Probe(kind, spec, self._target(), note) if spec else None

    def _target(self) -> Target:
        facts, http = self._context.facts, self._context.runtime.http
        return Target(facts.address, facts.pod_ip, self._context.spec, self._run_command, http)

    async def _run_command(self, command: list[str], seconds: float) -> tuple[int, str]:
        output = self._context.own_dir / f"exec.{self._number}.{next(self._commands)}.log"
        process: Process | None = None
        try:
            async with asyncio.timeout(seconds):
                process = await Process.start(self.prepared.command(command), output, self._context.runtime.cluster_dir)
                code = await process.wait()
            return code, output.read_text(errors="replace", encoding="utf-8")
        finally:
            if process:
                await process.kill()
            output.unlink(missing_ok=True)

    def _note_running(self) -> None:
        self._state.run(f"process://{self._process.id}")

    def _note_end(self, code: int) -> None:
        if not self._state.running_since:  # its postStart handler was not through
            self._note_running()
        reason = "OOMKilled" if self._out_of_memory else "Completed" if code == 0 else "Error"
        self._state.end(code, reason, self._termination_message(code))

    def _termination_message(self, code: int) -> str:
        context = self._context
        falls_back = code != 0 and context.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        log = context.logs.of(self._state.restarts) if falls_back else None
        return last_words(context.own_dir / TERMINATION_LOG, log)
