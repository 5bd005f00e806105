"""Intervals of quantiles and ratios by resampling, for observations that follow one another in time.

Such observations resemble their neighbours: they share what the machine was busy with, and the queue that they stood
in. Drawn one by one they would lose that, and intervals would be too narrow; so whole blocks of neighbours are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
import numpy.typing as npt

from signoff.stats.arrays import Numbers
from signoff.stats.estimate import CONFIDENCE, MIN_OBSERVATIONS, Estimate

DRAWS = 2000
"""How often a series is drawn: read at each draw, so that a test that asks little of an interval can ask for fewer."""
MIN_BEYOND = 10
"""A quantile has an interval when so many observations are to be expected on its rarer side."""

_MAX_BLOCKS = 200
_EDGES = 256

Counts = npt.NDArray[np.int16]
"""How often each cell (column) is in each draw (row)."""
Seed = int | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Statistic:
    """What a statistic is of the observations themselves, and of each of the draws; NaN where it has no value.

    Sums, differences and multiples are statistics again. Those of one bootstrap are of the same draws, so that what the
    terms share cancels out; those of two bootstraps with different seeds are independent.
    """

    value: float
    draws: Numbers

    def __add__(self, other: "Statistic") -> "Statistic":
        return Statistic(self.value + other.value, self.draws + other.draws)

    def __sub__(self, other: "Statistic") -> "Statistic":
        return Statistic(self.value - other.value, self.draws - other.draws)

    def __mul__(self, factor: float) -> "Statistic":
        return Statistic(self.value * factor, self.draws * factor)


class BlockBootstrap:
    """Draws a series of `count` observations, at least one, over and over; equal seeds give equal draws.

    The scheme is the circular block bootstrap: blocks begin at any observation, and the last one is followed by the
    first, so that all are drawn alike often (D. N. Politis and J. P. Romano, "A circular block-resampling procedure for
    stationary data", in Exploring the Limits of Bootstrap, 1992, 263-270). Blocks hold n^(1/3) observations (P. Hall,
    J. L. Horowitz and B.-Y. Jing, "On blocking rules for the bootstrap with dependent data", Biometrika 82 (1995)
    561-574), or `length`, where 1 makes it the ordinary bootstrap of independent observations.

    A series of more than 200 such blocks (about 2,800 observations) is cut into 200 longer ones, and these are drawn:
    the same scheme on a coarser grid (E. Carlstein, Annals of Statistics 14 (1986) 1171-1179). It bounds a draw to 200
    numbers where a load has a million requests, and longer blocks hold what outlasts n^(1/3) of them, such as a queue.
    The price is small: a variance found from 200 blocks has a standard error of 10 % of itself, from all starts 8 % (H.
    R. Kuensch, Annals of Statistics 17 (1989) 1217-1241: the one estimate varies 2/3 as much as the other).

    A draw is kept as the number of times that each cell was taken, an observation or one of the 200 blocks, so that a
    statistic of all draws is a sum along cells, whatever the length of the series.
    """

    def __init__(self, count: int, seed: Seed, *, length: int | None = None) -> None:
        self._enough = count >= MIN_OBSERVATIONS
        usual = length or max(1, round(count ** (1 / 3)))
        self._fine = length is not None or count <= _MAX_BLOCKS * usual
        self._blocks = max(1, round(count / usual)) if self._fine else _MAX_BLOCKS
        self._cell = np.arange(count) if self._fine else np.arange(count) * _MAX_BLOCKS // count
        cells, block = (count, usual) if self._fine else (_MAX_BLOCKS, 1)
        self._taken = _taken(cells, block, seed, DRAWS)

    def quantile(self, values: Numbers, probability: float) -> Statistic:
        """A quantile of the series, interpolated as numpy does.

        NaN counts as no value, so that a part of a series can be drawn with the whole; nothing has NaN as its quantile.
        """
        (found,) = self.quantiles(values, [probability])
        return found

    def quantiles(self, values: Numbers, probabilities: Sequence[float]) -> list[Statistic]:
        """Several quantiles of one series, for little more than the price of one."""
        present = np.flatnonzero(~np.isnan(values))
        if not len(present):
            return [Statistic(np.nan, np.full(len(self._taken), np.nan)) for _ in probabilities]
        drawn = (self._sorted if self._fine else self._binned)(values, present, probabilities)
        of_all = np.quantile(values[present], probabilities)
        return [Statistic(float(value), draws) for value, draws in zip(of_all, drawn, strict=True)]

    def ratio(self, above: Numbers, below: Numbers) -> Statistic:
        """The sum of `above` divided by that of `below`, both as long as the series; NaN where the latter is zero."""
        cells = self._taken.shape[1]
        upper, lower = (self._taken @ np.bincount(self._cell, each, minlength=cells) for each in (above, below))
        draws = np.divide(upper, lower, out=np.full(len(self._taken), np.nan), where=lower != 0)
        return Statistic(float(above.sum() / below.sum()) if below.sum() else np.nan, draws)

    def estimate(self, statistic: Statistic) -> Estimate:
        """The statistic with the interval of its draws, if there are observations enough.

        The ends are quantiles of the draws, further out where blocks are few (`expanded_tail`).
        """
        draws = statistic.draws[~np.isnan(statistic.draws)]
        if not self._enough or not len(draws):
            return Estimate(statistic.value)
        tail = expanded_tail(self._blocks)
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Estimate(statistic.value, float(low), float(high))

    def _sorted(self, values: Numbers, present: npt.NDArray[np.intp], probabilities: Sequence[float]) -> list[Numbers]:
        """Exact quantiles. The values are sorted once; counting along them finds each draw's order statistics.

        Counted through all draws, one behind the other, what was reached never falls, and is searched by halves.
        """
        order = present[np.argsort(values[present])]
        ascending = np.append(values[order], np.nan)  # the last stands for a draw that holds none of them
        reached = np.cumsum(np.take(self._taken, order, axis=1), dtype=np.int32)
        ends = reached[len(order) - 1 :: len(order)]
        held = np.diff(ends, prepend=np.int32(0))
        before, first = ends - held, np.arange(len(self._taken)) * len(order)

        def ranked(rank: Numbers) -> Numbers:
            place = np.searchsorted(reached, before + rank.astype(np.int32), side="right") - first
            return np.asarray(ascending[np.minimum(place, len(order))])

        found: list[Numbers] = []
        for probability in probabilities:
            rank = np.maximum(held - 1, 0) * probability
            low = np.floor(rank)
            below, above = ranked(low), ranked(np.ceil(rank))
            found.append(below + (above - below) * (rank - low))
        return found

    def _binned(self, values: Numbers, present: npt.NDArray[np.intp], probabilities: Sequence[float]) -> list[Numbers]:
        """Quantiles of a long series: draws are counted between some 500 of its values, and interpolated between two.

        The counts of a block go into each draw as often as the block was taken: a product of two matrices.
        """
        there, cell = values[present], self._cell[present]
        edges = _edges(np.sort(there))
        place = cell * len(edges) + np.searchsorted(edges, there)
        counts = np.bincount(place, minlength=_MAX_BLOCKS * len(edges)).reshape(_MAX_BLOCKS, len(edges))
        # Exact: a count stays below 2^24, up to which this type holds every whole number.
        reached = self._taken.astype(np.float32) @ counts.cumsum(axis=1).astype(np.float32)
        total = reached[:, -1]
        return [np.where(total > 0, _where(reached, total * each, edges), np.nan) for each in probabilities]


def _edges(ordered: Numbers) -> Numbers:
    """Values between which draws are counted: all of a few, else evenly by rank, and again towards the greatest."""
    count = len(ordered)
    if count <= 2 * _EDGES:
        return np.unique(ordered)
    ranks = np.concatenate((np.linspace(0, 1, _EDGES), 1 - np.geomspace(1, 1 / count, _EDGES)))
    return np.unique(ordered[(ranks * (count - 1)).astype(int)])


def _where(reached: npt.NDArray[np.float32], wanted: Numbers, edges: Numbers) -> Numbers:
    """Where each row of cumulated counts reaches what is wanted: a place between two edges."""
    after = (reached < wanted[:, None] - 1e-3).sum(axis=1)
    before, row = np.maximum(after - 1, 0), np.arange(len(reached))
    low, high = reached[row, before], reached[row, after]
    share = np.divide(wanted - low, high - low, out=np.ones(len(reached)), where=high > low)
    return np.asarray(edges[before] + np.clip(share, 0, 1) * (edges[after] - edges[before]))


@lru_cache(maxsize=8)
def _taken(cells: int, length: int, seed: Seed, draws: int) -> Counts:
    """So many samples of as many cells, each put together from blocks of so many; the last block is cut to fit."""
    rng = np.random.default_rng(seed)
    whole, rest = divmod(cells, length)
    lengths = np.array([length] * whole + [rest] * bool(rest))
    starts = rng.integers(cells, size=(draws, len(lengths)))
    # A block adds one from its start on and takes it away behind its end, which may be past the last cell.
    width = cells + length + 1
    begins = np.arange(draws)[:, None] * width + starts
    changes, one = np.zeros(draws * width, np.int16), np.int16(1)  # of one type, fifteen times as fast as of two
    np.add.at(changes, begins.ravel(), one)
    np.subtract.at(changes, (begins + lengths).ravel(), one)
    unfolded = np.cumsum(changes.reshape(draws, width), axis=1, dtype=np.int16)
    counts: Counts = unfolded[:, :cells].copy()
    counts[:, :length] += unfolded[:, cells : cells + length]
    counts.setflags(write=False)
    return counts


def expanded_tail(blocks: int) -> float:
    """What the percentile interval leaves out at each end, from 0 to 0.025.

    Expanded, since a draw of n has (n - 1) / n of the variance, and Student's t for the normal (T. C. Hesterberg, "What
    teachers should know about the bootstrap", The American Statistician 69 (2015) 371-386, section 4.2). Blocks are
    counted, since blocks are drawn; of a single one, nothing is left out.
    """
    if blocks < 2:
        return 0.0
    from scipy.special import ndtr, stdtrit

    t = stdtrit(blocks - 1, (1 + CONFIDENCE) / 2)
    return float(ndtr(-t * sqrt(blocks / (blocks - 1))))


def quantile_estimates(values: Numbers, probabilities: Sequence[float], seed: int) -> list[Estimate]:
    """Quantiles of a series in the order of time; none of an empty series.

    One with fewer than `MIN_BEYOND` observations on its rarer side has no interval.
    """
    if not len(values):
        return []
    if len(values) < MIN_OBSERVATIONS:
        return [Estimate(float(value)) for value in np.quantile(values, probabilities)]
    bootstrap = BlockBootstrap(len(values), seed)
    return [
        bootstrap.estimate(found) if len(values) * min(p, 1 - p) >= MIN_BEYOND else Estimate(found.value)
        for p, found in zip(probabilities, bootstrap.quantiles(values, probabilities), strict=True)
    ]
