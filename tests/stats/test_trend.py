"""Slopes whose truth is known, and their error beside that of statsmodels."""

from typing import Any

import numpy as np
import pytest

from signoff.stats.arrays import Numbers
from signoff.stats.estimate import z
from signoff.stats.trend import autocorrelation, critical_value, fitted_slope, long_run_variance
from tests.stats.series import autocorrelated


def least_squares(times: Numbers, values: Numbers) -> Any:
    """The line of statsmodels, which is loaded where it is needed: it takes a second, and every worker collects."""
    import statsmodels.api as sm

    return sm.OLS(values, sm.add_constant(times))


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_interval_holds_the_truth_in_spite_of_autocorrelation(rho: float) -> None:
    rng = np.random.default_rng(11)
    hours = np.arange(400) / 360
    held = 0
    for _ in range(400):
        found = fitted_slope(hours, 3 * hours + autocorrelated(rng, 400, rho))
        assert found is not None
        low, high = found.ends
        held += low <= 3 <= high
    assert held / 400 >= 0.90


@pytest.mark.parametrize("bandwidth", [1, 5, 26])
def test_without_prewhitening_the_error_is_that_of_statsmodels(bandwidth: int) -> None:
    count, times = 400, np.arange(400) / 360
    values = 3 * times + autocorrelated(np.random.default_rng(12), count, 0.6)
    options = {"maxlags": bandwidth - 1, "use_correction": True}
    theirs = least_squares(times, values).fit(cov_type="HAC", cov_kwds=options)
    time = times - times.mean()
    variance = long_run_variance(time * theirs.resid, bandwidth) * count / (count - 2)
    assert np.sqrt(variance) / (time @ time) == pytest.approx(theirs.bse[1])
    found = fitted_slope(times, values)
    assert found is not None and found.value == pytest.approx(theirs.params[1])


def test_a_series_that_does_not_resemble_itself_has_about_the_error_of_least_squares() -> None:
    times = np.arange(4000) / 360
    values = 3 * times + np.random.default_rng(13).normal(size=4000)
    found = fitted_slope(times, values)
    theirs = least_squares(times, values).fit()
    assert found is not None and found.width / 2 / z() == pytest.approx(theirs.bse[1], rel=0.25)


def test_what_is_carried_over_is_found_without_its_bias() -> None:
    rng = np.random.default_rng(14)
    time = np.arange(100.0) - 49.5
    found = []
    for _ in range(300):
        values = autocorrelated(rng, 100, 0.6)
        found.append(autocorrelation(values - values.mean() - (time @ values) / (time @ time) * time))
    assert np.mean(found) == pytest.approx(0.6, abs=0.03)
    assert autocorrelation(np.zeros(50)) == 0.0


def test_critical_values_are_those_of_kiefer_and_vogelsang() -> None:
    assert critical_value(0) == z()
    assert critical_value(1) == pytest.approx(1.96 + 2.9694 + 0.416 - 0.5324, abs=1e-3)


def test_an_unchanging_series_and_a_straight_line_have_no_width_and_few_points_no_slope() -> None:
    times = np.arange(40.0)
    flat, line = fitted_slope(times, np.full(40, 7.0)), fitted_slope(times, 2 * times)
    assert flat is not None and (flat.value, flat.width) == (0, 0)
    assert line is not None and line.value == pytest.approx(2) and line.width == pytest.approx(0, abs=1e-9)
    assert fitted_slope(times[:29], times[:29]) is None
