"""Figures with their 95 % intervals, for observations that follow one another in time and so resemble one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, sqrt
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from signoff.overhead import expanded_tail

Numbers = npt.NDArray[np.floating[Any]]

DRAWS = 2000
FEWEST = 20
"""With fewer observations a bootstrap's interval is too narrow to be worth its name."""

_Z = 1.959964
"""The standard normal's 97.5 % quantile."""
_MOST_BLOCKS = 200
_EDGES = 256


@dataclass(frozen=True)
class Figure:
    """A figure and the ends of its two-sided 95 % interval; these are None where too little was seen to give one."""

    value: float
    low: float | None = None
    high: float | None = None

    def __sub__(self, other: Self) -> "Figure":
        """The difference of two independent figures, with an interval from theirs.

        G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
        Statistics in Medicine 27 (2008) 1693-1702 (MOVER). Needs nothing but the four ends, so that it serves medians,
        rates and slopes alike.
        """
        difference = self.value - other.value
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return Figure(difference)
        return Figure(
            difference,
            difference - hypot(self.value - self.low, other.high - other.value),
            difference + hypot(self.high - self.value, other.value - other.low),
        )

    def meets(self, other: Self) -> bool:
        """Whether the two intervals have a value in common; one that is not known meets any."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return True
        return self.low <= other.high and other.low <= self.high

    def covering(self, other: Self) -> "Figure":
        """With an interval that holds the other's as well; both are known."""
        assert self.low is not None and self.high is not None and other.low is not None and other.high is not None
        return Figure(self.value, min(self.low, other.low), max(self.high, other.high))

    def scaled(self, factor: float) -> "Figure":
        """In another unit; the factor is positive."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Figure(self.value * factor, low, high)


class BlockBootstrap:
    """Draws a series anew from its blocks; seeded, and the same draws for each statistic of one series.

    The series is cut into about n^(2/3) blocks of neighbours, but at most 200, which are drawn whole and with
    replacement: E. Carlstein, "The use of subseries values for estimating the variance of a general statistic from a
    stationary sequence", Annals of Statistics 14 (1986) 1171-1179; the length's order from P. Hall, J. L. Horowitz and
    B.-Y. Jing, Biometrika 82 (1995) 561-574. The intervals are quantiles of the draws, further out where blocks are few
    (`expanded_tail`). A draw is the number of times that each block was taken, so that a statistic of all draws at once
    is a product of two matrices, whatever the length of the series.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.enough = count >= FEWEST
        blocks = max(1, min(_MOST_BLOCKS, round(count / max(1, round(count ** (1 / 3))))))
        self._block = np.arange(count) * blocks // max(1, count)
        self._taken = _taken(blocks, seed)

    def quantiles(self, values: Numbers, probabilities: Sequence[float]) -> Numbers:
        """The quantiles of each draw: an array of `DRAWS` rows and a column for each probability.

        NaN counts as no value, so that a part of a series can be drawn with the whole; nothing has NaN as its quantile.
        Of a long series, the draws are counted between about 500 of its values, dense in the upper tail, and a quantile
        is interpolated between two of them.
        """
        there = ~np.isnan(values)
        ordered = np.sort(values[there])
        count = len(ordered)
        if not count:
            return np.full((DRAWS, len(probabilities)), np.nan)
        thinned = count > 2 * _EDGES
        ranks = np.concatenate((np.linspace(0, 1, _EDGES), 1 - np.geomspace(1, 1 / count, _EDGES)))
        edges = np.unique(ordered[(ranks * (count - 1)).astype(int)] if thinned else ordered)
        columns, rows = len(edges), self._taken.shape[1]
        cell = self._block[there] * columns + np.searchsorted(edges, values[there])
        counts = np.bincount(cell, minlength=rows * columns).reshape(rows, columns)
        reached = self._taken @ counts.cumsum(axis=1).astype(np.float32)
        found = [_where(reached, reached[:, -1] * each, edges, between=thinned) for each in probabilities]
        return np.where(reached[:, -1:] > 0, np.stack(found, axis=1), np.nan)

    def ratios(self, above: Numbers, below: Numbers) -> Numbers:
        """Sum of `above` divided by sum of `below` in each draw; NaN where the latter is zero."""
        rows = self._taken.shape[1]
        upper, lower = (self._taken @ np.bincount(self._block, each, minlength=rows) for each in (above, below))
        return np.asarray(np.divide(upper, lower, out=np.full(DRAWS, np.nan), where=lower != 0))

    def figure(self, value: float, draws: Numbers) -> Figure:
        """The figure with the interval of its draws, if there are observations enough."""
        draws = draws[~np.isnan(draws)]
        if not self.enough or not len(draws):
            return Figure(float(value))
        tail = expanded_tail(self._taken.shape[1])
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Figure(float(value), float(low), float(high))


@lru_cache(maxsize=256)
def _taken(blocks: int, seed: int) -> npt.NDArray[np.float32]:
    chance = np.random.default_rng(seed)
    return chance.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(np.float32)


def _where(reached: npt.NDArray[np.float32], wanted: Numbers, edges: Numbers, *, between: bool) -> Numbers:
    """The edge at which each row of cumulated counts reaches what is wanted, or a place before it."""
    after = (reached < wanted[:, None] - 1e-3).sum(axis=1)
    if not between:
        return np.asarray(edges[after])
    before, row = np.maximum(after - 1, 0), np.arange(len(reached))
    low, high = reached[row, before], reached[row, after]
    share = np.divide(wanted - low, high - low, out=np.ones(len(reached)), where=high > low)
    return np.asarray(edges[before] + np.clip(share, 0, 1) * (edges[after] - edges[before]))


def quantile_figures(values: Numbers, probabilities: Sequence[float], seed: int) -> list[Figure]:
    """Quantiles of a series in the order of time, with their intervals; empty for an empty series.

    A quantile with fewer than ten observations on its rarer side has no interval.
    """
    if not len(values):
        return []
    bootstrap = BlockBootstrap(len(values), seed)
    figures = np.quantile(values, probabilities)
    if not bootstrap.enough:
        return [Figure(float(value)) for value in figures]
    draws = bootstrap.quantiles(values, probabilities)
    return [
        bootstrap.figure(value, draws[:, at]) if len(values) * min(p, 1 - p) >= 10 else Figure(float(value))
        for at, (p, value) in enumerate(zip(probabilities, figures, strict=True))
    ]


def rate_figure(happened: npt.NDArray[np.bool_]) -> Figure:
    """The share of requests, in the order of time, to which something happened.

    Wilson's interval (E. B. Wilson, JASA 22 (1927) 209-212), which also holds at none of n. Errors come in bursts, so n
    is divided by the design effect, the variance between blocks over that of independent requests, when it is above 1
    (E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998) 193-201).
    """
    count = len(happened)
    if not count:
        return Figure(0.0)
    share = float(happened.mean())
    effective = count / max(1.0, _design_effect(happened, share))
    centre = share + _Z**2 / (2 * effective)
    reach = _Z * sqrt(share * (1 - share) / effective + _Z**2 / (4 * effective**2))
    scale = 1 + _Z**2 / effective
    return Figure(share, max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale))


def _design_effect(happened: npt.NDArray[np.bool_], share: float) -> float:
    count = len(happened)
    blocks = round(sqrt(count))
    if blocks < 2 or share in (0.0, 1.0):
        return 1.0
    block = np.arange(count) * blocks // count
    sizes = np.bincount(block)
    sums = np.bincount(block, happened)
    return float(((sums - share * sizes) ** 2).sum() / (count * share * (1 - share)) * blocks / (blocks - 1))
