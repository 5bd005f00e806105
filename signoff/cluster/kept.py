"""A cluster that runs is looked at before it is handed out, whoever provides it."""

from collections.abc import Sequence

from signoff.cluster.base import Running
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.node import Node


def left_alone(cluster: Running, why: str) -> str:
    """That a kept cluster is not taken."""
    return f"the kept cluster {cluster.name} is left alone: {why}"


def difference(cluster: Running, nodes: Sequence[Node]) -> str:
    """What differs from a cluster of these nodes that is started now; empty if nothing does."""
    others = _other_nodes(cluster, nodes)
    return cluster.difference or (f"it has other nodes: {others}" if others else "")


def _other_nodes(cluster: Running, nodes: Sequence[Node]) -> str:
    wanted = list(map(str, nodes))
    if not cluster.nodes:
        return "another version of this suite started it and did not note them"
    if sorted(cluster.nodes) == sorted(wanted):
        return ""
    return f"its nodes are {', '.join(cluster.nodes)}; the settings want {', '.join(wanted)}"


def see_well(cluster: Running, nodes: Sequence[Node]) -> None:
    """See that the cluster which a person has named can be used; tells what is otherwise in it than they may expect.

    Raises:
        SignoffError: it is not well, or it has other nodes than these.
    """
    if wrong := cluster.ailment():
        hint = f"end it, and start another: signoff cluster down {cluster.name}"
        raise SignoffError(f"the cluster is not well: {wrong}", where=str(cluster.dir), hint=hint)
    if others := _other_nodes(cluster, nodes):
        hint = "name the settings that it was started with (--settings), or start another: signoff cluster up"
        raise SignoffError(f"{cluster.name} has other nodes: {others}", where=str(cluster.dir), hint=hint)
    if cluster.difference:
        progress("cluster", f"{cluster.name} is used as it is: {cluster.difference}")
