"""The charts of a load, each a function of what was concluded. Those over time are listed in `OVER_TIME`."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from signoff.in_cluster.load_generator.run import Role
from signoff.load.analysis import Group, StepResult, StepState, of_minutes
from signoff.load.conclusions import Conclusions
from signoff.load.soak import Trend
from signoff.report.charts import Axis, Bar, Chart, Line, Mark, axis
from signoff.settings.values import is_nfr66
from signoff.stats.arrays import Numbers

_CURVE_POINTS = 80
_TIME_BINS = 150
_NINES = [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99"), (0.99999, "99.999")]


def overhead_chart(found: Conclusions) -> Chart:
    """Overhead against load: the paired medians with their intervals, and the knee."""
    steps = [step for step in found.ordered if step.overhead.e2e]
    named = (("whole answer", "proxied", "e2e"), ("time to the first token", "ttft", "ttft"))
    lines = [line for name, colour, of in named if (line := _against_load(name, colour, of, steps))]
    medians = [y for line in lines for y in line.ys]
    ends = [end for line in lines for each in line.intervals for end in each.ends if np.isfinite(end)]
    values = [*ends, *medians]
    limit = found.limit_ms
    if max(values) > limit / 4:
        values.append(limit)
    loads = sorted({step.load for step in found.ordered})
    x_log = loads[0] > 0 and loads[-1] / loads[0] >= 8
    open_loop = steps[0].planned_rate is not None
    x = axis("requests per second" if open_loop else "requests in flight", loads, log=x_log, zero=not x_log)
    knee = found.knee.step
    word = "knee" if found.knee.own else knee.state.words if knee else ""
    return Chart(
        title="Overhead of LiteLLM against load",
        x=Axis(x.label, x.low, x.high, x.log, [(load, f"{load:g}") for load in loads]),
        # Beyond the knee it is seconds, beside which what was before would be a line at nothing.
        y=axis(
            "added ms, medians of the pairs, 95 % interval", values, log=max(values) > 5 * limit and min(medians) > 0
        ),
        lines=lines,
        marks=[Mark(knee.load, word, "failed")] if knee else [],
        limit=(limit, f"{'NFR66' if is_nfr66(limit) else 'limit'}: {limit:g} ms"),
        height=300,
    )


def _against_load(name: str, colour: str, of: str, steps: Sequence[StepResult]) -> Line | None:
    seen = [(step, figure) for step in steps if (figure := getattr(step.overhead, of))]
    if not seen:
        return None
    return Line(
        name,
        colour,
        [step.load for step, _ in seen],
        [figure.value for _, figure in seen],
        intervals=[figure for _, figure in seen],
        hollow=[step.state is not StepState.KEPT_UP or bool(step.invalid_spans) for step, _ in seen],
    )


def percentile_chart(step: StepResult) -> Chart:
    """Percentile curves of each arm, as HdrHistogram's plots: each nine is as wide as the one before."""
    colours = {"load": "proxied", "load_direct": "direct", "proxied": "ttft", "direct": "direct"}
    lines = []
    for name, group in step.groups.items():
        if len(group.waits):
            lines.append(_curve(group.label, colours[name], group.waits, dashed=name == "proxied"))
        if name == "load" and len(group.waits) and _were_late(group):
            lines.append(_curve("load, from the sending (not corrected)", "other", group.served, dashed=True))
    values = [y for line in lines for y in line.ys]
    furthest = max((x for line in lines for x in line.xs), default=1.0)
    log = bool(values) and max(values) > 5 * min(values)
    return Chart(
        title=f"Percentiles at {step.at()}",
        x=Axis("percentile", 0.0, furthest, ticks=[(_nines(p), text) for p, text in _NINES if _nines(p) <= furthest]),
        y=axis("ms until the whole answer", values, log=log),
        lines=lines,
    )


