"""Whether a series grows: its slope, with an interval that allows for its autocorrelation.

By hand, as no package has all of it: statsmodels' Newey-West errors are neither prewhitened nor read with fixed-b
critical values, without which a series that resembles itself is found to grow far too often. Without them it is theirs,
which the tests show.
"""

from math import ceil, sqrt

from signoff.stats.arrays import Numbers
from signoff.stats.estimate import Estimate, z

MIN_POINTS = 30
_FIXED_B = (2.9694, 0.4160, -0.5324)
"""Bartlett's kernel: by how much the 97.5 % critical value exceeds the normal's, as coefficients of b, b^2 and b^3,
where b is bandwidth / n. N. M. Kiefer and T. J. Vogelsang, "A new asymptotic theory for
heteroskedasticity-autocorrelation robust tests", Econometric Theory 21 (2005) 1130-1164, table 1."""
_MAX_RHO = 0.97


def fitted_slope(times: Numbers, values: Numbers) -> Estimate | None:
    """The least-squares slope of equally spaced values, in their unit by that of `times`; None below `MIN_POINTS`.

    Its interval is robust to autocorrelation: W. K. Newey and K. D. West, Econometrica 55 (1987) 703-708, with
    Bartlett's kernel, after prewhitening with the residuals' first autocorrelation (D. W. K. Andrews and J. C. Monahan,
    Econometrica 60 (1992) 953-966). Bandwidth 1.3 n^(1/2) and fixed-b critical values: E. Lazarus, D. J. Lewis, J. H.
    Stock and M. W. Watson, "HAR Inference: Recommendations for Practice", JBES 36 (2018) 541-559.

    Simulated with 400 points, it holds the truth in 94 of 100 series of independent values, in 93 where nine tenths are
    carried over from value to value, and in 85 where such a wave hides below noise three times as strong as its shocks.
    """
    count = len(values)
    if count < MIN_POINTS:
        return None
    time, centred = times - times.mean(), values - values.mean()
    spread = float(time @ time)
    value = float(time @ centred) / spread
    residuals = centred - value * time
    rho = autocorrelation(residuals)
    bandwidth = ceil(1.3 * sqrt(count))
    variance = long_run_variance(time[1:] * (residuals[1:] - rho * residuals[:-1]), bandwidth)
    error = sqrt(variance * count / (count - 2)) / spread / (1 - rho)
    half_width = critical_value(bandwidth / count) * error
    return Estimate(value, value - half_width, value + half_width)


def long_run_variance(scores: Numbers, bandwidth: int) -> float:
    """The variance of the sum of scores that resemble their neighbours: Newey's and West's, never below zero."""
    variance = float(scores @ scores)
    for lag in range(1, bandwidth):
        variance += 2 * (1 - lag / bandwidth) * float(scores[lag:] @ scores[:-lag])
    return max(variance, 0.0)


def autocorrelation(residuals: Numbers) -> float:
    """The first autocorrelation of the residuals of a line, from 0 to the bound that Andrews and Monahan set.

    Beside a fitted line it is found too small; that bias is taken out (M. G. Kendall, "Note on bias in the estimation
    of autocorrelation", Biometrika 41 (1954) 403-404).
    """
    whole = float(residuals @ residuals)
    if whole == 0:
        return 0.0
    found = float(residuals[1:] @ residuals[:-1]) / whole
    return min(_MAX_RHO, max(0.0, found + (2 + 4 * found) / len(residuals)))


def critical_value(b: float) -> float:
    """How many standard errors the ends of the interval are away, for a bandwidth of so large a part of the series."""
    return z() + sum(coefficient * b**power for power, coefficient in enumerate(_FIXED_B, start=1))
