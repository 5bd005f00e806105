"""A cluster that runs is looked at before it is handed out, whoever provides it."""

from signoff.cluster.base import Running
from signoff.core.console import progress
from signoff.core.errors import SignoffError


def left_alone(cluster: Running, why: str) -> str:
    """That a kept cluster is not taken."""
    return f"the kept cluster {cluster.name} is left alone: {why}"


def see_well(cluster: Running) -> None:
    """See that the cluster which a person has named can be used; tells what is otherwise in it than they may expect.

    Raises:
        SignoffError: it is not well.
    """
    if wrong := cluster.ailment():
        hint = f"end it, and start another: signoff cluster down {cluster.name}"
        raise SignoffError(f"the cluster is not well: {wrong}", where=str(cluster.dir), hint=hint)
    if cluster.difference:
        progress("cluster", f"{cluster.name} is used as it is: {cluster.difference}")
