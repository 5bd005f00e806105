"""What the way through LiteLLM costs: the paired differences of the timed rounds, and the verdict on them.

LiteLLM minus the first direct request is the overhead of a round, the second direct request minus the first is its
control, which must be about nothing.

Streams are slower to pass on than plain answers, so the differences of both kinds together have two humps, and between
them the median of all finds little to hold on to: its variance goes with 1 / density^2 there (Cramer, Mathematical
Methods of Statistics, 1946, 28.5). The kinds are strata therefore, and the overhead is the mean of their two medians,
whose interval leaves out how far the kinds are apart (Cochran, Sampling Techniques, 3rd edition, 1977, 5.3). On
recorded runs it is about half as wide.

Intervals are those of signoff.stats.bootstrap, which draws blocks of whole rounds.

What an ingress before LiteLLM adds is found likewise, from the rounds that asked through it too: the request through it
minus the proxied one. It stands beside the overhead and is no part of it, nor of the verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from signoff.core.words import listed
from signoff.stats.arrays import Flags, Numbers
from signoff.stats.bootstrap import BlockBootstrap, Statistic
from signoff.stats.estimate import MIN_OBSERVATIONS, Estimate
from signoff.traffic.blocks import Block
from signoff.traffic.counted import Counted
from signoff.traffic.pairs import ARMS, INGRESS, PAIRS_FOR_P95, WINDOW_ROUNDS, Arm, Round, Timing, is_stable
from signoff.verdicts.below import below, sorted_out
from signoff.verdicts.verdict import Code, Value, Verdict, failed, gravest, inconclusive, passed

PAIRS_FOR_P99 = 2000
INGRESS_PAIRS_FOR_P95 = PAIRS_FOR_P95 // 2
"""As many as the ingress has of 400 rounds: ten requests beyond the 95th percentile, the fewest (`MIN_BEYOND`) that
give it an interval, if a wide one. It is told, and not judged."""
CONTROL_LIMIT_MS = 20.0
"""Where direct and direct differ by more, the machine was too restless to sign anything off."""
CPU_BOUND = 0.5
"""The generator's own work, as a part of the time that its requests took; above, it timed itself."""
WAIT_BOUND = 0.25
"""The part of that time in which the generator could run and had no processor."""

JUDGED = ("median", "median_plain", "median_streamed", "p95_shift")
"""The figures that must lie below the limit."""


@dataclass(frozen=True)
class Samples:
    """All requests of a measurement in the order in which they were sent, its blocks of a single arm, and what vLLM
    counted of the requests; None where nobody looked.
    """

    timings: tuple[Timing, ...]
    blocks: tuple[Block, ...] = ()
    counted: Counted | None = None

    def errors(self, *arms: Arm) -> list[str]:
        """What went wrong on these arms."""
        return [timing.error for timing in self.timings if timing.error and timing.arm in arms]

    def whole_rounds(self, arms: Sequence[Arm] = ARMS) -> list[Round]:
        """The answers of these arms, of each round that has all of them, without those of the warm-up."""
        whole: dict[int, dict[str, Timing]] = {}
        for timing in self.timings:
            if not timing.error and timing.round >= 0:
                whole.setdefault(timing.round, {})[timing.arm] = timing
        return [[row[arm] for arm in arms] for row in whole.values() if row.keys() >= set(arms)]

    def rounds(self, arms: Sequence[Arm] = ARMS) -> "Rounds":
        """What the whole rounds of these arms took."""
        rows = self.whole_rounds(arms)

        def table(values: list[list[float | None]]) -> Numbers:
            return np.array(values, dtype=np.float64).reshape(-1, len(arms))

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
        """How busy the generator itself was while it timed what is judged."""
        timed = [timing for timing in self.timings if timing.round >= 0 and timing.arm in ARMS]
        wall = sum(timing.ms for timing in timed) or 1.0
        return Generator(sum(each.cpu_ms for each in timed) / wall, sum(each.waited_ms for each in timed) / wall)


@dataclass(frozen=True)
class Rounds:
    """Milliseconds, one row for each round, a column for each arm; NaN where there is no such figure."""

    ms: Numbers
    ttft_ms: Numbers
    itl_ms: Numbers
    streamed: Flags

    def __len__(self) -> int:
        return len(self.ms)


@dataclass(frozen=True)
class Generator:
    """The generator's own work and its waiting for a processor, as parts of the time that its requests took."""

    cpu: float
    waited: float

    @property
    def limit(self) -> str:
        """What of it makes the run invalid; empty if nothing does."""
        if self.cpu > CPU_BOUND:
            return f"it worked for {self.cpu:.0%} of the time that its requests took (bound: {CPU_BOUND:.0%})"
        if self.waited > WAIT_BOUND:
            return f"it had to wait for a processor for {self.waited:.0%} of that time (bound: {WAIT_BOUND:.0%})"
        return ""


