"""The mutations that `make test` tries, several in one run; `make prove` tries each of the table alone.

A run takes half a minute, and each issue adds scenarios. So every day each scenario is turned red once, and of the Then
steps at which they may fail those that need no run of their own.
"""

from collections.abc import Sequence

from tests.mutations.table import TABLE, Mutation
from tests.mutations.together import Together, joined, packed


def broken_by(mutation: Mutation) -> frozenset[str]:
    """The scenarios that fail when only the features that it is about are run."""
    return frozenset(name for name in mutation.red if name.partition(":")[0] in mutation.tested)


def cover(table: Sequence[Mutation]) -> list[Mutation]:
    """Few mutations that together break all that the table breaks: each time the one that breaks most of what is left.

    Of those that break as much, the one that runs fewer features.
    """
    left = frozenset[str]().union(*map(broken_by, table))
    chosen = []
    while left:
        most = max(table, key=lambda mutation: (len(broken_by(mutation) & left), -len(mutation.tested)))
        chosen.append(most)
        left -= broken_by(most)
    return chosen


def fuller(runs: Sequence[Together], table: Sequence[Mutation]) -> list[Together]:
    """The runs with those of the table that can share one and fail at a Then step at which none of the others does."""
    seen = frozenset[str]().union(*(mutation.steps for run in runs for mutation in run))
    more = list(runs)
    for mutation in table:
        if mutation.steps - seen and (together := joined(more, mutation)):
            more, seen = together, seen | mutation.steps
    return more


STRAIGHT_PAST_IT = next(each for each in TABLE if each.name == "the host leads straight to vLLM")
"""Begins a run that others join: what shuts the way in breaks all its scenarios at once, and at no Then step."""
RUNS = fuller([*packed(cover(TABLE)), (STRAIGHT_PAST_IT,)], TABLE)
SAMPLE = [mutation for run in RUNS for mutation in run]
