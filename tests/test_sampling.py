"""A sample holds each kind of case, and what it leaves out is not lost."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.sampling import sampled


def daily_and_left(cases: Iterable[Any], **how: Any) -> tuple[list[Any], list[Any]]:
    """What is tried every day, and what only `make prove` tries."""
    parameters = [(each.values[0], pytest.mark.prove in each.marks) for each in sampled(cases, **how)]
    return [value for value, left in parameters if not left], [value for value, left in parameters if left]


def test_without_kinds_it_is_every_so_many_th() -> None:
    assert daily_and_left(range(5), every=2) == ([0, 2, 4], [1, 3])


def test_each_kind_is_in_it() -> None:
    cases = ["a1", "a2", "b1", "a3", "c1", "b2"]
    assert daily_and_left(cases, kind=lambda case: case[0], every=2) == (["a1", "b1", "a3", "c1"], ["a2", "b2"])


def test_names_and_marks_stay() -> None:
    first, second = sampled([pytest.param(1, id="one"), pytest.param(2, id="two", marks=pytest.mark.cluster)])
    assert (first.id, list(first.marks)) == ("one", [])
    assert (second.id, list(second.marks)) == ("two", [pytest.mark.cluster, pytest.mark.prove])
