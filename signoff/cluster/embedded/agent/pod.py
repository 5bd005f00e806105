"""One pod on its node: volumes, init containers one by one, containers side by side, status, and its end."""

import asyncio
import logging
import shutil
import time
from calendar import timegm
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import aiohttp

from signoff.cluster.embedded.address_range import to_loopback
from signoff.cluster.embedded.agent.addresses import PodAddresses
from signoff.cluster.embedded.agent.backoff import BackOff
from signoff.cluster.embedded.agent.config import NodeConfig
from signoff.cluster.embedded.agent.container import Container
from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.runtime import Context, Runtime
from signoff.cluster.embedded.agent.sources import Reference, Sources, fetch, of_volumes
from signoff.cluster.embedded.agent.status import PodState
from signoff.cluster.embedded.agent.tokens import Tokens
from signoff.cluster.embedded.agent.volumes import MountError, check_volumes
from signoff.cluster.embedded.kubeapi import ApiError, Json
from signoff.cluster.embedded.sweep import short_path

LOG = logging.getLogger(__name__)

_MERGE = "application/strategic-merge-patch+json"
_TRY_AGAIN_SECONDS = 0.5
_MOUNT_AGAIN_SECONDS = (0.5, 10.0)
_LOOK_AT_TOKENS_SECONDS = 30.0
_FOLDER_NAME_LENGTH = 8
"""Of a pod's uid: programs put sockets into their temporary folders, and their paths must be short."""


