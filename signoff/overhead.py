"""What the way through LiteLLM costs: paired differences of the timed rounds, and a block bootstrap.

LiteLLM minus the first direct request is the overhead of a round, the second direct request minus the first is its
control, which must be about nothing. Neighbouring rounds share what the machine was busy with, so whole blocks of
rounds are drawn anew: the circular block bootstrap of Politis and Romano (A circular block-resampling procedure for
stationary data, 1992), with blocks of n^(1/3) rounds (Hall, Horowitz and Jing, On blocking rules for the bootstrap
with dependent data, Biometrika 82, 1995), percentile intervals.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from signoff.traffic.pairs import ARMS, Arm, Timing
from signoff.verdicts import Verdict

Numbers = npt.NDArray[np.float64]

PAIRS_FOR_P95 = 400
"""With fewer, the 95th percentile rests on less than twenty requests."""
CONTROL_LIMIT_MS = 20.0
"""Where direct and direct differ by more, the machine was too restless to sign anything off."""
DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Samples:
    """All requests of a measurement in the order in which they were sent."""

    timings: tuple[Timing, ...]

    def errors(self, *arms: Arm) -> list[str]:
        """What went wrong on these arms."""
        return [timing.error for timing in self.timings if timing.error and timing.arm in arms]

    def rounds(self) -> Numbers:
        """Milliseconds, one row for each whole round, with the columns of `ARMS`."""
        whole: dict[int, dict[str, float]] = {}
        for timing in self.timings:
            if not timing.error:
                whole.setdefault(timing.round, {})[timing.arm] = timing.ms
        rows = [[row[arm] for arm in ARMS] for row in whole.values() if len(row) == len(ARMS)]
        return np.array(rows, dtype=np.float64).reshape(-1, len(ARMS))

    def to_csv(self, path: Path) -> None:
        """Write each request as a line."""
        pd.DataFrame([asdict(timing) for timing in self.timings]).to_csv(path, index=False)


@dataclass(frozen=True)
class Overhead:
    """The figures in milliseconds, each with the ends of its 95 % interval, and the verdict against `limit_ms`.

    All figures are None when a request failed, and those of p95 below `PAIRS_FOR_P95` pairs.
    """

    verdict: Verdict
    reason: str
    limit_ms: float
    pairs: int
    seed: int
    median_ms: float | None = None
    median_low_ms: float | None = None
    median_high_ms: float | None = None
    control_ms: float | None = None
    control_low_ms: float | None = None
    control_high_ms: float | None = None
    p95_shift_ms: float | None = None
    p95_shift_low_ms: float | None = None
    p95_shift_high_ms: float | None = None
    direct_median_ms: float | None = None
    proxied_median_ms: float | None = None


def judge(samples: Samples, *, limit_ms: float, seed: int) -> Overhead:
    """Judge a measurement.

    Passed: the upper ends of the median overhead and, from `PAIRS_FOR_P95` pairs on, of the shift of the 95th
    percentile lie below the limit, and the control within `CONTROL_LIMIT_MS` of nothing. Failed: a lower end lies
    above the limit, whatever the control says, or a proxied request failed. Else inconclusive.
    """
    rounds = samples.rounds()
    pairs = len(rounds)
    if failed := samples.errors("proxied"):
        reason = f"{len(failed)} requests to LiteLLM failed: {failed[0]}"
        return Overhead(Verdict.FAILED, reason, limit_ms, pairs, seed)
    if failed := samples.errors("direct", "control"):
        reason = f"{len(failed)} requests to vLLM failed: {failed[0]}"
        return Overhead(Verdict.INCONCLUSIVE, reason, limit_ms, pairs, seed)
    if not pairs:
        return Overhead(Verdict.INCONCLUSIVE, "nothing was timed", limit_ms, pairs, seed)

    figures = figures_of(rounds)
    draws = np.array([figures_of(drawn) for drawn in _drawn(rounds, np.random.default_rng(seed))])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    has_p95 = pairs >= PAIRS_FOR_P95
    verdict, reason = _verdict(low, high, limit_ms, has_p95=has_p95)
    return Overhead(
        verdict=verdict,
        reason=reason,
        limit_ms=limit_ms,
        pairs=pairs,
        seed=seed,
        direct_median_ms=float(np.median(rounds[:, 0])),
        proxied_median_ms=float(np.median(rounds[:, 1])),
        **_named("median", figures[0], low[0], high[0]),
        **_named("control", figures[1], low[1], high[1]),
        **(_named("p95_shift", figures[2], low[2], high[2]) if has_p95 else {}),
    )


def _named(name: str, figure: float, low: float, high: float) -> dict[str, float]:
    return {f"{name}_ms": float(figure), f"{name}_low_ms": float(low), f"{name}_high_ms": float(high)}


def figures_of(rounds: Numbers) -> tuple[float, float, float]:
    """Median of the paired differences, the same of the control, and p95 of proxied minus p95 of direct."""
    direct, proxied, control = rounds.T
    shift = np.quantile(proxied, 0.95) - np.quantile(direct, 0.95)
    return float(np.median(proxied - direct)), float(np.median(control - direct)), float(shift)


def _drawn(rounds: Numbers, chance: np.random.Generator) -> list[Numbers]:
    """`DRAWS` samples of as many rounds, each put together from blocks; the last round is followed by the first."""
    count = len(rounds)
    length = max(1, round(count ** (1 / 3)))
    starts = chance.integers(count, size=(DRAWS, -(-count // length)))
    indices = (starts[:, :, None] + np.arange(length)) % count
    return [rounds[row[:count]] for row in indices.reshape(DRAWS, -1)]


def _verdict(low: Numbers, high: Numbers, limit_ms: float, *, has_p95: bool) -> tuple[Verdict, str]:
    judged = {"median": 0, **({"p95 shift": 2} if has_p95 else {})}
    above = [name for name, index in judged.items() if low[index] > limit_ms]
    if above:
        return Verdict.FAILED, f"{' and '.join(above)} above {limit_ms:g} ms with 95 % confidence"
    if low[1] < -CONTROL_LIMIT_MS or high[1] > CONTROL_LIMIT_MS:
        return Verdict.INCONCLUSIVE, (
            f"direct against direct is {low[1]:.1f} to {high[1]:.1f} ms apart, more than {CONTROL_LIMIT_MS:g} ms: "
            "the machine was too restless"
        )
    unsure = [name for name, index in judged.items() if high[index] >= limit_ms]
    if unsure:
        return Verdict.INCONCLUSIVE, f"the interval of {' and '.join(unsure)} includes {limit_ms:g} ms"
    return Verdict.PASSED, f"{' and '.join(judged)} below {limit_ms:g} ms with 95 % confidence"
