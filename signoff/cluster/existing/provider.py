"""A person's own cluster as the one that a run asks for by name."""
# ruff: noqa: ARG001  its nodes are there, have their images from wherever they pull them, and are nobody's to end

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from signoff.changes.rights import Right
from signoff.cluster.access import NO_USE, Access, Use
from signoff.cluster.base import Cluster, Needs, Running, Standing
from signoff.cluster.existing import ExistingCluster, contexts
from signoff.core.errors import SignoffError, UsageError
from signoff.core.node import Node
from signoff.kube import rights
from signoff.kube.client import Kube

DEPLOYS = False


def standing(access: Access) -> Standing | None:
    """The cluster of the context that is named and allowed, if it is that of before and lets this user do so much."""
    reached = contexts.reach(access)
    _check_rights(reached.kubeconfig, (access.namespace,), access.allow)
    return Standing(reached.kubeconfig, reached.uid)


def precheck(attach: Path | None, needs: Needs, access: Access) -> None:
    """See that nothing is asked for which only the suite's own clusters have, and what may be done in vLLM's namespace.

    What may be done in LiteLLM's was asked before that was read.
    """
    if attach is not None:
        raise UsageError("a cluster of your own is known by its context", where=str(attach), hint="leave --attach out")
    if others := tuple(each for each in needs.namespaces if each != access.namespace):
        _check_rights(contexts.reach(access).kubeconfig, others, access.allow)


@cache
def _check_rights(kubeconfig: Path, namespaces: tuple[str, ...], allow: frozenset[Right]) -> None:
    rights.check(Kube(kubeconfig), namespaces, allow)


def unconfined(attach: Path | None) -> str:
    """Its containers are those of a container engine."""
    return ""


def open_cluster(
    attach: Path | None,
    images: Mapping[str, Collection[str]],
    nodes: Sequence[Node],
    *,
    keep: bool,
    fresh: bool,
    use: Use = NO_USE,
) -> Cluster:
    """The one of the context; what may be changed there is told first."""
    return ExistingCluster(contexts.reach(use.access), use)


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
