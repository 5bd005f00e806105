"""The embedded cluster as the one that a run asks for by name."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.embedded import EmbeddedCluster, facts_of
from signoff.cluster.embedded.binaries import check_named_folder
from signoff.cluster.embedded.images import EXTRA, ImageError, Images
from signoff.core.errors import SignoffError
from signoff.core.paths import cache_dir


def precheck(attach: Path | None, images: Mapping[str, str]) -> None:
    """See that what this run names is there: the cluster, Kubernetes' programs, and a recipe for each image."""
    if attach is not None:
        facts_of(attach)
    check_named_folder()
    _check_recipes()
    known = Images(cache_dir())
    for image, where in images.items():
        try:
            known.check(image)
        except ImageError as error:
            raise SignoffError(error.what, where=where, hint=error.hint) from error


def _check_recipes() -> None:
    for part in filter(None, os.environ.get(EXTRA, "").split(os.pathsep)):
        if not Path(part).is_dir():
            raise SignoffError(
                f"{EXTRA} names {part}, which is no folder", where=f"{EXTRA}={os.environ[EXTRA]}", hint="correct it"
            )
    Images(cache_dir()).recipes()


def open_cluster(attach: Path | None, images: Mapping[str, Collection[str]], *, keep: bool, fresh: bool) -> Cluster:
    """One that runs: that of `attach`, else one that is kept unless it has to be `fresh`; else one started now."""
    if attach is not None:
        return EmbeddedCluster.attach(attach)
    return (None if fresh else EmbeddedCluster.reuse()) or EmbeddedCluster.start(images=list(images), keep=keep)
