"""A pod's status, as a pure function of what its containers do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from signoff.cluster.embedded.agent.clock import now
from signoff.cluster.embedded.kubeapi import Json

CONTAINER_CREATING = "ContainerCreating"
POD_INITIALIZING = "PodInitializing"
"""What containers wait for at first: the latter in pods that have init containers."""
_IMAGE_WAITS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


@dataclass(frozen=True)
class Terminated:
    """How a start of a container ended."""

    exit_code: int
    reason: str
    started_at: str
    finished_at: str
    container_id: str = ""
    message: str = ""

    def as_json(self) -> Json:
        """As ContainerStateTerminated."""
        state: Json = {
            "exitCode": self.exit_code,
            "reason": self.reason,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
        }
        if self.container_id:
            state["containerID"] = self.container_id
        if self.message:
            state["message"] = self.message
        return state


@dataclass
class ContainerState:
    """What a container does now: it runs (`running_since`), has ended (`terminated`), or waits for `waiting`.

    `finished` says that it will not start again.
    """

    name: str
    image: str
    is_sidecar: bool = False
    waiting: tuple[str, str] = (CONTAINER_CREATING, "")
    running_since: str = ""
    terminated: Terminated | None = None
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    finished: bool = False
    image_id: str = ""
    container_id: str = ""

    def wait_for(self, reason: str, message: str = "") -> None:
        """It waits, for the reason that `kubectl get pods` shows; what has ended before becomes the last state."""
        if self.terminated:
            self.last, self.terminated = self.terminated, None
        self.waiting = (reason, message)

    @property
    def next_start(self) -> int:
        """The number of the next start, from 0."""
        return self.restarts + 1 if self.last or self.terminated else 0

    def run(self, container_id: str) -> None:
        """It runs from now on; only now does a start after the first count as a restart."""
        self.restarts = self.next_start
        if self.terminated:
            self.last, self.terminated = self.terminated, None
        self.running_since, self.container_id = now(), container_id

    def end(self, exit_code: int, reason: str, message: str = "") -> None:
        """It has ended just now, or could not even start."""
        stamp = now()
        self.terminated = Terminated(exit_code, reason, self.running_since or stamp, stamp, self.container_id, message)
        self.running_since, self.started, self.ready = "", False, False

    def start_to_read(self, *, previous: bool) -> int:
        """The number of the start whose log is asked for.

        Raises:
            LookupError: there is none; its text has a place for the container's name.
        """
        if previous and not self.last:
            raise LookupError("previous terminated {} not found")
        if not self.has_started:
            reason, _ = self.waiting
            raise LookupError(f"{{}} is waiting to start: {_IMAGE_WAITS.get(reason, reason)}")
        has_current = bool(self.running_since or self.terminated)
        return self.restarts - (previous and has_current)

    @property
    def has_started(self) -> bool:
        """Whether a process of it has ever run."""
        return bool(self.running_since or self.terminated or self.last)

    @property
    def has_initialized(self) -> bool:
        """Of an init container: whether the next one may start. It is ready once it has succeeded; a sidecar stays."""
        return self.started if self.is_sidecar else self.ready

    @property
    def succeeded(self) -> bool:
        """Whether its last start ended well."""
        return self.terminated is not None and self.terminated.exit_code == 0

    def as_json(self) -> Json:
        """As ContainerStatus."""
        status: Json = {
            "name": self.name,
            "image": self.image,
            "imageID": self.image_id,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self._state(),
            "lastState": {"terminated": self.last.as_json()} if self.last else {},
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status

    def _state(self) -> Json:
        if self.running_since:
            return {"running": {"startedAt": self.running_since}}
        if self.terminated:
            return {"terminated": self.terminated.as_json()}
        reason, message = self.waiting
        return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


@dataclass
class PodState:
    """What a pod does. `ended` says that its last process is gone and none will come."""

    host_ip: str
    inits: Sequence[ContainerState]
    mains: Sequence[ContainerState]
    start_time: str = field(default_factory=now)
    pod_ip: str = ""
    ended: bool = False

    @property
    def sidecars(self) -> list[ContainerState]:
        """The init containers that stay."""
        return [state for state in self.inits if state.is_sidecar]

    @property
    def initialized(self) -> bool:
        """Whether all init containers have done their part; a sidecar that starts again changes nothing about it."""
        return any(state.has_started for state in self.mains) or all(state.has_initialized for state in self.inits)

    def phase(self) -> str:
        """The phase, as a kubelet derives it: a sidecar decides about no end, but a pod runs until it has ended too."""
        if any(state.finished and not state.ready and not state.is_sidecar for state in self.inits):
            return "Failed"
        if not self.initialized:
            return "Failed" if self.ended else "Pending"
        over = all(state.finished for state in self.mains) and not any(state.running_since for state in self.sidecars)
        if self.ended or over:
            return "Succeeded" if all(state.succeeded for state in self.mains) else "Failed"
        return "Running" if all(state.has_started for state in self.mains) else "Pending"

    def as_json(self, before: Sequence[Json], gates: Sequence[str] = (), generation: int | None = None) -> Json:
        """As PodStatus. `before` are the conditions so far: an unchanged one keeps the time of its transition.

        `gates` tell which of the pod's readiness gates do not hold; `generation` is the version of the pod that this is
        the status of.
        """
        phase = self.phase()
        status: Json = {
            "observedGeneration": generation,
            "phase": phase,
            "hostIP": self.host_ip,
            "hostIPs": [{"ip": self.host_ip}],
            "startTime": self.start_time,
            "conditions": [
                dated(each, before) | {"observedGeneration": generation} for each in self._conditions(phase, gates)
            ],
            "containerStatuses": [state.as_json() for state in self.mains],
        }
        if self.inits:
            status["initContainerStatuses"] = [state.as_json() for state in self.inits]
        if self.pod_ip:
            status |= {"podIP": self.pod_ip, "podIPs": [{"ip": self.pod_ip}]}
        return status

    def _conditions(self, phase: str, gates: Sequence[str]) -> list[Json]:
        incomplete = [state.name for state in self.inits if not state.has_initialized]
        unready = [state.name for state in (*self.sidecars, *self.mains) if not state.ready]
        done = "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else ""
        ready_reason = done or ("ContainersNotReady" if unready else "ReadinessGatesNotReady")
        unready_text = f"containers with unready status: [{' '.join(unready)}]"
        init_text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        ready_text = unready_text if unready else ", ".join(gates)
        all_ready = not unready and not done
        return [
            _condition("PodReadyToStartContainers", holds=bool(self.pod_ip) and not self.ended),
            _condition("Initialized", self.initialized, done or "ContainersNotInitialized", init_text),
            _condition("ContainersReady", all_ready, ready_reason, unready_text if unready else ""),
            _condition("Ready", all_ready and not gates, ready_reason, ready_text if unready or gates else ""),
        ]


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if holds else "False"}
    # Nulls take the old text away: conditions are merged by their type.
    return condition | {"reason": None if holds else reason or None, "message": None if holds else message or None}


def dated(condition: Json, before: Sequence[Json]) -> Json:
    """The condition with the time of its transition: now, unless it was so `before`."""
    for each in before:
        if each["type"] == condition["type"] and each["status"] == condition["status"]:
            return condition | {"lastTransitionTime": each["lastTransitionTime"]}
    return condition | {"lastTransitionTime": now()}