def _were_late(load: Group) -> bool:
    """Whether the percentiles from the intended sending lie visibly above those from the sending."""
    return bool(np.quantile(np.sort(load.waits) - np.sort(load.served), 0.99) > 0.5)


def _nines(share: float) -> float:
    return float(-np.log10(1 - share)) + 0.0


def _curve(name: str, colour: str, values: Numbers, *, dashed: bool) -> Line:
    last = np.log10(max(len(values), 2))
    places = np.linspace(0, last, _CURVE_POINTS)
    return Line(name, colour, places.tolist(), np.quantile(values, 1 - 10**-places).tolist(), dashed=dashed)


class Course:
    """A run's time, cut into the bins that its charts share."""

    def __init__(self, found: Conclusions) -> None:
        self.found = found
        self.began = found.loaded.run.started
        self.edges = np.linspace(self.began, max(found.loaded.ended, self.began + 1), _TIME_BINS + 1)
        self.unit, name = time_unit(found.loaded.ended - self.began)
        self.x = Axis(f"{name} since the start", 0.0, self.at(self.edges[-1]))

    def at(self, moment: Any) -> Any:
        """A moment, or several, on the axis of time."""
        return (moment - self.began) / self.unit

    @cached_property
    def middles(self) -> list[float]:
        """Of the bins."""
        middles: list[float] = self.at((self.edges[:-1] + self.edges[1:]) / 2).tolist()
        return middles

    def chart(self, title: str, label: str, lines: Sequence[Line], **more: Any) -> Chart:
        """A chart over this time, with the pods' events and the time in which the generator was the limit."""
        values = [y for line in lines for y in line.ys] + [bar.height for bar in more.get("bars", ())]
        return Chart(
            title, self.x, axis(label, values, log=more.pop("log", False)), lines,
            marks=[*self._events(), *more.pop("marks", ())], spans=self._spans(), height=230, **more,
        )  # fmt: skip

    def steps(self) -> list[Mark]:
        """Where each step begins, if there are several."""
        steps = self.found.loaded.run.steps
        return [Mark(self.at(each.started), each.name, "soft", 1, dashed=False) for each in steps if len(steps) > 1]

    def _events(self) -> list[Mark]:
        return [Mark(self.at(each["at"]), str(each["number"]), "pod3") for each in events(self.found)]

    def _spans(self) -> list[tuple[float, float]]:
        return [(max(0.0, self.at(span.began)), self.at(span.ended)) for span in self.found.loaded.run.invalid_spans]


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit in which so long a time is told, in seconds, and its name."""
    if seconds > 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if seconds > 240 else (1.0, "seconds")


def latency_over_time(course: Course) -> Chart:
    """Of the load and of the probes; where the load's records are rolled up, the mean of each minute."""
    lines = [*_latency_lines(course), *_minutes_lines(course)]
    values = [y for line in lines for y in line.ys if np.isfinite(y) and y > 0]
    log = bool(values) and max(values) > 20 * min(values)
    shaded = "the generator was the limit" if course.found.loaded.run.invalid_spans else ""
    return course.chart(
        "Latency over time", "ms until the whole answer", lines, log=log, marks=course.steps(), spans_name=shaded
    )


def _latency_lines(course: Course) -> list[Line]:
    records = course.found.loaded.records
    answered = records[records["error"] == ""]
    of_load = answered[(answered["role"] == "load") & (answered["arm"] == "proxied")]
    direct = answered[(answered["role"] == "probe") & (answered["arm"] == "direct")]
    waits = (of_load["started"] - of_load["intended"]) * 1000 + of_load["e2e_ms"]
    lines = [
        ("load through LiteLLM, p95", "tail", of_load, waits, 0.95),
        ("load through LiteLLM, median", "proxied", of_load, waits, 0.5),
        ("probe of vLLM, median", "direct", direct, direct["e2e_ms"], 0.5),
    ]
    return [
        Line(
            name, colour, course.middles,
            _quantile_of_bins(rows["intended"].to_numpy(), values.to_numpy(), course.edges, share),
        )
        for name, colour, rows, values, share in lines
        if len(rows)
    ]  # fmt: skip


