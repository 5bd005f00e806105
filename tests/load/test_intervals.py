"""Intervals that hold what they promise, on series whose truth is known."""

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from signoff.load.intervals import BlockBootstrap, Figure, Numbers, quantile_figures, rate_figure
from signoff.load.soak import slope
from signoff.overhead import expanded_tail


def autocorrelated(chance: np.random.Generator, count: int, carry: float) -> Numbers:
    values = chance.normal(size=count)
    values[0] /= np.sqrt(1 - carry**2)
    for at in range(1, count):
        values[at] += carry * values[at - 1]
    return values


def test_median_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(5)
    held = 0
    for number in range(150):
        figure = quantile_figures(50 + chance.standard_t(3, 400), [0.5], number % 4)[0]
        assert figure.low is not None and figure.high is not None
        held += figure.low <= 50 <= figure.high
    assert 0.90 <= held / 150 <= 0.99


def test_blocks_widen_the_interval_of_a_series_that_resembles_itself() -> None:
    values = autocorrelated(np.random.default_rng(2), 2000, 0.8)
    shuffled = np.random.default_rng(3).permutation(values)
    apart, together = (quantile_figures(each, [0.5], 1)[0] for each in (shuffled, values))
    assert width(together) > 1.5 * width(apart)


def width(figure: Figure) -> float:
    assert figure.low is not None and figure.high is not None
    return figure.high - figure.low


@pytest.mark.parametrize(("freedom", "t"), [(6, 2.447), (19, 2.093), (49, 2.010)])
def test_ends_lie_as_far_out_as_students_t_of_so_many_blocks(freedom: int, t: float) -> None:
    blocks = freedom + 1
    reach = -NormalDist().inv_cdf(expanded_tail(blocks))
    assert reach * sqrt(freedom / blocks) == pytest.approx(t, rel=0.01)


@pytest.mark.parametrize(("count", "blocks"), [(20, 7), (50, 12), (100_000, 200)])
def test_intervals_of_few_blocks_reach_further(count: int, blocks: int) -> None:
    figure = BlockBootstrap(count, 1).figure(0.5, np.linspace(0, 1, 10_001))
    assert (figure.low, figure.high) == pytest.approx((expanded_tail(blocks), 1 - expanded_tail(blocks)), abs=1e-6)


def test_a_part_of_a_series_is_drawn_with_the_whole() -> None:
    values = np.where(np.arange(400) % 2 == 0, np.nan, np.random.default_rng(6).normal(50, 5, 400))
    bootstrap = BlockBootstrap(400, 1)
    figure = bootstrap.figure(float(np.nanmedian(values)), bootstrap.quantiles(values, [0.5])[:, 0])
    assert figure.low is not None and figure.high is not None
    assert figure.low < 50 < figure.high and width(figure) < 3
    assert np.isnan(bootstrap.quantiles(np.full(400, np.nan), [0.5])).all()


def test_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).exponential(10, 5000)
    assert quantile_figures(values, [0.5, 0.95], 7) == quantile_figures(values, [0.5, 0.95], 7)
    assert quantile_figures(values, [0.5, 0.95], 7) != quantile_figures(values, [0.5, 0.95], 8)


def test_few_observations_give_no_interval() -> None:
    assert quantile_figures(np.arange(19.0), [0.5], 1) == [Figure(9.0)]
    p50, p99 = quantile_figures(np.arange(500.0), [0.5, 0.99], 1)
    assert p50.low is not None
    assert p99.low is None, "a p99 of 500 rests on five observations"
    assert quantile_figures(np.array([]), [0.5], 1) == []


def test_long_series_have_the_intervals_of_all_their_values() -> None:
    values = np.random.default_rng(4).lognormal(3, 1, 50_000)
    figure = quantile_figures(values, [0.99], 1)[0]
    assert figure.low is not None and figure.high is not None
    assert figure.low < figure.value < figure.high
    assert width(figure) < 0.1 * figure.value


def test_rates_of_none_and_of_bursts() -> None:
    none = rate_figure(np.zeros(1000, bool))
    assert none.value == 0 and none.high == pytest.approx(0.00383, abs=1e-4)
    scattered, burst = np.zeros(1000, bool), np.zeros(1000, bool)
    scattered[::20] = True
    burst[400:450] = True
    assert scattered.sum() == burst.sum()
    assert width(rate_figure(burst)) > 2 * width(rate_figure(scattered))


def test_difference_of_figures_widens_by_both() -> None:
    assert Figure(10, 7, 14) - Figure(4, 0, 7) == Figure(6, 6 - np.hypot(3, 3), 6 + np.hypot(4, 4))
    assert Figure(10, 7, 14) - Figure(4) == Figure(6)


def test_ratio_of_draws_with_nothing_below_has_no_interval() -> None:
    bootstrap = BlockBootstrap(60, 1)
    assert np.isnan(bootstrap.ratios(np.ones(60), np.zeros(60))).all()


@pytest.mark.parametrize("carry", [0.0, 0.9])
def test_slope_interval_holds_the_truth_in_spite_of_autocorrelation(carry: float) -> None:
    chance = np.random.default_rng(11)
    moments = np.arange(400) * 10.0
    held = 0
    for _ in range(400):
        found = slope(moments, 3 * moments / 3600 + autocorrelated(chance, 400, carry))
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= 3 <= found.high
    assert held / 400 >= 0.90
