"""What the way through LiteLLM costs: paired differences of the timed rounds, and a block bootstrap.

LiteLLM minus the first direct request is the overhead of a round, the second direct request minus the first is its
control, which must be about nothing.

Streams are slower to pass on than plain answers, so the differences of both kinds together have two humps, and between
them the median of all finds little to hold on to: its variance goes with 1 / density^2 there (Cramer, Mathematical
Methods of Statistics, 1946, 28.5). The kinds are strata therefore, and the overhead is the mean of their two medians,
whose interval leaves out how far the kinds are apart (Cochran, Sampling Techniques, 3rd edition, 1977, 5.3). On
recorded runs it is about half as wide.

Neighbouring rounds share what the machine was busy with, so whole blocks of rounds are drawn anew: the circular block
bootstrap of Politis and Romano (A circular block-resampling procedure for stationary data, 1992), with blocks of
n^(1/3) rounds (Hall, Horowitz and Jing, On blocking rules for the bootstrap with dependent data, Biometrika 82, 1995).
Percentile intervals of few blocks are too narrow, so their ends lie further out (`expanded_tail`).
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from signoff.traffic.blocks import Block
from signoff.traffic.pairs import ARMS, PAIRS_FOR_P95, WINDOW_ROUNDS, Arm, Round, Timing, is_stable
from signoff.verdicts import Verdict

Numbers = npt.NDArray[np.float64]

PAIRS_FOR_P99 = 2000
CONTROL_LIMIT_MS = 20.0
"""Where direct and direct differ by more, the machine was too restless to sign anything off."""
CPU_BOUND = 0.5
"""The generator's own work, as a part of the time that its requests took; above, it timed itself."""
WAIT_BOUND = 0.25
"""The part of that time in which the generator could run and had no processor."""
DRAWS = 2000
CONFIDENCE = 0.95

JUDGED = ("median", "median_plain", "median_streamed", "p95_shift")
"""The figures that must lie below the limit."""


@dataclass(frozen=True)
class Samples:
    """All requests of a measurement in the order in which they were sent, and its blocks of a single arm."""

    timings: tuple[Timing, ...]
    blocks: tuple[Block, ...] = ()

    def errors(self, *arms: Arm) -> list[str]:
        """What went wrong on these arms."""
        return [timing.error for timing in self.timings if timing.error and timing.arm in arms]

    def rounds(self) -> "Rounds":
        """The whole rounds, without those of the warm-up."""
        whole: dict[int, dict[str, Timing]] = {}
        for timing in self.timings:
            if not timing.error and timing.round >= 0:
                whole.setdefault(timing.round, {})[timing.arm] = timing
        rows = [[row[arm] for arm in ARMS] for row in whole.values() if len(row) == len(ARMS)]

        def table(values: list[list[float | None]]) -> Numbers:
            return np.array(values, dtype=np.float64).reshape(-1, len(ARMS))

        return Rounds(
            ms=table([[each.ms for each in row] for row in rows]),
            ttft_ms=table([[each.ttft_ms for each in row] for row in rows]),
            itl_ms=table([[each.itl_ms for each in row] for row in rows]),
            streamed=np.array([row[0].streamed for row in rows], dtype=bool),
        )

    def is_warm(self) -> bool:
        """Whether the last two windows of the warm-up agreed; also when there was none."""
        cold: dict[int, Round] = {}
        for timing in self.timings:
            if timing.round < 0:
                cold.setdefault(timing.round, []).append(timing)
        last = list(cold.values())[-2 * WINDOW_ROUNDS :]
        return not last or is_stable(last[:WINDOW_ROUNDS], last[WINDOW_ROUNDS:])

    def generator(self) -> "Generator":
        """How busy the generator itself was while it timed."""
        timed = [timing for timing in self.timings if timing.round >= 0]
        wall = sum(timing.ms for timing in timed) or 1.0
        return Generator(sum(each.cpu_ms for each in timed) / wall, sum(each.waited_ms for each in timed) / wall)

    def to_csv(self, path: Path) -> None:
        """Write each request as a line."""
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, [each.name for each in fields(Timing)])
            lines.writeheader()
            lines.writerows(asdict(timing) for timing in self.timings)


@dataclass(frozen=True)
class Rounds:
    """Milliseconds, one row for each round, with the columns of `ARMS`; NaN where there is no such figure."""

    ms: Numbers
    ttft_ms: Numbers
    itl_ms: Numbers
    streamed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ms)


