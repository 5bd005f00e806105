"""What the suite may ask of a cluster and of whoever provides it; it never asks which one it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from signoff.cluster.access import NO_USE, Access, Use
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.kube.gate import Gate


@dataclass(frozen=True)
class ClusterFacts:
    """What the report says of a cluster. `start_seconds` maps a phase of its start to its duration.

    `uid` is that of the namespace kube-system of a person's own cluster, which tells it from all others.
    """

    provider: str
    kubernetes_version: str
    nodes: tuple[str, ...]
    start_seconds: dict[str, float]
    details: dict[str, Any]
    uid: str = ""


class Standing(NamedTuple):
    """A person's own cluster: a kubeconfig of it alone, and the UID of its namespace kube-system."""

    kubeconfig: Path
    uid: str


class Needs(NamedTuple):
    """What a deployment asks of a cluster.

    `images` are those that pods will ask for, each with what names it: an option, a variable or a file. `variables` are
    those of LiteLLM for which its image needs more than LiteLLM itself, each with what sets it. `namespaces` are those
    in which its objects are, LiteLLM's first.
    """

    images: Mapping[str, str]
    variables: Mapping[str, str]
    namespaces: Sequence[str]


@dataclass(frozen=True)
class TunnelBreak:
    """A connection through the tunnel that could not be opened, or ended in no order.

    `moment` is that of `time.monotonic()`. It was `by_tunnel` where the pod stayed as it was; else the pod had ended.
    """

    moment: float
    at: datetime
    service: str
    pod: str
    what: str
    by_tunnel: bool

    def __str__(self) -> str:
        to = f"the Service {self.service}" + (f" (pod {self.pod})" if self.pod else "")
        return f"the tunnel to {to} broke at {self.at:%H:%M:%S} UTC: {self.what}"