IDLE = Generator(0.0, 0.0)


@dataclass(frozen=True)
class Overhead:
    """The verdict against `limit_ms`, and the figures that it rests on, by the names of `figures_of`.

    There are none when a request failed or nothing was timed.
    """

    verdict: Verdict
    limit_ms: float
    pairs: int
    seed: int
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    direct_median_ms: float | None = None
    proxied_median_ms: float | None = None
    generator: Generator = IDLE
    warm: bool | None = None
    """Whether the warm-up settled; one that did not makes a run no worse than its intervals and control say."""
    doubts: tuple[Verdict, ...] = ()
    """What `signoff.overhead.plausible` has against all of the figures."""

    @property
    def is_invalid(self) -> bool:
        """Whether the generator itself was the limit, so that nothing is told of what it timed."""
        return self.verdict.code is Code.GENERATOR_BOUND

    def of(self, name: str) -> Verdict:
        """The verdict of a single one of the figures."""
        own = verdict_of(self.figures, self.limit_ms, names=[name], generator=self.generator)
        return gravest([own, *self.doubts])


def judge(samples: Samples, *, limit_ms: float, seed: int) -> Overhead:
    """Judge a measurement: as `verdict_of`, where no request failed.

    A failed request to LiteLLM is a failure; but to vLLM inconclusive, whatever became of LiteLLM's.
    """
    rounds = samples.rounds()
    pairs = len(rounds)
    if told := _untimed(samples, pairs):
        return Overhead(told, limit_ms, pairs, seed)
    figures, generator = estimates(rounds, seed=seed), samples.generator()
    return Overhead(
        verdict=verdict_of(figures, limit_ms, generator=generator),
        limit_ms=limit_ms,
        pairs=pairs,
        seed=seed,
        figures=figures,
        direct_median_ms=float(np.median(rounds.ms[:, 0])),
        proxied_median_ms=float(np.median(rounds.ms[:, 1])),
        generator=generator,
        warm=samples.is_warm(),
    )


@dataclass(frozen=True)
class Ingress:
    """What the ingress `at` this address adds to a request to LiteLLM, by `pairs` of one through it and one without.

    The figures are those of `paired_figures` and "ttft"; where there are none, `missing` says why.
    """

    at: str
    pairs: int
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    missing: str = ""


def ingress_adds(samples: Samples, *, at: str, seed: int) -> Ingress:
    """Estimate what the ingress adds, of a measurement that asked through it.

    A request through it that failed takes all figures away: who tells a median of those that came tells too little.
    """
    rounds = samples.rounds(("proxied", INGRESS))
    pairs = len(rounds)
    if problems := samples.errors(INGRESS):
        return Ingress(at, pairs, missing=f"a request through it failed: {problems[0]}")
    if problems := samples.errors(*ARMS):
        return Ingress(at, pairs, missing=f"the rounds ended early, with a request that failed: {problems[0]}")
    if not pairs:
        return Ingress(at, pairs, missing="nothing was timed through it")
    bootstrap = BlockBootstrap(pairs, seed)
    proxied, through = rounds.ms.T
    found = paired_figures(bootstrap, proxied, through, rounds.streamed, pairs_for_p95=INGRESS_PAIRS_FOR_P95)
    found |= _of_streams("ttft", rounds.ttft_ms, bootstrap)
    return Ingress(at, pairs, {name: bootstrap.estimate(figure) for name, figure in found.items()})


def _untimed(samples: Samples, pairs: int) -> Verdict | None:
    """What keeps a measurement from having figures; None where nothing does."""
    if problems := samples.errors("direct", "control"):
        return inconclusive(f"{_requests(problems)} to vLLM failed: {problems[0]}", Code.BACKEND_FAILED)
    if problems := samples.errors("proxied"):
        return failed(f"{_requests(problems)} to LiteLLM failed: {problems[0]}", Code.NO_ANSWER)
    return None if pairs else inconclusive("nothing was timed", Code.TOO_FEW)


def _requests(problems: Sequence[str]) -> str:
    return f"{len(problems)} request{'s' if len(problems) > 1 else ''}"


def estimates(rounds: Rounds, *, seed: int) -> dict[str, Estimate]:
    """Each figure with its interval, all from the same draws of whole rounds."""
    bootstrap = BlockBootstrap(len(rounds), seed)
    return {name: bootstrap.estimate(figure) for name, figure in figures_of(rounds, bootstrap).items()}


