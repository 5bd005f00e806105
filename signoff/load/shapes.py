"""How a load changes over time: stages of so many users each, which in an open loop stand for a rate."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from locust import LoadTestShape

from signoff.errors import SignoffError

ShapeName = Literal["ramp", "spike", "sweep-users", "sweep-rate"]

SWEEP_USERS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SWEEP_RATES = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)
RAMP_STAGES = 10
SPIKE_FACTOR = 5
_FINEST = 1000
"""Rates are told apart to a thousandth of a request per second."""


class Stages(LoadTestShape):
    """Goes through stages of equal length, each of so many users beside those that only probe.

    `rate_per_user` is None in a closed loop.
    """

    abstract = True
    name = ""

    def __init__(self, users: Sequence[int], seconds: float, probes: int, rate_per_user: float | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.users, self.seconds, self.probes, self.rate_per_user = users, seconds, probes, rate_per_user

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many of them start in a second; None ends the load."""
        stage = int(self.get_run_time() / self.seconds)  # type: ignore[no-untyped-call]
        if stage >= len(self.users):
            return None
        count = self.users[stage] + self.probes
        return count, float(min(100, count))


def shape(name: ShapeName, users: Sequence[int], seconds: float, probes: int, rate_per_user: float | None) -> Stages:
    """A shape of this name; Locust's page shows the name of its class, such as SweepRate."""
    made = type(name.title().replace("-", ""), (Stages,), {"name": name, "abstract": False})
    return made(users, seconds, probes, rate_per_user)  # type: ignore[no-any-return]


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
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
        if not all(0 < each < math.inf for each in found):
            raise ValueError("a stage is not above 0")
    except ValueError as error:
        raise SignoffError(f"--stages {text}: {error}", hint="write them as in --stages 1,2,5,10") from None
    return found
