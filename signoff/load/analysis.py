"""What a load's raw records say: figures for each step and arm, and the overhead of the paired probes.

Durations are milliseconds. What a user of the load waited counts from the intended sending, so that a schedule that
fell behind shows ("coordinated omission", https://github.com/giltene/wrk2); a probe counts from its sending.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from signoff.core.errors import SignoffError
from signoff.evidence.invalid import InvalidKind, InvalidSpan, invalidating
from signoff.in_cluster.load_generator import rollup
from signoff.in_cluster.load_generator.run import POD_SAMPLES, SAMPLE_COLUMNS, SAMPLES, Role, Run, Step
from signoff.load.backend import BackendSeen, seen
from signoff.load.reading import check_files, limit_of, read_run, read_settings
from signoff.load.records import read_records
from signoff.overhead.estimate import against_limit, paired_figures
from signoff.stats.arrays import Flags, Numbers
from signoff.stats.bootstrap import BlockBootstrap, quantile_estimates
from signoff.stats.estimate import MIN_OBSERVATIONS, Estimate
from signoff.stats.proportions import proportion
from signoff.verdicts.below import is_above
from signoff.verdicts.verdict import Value

NOT_ITS_DOING = ("unfinished", "not sent")
"""Kinds of error that the end of the test or the generator made; counted, and not in the error rate."""
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SETTLING = 0.2
"""Share of a step, from its beginning, that is left out where flows are compared: queues of the step before drain.

At least the time of an answer is left out, p95 of the run's quickest step: that in which nothing has queued yet."""
MIN_ANSWER_TIMES = 2.0
"""A step of which fewer times of an answer are left is too short to tell."""
MAX_PAIRS_LOST = 0.02
"""Where more of the probes' pairs lack an answer, those that are left no longer speak for all.

Where more of the probes through LiteLLM fail with confidence, and not of vLLM's, LiteLLM has failed."""

_FLOW_BINS = 60
_OF_A_PAIR = ["started", "e2e_ms", "ttft_ms", "itl_ms", "error"]
_OF_A_GROUP = [*_OF_A_PAIR, "intended", "tokens"]


class StepState(StrEnum):
    """Whether LiteLLM kept up with a step, or why that cannot be told."""

    KEPT_UP = "kept-up"
    FELL_BEHIND = "fell-behind"
    SATURATED = "saturated"
    UNEXPLAINED = "unexplained"
    TOO_SHORT = "too-short"
    INVALID = "invalid"

    @property
    def words(self) -> str:
        """For a person."""
        return _STATES[self]


_STATES = {
    StepState.KEPT_UP: "kept up",
    StepState.FELL_BEHIND: "not kept up",
    StepState.SATURATED: "backend or machine saturated",
    StepState.UNEXPLAINED: "vLLM slow, by whose doing is not known",
    StepState.TOO_SHORT: "too short to tell",
    StepState.INVALID: "invalid",
}


@dataclass(frozen=True)
class Group:
    """The requests of one kind in one step; percentiles are of answers without error.

    Counts and the error rate hold those too whose records are rolled up; times and tokens are of the time since when
    there are records of each request.

    `waits` are the times behind the percentiles (ms) in the order of their sending, `served` those without the wait for
    a late sending, `first_tokens` and `between_tokens` those of the answers that have them. Percentiles, of which most
    of the work is their intervals, are found when they are asked for: a page shows those of a few groups.
    """

    label: str
    requests: int
    answered: int
    errors: dict[str, int]
    error_rate: Estimate
    in_flight: float
    """How many there were at a time, by Little's law."""
    tokens_per_second: float
    """All tokens of the group over that time."""
    stream_tokens_per_second: float | None
    """The median stream's own: 1000 over its inter-token latency."""
    waits: Numbers = field(repr=False)
    served: Numbers = field(repr=False)
    first_tokens: Numbers = field(repr=False)
    between_tokens: Numbers = field(repr=False)
    seed: int = field(repr=False)

    @cached_property
    def e2e(self) -> dict[str, Estimate]:
        """Of the whole answer."""
        return _percentiles(self.waits, self.seed)

    @cached_property
    def ttft(self) -> dict[str, Estimate]:
        """Of the time to the first token."""
        return _percentiles(self.first_tokens, self.seed)

    @cached_property
    def itl(self) -> dict[str, Estimate]:
        """Of the time between two tokens."""
        return _percentiles(self.between_tokens, self.seed)


