"""Intervals that hold what they promise, on series whose truth is known, and beside those of the package arch."""

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from signoff.stats import bootstrap
from signoff.stats.arrays import Numbers
from signoff.stats.bootstrap import DRAWS, BlockBootstrap, Statistic, expanded_tail, quantile_estimates
from signoff.stats.estimate import Estimate
from tests.stats.series import autocorrelated

if TYPE_CHECKING:
    from arch.bootstrap import CircularBlockBootstrap

PROBABILITIES = [0.1, 0.5, 0.95]


def spread(draws: Numbers) -> Numbers:
    return np.quantile(draws, [0.025, 0.25, 0.75, 0.975])


def peers_bootstrap(length: int, *series: Numbers) -> "CircularBlockBootstrap":
    """That of arch, which is loaded where it is needed: it takes a second, and every worker collects this file."""
    from arch.bootstrap import CircularBlockBootstrap

    return CircularBlockBootstrap(length, *series, seed=np.random.default_rng(1))


@pytest.mark.parametrize(("count", "rho"), [(100, 0.0), (400, 0.6), (1000, 0.8)])
def test_draws_are_those_of_archs_circular_blocks(count: int, rho: float) -> None:
    values = autocorrelated(np.random.default_rng(8), count, rho)
    peer = peers_bootstrap(round(count ** (1 / 3)), values)
    theirs = peer.apply(lambda drawn: np.quantile(drawn, PROBABILITIES), 2_000)
    for place, ours in enumerate(BlockBootstrap(count, 1).quantiles(values, PROBABILITIES)):
        assert ours.value == np.quantile(values, PROBABILITIES[place])
        # An end of an interval of 2,000 draws scatters by less than a tenth of their standard deviation.
        assert spread(ours.draws) == pytest.approx(spread(theirs[:, place]), abs=0.15 * theirs[:, place].std())


def test_ratios_are_those_of_archs_circular_blocks() -> None:
    rng = np.random.default_rng(3)
    above, below = rng.poisson(20, 60).astype(float), rng.poisson(25, 60).astype(float)
    peer = peers_bootstrap(4, above, below)
    theirs = peer.apply(lambda one, other: one.sum() / other.sum(), 2_000)[:, 0]
    ours = BlockBootstrap(60, 1).ratio(above, below)
    assert ours.value == pytest.approx(above.sum() / below.sum())
    assert spread(ours.draws) == pytest.approx(spread(theirs), abs=0.15 * theirs.std())


def test_whole_blocks_of_a_long_series_give_the_interval_that_all_starts_would() -> None:
    values = autocorrelated(np.random.default_rng(9), 20_000, 0.8)
    peer = peers_bootstrap(100, values)
    theirs = peer.apply(lambda drawn: np.quantile(drawn, PROBABILITIES), 500)
    for place, ours in enumerate(BlockBootstrap(20_000, 1).quantiles(values, PROBABILITIES)):
        assert ours.draws.std() == pytest.approx(theirs[:, place].std(), rel=0.25)
        assert ours.draws.mean() == pytest.approx(theirs[:, place].mean(), abs=0.2 * theirs[:, place].std())


def test_each_observation_is_drawn_as_often_as_any_other() -> None:
    for count in (1, 2, 20, 50, 400, 2500):
        taken = bootstrap._taken(count, round(count ** (1 / 3)), 1, DRAWS)
        assert (taken.sum(axis=1) == count).all(), "a draw is as long as the series"
        assert taken.mean(axis=0) == pytest.approx(np.ones(count), abs=0.35)


def test_median_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for number in range(150):
        low, high = quantile_estimates(50 + rng.standard_t(3, 400), [0.5], number % 4)[0].ends
        held += low <= 50 <= high
    assert 0.90 <= held / 150 <= 0.99


def test_blocks_widen_the_interval_of_a_series_that_resembles_itself() -> None:
    values = autocorrelated(np.random.default_rng(2), 2000, 0.8)
    shuffled = np.random.default_rng(3).permutation(values)
    apart, together = (quantile_estimates(each, [0.5], 1)[0] for each in (shuffled, values))
    assert together.width > 1.5 * apart.width


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.706), (6, 2.4469), (19, 2.0930), (49, 2.0096)])
def test_ends_lie_as_far_out_as_students_t_of_so_many_blocks(freedom: int, t: float) -> None:
    blocks = freedom + 1
    from scipy.special import ndtri

    assert -ndtri(expanded_tail(blocks)) * sqrt(freedom / blocks) == pytest.approx(t, rel=1e-4)


@pytest.mark.parametrize(("count", "blocks"), [(20, 7), (50, 12), (100_000, 200)])
def test_intervals_of_few_blocks_reach_further(count: int, blocks: int) -> None:
    found = BlockBootstrap(count, 1).estimate(Statistic(0.5, np.linspace(0, 1, 10_001)))
    assert found.ends == pytest.approx((expanded_tail(blocks), 1 - expanded_tail(blocks)), abs=1e-6)


@pytest.mark.parametrize("count", [400, 20_000])
def test_a_part_of_a_series_is_drawn_with_the_whole(count: int) -> None:
    values = np.where(np.arange(count) % 2 == 0, np.nan, np.random.default_rng(6).normal(50, 5, count))
    drawn = BlockBootstrap(count, 1)
    median = drawn.quantile(values, 0.5)
    low, high = drawn.estimate(median).ends
    assert median.value == np.nanmedian(values)
    assert low < 50 < high and high - low < 3
    nothing = drawn.quantile(np.full(count, np.nan), 0.5)
    assert np.isnan(nothing.value) and np.isnan(nothing.draws).all() and len(nothing.draws) == DRAWS


def test_statistics_of_one_bootstrap_are_of_the_same_draws() -> None:
    values = np.random.default_rng(7).normal(0, 1, 200)
    one, other = BlockBootstrap(200, 1), BlockBootstrap(200, 2)
    median = one.quantile(values, 0.5)
    assert one.estimate(one.quantile(values + 3, 0.5) - median).ends == pytest.approx((3, 3))
    assert one.estimate((median + median) * 0.5) == one.estimate(median)
    assert one.estimate(other.quantile(values, 0.5) - median).width > one.estimate(median).width


def test_equal_seeds_give_equal_intervals() -> None:
    values = np.random.default_rng(1).exponential(10, 5000)
    assert quantile_estimates(values, [0.5, 0.95], 7) == quantile_estimates(values, [0.5, 0.95], 7)
    assert quantile_estimates(values, [0.5, 0.95], 7) != quantile_estimates(values, [0.5, 0.95], 8)


def test_few_observations_give_no_interval() -> None:
    assert quantile_estimates(np.arange(19.0), [0.5], 1) == [Estimate(9.0)]
    p50, p99 = quantile_estimates(np.arange(500.0), [0.5, 0.99], 1)
    assert p50.low is not None
    assert p99.low is None, "a p99 of 500 rests on five observations"
    assert quantile_estimates(np.array([]), [0.5], 1) == []


def test_long_series_have_the_intervals_of_all_their_values() -> None:
    found = quantile_estimates(np.random.default_rng(4).lognormal(3, 1, 50_000), [0.99], 1)[0]
    low, high = found.ends
    assert low < found.value < high
    assert found.width < 0.1 * found.value


def test_ratio_with_nothing_below_has_no_value_and_no_interval() -> None:
    drawn = BlockBootstrap(60, 1)
    nothing = drawn.ratio(np.ones(60), np.zeros(60))
    assert np.isnan(nothing.value) and np.isnan(nothing.draws).all()
    assert drawn.estimate(nothing).low is None
