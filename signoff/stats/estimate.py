"""A figure with its interval, and the confidence of all intervals."""

from dataclasses import dataclass
from functools import cache
from math import hypot, nan
from typing import Self

CONFIDENCE = 0.95
"""How often an interval is to hold the truth."""
MIN_OBSERVATIONS = 20
"""With fewer observations a bootstrap's interval is too narrow to be worth its name, and none is given."""


@cache
def z() -> float:
    """The quantile of the standard normal that leaves out half of what is beyond `CONFIDENCE`.

    >>> round(z(), 2)
    1.96
    """
    from scipy.special import ndtri

    return float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Estimate:
    """A figure in any unit, and the ends of its two-sided 95 % interval: None where too little was seen to give one.

    Either both ends are known or neither is.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The ends for arithmetic: NaN, which no comparison holds of, where they are not known."""
        return (nan, nan) if self.low is None or self.high is None else (self.low, self.high)

    @property
    def width(self) -> float:
        """Of the interval; NaN where that is not known."""
        low, high = self.ends
        return high - low

    def __neg__(self) -> Self:
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return type(self)(-self.value, low, high)

    def __sub__(self, other: Self) -> Self:
        """The difference of two independent figures, with an interval from theirs.

        G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
        Statistics in Medicine 27 (2008) 1693-1702 (MOVER). Needs nothing but the four ends, so that it serves medians,
        rates and slopes alike.
        """
        difference = self.value - other.value
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return type(self)(difference)
        return type(self)(
            difference,
            difference - hypot(self.value - self.low, other.high - other.value),
            difference + hypot(self.high - self.value, other.value - other.low),
        )

    def meets(self, other: Self) -> bool:
        """Whether the two intervals have a value in common; one that is not known meets any."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return True
        return self.low <= other.high and other.low <= self.high

    def covering(self, other: Self) -> Self:
        """With an interval that holds the other's as well; both are known."""
        assert self.low is not None and self.high is not None and other.low is not None and other.high is not None
        return type(self)(self.value, min(self.low, other.low), max(self.high, other.high))

    def scaled(self, factor: float) -> Self:
        """In another unit; the factor is positive."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return type(self)(self.value * factor, low, high)