@dataclass(frozen=True)
class ProbedOverhead:
    """The probes' paired differences, proxied minus direct; each None where no pair tells it."""

    pairs: int
    lost: int
    """Pairs of which an arm has no answer."""
    judged: Mapping[str, Estimate] = field(default_factory=dict)
    """The figures that must lie below the overhead's limit, by the names of
    signoff.overhead.estimate.paired_figures."""
    ttft: Estimate | None = None
    itl: Estimate | None = None
    direct: Estimate | None = None
    proxied: Estimate | None = None
    """The medians of the two arms."""

    @property
    def e2e(self) -> Estimate | None:
        """The mean of the medians of plain answers and of streams, or the median of the only kind."""
        return self.judged.get("median")

    @property
    def plain(self) -> Estimate | None:
        """The median of plain answers; None where there is one kind alone."""
        return self.judged.get("median_plain")

    @property
    def streamed(self) -> Estimate | None:
        """The median of streams; None where there is one kind alone."""
        return self.judged.get("median_streamed")

    @property
    def p95_shift(self) -> Estimate | None:
        """p95 through LiteLLM minus p95 of vLLM."""
        return self.judged.get("p95_shift")


@dataclass(frozen=True)
class StepResult:
    """One step. `offered` and `achieved` are requests per second to LiteLLM, the probes not counted.

    `shortfall` is the share of the requests that arrived after the settling which was not answered in the same time:
    zero where the queue keeps its length. `state` is set by signoff.load.knee.
    """

    name: str
    planned_rate: float | None
    planned_users: int | None
    started: float
    ended: float
    offered: float
    achieved: Estimate
    in_flight: float
    shortfall: Estimate
    too_short: bool
    """Whether flows say nothing: what is left after the settling is not twice as long as an answer takes."""
    groups: dict[str, Group]
    overhead: ProbedOverhead
    invalid_spans: tuple[InvalidSpan, ...]
    """The spans that make the step invalid; none where they cover too little of its time."""
    verdict: Value = Value.INCONCLUSIVE
    reason: str = ""
    state: StepState = StepState.KEPT_UP
    backend: BackendSeen | None = None
    """vLLM's own word; None where it could not be read."""

    @property
    def load(self) -> float:
        """What the step asks for: requests per second, or requests in flight."""
        return float(self.planned_rate if self.planned_rate is not None else self.planned_users or 0)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended - self.started

    @property
    def invalidated_by(self) -> tuple[InvalidSpan, ...]:
        """The spans that hide what LiteLLM did, if they cover enough of the step without the backlogs.

        A backlog, of which latencies say nothing either, does not: it is LiteLLM that lets it grow.
        """
        return invalidating(
            [span for span in self.invalid_spans if span.kind is not InvalidKind.BACKLOG], self.started, self.ended
        )

    def at(self) -> str:
        """The load in words."""
        if self.planned_rate is not None:
            return f"{self.planned_rate:g} {'request' if self.planned_rate == 1 else 'requests'} per second"
        return f"{self.planned_users} {'request' if self.planned_users == 1 else 'requests'} in flight"

    def figures(self) -> dict[str, Estimate]:
        """All figures with intervals by the names that thresholds use; those that could not be had are left out."""
        load, o = self.groups.get("load"), self.overhead
        found: dict[str, Estimate | None] = {
            "overhead_ms": o.e2e,
            "overhead_plain_ms": o.plain,
            "overhead_streamed_ms": o.streamed,
            "overhead_p95_ms": o.p95_shift,
            "overhead_ttft_ms": o.ttft,
            "overhead_itl_ms": o.itl,
            "achieved_per_second": self.achieved,
            "shortfall": self.shortfall,
        }
        if load:
            found |= {f"e2e_{name}_ms": figure for name, figure in load.e2e.items()}
            found |= {f"ttft_{name}_ms": figure for name, figure in load.ttft.items()}
            found |= {f"itl_{name}_ms": figure for name, figure in load.itl.items()}
            found["error_rate"] = load.error_rate
        arms = (("probe_error_rate", "proxied"), ("direct_error_rate", "direct"))
        found |= {name: self.groups[arm].error_rate for name, arm in arms if arm in self.groups}
        return {name: figure for name, figure in found.items() if figure}


