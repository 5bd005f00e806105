"""Names as a person would list them."""

from collections.abc import Iterable


def listed(items: Iterable[object]) -> str:
    """Items in words.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(", ".join(map(str, items)).rsplit(", ", 1))
