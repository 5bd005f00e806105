"""A kind cluster as the one that a run asks for by name."""
# ruff: noqa: ARG001  the nodes can pull any image, and each cluster is a fresh one

from collections.abc import Collection, Mapping
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.kind import KindCluster


def precheck(attach: Path | None, images: Mapping[str, str]) -> None:
    """See that Docker answers, and that the cluster that this run names is there."""
    KindCluster.check(attach)


def open_cluster(
    attach: Path | None,
    images: Mapping[str, Collection[str]],
    *,
    keep: bool,
    fresh: bool,
) -> Cluster:
    """The one whose folder `attach` is, else one started now."""
    if attach is not None:
        return KindCluster.attach(attach.absolute(), images=images)
    return KindCluster.start(images=images, keep=keep)
