"""Shares, their intervals and their tests: beside other packages, and counted out."""

from itertools import combinations

import numpy as np
import pytest

from signoff.stats.proportions import design_effect, fewest_more_often, more_often, power, proportion, wilson


def statsmodels_wilson(hits: int, count: int) -> tuple[float, float]:
    """Loaded where it is needed: it takes a second, and every worker collects this file."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, count, method="wilson")
    return low, high


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (1, 7), (50, 1000), (999, 1000), (30, 30)])
def test_wilsons_interval_is_that_of_statsmodels_and_of_scipy(hits: int, count: int) -> None:
    from scipy.stats import binomtest

    found = wilson(hits / count, count)
    assert found.ends == pytest.approx(statsmodels_wilson(hits, count), abs=1e-12)
    scipys = binomtest(hits, count).proportion_ci(method="wilson")
    assert found.ends == pytest.approx((scipys.low, scipys.high), abs=1e-12)


def test_none_of_many_has_an_upper_end_and_none_of_none_no_interval() -> None:
    none = proportion(np.zeros(1000, bool))
    assert none.value == 0 and none.high == pytest.approx(0.00383, abs=1e-4)
    nothing = proportion(np.zeros(0, bool))
    assert (nothing.value, nothing.low, nothing.high) == (0.0, None, None)


def test_bursts_widen_the_interval_and_what_is_scattered_evenly_does_not_narrow_it() -> None:
    scattered, burst = np.zeros(1000, bool), np.zeros(1000, bool)
    scattered[::20] = True
    burst[400:450] = True
    assert scattered.sum() == burst.sum()
    assert design_effect(scattered) < 1 < design_effect(burst)
    assert proportion(scattered).ends == pytest.approx(statsmodels_wilson(50, 1000))
    assert proportion(burst).width > 2 * proportion(scattered).width


def test_the_design_effect_of_independent_requests_is_about_one() -> None:
    rng = np.random.default_rng(1)
    found = [design_effect(rng.random(900) < 0.1) for _ in range(100)]
    assert np.mean(found) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 3), (1, 4), (2, 2), (4, 1), (0, 5), (5, 5)])
def test_fishers_test_is_the_share_of_all_ways_to_deal_the_hits_out(first: int, second: int) -> None:
    count = 5
    ways = list(combinations(range(2 * count), first + second))
    as_extreme = sum(sum(hit < count for hit in way) >= second for way in ways)
    assert more_often(first, second, count) == pytest.approx(as_extreme / len(ways))


def test_fewest_hits_are_the_first_that_the_test_sees() -> None:
    fewest = fewest_more_often(2, 20, 0.01)
    assert fewest is not None
    assert more_often(2, fewest, 20) < 0.01 <= more_often(2, fewest - 1, 20)
    assert fewest_more_often(20, 20, 0.01) is None
    assert fewest_more_often(0, 0, 0.01) is None


def test_power_is_the_chance_of_so_many_hits() -> None:
    rates = np.array([0.0, 0.3, 1.0])
    assert power(0, 4, rates) == pytest.approx([1, 1, 1])
    assert power(3, 4, rates) == pytest.approx([0, 4 * 0.3**3 * 0.7 + 0.3**4, 1])