@dataclass(frozen=True)
class Loaded:
    """A run as it was read: what it says of itself, its records and the samples of pods and generator."""

    folder: Path
    run: Run
    records: pd.DataFrame
    samples: pd.DataFrame
    rollup: pd.DataFrame
    """Minutes of the load whose records are gone, as the rollup describes; empty but for a long soak."""
    vouched: bool
    """Whether the evidence names the files that all this was read from, with their SHA-256."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As the run recorded them."""

    @property
    def limit_ms(self) -> float:
        """What LiteLLM has to add less than to a request, by the settings of the run."""
        return limit_of(self.settings)

    @cached_property
    def raw_from(self) -> float:
        """From when on there are records of each request of the load; 0 where there always are."""
        return float(self.rollup["minute"].max() + 60) if len(self.rollup) else 0.0

    @cached_property
    def probes_from(self) -> float:
        """From when on there are all probes, where a worker's earliest were dropped; 0 where all are there."""
        minutes = {path.name.removeprefix("minutes-") for path in rollup.whole(self.folder, "minutes")}
        probes = {path.name.removeprefix("probes-") for path in rollup.whole(self.folder, "probes")}
        dropped = {rollup.worker_of(name) for name in minutes - probes}
        left = self.records[(self.records["role"] == "probe") & self.records["worker"].isin(dropped)]
        return float(left.groupby("worker", observed=True)["intended"].min().max()) if len(left) else 0.0

    @property
    def ended(self) -> float:
        """Its end, or the last moment that a killed run tells of."""
        last = [self.records["started"].max()] if len(self.records) else []
        if len(self.samples):
            last.append(self.samples["at"].max())
        return self.run.ended or float(max([self.run.started, *last]))


def load(folder: Path) -> Loaded:
    """Read a run, also one that was killed.

    Raises:
        SignoffError: there is none, it is damaged, or a file is not the one that the evidence names.
    """
    run, vouched, settings = read_run(folder), check_files(folder), read_settings(folder)
    records, samples, minutes = read_records(folder), _read_samples(folder), _read_minutes(folder)
    return Loaded(folder, run, records, samples, minutes, vouched, settings)


def of_minutes(rollup: pd.DataFrame, edges: Numbers) -> Numbers:
    """How many requests the minutes hold between the edges, as if those of a minute had come evenly."""
    starts, counts = rollup["minute"].to_numpy(float), rollup["count"].to_numpy(float)
    shares = np.clip((edges[:, None] - starts) / 60, 0, 1)
    return np.asarray(np.diff(shares @ counts))


def _read_minutes(folder: Path) -> pd.DataFrame:
    paths = list(rollup.whole(folder, "minutes"))
    if not paths:
        return pd.DataFrame(columns=rollup.MINUTE_COLUMNS)
    tables = [pd.read_csv(path, keep_default_na=False) for path in paths]
    whole = pd.concat(tables, ignore_index=True)
    return whole[whole["arm"] == "proxied"].sort_values("minute", kind="stable", ignore_index=True)


def _read_samples(folder: Path) -> pd.DataFrame:
    paths = [path for name in (SAMPLES, POD_SAMPLES) if (path := folder / name).exists() and path.stat().st_size]
    if not paths:
        return pd.DataFrame(columns=SAMPLE_COLUMNS)
    tables = [
        pd.read_csv(path, keep_default_na=False, na_values=[""], on_bad_lines="skip", encoding_errors="replace")
        for path in paths
    ]
    table = pd.concat([each.reindex(columns=SAMPLE_COLUMNS).astype(object) for each in tables], ignore_index=True)
    numbers = [name for name in SAMPLE_COLUMNS if name not in ("pod", "event", "role")]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    table["event"] = table["event"].astype(object).fillna("")
    whole = table.dropna(subset=["at", "pod"])
    whole = whole.assign(role=whole["role"].fillna(whole["pod"].map(_role_of_before)))
    return whole.sort_values("at", kind="stable", ignore_index=True)


def _role_of_before(pod: str) -> Role:
    """Whose a sample is that says nothing of it: the pods were told apart by the story's names."""
    if pod.startswith("generator"):
        return "generator"
    return "gateway" if pod.startswith("litellm") else "backend"