@dataclass(frozen=True)
class Generator:
    """The generator's own work and its waiting for a processor, as parts of the time that its requests took."""

    cpu: float
    waited: float

    @property
    def limit(self) -> str:
        """What of it makes the run void; empty if nothing does."""
        if self.cpu > CPU_BOUND:
            return f"it worked for {self.cpu:.0%} of the time that its requests took (bound: {CPU_BOUND:.0%})"
        if self.waited > WAIT_BOUND:
            return f"it had to wait for a processor for {self.waited:.0%} of that time (bound: {WAIT_BOUND:.0%})"
        return ""


@dataclass(frozen=True)
class Estimate:
    """A figure in milliseconds, with the ends of its 95 % interval."""

    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class Overhead:
    """The verdict against `limit_ms`, and the figures that it rests on, by the names of `figures_of`.

    There are none when a request failed or nothing was timed.
    """

    verdict: Verdict
    reason: str
    limit_ms: float
    pairs: int
    seed: int
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    direct_median_ms: float | None = None
    proxied_median_ms: float | None = None
    generator_cpu: float | None = None
    generator_waited: float | None = None
    warm: bool | None = None
    """Whether the warm-up settled; one that did not makes a run no worse than its intervals and control say."""


def judge(samples: Samples, *, limit_ms: float, seed: int) -> Overhead:
    """Judge a measurement.

    Failed: a proxied request failed, or the lower end of a `JUDGED` figure lies above the limit, whatever the control
    says. Passed: the upper ends of all of them lie below it, and the control's interval within `CONTROL_LIMIT_MS` of
    nothing. Else inconclusive; void, and so inconclusive, when the generator itself was the limit.
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

    figures = estimates(rounds, seed=seed)
    generator = samples.generator()
    verdict, reason = verdict_of(figures, limit_ms)
    if generator.limit:
        verdict, reason = Verdict.INCONCLUSIVE, f"void: the generator itself was the limit: {generator.limit}"
    return Overhead(
        verdict=verdict,
        reason=reason,
        limit_ms=limit_ms,
        pairs=pairs,
        seed=seed,
        figures=figures,
        direct_median_ms=float(np.median(rounds.ms[:, 0])),
        proxied_median_ms=float(np.median(rounds.ms[:, 1])),
        generator_cpu=generator.cpu,
        generator_waited=generator.waited,
        warm=samples.is_warm(),
    )


Counts = npt.NDArray[np.int32]
"""How often each round (column) is in each draw (row)."""
Figure = Callable[[Counts], Numbers]
"""The value of a figure for each draw."""


def figures_of(rounds: Rounds) -> dict[str, Figure]:
    """The figures that so many rounds allow.

    "median_plain" and "median_streamed", the medians of the paired differences of each kind, and "median", their mean,
    or that of the only kind; "control", the median of direct against direct; "p95_shift" and "p99_shift", that
    percentile of the proxied arm minus that of the direct; "ttft" and "itl", the medians of the paired differences of
    streams.
    """
    added, again = rounds.ms[:, 1] - rounds.ms[:, 0], rounds.ms[:, 2] - rounds.ms[:, 0]
    found = {"median": _quantile(added, 0.5), "control": _quantile(again, 0.5)}
    if 0 < rounds.streamed.sum() < len(rounds):
        plain = _quantile(np.where(rounds.streamed, np.nan, added), 0.5)
        streamed = _quantile(np.where(rounds.streamed, added, np.nan), 0.5)
        found |= {
            "median": lambda counts: (plain(counts) + streamed(counts)) / 2,
            "median_plain": plain,
            "median_streamed": streamed,
        }
    for name, needed, quantile in (("p95_shift", PAIRS_FOR_P95, 0.95), ("p99_shift", PAIRS_FOR_P99, 0.99)):
        if len(rounds) >= needed:
            found[name] = _shift(rounds.ms, quantile)
    for name, table in (("ttft", rounds.ttft_ms), ("itl", rounds.itl_ms)):
        if not np.isnan(difference := table[:, 1] - table[:, 0]).all():
            found[name] = _quantile(difference, 0.5)
    return found


def _quantile(values: Numbers, quantile: float) -> Figure:
    """The quantile, interpolated as numpy does, of what is no NaN; NaN for a draw that holds nothing else.

    The values are sorted once: a draw's order statistics are then found by counting along them.
    """
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present])]
    ascending = np.append(values[order], np.nan)

    def of(counts: Counts) -> Numbers:
        reached = np.cumsum(counts[:, order], axis=1, dtype=np.int32)
        rank = np.maximum(reached[:, -1] - 1, 0) * quantile
        low = np.floor(rank)
        below, above = (ascending[np.count_nonzero(reached <= each[:, None], axis=1)] for each in (low, np.ceil(rank)))
        found: Numbers = below + (above - below) * (rank - low)
        return found

    return of


def _shift(ms: Numbers, quantile: float) -> Figure:
    direct, proxied = _quantile(ms[:, 0], quantile), _quantile(ms[:, 1], quantile)
    return lambda counts: proxied(counts) - direct(counts)


def estimates(rounds: Rounds, *, seed: int) -> dict[str, Estimate]:
    """Each figure with its interval, all from the same draws."""
    draws = _draws(len(rounds), np.random.default_rng(seed))
    tail = expanded_tail(len(_block_lengths(len(rounds))))
    once = np.ones((1, len(rounds)), dtype=np.int32)
    found = {}
    for name, figure in figures_of(rounds).items():
        low, high = np.nanquantile(figure(draws), [tail, 1 - tail])
        found[name] = Estimate(float(figure(once)[0]), float(low), float(high))
    return found


def expanded_tail(blocks: int) -> float:
    """What the percentile interval leaves out at each end: expanded, since a draw of n has (n - 1) / n of the variance,
    and Student's t for the normal (Hesterberg, What teachers should know about the bootstrap, The American Statistician
    69, 2015, section 4.2). Blocks are counted, since blocks are drawn.
    """
    if blocks < 2:
        return 0.0
    z, freedom = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), blocks - 1
    # Abramowitz and Stegun, 26.7.5
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return NormalDist().cdf(-t * math.sqrt(blocks / freedom))


def _block_lengths(count: int) -> npt.NDArray[np.int_]:
    """The blocks that make up a draw of so many rounds."""
    length = max(1, round(count ** (1 / 3)))
    whole, rest = divmod(count, length)
    return np.array([length] * whole + [rest] * bool(rest))


def _draws(count: int, chance: np.random.Generator) -> Counts:
    """`DRAWS` samples of as many rounds, each put together from blocks; the last round is followed by the first."""
    lengths = _block_lengths(count)
    length = int(lengths[0])
    starts = chance.integers(count, size=(DRAWS, len(lengths)))
    # A block adds one from its start on and takes it away behind its end, which may be past the last round.
    width = count + length + 1
    line = np.arange(DRAWS)[:, None] * width
    begun, ended = (np.bincount((line + at).ravel(), minlength=DRAWS * width) for at in (starts, starts + lengths))
    unfolded = np.cumsum((begun - ended).reshape(DRAWS, width), axis=1, dtype=np.int32)
    counts: Counts = unfolded[:, :count].copy()
    counts[:, :length] += unfolded[:, count : count + length]
    return counts


def verdict_of(figures: Mapping[str, Estimate], limit_ms: float) -> tuple[Verdict, str]:
    """The verdict of the figures alone, and its reason."""
    judged = {name.replace("_", " "): figures[name] for name in JUDGED if name in figures}
    if above := [name for name, figure in judged.items() if figure.low > limit_ms]:
        return Verdict.FAILED, f"{listed(above)} above {limit_ms:g} ms with 95 % confidence"
    control = figures["control"]
    if control.low < -CONTROL_LIMIT_MS or control.high > CONTROL_LIMIT_MS:
        return Verdict.INCONCLUSIVE, (
            f"direct against direct is {control.low:.1f} to {control.high:.1f} ms apart, more than "
            f"{CONTROL_LIMIT_MS:g} ms: the machine was too restless"
        )
    if unsure := [name for name, figure in judged.items() if figure.high >= limit_ms]:
        return Verdict.INCONCLUSIVE, f"the interval of {listed(unsure)} includes {limit_ms:g} ms"
    return Verdict.PASSED, f"{listed(list(judged))} below {limit_ms:g} ms with 95 % confidence"


def listed(names: Sequence[str]) -> str:
    """Names in words: "a, b and c"."""
    return " and ".join(", ".join(names).rsplit(", ", 1))
