"""What the steps may ask of a cluster; they never ask which one it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from signoff.core.errors import SignoffError


@dataclass(frozen=True)
class ClusterFacts:
    """What the report says of a cluster. `start_seconds` maps a phase of its start to its duration."""

    provider: str
    kubernetes_version: str
    nodes: tuple[str, ...]
    start_seconds: dict[str, float]
    details: dict[str, Any]


class Cluster(Protocol):
    """A running cluster. `capabilities` holds names such as "scale-nodes" that scenarios' tags may need."""

    capabilities: frozenset[str]
    kubeconfig: Path
    dir: Path
    """What `--attach` names."""
    tunnelled: bool
    """Whether `service_url` leads through a tunnel that adds to latency, which is then timed inside the cluster."""
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

    def export_logs(self, folder: Path) -> None:
        """Write the logs of the cluster's own parts below `folder`, for a run that failed."""
        ...

    def failure(self) -> SignoffError | None:
        """Why the cluster itself has ended, or None while it lives, as far as this machine can tell."""
        ...

    def close(self) -> None:
        """End the cluster if this object started it, and free what this object holds."""
        ...