def steps_of(loaded: Loaded) -> list[StepResult]:
    """Each step's figures, in the order of the run; steps without a request are left out.

    Raises:
        SignoffError: there is no step with a request.
    """
    records = loaded.records
    by_step = records.groupby("step", observed=True, sort=False).indices
    flows = _Flows.of(loaded)
    answer = _answer_seconds(records)
    found = [
        _step(loaded, step, records.iloc[np.sort(by_step[step.name])], flows, answer)
        for step in loaded.run.steps
        if step.name in by_step
    ]
    if not found:
        raise SignoffError(
            "no request was recorded in any step",
            where=str(loaded.folder),
            hint="let the load run longer; Locust's output says whether users could not start",
        )
    return found


def _answer_seconds(records: pd.DataFrame) -> float:
    """What an answer takes at the quickest of the steps, p95; 0 where there is none."""
    mine = (records["role"] == "load") & (records["arm"] == "proxied") & (records["error"] == "")
    p95 = records[mine & (records["step"] != "")].groupby("step", observed=True)["e2e_ms"].quantile(0.95)
    return float(p95.min()) / 1000 if len(p95) else 0.0


@dataclass(frozen=True)
class _Flow:
    """What arrived and what was answered in a step, in `_FLOW_BINS` bins of equal length."""

    arrivals: Numbers
    answers: Numbers
    seconds: float
    """The length of all bins together."""
    too_short: bool

    @property
    def offered(self) -> float:
        return float(self.arrivals.sum() / self.seconds)

    def achieved(self, bootstrap: BlockBootstrap) -> Estimate:
        lengths = np.full(_FLOW_BINS, self.seconds / _FLOW_BINS)
        return bootstrap.estimate(bootstrap.ratio(self.answers, lengths))

    def shortfall(self, bootstrap: BlockBootstrap) -> Estimate:
        if not self.arrivals.any():
            return Estimate(0.0)
        return bootstrap.estimate(bootstrap.ratio(self.arrivals - self.answers, self.arrivals))


@dataclass(frozen=True)
class _Flows:
    """The moments at which the load's requests arrived, and at which they were answered without error."""

    arrivals: Numbers
    answers: Numbers
    rollup: pd.DataFrame

    @classmethod
    def of(cls, loaded: Loaded) -> Self:
        records = loaded.records
        of_load = records[(records["role"] == "load") & (records["arm"] == "proxied")]
        answered = of_load[of_load["error"] == ""]
        moments = answered["started"].to_numpy() + answered["e2e_ms"].to_numpy() / 1000
        return cls(of_load["intended"].to_numpy(), moments, loaded.rollup)

    def of_step(self, step: Step, ended: float, answer_seconds: float) -> _Flow:
        """The flow of the step after its settling."""
        share = SETTLING * (ended - step.started)
        settling = max(share, answer_seconds)
        too_short = ended - (step.started + settling) < MIN_ANSWER_TIMES * answer_seconds
        start = step.started + (share if too_short else settling)
        arrivals, answers = self._within(np.linspace(start, ended, _FLOW_BINS + 1))
        if step.planned_rate and arrivals.any():
            arrivals = _with_missing(arrivals, step.planned_rate * (ended - start))
        return _Flow(arrivals, answers, ended - start, too_short)

    def _within(self, edges: Numbers) -> tuple[Numbers, Numbers]:
        """How many arrived, and how many were answered, between the edges."""
        answered = self.rollup[self.rollup["error"] == ""]
        return self._counted(self.arrivals, self.rollup, edges), self._counted(self.answers, answered, edges)

    @staticmethod
    def _counted(moments: Numbers, rollup: pd.DataFrame, edges: Numbers) -> Numbers:
        return np.histogram(moments, edges)[0] + of_minutes(rollup, edges)


def _step(loaded: Loaded, step: Step, own: pd.DataFrame, flows: _Flows, answer_seconds: float) -> StepResult:
    ended = step.ended or loaded.ended
    groups = _groups(loaded, step, own, ended)
    flow, bootstrap = flows.of_step(step, ended, answer_seconds), BlockBootstrap(_FLOW_BINS, loaded.run.seed)
    overhead, spans = _overhead(own, loaded.run.seed), invalidating(loaded.run.invalid_spans, step.started, ended)
    verdict, reason = _judge_overhead(overhead, groups, spans, loaded.limit_ms)
    return StepResult(
        name=step.name,
        planned_rate=step.planned_rate,
        planned_users=step.planned_users,
        started=step.started,
        ended=ended,
        offered=flow.offered,
        achieved=flow.achieved(bootstrap),
        in_flight=groups["load"].in_flight if "load" in groups else 0.0,
        shortfall=flow.shortfall(bootstrap),
        too_short=flow.too_short,
        groups=groups,
        overhead=overhead,
        invalid_spans=spans,
        verdict=verdict,
        reason=reason,
        backend=seen(loaded.samples, loaded.records, max(step.started, loaded.raw_from, loaded.probes_from), ended),
    )