class Pod:
    """Runs one pod and reports its status to the API server, until the pod is deleted."""

    def __init__(self, pod: Json, node: NodeConfig, addresses: PodAddresses, runtime: Runtime) -> None:
        self.pod = pod
        self._addresses, self._runtime = addresses, runtime
        self._address = addresses.take()
        self._dir = short_path(runtime.cluster_dir) / "pods" / pod["metadata"]["uid"][:_FOLDER_NAME_LENGTH]
        self._facts = PodFacts(pod, self._address, to_loopback(self._address), node.address)
        self._tokens = Tokens(runtime.api, self._facts)
        spec = pod["spec"]
        self._inits = [self._container(each, is_init=True) for each in spec.get("initContainers") or []]
        self._mains = [self._container(each) for each in spec["containers"]]
        self._state = PodState(
            host_ip=node.address, inits=[c.state for c in self._inits], mains=[c.state for c in self._mains]
        )
        self._conditions: list[Json] = pod.get("status", {}).get("conditions") or []
        self._dirty, self._deleting, self._gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._moved, self._stale, self._sending = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._sent: Json = {}
        self._sent_version = 0

    def _container(self, spec: Json, *, is_init: bool = False) -> Container:
        return Container(
            Context(spec, self._facts, self._tokens, self._runtime, self._dir, self._touch, is_init=is_init)
        )

    def container(self, name: str) -> Container | None:
        """The container of this name, init containers included."""
        return next((each for each in (*self._inits, *self._mains) if each.state.name == name), None)

    @property
    def listens_at(self) -> str:
        """The address on loopback at which its containers listen."""
        return to_loopback(self._address)

    def main_processes(self) -> list[tuple[str, int]]:
        """The containers that run, by name, each with its main process."""
        running = [(each.state.name, each.pid) for each in (*self._inits, *self._mains)]
        return [(name, pid) for name, pid in running if pid is not None]

    def update(self, pod: Json) -> None:
        """The API server has a newer version of the pod."""
        self.pod = self._facts.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._deleting.set()
        if int(pod["metadata"]["resourceVersion"]) > self._sent_version and self._overwritten():
            self._sent, self._conditions = {}, pod["status"]["conditions"]
        if _uses_downward_api(self._spec):
            self._stale.set()
        self._touch()

    def _overwritten(self) -> bool:
        """Whether somebody else has changed a condition, as the control plane does for a node that is lost."""
        theirs = {each["type"]: each["status"] for each in self.pod.get("status", {}).get("conditions") or []}
        return any(theirs.get(each["type"]) != each["status"] for each in self._sent.get("conditions", ()))

    def source_changed(self, namespace: str, reference: Reference) -> None:
        """A ConfigMap or Secret has changed; volumes made of it follow, subPath mounts of them do not."""
        if namespace == self.pod["metadata"]["namespace"] and reference in of_volumes(self._spec):
            self._stale.set()

    def vanish(self) -> None:
        """The API server has the pod no more: end it at once."""
        self._gone.set()
        self._deleting.set()

    async def run(self) -> None:
        """Live, until the pod is deleted."""
        reporting = asyncio.create_task(self._report_changes())
        refreshing = asyncio.create_task(self._refresh_volumes())
        renewing = asyncio.create_task(self._renew_tokens())
        living = asyncio.create_task(self._live())
        try:
            await self._deleting.wait()
            await self._terminate(living)
            await self._report_end()
        finally:
            for task in (living, renewing, refreshing, reporting):
                await _cancelled(task)
            self._runtime.events.discard(self.pod["metadata"]["uid"])
            self._addresses.give_back(self._address)
            await asyncio.to_thread(shutil.rmtree, self._dir, ignore_errors=True)

    async def _live(self) -> None:
        for image in {each["image"] for key in ("initContainers", "containers") for each in self._spec.get(key) or []}:
            self._runtime.pulls.begin(image)
        self._touch()
        await self._folder_made()
        await self._volumes_ready()
        self._state.pod_ip = self._address
        self._touch()
        async with asyncio.TaskGroup() as beside:
            if await self._initialized(beside):
                await _together(container.live() for container in self._mains)
            await self._end_sidecars()
        self._state.ended = True
        self._touch()

    async def _initialized(self, beside: asyncio.TaskGroup) -> bool:
        """Run the init containers one by one, whether all went well; a sidecar stays `beside` once it has started."""
        for container in self._inits:
            living = beside.create_task(container.live())
            if container.state.is_sidecar:
                await self._until_started(container)
            else:
                await asyncio.wait([living])
            if not container.state.has_initialized:
                return False
        return True

    async def _until_started(self, container: Container) -> None:
        """Wait until the container has started, as its startup probe sees it, or never will."""
        while not (container.state.started or container.state.finished):
            self._moved.clear()
            await self._moved.wait()

    async def _end_sidecars(self) -> None:
        """End them, since nothing else is left to run: within the pod's grace period, unless its deletion is nearer."""
        over = time.time() + float(self._spec.get("terminationGracePeriodSeconds", 30))

        def seconds_left() -> float:
            own = over - time.time()
            return min(own, self._seconds_left()) if self._deleting.is_set() else own

        await self._stop(seconds_left)

    @property
    def _spec(self) -> Json:
        spec: Json = self.pod["spec"]
        return spec

    async def _folder_made(self) -> None:
        """Make the pod's folder, however often there is no room for it."""
        back_off = BackOff(*_MOUNT_AGAIN_SECONDS)
        while True:
            try:
                self._dir.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self._runtime.events.add(self.pod, "Warning", "Failed", f"error making pod data directories: {error}")
                await asyncio.sleep(back_off.next())
            else:
                return

    async def _volumes_ready(self) -> None:
        """Wait until everything that the volumes are made of is there."""
        back_off = BackOff(*_MOUNT_AGAIN_SECONDS)
        while True:
            try:
                sources = await self._sources()
                check_volumes(self._spec, self._facts, sources)
            except MountError as error:
                self._runtime.events.add(self.pod, "Warning", "FailedMount", str(error))
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("volumes of %s: %s", self.pod["metadata"]["name"], error)
            else:
                return
            await asyncio.sleep(back_off.next())

    async def _sources(self) -> Sources:
        """What the volumes are made of."""
        found = await fetch(self._runtime.api, self.pod["metadata"]["namespace"], of_volumes(self._spec))
        return found | await self._tokens.sources()

    async def _renew_tokens(self) -> None:
        """Have the volumes show new tokens while the old ones are still good."""
        while True:
            await asyncio.sleep(_LOOK_AT_TOKENS_SECONDS)
            if self._tokens.due:
                self._stale.set()

    async def _refresh_volumes(self) -> None:
        """Whenever what they are made of has changed, have the volumes of the running containers show it."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                sources = await self._sources()
                for container in (*self._inits, *self._mains):
                    await container.refresh(sources)
            except MountError as error:
                self._runtime.events.add(self.pod, "Warning", "FailedMount", str(error))
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("volumes of %s: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                self._stale.set()
            except OSError as error:
                self._runtime.events.add(self.pod, "Warning", "FailedMount", str(error))
                await asyncio.sleep(_MOUNT_AGAIN_SECONDS[1])
                self._stale.set()

    async def _terminate(self, living: asyncio.Task[None]) -> None:
        """Stop what runs within the grace period; what only waits to run never will."""
        await self._stop(self._seconds_left)
        await _cancelled(living)
        for state in (each.state for each in (*self._inits, *self._mains)):
            state.finished, state.ready = True, state.ready and state.succeeded
        self._state.ended = True

    async def _stop(self, seconds_left: Callable[[], float]) -> None:
        """Stop the containers; a sidecar outlives all that came after it."""
        every = [*self._inits, *self._mains]

        def its_turn(after: list[Container]) -> Callable[[], bool]:
            return lambda: all(each.pid is None for each in after)

        await _together(
            container.stop(seconds_left, its_turn(every[place + 1 :] if container.state.is_sidecar else []))
            for place, container in enumerate(every)
        )

    def _seconds_left(self) -> float:
        """Seconds to the end of the grace period, which a second deletion may bring nearer."""
        stamp = self.pod["metadata"].get("deletionTimestamp")
        if self._gone.is_set() or not stamp:
            return 0.0
        return timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")) - time.time()

    def _touch(self) -> None:
        self._dirty.set()
        self._moved.set()

    async def _report_changes(self) -> None:
        """Send the status whenever it has changed."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._report()
            except ApiError as error:
                LOG.info("status of %s: %s", self.pod["metadata"]["name"], error)
                if error.status != 404:
                    await self._again()
            except (aiohttp.ClientError, TimeoutError) as error:
                LOG.info("status of %s: %s", self.pod["metadata"]["name"], error)
                await self._again()

    async def _again(self) -> None:
        await asyncio.sleep(_TRY_AGAIN_SECONDS)
        self._touch()

    async def _report(self) -> None:
        async with self._sending:  # or the API server might have the last one first
            status = self._state.as_json(self._conditions, self._gates(), self.pod["metadata"].get("generation"))
            if status == self._sent:
                return
            patch = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": status}
            answer = await self._runtime.api.request("PATCH", f"{self._path}/status", json=patch, content_type=_MERGE)
            self._sent, self._conditions = status, status["conditions"]
            self._sent_version = int(answer["metadata"]["resourceVersion"])

    def _gates(self) -> list[str]:
        """What is said of the readiness gates that do not hold."""
        found = {each["type"]: each["status"] for each in self.pod.get("status", {}).get("conditions") or []}
        wanted = [gate["conditionType"] for gate in self._spec.get("readinessGates") or []]
        return [
            f'the status of pod readiness gate "{gate}" is not "True", but {found[gate]}'
            if gate in found
            else f'corresponding condition of pod readiness gate "{gate}" does not exist.'
            for gate in wanted
            if found.get(gate) != "True"
        ]

    @property
    def _path(self) -> str:
        meta = self.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    async def _report_end(self) -> None:
        """Send the last status and have the API server forget the pod."""
        uid = {"uid": self.pod["metadata"]["uid"]}
        while not self._gone.is_set():
            try:
                await self._report()
                await self._runtime.api.request(
                    "DELETE", self._path, json={"gracePeriodSeconds": 0, "preconditions": uid}
                )
                return
            except ApiError as error:
                if error.status in (404, 409):
                    return
                LOG.info("end of %s: %s", self.pod["metadata"]["name"], error)
            except (aiohttp.ClientError, TimeoutError) as error:
                LOG.info("end of %s: %s", self.pod["metadata"]["name"], error)
            await asyncio.sleep(_TRY_AGAIN_SECONDS)


def _uses_downward_api(spec: Json) -> bool:
    volumes = spec.get("volumes") or []
    sources = [source for volume in volumes for source in (volume, *volume.get("projected", {}).get("sources", []))]
    return any("downwardAPI" in source for source in sources)


async def _together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait for its end; a failure of it is logged."""
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        LOG.error("a pod's task failed", exc_info=outcome)
