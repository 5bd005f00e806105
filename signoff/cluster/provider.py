"""From a cluster's name on the command line to a running cluster."""

from collections.abc import Collection, Mapping
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster
from signoff.errors import SignoffError

NAMES = ("embedded", "kind", "existing")


def open_cluster(
    name: str,
    attach: Path | None = None,
    images: Mapping[str, Collection[str]] | None = None,
    *,
    keep: bool = False,
    fresh: bool = False,
) -> Cluster:
    """Open the cluster of this name: one that is kept for reuse unless it has to be `fresh`, else one started now.

    `attach` is the folder of the running one to use instead (or the name of an embedded one). `images` are those that
    pods will ask for, with the nodes that these may run on: a cluster that can starts with them at once. One that is
    to be kept is left running by its `close()`.

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
    if attach:
        return EmbeddedCluster.attach(attach)
    return (None if fresh else EmbeddedCluster.reuse()) or EmbeddedCluster.start(images=list(images), keep=keep)
