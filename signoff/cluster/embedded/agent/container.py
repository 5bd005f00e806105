"""One container of a pod: from the pull of its image through its starts and probes to its last end."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from signoff.cluster.embedded.agent.backoff import BackOff, Restarts
from signoff.cluster.embedded.agent.downward import PodFacts, quantity
from signoff.cluster.embedded.agent.environment import ConfigError, check_user, environment
from signoff.cluster.embedded.agent.events import Events, Kind
from signoff.cluster.embedded.agent.launch import (
    TERMINATION_LOG,
    fresh_folders,
    launch,
    own_paths,
    taken_ports,
    words_of,
)
from signoff.cluster.embedded.agent.logs import LogFiles, last_words
from signoff.cluster.embedded.agent.memory import held_by
from signoff.cluster.embedded.agent.probes import HandlerError, Probe, ProbeKind, Target, perform
from signoff.cluster.embedded.agent.process import Launch, Process
from signoff.cluster.embedded.agent.pulls import Pulls
from signoff.cluster.embedded.agent.services import Services
from signoff.cluster.embedded.agent.sources import Sources, fetch, of_environment, of_volumes
from signoff.cluster.embedded.agent.status import POD_INITIALIZING, ContainerState
from signoff.cluster.embedded.agent.translation import Translation, service_names
from signoff.cluster.embedded.agent.volumes import (
    MountError,
    mount_paths,
    prepare_sub_paths,
    texts_of,
    write_volumes,
)
from signoff.cluster.embedded.images import Image, ImageError
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi
from signoff.cluster.embedded.serviceproxy import holder_of

LOG = logging.getLogger(__name__)

_SERVICE_SECONDS = 5.0
"""A Service that a container names may be created just after its pod; for longer nobody waits."""
_ERROR_SECONDS = 1.0
"""How long ErrImagePull shows before ImagePullBackOff takes its place."""
_CONFIG_AGAIN_SECONDS = 2.0
_LOOK_AT_MEMORY_SECONDS = 1.0
_POST_START_SECONDS = 3600.0
"""A kubelet sets no limit."""
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
        if facts.pod["spec"].get("initContainers"):
            self.state.wait_for(POD_INITIALIZING)
        self.logs = LogFiles(pod_dir / "logs", spec["name"])
        self._spec, self._facts, self._runtime = spec, facts, runtime
        self._pod_dir, self._own_dir = pod_dir, pod_dir / spec["name"]
        self._changed, self._policy, self._is_init = changed, restarts, is_init
        self._process: Process | None = None
        self._end_noted = asyncio.Event()
        self._restarts = Restarts()
        self._stopping = False
        self._living: asyncio.Task[None] | None = None
        self._in_image: Callable[[list[str]], Launch] | None = None
        self._translate: Translation | None = None
        self._commands = itertools.count()
        self._out_of_memory = False

    @property
    def pid(self) -> int | None:
        """The main process; None while there is none."""
        process = self._process  # once: the Summary API asks from another thread
        return process.pid if process and process.running else None

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
        name, pod = self.state.name, f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        said = f"back-off {_go_duration(seconds)} restarting failed container={name} pod={pod}"
        self._wait_for("CrashLoopBackOff", said)
        self._event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}")

    async def stop(self, seconds_left: Callable[[], float]) -> None:
        """End it gracefully: its preStop handler, SIGTERM, and SIGKILL when no seconds are left."""
        self._stopping = True
        process = self._process
        if process is None:
            if self._living:
                self._living.cancel()
            return
        if process.running:
            await self._end(process, f"Stopping container {self.state.name}", seconds_left)
        # Killed processes lose their mark while the kernel still takes their memory away: their end is known later.
        await self._end_noted.wait()

    async def _end(self, process: Process, why: str, seconds_left: Callable[[], float]) -> None:
        self._event("Normal", "Killing", why)
        if (handler := self._handler("preStop")) and seconds_left() > 0:
            hook = asyncio.create_task(self._hook_failed(handler, seconds_left()))
            ended = asyncio.create_task(process.wait())
            await asyncio.wait({hook, ended}, return_when=asyncio.FIRST_COMPLETED)
            if hook.done() and hook.result():
                self._event("Warning", "FailedPreStopHook", "PreStopHook failed")
            hook.cancel()
            ended.cancel()
        over = asyncio.get_running_loop().time() + _KILLED_AT_LEAST_SECONDS
        await process.end(lambda: max(seconds_left(), over - asyncio.get_running_loop().time()))

    def _handler(self, name: str) -> Json | None:
        return (self._spec.get("lifecycle") or {}).get(name)

    async def _hook_failed(self, handler: Json, seconds: float) -> bool:
        try:
            failure = await perform(handler, self._target(), seconds)
        except HandlerError as error:
            failure = str(error)
        if failure is not None:
            LOG.info("a lifecycle hook of %s failed: %s", self.state.name, failure)
        return failure is not None

    async def refresh(self, sources: Sources) -> None:
        """Have the volumes show what ConfigMaps, Secrets and the pod itself say now; subPath mounts keep what they had.

        Raises:
            MountError: a volume cannot be set up any more; all stay as they are.
        """
        if self._translate and self._process:
            pod = self._facts.pod["spec"]
            await asyncio.to_thread(
                write_volumes, pod, self._facts, sources, self._pod_dir, self._own_dir, self._translate
            )

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
                self._event("Warning", "Failed", "Error: ErrImagePull")
                self._wait_for("ErrImagePull", str(error))
                await asyncio.sleep(_ERROR_SECONDS)
                self._event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
                self._event("Warning", "Failed", "Error: ImagePullBackOff")
                self._wait_for("ImagePullBackOff", f'Back-off pulling image "{reference}": {error}')
                await asyncio.sleep(back_off.next())
                continue
            present = f'Container image "{reference}" already present on machine'
            self._event("Normal", "Pulled", present if at_hand else f'Successfully pulled image "{reference}"')
            self.state.image_id = image.env_dir.name
            return image

    async def _configure(self, image: Image) -> Launch:
        """Write the container's files and put its command line and environment together.

        Raises:
            ConfigError, MountError: what it refers to is not there.
            ApiError, aiohttp.ClientError, TimeoutError: the API server does not answer.
        """
        spec, facts, pod_spec = self._spec, self._facts, self._facts.pod["spec"]
        check_user(spec, facts.pod)
        if self._is_init and spec.get("restartPolicy") == "Always":
            raise ConfigError("the embedded cluster has no restartable init containers (sidecars)")
        namespace = facts.pod["metadata"]["namespace"]
        sources = await fetch(self._runtime.api, namespace, of_environment(spec) | of_volumes(pod_spec))
        links = self._runtime.services.links(namespace) if pod_spec.get("enableServiceLinks", True) else {}
        variables = environment(spec, facts, sources, links)
        paths = own_paths(spec, self._own_dir)
        paths |= mount_paths(spec, pod_spec, self._pod_dir, self._own_dir, variables)
        await self._wait_for_services(image, variables, sources)
        self._translate = translate = Translation(paths, facts.address, self._runtime.services.addresses)
        await asyncio.to_thread(fresh_folders, self._own_dir)
        await asyncio.to_thread(write_volumes, pod_spec, facts, sources, self._pod_dir, self._own_dir, translate)
        prepare_sub_paths(spec, pod_spec, self._pod_dir, self._own_dir, variables)
        made = launch(spec, image, variables, translate, self._own_dir, facts.pod["metadata"]["name"])
        self._in_image = lambda command: Launch([translate(part) for part in command], made.env, made.cwd)
        return made

    async def _wait_for_services(self, image: Image, variables: dict[str, str], sources: Sources) -> None:
        facts = self._facts
        texts = [
            *words_of(self._spec, image, variables),
            *variables.values(),
            *texts_of(facts.pod["spec"], facts, sources),
        ]
        names = {name for text in texts for name in service_names(text)}
        for name in sorted(await self._runtime.services.missing(names, _SERVICE_SECONDS)):
            self._event("Warning", "UnknownService", f"there is no Service {name}; its name will not resolve")

    async def _run(self, made: Launch) -> int:
        """One start: from the process's birth to the end of all that it left."""
        process = self._spawn(made)
        self._restarts.started()
        self._event("Normal", "Started", "Container started")
        meanwhile = [asyncio.create_task(each(process)) for each in (self._follow, self._keep_to_limit)]
        try:
            code = await process.wait()
            self._note_end(process, code)
        finally:
            self._end_noted.set()
            for task in meanwhile:
                task.cancel()
            await process.kill()
            self._process = None
        self._changed()
        return code

    def _note_end(self, process: Process, code: int) -> None:
        if not self.state.running_since:  # its postStart handler was not through
            self.state.run(f"process://{process.id}")
        reason = "OOMKilled" if self._out_of_memory else "Completed" if code == 0 else "Error"
        self.state.end(code, reason, self._termination_message(code))

    async def _keep_to_limit(self, process: Process) -> None:
        """Kill it when it holds more memory than its limit."""
        self._out_of_memory = False
        limit = ((self._spec.get("resources") or {}).get("limits") or {}).get("memory")
        while limit and process.running:
            if await asyncio.to_thread(held_by, process.pid) > quantity(limit):
                self._out_of_memory = process.running
                await process.kill()
            await asyncio.sleep(_LOOK_AT_MEMORY_SECONDS)

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
        self._end_noted.clear()
        self._event("Normal", "Created", "Container created")
        return self._process

    def _termination_message(self, code: int) -> str:
        falls_back = code != 0 and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        return last_words(self._own_dir / TERMINATION_LOG, self.logs.of(self.state.restarts) if falls_back else None)

    async def _follow(self, process: Process) -> None:
        """Do what postStart says, ask the startup probe until it holds, then readiness and liveness side by side."""
        since = asyncio.get_running_loop().time()
        if (handler := self._handler("postStart")) and await self._hook_failed(handler, _POST_START_SECONDS):
            self._event("Warning", "FailedPostStartHook", "PostStartHook failed")
            await self._end_for("FailedPostStartHook", process, None)
            return
        self.state.run(f"process://{process.id}")
        self._changed()
        if startup := self._probe_of("Startup", "startupProbe"):
            async for started in startup.verdicts(since):
                if started:
                    break
                await self._kill_for(startup, process)
                return
        self.state.started = True
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow_readiness(since))
            if liveness := self._probe_of("Liveness", "livenessProbe"):
                both.create_task(self._follow_liveness(liveness, process, since))

    async def _follow_readiness(self, since: float) -> None:
        self._set_ready(not self._is_init and "readinessProbe" not in self._spec)
        if probe := self._probe_of("Readiness", "readinessProbe"):
            async for ready in probe.verdicts(since):
                if ready is not self.state.ready:
                    self._set_ready(ready)

    async def _follow_liveness(self, probe: Probe, process: Process, since: float) -> None:
        async for alive in probe.verdicts(since):
            if not alive:
                await self._kill_for(probe, process)
                return

    async def _kill_for(self, probe: Probe, process: Process) -> None:
        """End the process because a probe says so; it is then restarted like any that has ended."""
        if not self._stopping:
            text = f"Container {self.state.name} failed {probe.kind.lower()} probe, will be restarted"
            await self._end_for(text, process, probe.spec.get("terminationGracePeriodSeconds"))

    async def _end_for(self, why: str, process: Process, grace: float | None) -> None:
        if grace is None:
            grace = self._facts.pod["spec"].get("terminationGracePeriodSeconds", 30)
        over = asyncio.get_running_loop().time() + grace
        await self._end(process, why, lambda: over - asyncio.get_running_loop().time())

    def _probe_of(self, kind: ProbeKind, key: str) -> Probe | None:
        spec = self._spec.get(key)

        def note(text: str) -> None:
            if kind == "Readiness" or not self._stopping:
                self._event("Warning", "Unhealthy", text)

        return Probe(kind, spec, self._target(), note) if spec else None

    def _target(self) -> Target:
        facts = self._facts
        return Target(facts.address, facts.pod_ip, self._spec, self._run_command, self._runtime.http)

    async def _run_command(self, command: list[str], seconds: float) -> tuple[int, str]:
        assert self._in_image is not None
        output = self._own_dir / f"exec.{next(self._commands)}.log"
        process = Process(self._in_image(command), output, self._runtime.cluster_dir)
        try:
            async with asyncio.timeout(seconds):
                code = await process.wait()
            return code, output.read_text(errors="replace", encoding="utf-8")
        finally:
            await process.kill()
            output.unlink(missing_ok=True)

    def _set_ready(self, ready: bool) -> None:
        self.state.ready = ready
        self._changed()

    def _wait_for(self, reason: str, message: str) -> None:
        self.state.wait_for(reason, message)
        self._changed()

    def _event(self, kind: Kind, reason: str, message: str) -> None:
        field = "initContainers" if self._is_init else "containers"
        self._runtime.events.add(self._facts.pod, kind, reason, message, f"spec.{field}{{{self.state.name}}}")


def _go_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: 10s, 1m20s."""
    minutes, rest = divmod(int(seconds), 60)
    return (f"{minutes}m" if minutes else "") + f"{rest}s"