class Cluster(Protocol):
    """A running cluster. `capabilities` holds names such as "scale-backend" that scenarios' tags may need.

    "controllers" is that of a cluster in which the suite may put an ingress controller, and whatever else it wants;
    "deploy" is that of one in which further LiteLLMs may be put beside the one under test, and "job" that of one in
    which pods may be run that only ask.
    """

    capabilities: frozenset[str]
    opened_by: Mapping[str, str]
    """Of capabilities that it lacks, why, and the option that opens them; in a sentence."""
    kubeconfig: Path
    dir: Path
    """What `--attach` names."""
    tunnelled: bool
    """Whether `service_url` leads through a tunnel that adds to latency, which is then timed inside the cluster."""

    own_namespace: str
    """The one for pods that only ask, where it is not LiteLLM's own; else empty."""

    @property
    def gate(self) -> Gate | None:
        """What every write to the cluster has to pass; None where all of it is the suite's own."""
        ...

    reused: bool
    """Whether earlier runs may have left something on it that this one must clear away; never so on a person's own."""

    def facts(self) -> ClusterFacts:
        """Versions and sizes for the report."""
        ...

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """The base URL, without a trailing slash, at which this process reaches the Service's port.

        Raises:
            SignoffError: there is no such Service.
        """
        ...

    def address_in_pods(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        """The host, an address, and port at which a program in a pod reaches the Service's port.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        ...

    def export_logs(self, folder: Path) -> None:
        """Write the logs of the cluster's own parts below `folder`, for a run that failed."""
        ...

    def tunnel_breaks(self, since: float) -> Sequence[TunnelBreak]:
        """What has broken the way to Services since this moment of `time.monotonic()`; nothing without a tunnel."""
        ...

    def failure(self) -> SignoffError | None:
        """Why the cluster itself has ended, or None while it lives, as far as this machine can tell."""
        ...

    def close(self) -> Sequence[str]:
        """End the cluster if this object started it, and free what this object holds.

        Of one that is a person's own: what is not as it was before it was opened, each in a sentence.
        """
        ...


class Running(Protocol):
    """A cluster of the suite's own that is up, as `signoff cluster` lists, describes and ends it."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def dir(self) -> Path:
        """Its folder, which `--attach` takes as well as its name."""
        ...

    @property
    def kubeconfig(self) -> Path:
        """For kubectl."""
        ...

    @property
    def provider(self) -> str:
        """Whose it is."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it stays until `signoff cluster down`; else it ends with the program that uses it."""
        ...

    @property
    def nodes(self) -> Collection[str]:
        """The nodes that it was started with, as texts."""
        ...

    @property
    def difference(self) -> str:
        """What but its nodes differs from a cluster started now; empty if nothing does."""
        ...

    def ailment(self) -> str:
        """Look at it before it is handed out; gives what is wrong, or nothing.

        What it can it repairs, unless a program uses it.
        """
        ...

    @property
    def age_seconds(self) -> float:
        """How long it has been up."""
        ...

    @property
    def memory_mb(self) -> float | None:
        """What it holds with all its pods; None where that takes too long to find out."""
        ...

    @property
    def user(self) -> str:
        """The program that uses it now; empty where there is none, as far as this machine can tell."""
        ...

    def how_to_use(self) -> str:
        """What a person does with it: lines for a shell, the URLs of its Services, and how a run takes it."""
        ...

    def end(self) -> None:
        """End it with all that runs on it, and remove its folder.

        Raises:
            SignoffError: it cannot be ended.
        """
        ...


class Provider(Protocol):
    """What makes clusters of one kind: the functions of its module `provider`."""

    DEPLOYS: bool
    """Whether the suite deploys what it judges there; else it is a person's own, on which it stands already."""

    def standing(self, access: Access) -> Standing | None:
        """The cluster on which gateway and backend stand already, and are judged as they stand.

        None where the suite deploys them. Nothing is written but private files that end with this process.

        Raises:
            SignoffError: the cluster is none that may be used, or cannot be reached.
        """
        ...

    def precheck(self, attach: Path | None, needs: Needs, access: Access) -> None:
        """See in a moment that `open_cluster` has a chance; starts nothing and writes nothing.

        Raises:
            SignoffError: it cannot run here, nothing runs that it could attach to, it cannot have an image, or it does
                not let the suite do what was allowed.
        """
        ...

    def unconfined(self, attach: Path | None) -> str:
        """Why containers are processes of this user that nothing keeps apart from the rest; empty where they are.

        `attach` is the running cluster that is used, else it is one that would be started now.
        """
        ...

    def open_cluster(
        self,
        attach: Path | None,
        images: Mapping[str, Collection[str]],
        nodes: Sequence[Node],
        *,
        keep: bool,
        fresh: bool,
        use: Use = NO_USE,
    ) -> Cluster:
        """Open a cluster: one that is kept for reuse unless it has to be `fresh`, else one started now.

        `attach` is the folder or name of the running one to use instead. `images` are those that pods will ask for,
        with the nodes that these may run on: a provider that can has them there at once. `nodes` are those that a
        cluster of the suite's own has. A cluster that is to be kept is left running by its `close()`. `use` is what is
        going to be done on a person's own.

        Raises:
            SignoffError: it cannot be started, or the one to use has other nodes.
        """
        ...

    def prepare(self, images: Collection[str]) -> None:
        """Fetch or build into this machine's caches what a cluster with these images starts from.

        Raises:
            SignoffError: it cannot be had, or this provider keeps nothing in advance.
        """
        ...

    def start_kept(self, name: str | None, nodes: Sequence[Node]) -> Running:
        """Start a cluster of these nodes that stays until it is ended, called `name` or by a name of the provider's.

        Raises:
            SignoffError: it cannot be started, or this provider starts none.
        """
        ...

    def running(self) -> Sequence[Running]:
        """The provider's clusters that are up, the newest first; quick where there is none.

        Raises:
            SignoffError: there may be some, and it cannot be told.
        """
        ...

    def ended(self, name: str) -> SignoffError | None:
        """Why the cluster of this name has ended by itself; None if it has not, or nobody can tell."""
        ...
