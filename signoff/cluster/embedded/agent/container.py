"""One container of a pod: from the pull of its image through its starts and probes to its last end."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from signoff.cluster.embedded.agent.backoff import BackOff, Restarts
from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.environment import ConfigError, environment
from signoff.cluster.embedded.agent.events import Events, Kind
from signoff.cluster.embedded.agent.launch import argv_of, launch, taken_ports
from signoff.cluster.embedded.agent.logs import LogFiles, termination_message
from signoff.cluster.embedded.agent.probes import Probe, ProbeKind, Target, perform
from signoff.cluster.embedded.agent.process import Launch, Process
from signoff.cluster.embedded.agent.pulls import Pulls
from signoff.cluster.embedded.agent.services import Services
from signoff.cluster.embedded.agent.sources import Sources, fetch, of_environment, of_volumes
from signoff.cluster.embedded.agent.status import ContainerState
from signoff.cluster.embedded.agent.translation import Translation, service_names
from signoff.cluster.embedded.agent.volumes import MountError, mount_paths, prepare_sub_paths, texts_of, write_volumes
from signoff.cluster.embedded.images import Image, ImageError
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi
from signoff.cluster.embedded.serviceproxy import holder_of

LOG = logging.getLogger(__name__)

_SERVICE_SECONDS = 5.0
"""A Service that a container names may be created just after its pod; for longer nobody waits."""
_ERROR_SECONDS = 1.0
"""How long ErrImagePull shows before ImagePullBackOff takes its place."""
_CONFIG_AGAIN_SECONDS = 2.0
_KILLED_AT_LEAST_SECONDS = 2.0
"""What a container has to end in even when its grace period is over (a kubelet's minimum)."""


@dataclass(frozen=True)
class Runtime:
    """What the containers of all pods share."""

    api: KubeApi
    events: Events
    pulls: Pulls
    services: Services
    http: aiohttp.ClientSession
    cluster_dir: Path


class _CannotStart(Exception):
    """The process cannot be started: CreateContainerError."""


class Container:
    """Runs one container again and again, as its pod's restart policy says; `state` tells how it is.

    `changed` is called whenever `state` has changed.
    """

    def __init__(
        self,
        spec: Json,
        facts: PodFacts,
        runtime: Runtime,
        pod_dir: Path,
        changed: Callable[[], None],
        *,
        restarts: str,
        is_init: bool = False,
    ) -> None:
        self.state = ContainerState(name=spec["name"], image=spec["image"])
        self.logs = LogFiles(pod_dir / "logs", spec["name"])
        self._spec, self._facts, self._runtime = spec, facts, runtime
        self._pod_dir, self._own_dir = pod_dir, pod_dir / spec["name"]
        self._changed, self._policy, self._is_init = changed, restarts, is_init
        self._process: Process | None = None
        self._restarts = Restarts()
        self._stopping = False
        self._living: asyncio.Task[None] | None = None
        self._in_image: Callable[[list[str]], Launch] | None = None

    async def live(self) -> None:
        """Run it until it will not start again."""
        self._living = asyncio.current_task()
        while not self._stopping:
            code = await self._start_and_wait()
            if self._stopping or not self._starts_again(code):
                break
            if seconds := self._restarts.wait():
                self._crash_loop(seconds)
                await asyncio.sleep(seconds)
        self.state.finished = True
        self.state.ready = self._is_init and self.state.succeeded
        self._changed()

    def _starts_again(self, code: int) -> bool:
        if self._is_init:
            return code != 0 and self._policy != "Never"
        return self._policy == "Always" or (self._policy == "OnFailure" and code != 0)

    def _crash_loop(self, seconds: float) -> None:
        meta = self._facts.pod["metadata"]
        name = f"{self.state.name} pod={meta['name']}_{meta['namespace']}({meta['uid']})"
        self._wait_for("CrashLoopBackOff", f"back-off {_go_duration(seconds)} restarting failed container={name}")
        self._event("Warning", "BackOff", f"Back-off restarting failed container {name}")

    async def stop(self, seconds_left: Callable[[], float]) -> None:
        """End it gracefully: its preStop handler, SIGTERM, and SIGKILL when no seconds are left."""
        self._stopping = True
        process = self._process
        if process is None:
            if self._living:
                self._living.cancel()
            return
        if not process.running:
            return
        self._event("Normal", "Killing", f"Stopping container {self.state.name}")
        if handler := self._spec.get("lifecycle", {}).get("preStop"):
            failure = await perform(handler, self._target(), max(seconds_left(), _KILLED_AT_LEAST_SECONDS))
            if failure:
                self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {failure}")
        over = asyncio.get_running_loop().time() + _KILLED_AT_LEAST_SECONDS
        await process.end(lambda: max(seconds_left(), over - asyncio.get_running_loop().time()))

    async def _start_and_wait(self) -> int:
        """Start it, however long that takes, and wait for its end; gives the exit code."""
        back_off = BackOff()
        while True:
            image = await self._image()
            try:
                return await self._run(await self._configure(image))
            except (ConfigError, MountError) as error:
                self._wait_for("CreateContainerConfigError", str(error))
                self._event("Warning", "Failed", f"Error: {error}")
                await asyncio.sleep(_CONFIG_AGAIN_SECONDS)
            except _CannotStart as error:
                self._wait_for("CreateContainerError", str(error))
                self._event("Warning", "Failed", f"Error: {error}")
                await asyncio.sleep(back_off.next())
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("%s: %s", self.state.name, error)
                await asyncio.sleep(_CONFIG_AGAIN_SECONDS)

    async def _image(self) -> Image:
        """The image, once it could be had."""
        reference, pulls, back_off = self._spec["image"], self._runtime.pulls, BackOff()
        while True:
            at_hand = pulls.at_hand(reference)
            if not at_hand:
                self._event("Normal", "Pulling", f'Pulling image "{reference}"')
            try:
                image = await pulls.get(reference)
            except ImageError as error:
                self._event("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
                self._wait_for("ErrImagePull", str(error))
                await asyncio.sleep(_ERROR_SECONDS)
                self._event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
                self._wait_for("ImagePullBackOff", f'Back-off pulling image "{reference}": {error}')
                await asyncio.sleep(back_off.next())
                continue
            text = "already present on machine" if at_hand else "is prepared"
            self._event("Normal", "Pulled", f'Container image "{reference}" {text}')
            self.state.image_id = image.env_dir.name
            return image

    async def _configure(self, image: Image) -> Launch:
        """Write the container's files and put its command line and environment together.

        Raises:
            ConfigError, MountError: what it refers to is not there.
            ApiError, aiohttp.ClientError, TimeoutError: the API server does not answer.
        """
        spec, facts, pod_spec = self._spec, self._facts, self._facts.pod["spec"]
        namespace = facts.pod["metadata"]["namespace"]
        sources = await fetch(self._runtime.api, namespace, of_environment(spec) | of_volumes(pod_spec))
        variables = environment(spec, facts, sources)
        paths = mount_paths(spec, pod_spec, self._pod_dir, self._own_dir, variables)
        await self._wait_for_services(image, variables, sources)
        translate = Translation(paths, facts.address, self._runtime.services.addresses)
        await asyncio.to_thread(write_volumes, pod_spec, facts, sources, self._pod_dir, self._own_dir, translate)
        prepare_sub_paths(spec, pod_spec, paths)
        made = launch(spec, image, variables, translate, self._own_dir, facts.pod["metadata"]["name"])
        self._in_image = lambda command: Launch([translate(part) for part in command], made.env, made.cwd)
        return made

    async def _wait_for_services(self, image: Image, variables: dict[str, str], sources: Sources) -> None:
        facts = self._facts
        argv = argv_of(self._spec, image, variables, facts.address)
        texts = [*argv, *variables.values(), *texts_of(facts.pod["spec"], facts, sources)]
        names = {name for text in texts for name in service_names(text)}
        for name in sorted(await self._runtime.services.missing(names, _SERVICE_SECONDS)):
            self._event("Warning", "UnknownService", f"there is no Service {name}; its name will not resolve")

    async def _run(self, made: Launch) -> int:
        """One start: from the process's birth to the end of all that it left."""
        process = self._spawn(made)
        self._restarts.started()
        self._event("Normal", "Started", f"Started container {self.state.name}")
        probing = asyncio.create_task(self._probe(process))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            await process.kill()
            self._process = None
        self.state.end(code, "Completed" if code == 0 else "Error", self._termination_message(code))
        self._changed()
        return code

    def _spawn(self, made: Launch) -> Process:
        address = self._facts.address
        if taken := taken_ports(address, made.ports):
            holders = "; ".join(f"port {port} is taken on this machine by {holder_of(address, port)}" for port in taken)
            raise _CannotStart(holders)
        log = self.logs.begin(self.state.next_start)
        try:
            self._process = Process(made, log, self._runtime.cluster_dir)
        except OSError as error:
            raise _CannotStart(f"exec {made.argv[0]}: {error.strerror}") from error
        self._event("Normal", "Created", f"Created container {self.state.name}")
        self.state.run(f"process://{self._process.id}")
        self._changed()
        return self._process

    def _termination_message(self, code: int) -> str:
        if code == 0 or self._spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return termination_message(self.logs.of(self.state.restarts))

    async def _probe(self, process: Process) -> None:
        """Ask the startup probe until it holds, then readiness and liveness side by side."""
        startup = self._probe_of("Startup", "startupProbe")
        if startup:
            await startup.initial_delay()
            if not await startup.until_decided():
                await self._kill_for(startup, process)
                return
        self.state.started = True
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow_readiness())
            if liveness := self._probe_of("Liveness", "livenessProbe"):
                both.create_task(self._follow_liveness(liveness, process))

    async def _follow_readiness(self) -> None:
        probe = self._probe_of("Readiness", "readinessProbe")
        if probe is None:
            self._set_ready(not self._is_init)
            return
        self._changed()
        await probe.initial_delay()
        while True:
            await probe.until(success=not self.state.ready)
            self._set_ready(not self.state.ready)
            await asyncio.sleep(probe.period)

    async def _follow_liveness(self, probe: Probe, process: Process) -> None:
        await probe.initial_delay()
        await probe.until(success=False)
        await self._kill_for(probe, process)

    async def _kill_for(self, probe: Probe, process: Process) -> None:
        """End the process because a probe says so; it is then restarted like any that has ended."""
        if self._stopping:
            return
        text = f"Container {self.state.name} failed {probe.kind.lower()} probe, will be restarted"
        self._event("Normal", "Killing", text)
        grace = self._facts.pod["spec"].get("terminationGracePeriodSeconds", 30)
        over = asyncio.get_running_loop().time() + probe.spec.get("terminationGracePeriodSeconds", grace)
        await process.end(lambda: over - asyncio.get_running_loop().time())

    def _probe_of(self, kind: ProbeKind, key: str) -> Probe | None:
        spec = self._spec.get(key)
        return Probe(kind, spec, self._target(), self._note_unhealthy) if spec else None

    def _note_unhealthy(self, text: str) -> None:
        self._event("Warning", "Unhealthy", text)

    def _target(self) -> Target:
        return Target(self._facts.address, self._spec, self._run_command, self._runtime.http)

    async def _run_command(self, command: list[str], seconds: float) -> tuple[int, str]:
        assert self._in_image is not None
        output = self._own_dir / "exec.log"
        output.unlink(missing_ok=True)
        process = Process(self._in_image(command), output, self._runtime.cluster_dir)
        try:
            async with asyncio.timeout(seconds):
                code = await process.wait()
        finally:
            await process.kill()
        return code, output.read_text(errors="replace").strip()

    def _set_ready(self, ready: bool) -> None:
        self.state.ready = ready
        self._changed()

    def _wait_for(self, reason: str, message: str) -> None:
        self.state.wait_for(reason, message)
        self._changed()

    def _event(self, kind: Kind, reason: str, message: str) -> None:
        self._runtime.events.add(self._facts.pod, kind, reason, message, self.state.name)


def _go_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: 10s, 1m20s."""
    minutes, rest = divmod(int(seconds), 60)
    return (f"{minutes}m" if minutes else "") + f"{rest}s"
