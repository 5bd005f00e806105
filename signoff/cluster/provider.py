"""From a cluster's name on the command line to a running cluster."""

from collections.abc import Sequence
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster
from signoff.errors import SignoffError

NAMES = ("embedded", "kind", "existing")


def open_cluster(name: str, attach: Path | None = None, images: Sequence[str] = ()) -> Cluster:
    """Start the cluster of this name, or attach to the running embedded cluster whose folder is `attach`.

    `images` are those that pods will ask for: a cluster that can starts with them at once.

    Raises:
        SignoffError: it cannot be started, or there is no such provider yet.
    """
    if name != "embedded":
        raise SignoffError(
            f"this version cannot run on a cluster of kind {name!r} yet",
            where=f"--cluster {name}",
            hint="leave --cluster out: the embedded cluster needs no preparation",
        )
    return EmbeddedCluster.attach(attach) if attach else EmbeddedCluster.start(images=images)
