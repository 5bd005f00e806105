"""Arithmetic of figures with intervals."""

from math import hypot, isnan

import pytest

from signoff.stats.estimate import Estimate, z
from signoff.traffic import pairs


def test_difference_widens_by_both() -> None:
    assert Estimate(10, 7, 14) - Estimate(4, 0, 7) == Estimate(6, 6 - hypot(3, 3), 6 + hypot(4, 4))
    assert Estimate(10, 7, 14) - Estimate(4) == Estimate(6)


def test_turned_around_the_ends_change_places() -> None:
    assert -Estimate(10, 7, 14) == Estimate(-10, -14, -7)
    assert -Estimate(10) == Estimate(-10)


def test_another_unit() -> None:
    assert Estimate(10, 7, 14).scaled(2) == Estimate(20, 14, 28)
    assert Estimate(10).scaled(2) == Estimate(20)


@pytest.mark.parametrize(("low", "high", "meets"), [(0, 6, False), (0, 7, True), (14, 20, True), (15, 20, False)])
def test_intervals_that_touch_meet(low: float, high: float, meets: bool) -> None:
    assert Estimate(10, 7, 14).meets(Estimate(low, low, high)) is meets
    assert Estimate(10, 7, 14).meets(Estimate(low))


def test_covering_keeps_the_value() -> None:
    assert Estimate(10, 7, 14).covering(Estimate(20, 9, 30)) == Estimate(10, 7, 30)


def test_ends_that_are_not_known_hold_nothing() -> None:
    assert Estimate(10, 7, 14).ends == (7, 14) and Estimate(10, 7, 14).width == 7
    low, high = Estimate(10).ends
    assert not low <= 10 and not high >= 10 and isnan(Estimate(10).width)


def test_the_pods_own_quantile_is_this_one() -> None:
    assert z() == pytest.approx(1.959964, abs=1e-6) and pytest.approx(z(), abs=1e-12) == pairs._Z