def _minutes_lines(course: Course) -> list[Line]:
    rollup = course.found.loaded.rollup
    minutes = rollup[rollup["error"] == ""].groupby("minute")[["waited_ms", "count"]].sum()
    if not len(minutes):
        return []
    middles = course.at(minutes.index.to_numpy(float) + 30).tolist()
    means = (minutes["waited_ms"] / minutes["count"]).tolist()
    return [Line("load through LiteLLM, mean", "pod2", middles, means)]


def _quantile_of_bins(moments: Numbers, values: Numbers, edges: Numbers, share: float) -> list[float]:
    """As numpy interpolates it, of all bins at once; NaN for one without values."""
    bins = np.searchsorted(edges, moments, side="right") - 1
    order = np.lexsort((values, bins))
    ascending = np.append(values[order], np.nan)
    ends = np.searchsorted(bins[order], np.arange(len(edges)))
    counts = np.diff(ends)
    rank = ends[:-1] + np.maximum(counts - 1, 0) * share
    below, above = ascending[np.floor(rank).astype(int)], ascending[np.ceil(rank).astype(int)]
    found: list[float] = np.where(counts > 0, below + (above - below) * (rank % 1), np.nan).tolist()
    return found


def requests_over_time(course: Course) -> Chart:
    """How many of the load's requests arrived, and how many were answered."""
    records, rollup, edges = course.found.loaded.records, course.found.loaded.rollup, course.edges
    of_load = records[(records["role"] == "load") & (records["arm"] == "proxied")]
    answered = of_load[of_load["error"] == ""]
    per_second = 1 / np.diff(edges)
    came = np.histogram(of_load["intended"], edges)[0] + of_minutes(rollup, edges)
    went = np.histogram(answered["started"] + answered["e2e_ms"] / 1000, edges)[0]
    went = went + of_minutes(rollup[rollup["error"] == ""], edges)
    lines = [
        Line("arrived", "other", course.middles, (came * per_second).tolist(), dashed=True),
        Line("answered by LiteLLM", "proxied", course.middles, (went * per_second).tolist()),
    ]
    return course.chart("Requests over time", "per second", lines)


def failures_over_time(course: Course) -> Chart | None:
    """A bar for each bin with failed requests, of load and probes, with their kinds."""
    rollup, records, edges = course.found.loaded.rollup, course.found.loaded.records, course.edges
    moments = records["intended"].clip(edges[0], edges[-1])
    failed = {
        str(kind): np.histogram(moments[records["error"] == kind], edges)[0]
        + of_minutes(rollup[rollup["error"] == kind], edges).round(6)
        for kind in sorted({*records["error"].unique(), *rollup["error"]} - {""})
    }
    bars = []
    for place, (low, high) in enumerate(pairwise(edges)):
        counts = sorted(((float(each[place]), kind) for kind, each in failed.items() if each[place] > 0), reverse=True)
        kinds = ", ".join(f"{_whole(count)} {kind}" for count, kind in counts)
        if total := sum(count for count, _ in counts):
            bars.append(Bar(float(course.at(low)), float(course.at(high)), float(total / (high - low)), kinds))
    if not bars:
        return None
    return course.chart("Failed requests over time", "per second", [], bars=bars, bars_name="failed")


def _whole(count: float) -> str:
    """Requests in words: of a minute's that are spread over several bins, one bin may hold less than one."""
    return f"{count:.0f}" if count >= 1 else "less than 1"


def memory_of_gateway(course: Course) -> Chart | None:
    """Of LiteLLM's pods alone: vLLM holds so much that LiteLLM's changes would not show beside it."""
    return _of_pods(course, "Memory of LiteLLM", "rss_mib", "gateway")


