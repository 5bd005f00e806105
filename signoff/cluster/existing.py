"""A person's own cluster as the one that a run asks for by name; this version cannot run there yet."""
# ruff: noqa: ARG001

from collections.abc import Collection, Mapping
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError


def precheck(attach: Path | None, images: Mapping[str, str]) -> None:
    """Says that it is not built yet."""
    raise _not_yet()


def open_cluster(
    attach: Path | None,
    images: Mapping[str, Collection[str]],
    *,
    keep: bool,
    fresh: bool,
) -> Cluster:
    """Says that it is not built yet."""
    raise _not_yet()


def _not_yet() -> SignoffError:
    return SignoffError(
        "this version cannot run on a cluster of kind 'existing' yet",
        hint="take --cluster embedded, which needs no preparation, or --cluster kind",
    )
