"""A person's own cluster as the one that a run asks for by name; this version cannot run there yet."""
# ruff: noqa: ARG001

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from signoff.cluster.base import Cluster, Running
from signoff.cluster.registry import DEFAULT
from signoff.core.errors import SignoffError
from signoff.core.node import Node


def precheck(attach: Path | None, images: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Says that it is not built yet."""
    raise _not_yet()


def unconfined(attach: Path | None) -> str:
    """Its containers are those of a container engine."""
    return ""


def open_cluster(
    attach: Path | None, images: Mapping[str, Collection[str]], nodes: Sequence[Node], *, keep: bool, fresh: bool
) -> Cluster:
    """Says that it is not built yet."""
    raise _not_yet()


def prepare(images: Collection[str]) -> None:
    """Its nodes pull their images themselves."""
    raise SignoffError("your own cluster needs nothing in advance: its nodes pull the images", hint="leave this out")


def start_kept(name: str | None, nodes: Sequence[Node]) -> Running:
    """Whoever it belongs to starts it."""
    raise SignoffError(
        "your own cluster is not started by signoff, which uses it as it is", hint="start one of another kind"
    )


def running() -> Sequence[Running]:
    """None are the suite's."""
    return ()


def ended(name: str) -> SignoffError | None:
    """Nobody here would know."""
    return None


def _not_yet() -> SignoffError:
    return SignoffError(
        "this version cannot run on a cluster of kind 'existing' yet",
        hint=f"take --cluster {DEFAULT}, which needs no preparation",
    )