def _with_missing(arrivals: Numbers, planned: float) -> Numbers:
    """The arrivals, evened up to the plan where fewer were recorded than chance explains (Poisson, 3 deviations)."""
    missing = planned - arrivals.sum()
    return arrivals + missing / len(arrivals) if missing > 3 * np.sqrt(planned) else arrivals


def _groups(loaded: Loaded, step: Step, own: pd.DataFrame, ended: float) -> dict[str, Group]:
    """The groups of `_kinds` of which the step has records or rolled-up minutes."""
    found = {}
    figures = own[_OF_A_GROUP]
    for name, (label, rows) in _kinds(own).items():
        minutes = loaded.rollup[loaded.rollup["step"] == step.name] if name == "load" else loaded.rollup.iloc[:0]
        since = max(step.started, loaded.raw_from if name.startswith("load") else loaded.probes_from)
        if rows.any() or len(minutes):
            raw = _Raw(figures[rows], since, max(ended - since, 1e-3))
            found[name] = _group(label, raw, minutes, loaded.run.seed, intended=name == "load")
    return found


def _kinds(own: pd.DataFrame) -> dict[str, tuple[str, "pd.Series[bool]"]]:
    probe, direct = own["role"] == "probe", own["arm"] == "direct"
    return {
        "load": ("load through LiteLLM", ~probe & (own["arm"] == "proxied")),
        "load_direct": ("load on vLLM", ~probe & direct),
        "proxied": ("probe through LiteLLM", probe & (own["arm"] == "proxied")),
        "direct": ("probe of vLLM", probe & direct),
    }


@dataclass(frozen=True)
class _Raw:
    """Records of single requests, which are all that there were for `seconds` from `since` on."""

    records: pd.DataFrame
    since: float
    seconds: float


def _group(label: str, raw: _Raw, rollup: pd.DataFrame, seed: int, *, intended: bool) -> Group:
    """The group of these records and rolled-up minutes; waits count from the intended sending where that is wanted."""
    own = raw.records
    answered = own[(own["error"] == "") & (own["intended"] >= raw.since)]
    late = (answered["started"] - answered["intended"]).to_numpy() * 1000 if intended else 0.0
    served = answered["e2e_ms"].to_numpy()
    waits = served + late
    ttft = answered["ttft_ms"].to_numpy() + late
    itl = answered["itl_ms"].to_numpy()
    itl = itl[~np.isnan(itl)]
    kinds = Counter({str(kind): int(count) for kind, count in own["error"].value_counts().items()})
    for kind, count in zip(rollup["error"], rollup["count"], strict=True):
        kinds[str(kind)] += int(count)
    return Group(
        label=label,
        requests=kinds.total(),
        answered=kinds[""],
        errors={kind: count for kind, count in kinds.most_common() if kind and count},
        error_rate=proportion(failures(own, rollup)),
        in_flight=float(served.sum() / 1000 / raw.seconds),
        tokens_per_second=float(answered["tokens"].sum() / raw.seconds),
        stream_tokens_per_second=float(1000 / np.median(itl)) if len(itl) and np.median(itl) > 0 else None,
        waits=waits,
        served=served,
        first_tokens=ttft[~np.isnan(ttft)],
        between_tokens=itl,
        seed=seed,
    )


def failures(own: pd.DataFrame, rollup: pd.DataFrame) -> Flags:
    """For each request, in the order of time, whether it failed; those that the end or the generator cut are left out.

    `rollup` are minutes whose records are gone, so that they come before `own`.
    """
    minutes = rollup[~rollup["error"].isin(NOT_ITS_DOING)]
    earlier = np.repeat((minutes["error"] != "").to_numpy(bool), minutes["count"].to_numpy(int))
    ended = own.loc[~own["error"].isin(NOT_ITS_DOING), "error"]
    return np.concatenate((earlier, (ended != "").to_numpy(bool)))


def _percentiles(values: Numbers, seed: int) -> dict[str, Estimate]:
    return dict(zip(PERCENTILES, quantile_estimates(values, list(PERCENTILES.values()), seed), strict=False))