def memory_of_others(course: Course) -> Chart | None:
    """Of vLLM's pods and the generator."""
    return _of_pods(course, "Memory of vLLM and the generator", "rss_mib", "backend", "generator")


def processor_of_gateway(course: Course) -> Chart | None:
    """Of LiteLLM's pods."""
    return _of_pods(course, "Processor of LiteLLM", "cores", "gateway")


def processor_of_others(course: Course) -> Chart | None:
    """Of vLLM's pods and the generator."""
    return _of_pods(course, "Processor of vLLM and the generator", "cores", "backend", "generator")


def _of_pods(course: Course, title: str, column: str, *roles: Role) -> Chart | None:
    lines: list[Line] = []
    samples = course.found.loaded.samples
    for (pod, role), own in samples[samples["role"].isin(roles)].groupby(["pod", "role"], sort=True):
        if column == "cores":
            own = own[own["cpu_seconds"].notna()]
            own = own.assign(cores=own["cpu_seconds"].diff() / own["at"].diff())
            own.loc[own["cores"] < 0, "cores"] = np.nan
        seen = own.dropna(subset=[column])
        if not len(seen):
            continue
        # No more bins than samples, so that a line without gaps is one.
        places = np.linspace(course.edges[0], course.edges[-1], max(2, min(len(course.edges), len(seen) // 2 + 1)))
        middles = course.at((places[:-1] + places[1:]) / 2).tolist()
        values = _quantile_of_bins(seen["at"].to_numpy(), seen[column].to_numpy(), places, 0.5)
        lines.append(Line(str(pod), _pod_colour(str(role), len(lines)), middles, values))
    return course.chart(title, {"rss_mib": "MiB", "cores": "cores"}[column], lines) if lines else None


def _pod_colour(role: str, number: int) -> str:
    if role == "gateway":
        return ("proxied", "pod2", "pod3", "ttft")[number % 4]
    return "other" if role == "generator" else "direct"


OVER_TIME: tuple[Callable[[Course], Chart | None], ...] = (
    latency_over_time,
    requests_over_time,
    failures_over_time,
    memory_of_gateway,
    memory_of_others,
    processor_of_gateway,
    processor_of_others,
)
"""One below the other on one axis of time; a chart of which nothing was seen is left out."""


def timeline(found: Conclusions) -> Iterator[Chart]:
    """The charts over time of which something was seen."""
    course = Course(found)
    yield from filter(None, (draw(course) for draw in OVER_TIME))


def trend_chart(trend: Trend, began: float) -> Chart:
    """A series of a soak with the line whose slope was judged."""
    unit, name = time_unit(float(trend.moments[-1] - began))
    xs = [float(moment - began) / unit for moment in trend.moments]
    lines = [Line(trend.name, "proxied", xs, trend.values.tolist())]
    if trend.slope:
        middle = float(trend.moments.mean())
        fitted = trend.values.mean() + trend.slope.value / 3600 * (trend.moments[[0, -1]] - middle)
        lines.append(Line("fitted slope", "other", [xs[0], xs[-1]], fitted.tolist(), dashed=True))
    return Chart(
        title=trend.name,
        x=Axis(f"{name} since the start", 0.0, max(xs[-1], 1e-9)),
        y=axis(trend.unit, [y for line in lines for y in line.ys], zero=trend.unit == "%"),
        lines=lines,
        height=210,
    )


def events(found: Conclusions) -> list[dict[str, Any]]:
    """The pods' events in the order of time, numbered as in the charts."""
    samples = found.loaded.samples
    happened = samples[samples["event"] != ""]
    columns = (happened["at"].to_numpy(float), happened["pod"], happened["event"])
    return [
        {"number": number, "at": at, "pod": pod, "event": event, "after": at - found.loaded.run.started}
        for number, (at, pod, event) in enumerate(zip(*columns, strict=True), 1)
    ]
