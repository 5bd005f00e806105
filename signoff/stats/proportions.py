"""Shares of requests: their intervals, and whether one is higher than another."""

from bisect import bisect_left
from functools import cache
from math import sqrt

import numpy as np

from signoff.stats.arrays import Flags, Numbers
from signoff.stats.estimate import Estimate, z


def proportion(happened: Flags) -> Estimate:
    """The share of requests, in the order of time, to which something happened; of no requests 0.0 without an interval.

    Wilson's interval of as many independent requests as tell the same (`design_effect`): what goes wrong comes in
    bursts.
    """
    count = len(happened)
    if not count:
        return Estimate(0.0)
    return wilson(float(happened.mean()), count / max(1.0, design_effect(happened)))


def wilson(value: float, count: float) -> Estimate:
    """A share of so many independent requests, which need not be a whole number.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212; it
    also holds where the share is 0 or 1. By hand, since scipy's counts whole requests only.
    """
    square = z() ** 2
    centre = value + square / (2 * count)
    half_width = z() * sqrt(value * (1 - value) / count + square / (4 * count**2))
    scale = 1 + square / count
    return Estimate(value, max(0.0, (centre - half_width) / scale), min(1.0, (centre + half_width) / scale))


def design_effect(happened: Flags) -> float:
    """The variance of a share between blocks of neighbours over that of independent requests: above 1 in bursts.

    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24 (1998) 193-201; the blocks, as many as each is long, are the
    clusters. 1.0 where all or none are hit, or there is a single block.
    """
    count, value = len(happened), float(happened.mean())
    blocks = round(sqrt(count))
    if blocks < 2 or value in (0.0, 1.0):
        return 1.0
    block = np.arange(count) * blocks // count
    sizes, sums = np.bincount(block), np.bincount(block, happened)
    between = float(((sums - value * sizes) ** 2).sum()) * blocks / (blocks - 1)
    return between / (count * value * (1 - value))


@cache
def more_often(first: int, second: int, count: int) -> float:
    """Fisher's exact test, one-sided: the chance of `second` or more of `count` hits against `first` of as many.

    "Chance" is that of equal rates, given all hits together (R. A. Fisher, "The logic of inductive inference", Journal
    of the Royal Statistical Society 98 (1935) 39-82).

    >>> round(more_often(0, 5, 10), 4)
    0.0163
    """
    from scipy.stats import fisher_exact

    table = [[second, count - second], [first, count - first]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def fewest_more_often(first: int, count: int, alpha: float) -> int | None:
    """The fewest of `count` hits for which `more_often`, which falls with them, is below alpha; None where none is."""
    found = bisect_left(range(count + 1), True, key=lambda hits: more_often(first, hits, count) < alpha)
    return found if found <= count else None


def power(fewest: int, count: int, rates: Numbers) -> Numbers:
    """The chance of at least `fewest` hits among `count` independent requests, for each rate at which they are hit."""
    from scipy.stats import binom

    return np.asarray(binom.sf(fewest - 1, count, rates))