def pairs_of(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each pair of probes whose both requests ended, with columns `..._direct` and `..._proxied`."""
    key = ["worker", "pair", "streamed"]
    probes = records.loc[records["pair"].notna() & (records["role"] == "probe"), [*key, "arm", *_OF_A_PAIR]]
    direct, proxied = (probes[probes["arm"] == arm].set_index(key) for arm in ("direct", "proxied"))
    table = pd.merge(direct, proxied, how="outer", left_index=True, right_index=True, suffixes=("_direct", "_proxied"))
    ended = ~table["error_direct"].isin(NOT_ITS_DOING) & ~table["error_proxied"].isin(NOT_ITS_DOING)
    return table[ended & table["error_direct"].notna() & table["error_proxied"].notna()].sort_values("started_direct")


def _overhead(own: pd.DataFrame, seed: int) -> ProbedOverhead:
    """The paired differences in this step, each pair a unit of the bootstrap."""
    table = pairs_of(own)
    whole = table[(table["error_direct"] == "") & (table["error_proxied"] == "")]
    if not len(whole):
        return ProbedOverhead(0, len(table))
    direct, proxied = whole["e2e_ms_direct"].to_numpy(), whole["e2e_ms_proxied"].to_numpy()
    streamed = whole.index.get_level_values("streamed").to_numpy(bool)
    bootstrap = BlockBootstrap(len(whole), seed)
    figures = paired_figures(bootstrap, direct, proxied, streamed)
    return ProbedOverhead(
        pairs=len(whole),
        lost=len(table) - len(whole),
        judged={name: bootstrap.estimate(figure) for name, figure in figures.items()},
        ttft=_median((whole["ttft_ms_proxied"] - whole["ttft_ms_direct"]).to_numpy(), seed),
        itl=_median((whole["itl_ms_proxied"] - whole["itl_ms_direct"]).to_numpy(), seed),
        direct=_median(direct, seed),
        proxied=_median(proxied, seed),
    )


def _median(values: Numbers, seed: int) -> Estimate | None:
    found = quantile_estimates(values[~np.isnan(values)], [0.5], seed)
    return found[0] if found else None


def _judge_overhead(
    overhead: ProbedOverhead, groups: Mapping[str, Group], invalid_spans: Sequence[InvalidSpan], limit_ms: float
) -> tuple[Value, str]:
    """The verdict on the overhead in a step, from the pairs alone.

    Unlike in signoff.overhead, direct is not asked a second time as a control. One greenlet sends both requests of a
    pair through one kind of client, this arm first or that at random: what the generator adds, by its loop's lag or by
    the second place, falls on both alike, so that it widens the interval and moves no median. The difference of two
    such direct requests is zero by that symmetry, and would not tell of what the symmetry lacks: the reading of an
    answer, 0.2 to 0.3 ms (scripts.measure_verdict), and a generator at its limit, which invalid spans show. It would
    ask the vLLM whose load is being measured for half as much again as the probes do.

    Passed: the upper ends of the medians of plain answers and of streams, of their mean and, from 400 pairs on, of the
    p95 shift lie below the limit; failed: a lower end lies above it, or LiteLLM left too many probes without an answer
    that vLLM gave; else inconclusive, as is a step that is invalid or has lost too many pairs.
    """
    if invalid_spans:
        return Value.INCONCLUSIVE, f"invalid: {invalid_spans[0].reason}"
    asked, failing = overhead.pairs + overhead.lost, _failing(groups)
    if overhead.lost and failing == {"proxied"}:
        return Value.FAILED, f"{overhead.lost} of {asked} pairs lack an answer, and it is LiteLLM's that lack"
    if overhead.e2e is None or overhead.e2e.low is None:
        return (
            Value.INCONCLUSIVE,
            f"only {overhead.pairs} pairs of probes, {MIN_OBSERVATIONS} are needed: let it run longer",
        )
    found = against_limit(overhead.judged, limit_ms)
    if found.value is not Value.FAILED and overhead.lost > MAX_PAIRS_LOST * asked:
        return Value.INCONCLUSIVE, f"{overhead.lost} of {asked} pairs lack an answer"
    return found.value, found.reason


def _failing(groups: Mapping[str, Group]) -> set[str]:
    """The arms of the probes of which more fail than pairs may be lost, with confidence."""
    return {arm for arm in ("proxied", "direct") if arm in groups and is_above(groups[arm].error_rate, MAX_PAIRS_LOST)}