def figures_of(rounds: Rounds, bootstrap: BlockBootstrap) -> dict[str, Statistic]:
    """The figures that so many rounds allow.

    Those of `paired_figures`; "control", the median of direct against direct; "p99_shift"; "ttft" and "itl", the
    medians of the paired differences of streams.
    """
    direct, proxied, control = rounds.ms.T
    found = paired_figures(bootstrap, direct, proxied, rounds.streamed)
    found["control"] = bootstrap.quantile(control - direct, 0.5)
    if len(rounds) >= PAIRS_FOR_P99:
        found["p99_shift"] = _shift(bootstrap, direct, proxied, 0.99)
    for name, table in (("ttft", rounds.ttft_ms), ("itl", rounds.itl_ms)):
        found |= _of_streams(name, table, bootstrap)
    return found


def _of_streams(name: str, table: Numbers, bootstrap: BlockBootstrap) -> dict[str, Statistic]:
    """The median of the second column minus the first; nothing where no pair has both."""
    difference = table[:, 1] - table[:, 0]
    return {} if np.isnan(difference).all() else {name: bootstrap.quantile(difference, 0.5)}


def paired_figures(
    bootstrap: BlockBootstrap,
    direct: Numbers,
    proxied: Numbers,
    streamed: Flags,
    *,
    pairs_for_p95: int = PAIRS_FOR_P95,
) -> dict[str, Statistic]:
    """The figures of `JUDGED` that so many pairs allow; the arrays are of the pairs that the bootstrap draws.

    "median_plain" and "median_streamed", the medians of the paired differences of each kind, and "median", their mean;
    of one kind alone only "median". "p95_shift" is the proxied arm's 95th percentile minus the direct arm's.
    """
    added = proxied - direct
    if streamed.all() or not streamed.any():
        found = {"median": bootstrap.quantile(added, 0.5)}
    else:
        plain = bootstrap.quantile(np.where(streamed, np.nan, added), 0.5)
        of_streams = bootstrap.quantile(np.where(streamed, added, np.nan), 0.5)
        found = {"median": (plain + of_streams) * 0.5, "median_plain": plain, "median_streamed": of_streams}
    if len(added) >= pairs_for_p95:
        found["p95_shift"] = _shift(bootstrap, direct, proxied, 0.95)
    return found


def _shift(bootstrap: BlockBootstrap, direct: Numbers, proxied: Numbers, probability: float) -> Statistic:
    return bootstrap.quantile(proxied, probability) - bootstrap.quantile(direct, probability)


def verdict_of(
    figures: Mapping[str, Estimate], limit_ms: float, *, names: Sequence[str] = JUDGED, generator: Generator = IDLE
) -> Verdict:
    """The verdict of those of the figures that have these names, which is the gravest of theirs.

    Failed: the lower end of one lies above the limit, whatever the control says. Passed: the upper ends of all lie
    below it, and the control's interval within `CONTROL_LIMIT_MS` of nothing. Else inconclusive; invalid, and so
    inconclusive, when the generator itself was the limit.
    """
    asked, control = {name: figures[name] for name in names if name in figures}, figures["control"]
    if generator.limit:
        return inconclusive(f"invalid: the generator itself was the limit: {generator.limit}", Code.GENERATOR_BOUND)
    verdict = against_limit(asked, limit_ms)
    if verdict.value is Value.FAILED:
        return verdict
    if any(each.low is None for each in (control, *asked.values())):
        return inconclusive(f"fewer than {MIN_OBSERVATIONS} pairs have no interval", Code.TOO_FEW)
    if not all(below(each, CONTROL_LIMIT_MS) is Value.PASSED for each in (control, -control)):
        return inconclusive(
            f"direct against direct is {control.low:.1f} to {control.high:.1f} ms apart, more than "
            f"{CONTROL_LIMIT_MS:g} ms: the machine was too restless",
            Code.RESTLESS,
        )
    return verdict


def against_limit(figures: Mapping[str, Estimate], limit_ms: float) -> Verdict:
    """Failed where one of the figures lies above the limit, inconclusive where the interval of one includes it."""
    judged = sorted_out({name.replace("_", " "): figure for name, figure in figures.items()}, limit_ms)
    if above := judged[Value.FAILED]:
        return failed(f"{listed(above)} above {limit_ms:g} ms with 95 % confidence", Code.LIMIT_EXCEEDED)
    if unsure := judged[Value.INCONCLUSIVE]:
        return inconclusive(f"the interval of {listed(unsure)} includes {limit_ms:g} ms", Code.INTERVAL_HOLDS_LIMIT)
    return passed(f"{listed(judged[Value.PASSED])} below {limit_ms:g} ms with 95 % confidence", figures)
