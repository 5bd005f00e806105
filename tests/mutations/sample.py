"""The mutations that `make test` tries, several in one run; `make prove` tries each of the table alone."""

from collections.abc import Sequence

from tests.mutations.table import TABLE, Mutation
from tests.mutations.together import packed


def broken_by(mutation: Mutation) -> frozenset[str]:
    """The scenarios and Then steps that fail when only the features that it is about are run."""
    return mutation.steps | {name for name in mutation.red if name.partition(":")[0] in mutation.tested}


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


SAMPLE = cover(TABLE)
RUNS = packed(SAMPLE)
