"""The stages of a load: how many users or arrivals per second each of them has. Imports nothing of Locust."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from signoff.core.errors import SignoffError

ShapeName = Literal["ramp", "spike", "sweep-users", "sweep-rate"]
NAMES: tuple[ShapeName, ...] = ("ramp", "spike", "sweep-users", "sweep-rate")

SWEEP_USERS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SWEEP_RATES = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)
RAMP_STAGES = 10
SPIKE_FACTOR = 5
HINT = "write them as in --stages 1,2,5,10"
_FINEST = 1000
"""Rates are told apart to a thousandth of a request per second."""


def stages_of(name: ShapeName, target: float, stages: Sequence[float]) -> list[float]:
    """Users or arrivals per second of each stage: those given, else the shape's own up to or around `target`.

    >>> stages_of("ramp", 20, [])
    [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    >>> stages_of("spike", 4, [])
    [4, 20, 4]
    """
    if stages:
        return list(stages)
    if name == "ramp":
        return [target * (stage + 1) / RAMP_STAGES for stage in range(RAMP_STAGES)]
    if name == "spike":
        return [target, SPIKE_FACTOR * target, target]
    return list(SWEEP_USERS if name == "sweep-users" else SWEEP_RATES)


def rate_per_user(rates: Sequence[float], workers: int) -> float:
    """The arrivals per second that one user stands for, so that each rate is an even number of users on each worker.

    Even, so that the users who stream are as many as those who do not.

    >>> rate_per_user([5, 10, 20], workers=1)
    2.5
    >>> rate_per_user([0.5, 3], workers=2)
    0.125
    """
    common = math.gcd(*(max(1, round(Fraction(rate) * _FINEST)) for rate in rates))
    return common / _FINEST / (2 * workers)


def parse_stages(text: str) -> list[float]:
    """Read "1,2,5.5".

    Raises:
        SignoffError: something in it is no positive number.
    """
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(float(part))
        except ValueError:
            raise SignoffError(f"a stage is no number: {part}", where=f"--stages {text}", hint=HINT) from None
        if not 0 < found[-1] < math.inf:
            raise SignoffError(f"a stage is not above 0: {part}", where=f"--stages {text}", hint=HINT)
    return found
