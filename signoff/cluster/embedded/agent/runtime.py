"""What the containers of a node share, and what the parts of one container do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.events import Events, Kind
from signoff.cluster.embedded.agent.logs import LogFiles
from signoff.cluster.embedded.agent.pulls import Pulls
from signoff.cluster.embedded.agent.services import Services
from signoff.cluster.embedded.agent.status import ContainerState
from signoff.cluster.embedded.agent.tokens import Tokens
from signoff.cluster.embedded.kubeapi import Json, KubeApi


@dataclass(frozen=True)
class Runtime:
    """What the containers of all pods share."""

    api: KubeApi
    events: Events
    pulls: Pulls
    services: Services
    http: aiohttp.ClientSession
    cluster_dir: Path
    namespaces: bool
    """Whether each container has namespaces of its own."""
    server: str
    """The API server's URL."""
    relay: str = field(repr=False)
    """The URL of the relay into the pods' network, with its password."""


@dataclass
class Context:
    """One container: its specification, its place on disk, its state, and how it says that this has changed."""

    spec: Json
    facts: PodFacts
    tokens: Tokens
    runtime: Runtime
    pod_dir: Path
    changed: Callable[[], None]
    is_init: bool = False
    state: ContainerState = field(init=False)
    logs: LogFiles = field(init=False)

    def __post_init__(self) -> None:
        """Begin with a container of which nothing has happened."""
        self.state = ContainerState(self.spec["name"], self.spec["image"], is_sidecar=self.is_sidecar)
        self.logs = LogFiles(self.pod_dir / "logs", self.spec["name"])

    @property
    def is_sidecar(self) -> bool:
        """An init container that stays beside the main ones."""
        return self.is_init and self.spec.get("restartPolicy") == "Always"

    @property
    def runs_to_completion(self) -> bool:
        """An init container whose end the pod waits for."""
        return self.is_init and not self.is_sidecar

    @property
    def own_dir(self) -> Path:
        """The container's folder in its pod's, below one that no volume or log can be called like."""
        return self.pod_dir / "containers" / str(self.spec["name"])

    @property
    def pod_spec(self) -> Json:
        """The pod's specification as it is now."""
        spec: Json = self.facts.pod["spec"]
        return spec

    def wait_for(self, reason: str, message: str) -> None:
        """It waits, for the reason that `kubectl get pods` shows."""
        self.state.wait_for(reason, message)
        self.changed()

    def set_ready(self, ready: bool) -> None:
        """It is ready, or no longer."""
        self.state.ready = ready
        self.changed()

    def event(self, kind: Kind, reason: str, message: str) -> None:
        """Record an event about the container."""
        place = "initContainers" if self.is_init else "containers"
        self.runtime.events.add(self.facts.pod, kind, reason, message, f"spec.{place}{{{self.state.name}}}")
