"""From a cluster's name on the command line to a running cluster."""

from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster
from signoff.errors import SignoffError

NAMES = ("embedded", "kind", "existing")


def open_cluster(name: str, attach: Path | None = None) -> Cluster:
    """Start the cluster of this name, or attach to the running embedded cluster whose folder is `attach`.

    Raises:
        SignoffError: it cannot be started, or there is no such provider yet.
    """
    if name != "embedded":
        raise SignoffError(
            f"this version cannot run on a cluster of kind {name!r} yet",
            where=f"--cluster {name}",
            hint="leave --cluster out: the embedded cluster needs no preparation",
        )
    return EmbeddedCluster.attach(attach) if attach else EmbeddedCluster.start()
