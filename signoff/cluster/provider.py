"""From a cluster's name on the command line to a running cluster."""

from collections.abc import Collection, Mapping
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster
from signoff.errors import SignoffError

NAMES = ("embedded", "kind", "existing")


def open_cluster(
    name: str, attach: Path | None = None, images: Mapping[str, Collection[str]] | None = None, *, keep: bool = False
) -> Cluster:
    """Start the cluster of this name, or attach to the running one whose folder is `attach`.

    `images` are those that pods will ask for, with the nodes that these may run on: a cluster that can starts with
    them at once. One that is to be kept is left running by its `close()`.

    Raises:
        SignoffError: it cannot be started, or there is no such provider yet.
    """
    images = images or {}
    if name == "kind":
        from signoff.cluster.kind import KindCluster  # what it needs costs the embedded cluster's start nothing

        return KindCluster.attach(attach, images=images) if attach else KindCluster.start(images=images, keep=keep)
    if name != "embedded":
        raise SignoffError(
            f"this version cannot run on a cluster of kind {name!r} yet",
            where=f"--cluster {name}",
            hint="leave --cluster out: the embedded cluster needs no preparation",
        )
    return EmbeddedCluster.attach(attach) if attach else EmbeddedCluster.start(images=list(images))
