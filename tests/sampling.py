"""A sample of a long matrix for every day; `make prove` tries the whole of it."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def sampled(
    cases: Iterable[Any], kind: Callable[[Any], Hashable] = lambda _: None, every: int = 5
) -> list[ParameterSet]:
    """The parameters of a test, one each: of each kind the first and every so many-th after it are tried every day.

    So whatever kind of case there is, the sample holds one that can fail. `cases` may be parameters with names.
    """
    met: Counter[Hashable] = Counter()
    parameters = []
    for case in cases:
        parameter = case if isinstance(case, ParameterSet) else pytest.param(case)
        (value,) = parameter.values
        of_kind = kind(value)
        rest = () if met[of_kind] % every == 0 else (pytest.mark.prove,)
        met[of_kind] += 1
        parameters.append(pytest.param(value, id=parameter.id, marks=(*parameter.marks, *rest)))
    return parameters
