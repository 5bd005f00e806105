"""The page of a load: what was concluded, drawn; a pure function of the run's folder, thresholds and baseline."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

import signoff.report
from signoff import story
from signoff.evidence.voids import MOST_VOID
from signoff.load.analysis import StepResult, StepState, of_minutes
from signoff.load.conclusions import Conclusions
from signoff.load.gate import Ruling
from signoff.load.knee import CLOSED_RULE, OPEN_RULE
from signoff.load.soak import Trend
from signoff.report.charts import Axis, Chart, Line, Mark, axis
from signoff.stats.arrays import Numbers
from signoff.stats.estimate import Estimate

PAGE = "load-report.html"
UNVOUCHED = "no evidence vouches for these records: the load was killed or still runs, or a signoff of before kept it"

_CURVE_POINTS = 80
_TIME_BINS = 150
_NINES = [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99"), (0.99999, "99.999")]


def write(found: Conclusions, rulings: Sequence[Ruling], baseline: Path | None = None) -> Path:
    """Draw the page into the run's folder; gives its path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, Path(signoff.report.__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "percent": _percent, "utc": _utc}
    environment.filters |= {"interval": _interval_cell, "words": _interval}
    page = environment.get_template("load.html.j2").render(
        found=found,
        run=found.loaded.run,
        name=found.loaded.folder.resolve().name,
        rulings=rulings,
        baseline=baseline,
        overhead=overhead_chart(found) if sum(step.overhead.e2e is not None for step in found.steps) > 1 else None,
        curves=[(step, percentile_chart(step)) for step in found.ordered if step.groups],
        shown=found.knee.last or found.lightest,
        timeline=list(timeline(found)),
        trends=[(trend, trend_chart(trend, found.loaded.run.started)) for trend in found.trends if len(trend.values)],
        events=events(found),
        rule=CLOSED_RULE if found.lightest.planned_users is not None else OPEN_RULE,
        limit_ms=story.OVERHEAD_LIMIT_MS,
        most_void=Estimate(MOST_VOID),
        unvouched="" if found.loaded.vouched else UNVOUCHED,
    )
    path = found.loaded.folder / PAGE
    path.write_text(page, encoding="utf-8")
    return path


def overhead_chart(found: Conclusions) -> Chart:
    """Overhead against load: the paired medians with their intervals, and the knee."""
    steps = [step for step in found.ordered if step.overhead.e2e]
    lines = [
        line
        for name, style, of in (
            ("whole answer", "proxied", "e2e"),
            ("time to the first token", "ttft", "ttft"),
        )
        if (line := _against_load(name, style, of, steps))
    ]
    ends = [end for line in lines for pair in line.ends or () if pair for end in pair]
    medians = [y for line in lines for y in line.ys]
    values = [*ends, *medians]
    limit = story.OVERHEAD_LIMIT_MS
    if max(values) > limit / 4:
        values.append(limit)
    loads = [step.load for step in found.ordered]
    x_log = min(loads) > 0 and max(loads) / min(loads) >= 8
    open_loop = steps[0].planned_rate is not None
    x = axis("requests per second" if open_loop else "requests in flight", loads, log=x_log, zero=not x_log)
    x = Axis(x.label, x.low, x.high, x.log, [(load, f"{load:g}") for load in sorted(set(loads))])
    knee = found.knee.step
    word = "knee" if found.knee.own else knee.state.words if knee else ""
    return Chart(
        title="Overhead of LiteLLM against load",
        x=x,
        # Beyond the knee it is seconds, beside which what was before would be a line at nothing.
        y=axis(
            "added ms, medians of the pairs, 95 % interval", values, log=max(values) > 5 * limit and min(medians) > 0
        ),
        lines=lines,
        marks=[Mark(knee.load, word, "knee", f"LiteLLM {found.knee.text}")] if knee else [],
        level=(limit, f"NFR66: {limit:g} ms"),
        height=300,
    )


def _against_load(name: str, style: str, of: str, steps: Sequence[StepResult]) -> Line | None:
    seen = [(step, figure) for step in steps if (figure := getattr(step.overhead, of))]
    if not seen:
        return None
    return Line(
        name,
        style,
        [step.load for step, _ in seen],
        [figure.value for _, figure in seen],
        ends=[(figure.low, figure.high) if figure.low is not None else None for _, figure in seen],
        titles=[f"{step.at()}: {_interval(figure)} ms; {step.state.words}" for step, figure in seen],
        hollow=[step.state is not StepState.KEPT_UP or bool(step.voids) for step, _ in seen],
    )


def percentile_chart(step: StepResult) -> Chart:
    """Percentile curves of each arm, as HdrHistogram's plots: each nine is as wide as the one before."""
    styles = {"load": "proxied", "load_direct": "direct", "proxied": "ttft", "direct": "direct"}
    lines = []
    for name, group in step.groups.items():
        if len(group.waits):
            lines.append(_curve(group.label, styles[name], group.waits, dashed=name == "proxied"))
        if name == "load" and len(group.waits) and np.quantile(group.waits - group.served, 0.99) > 0.5:
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


def _nines(share: float) -> float:
    return float(-np.log10(1 - share)) + 0.0


def _curve(name: str, style: str, ordered: Numbers, *, dashed: bool) -> Line:
    last = np.log10(max(len(ordered), 2))
    places = np.linspace(0, last, _CURVE_POINTS)
    return Line(name, style, list(places), list(np.quantile(ordered, 1 - 10**-places)), dashed=dashed)


def timeline(found: Conclusions) -> Iterator[Chart]:
    """Latency, rate with errors, memory and processor over the run, one below the other on one axis of time."""
    run, ended = found.loaded.run, found.loaded.ended
    began = run.started
    edges = np.linspace(began, max(ended, began + 1), _TIME_BINS + 1)
    unit, name = _time_unit(ended - began)
    x = Axis(f"{name} since the start", 0.0, (edges[-1] - began) / unit)
    middles = list(((edges[:-1] + edges[1:]) / 2 - began) / unit)
    spans = _void_spans(found, unit)
    several = run.steps if len(run.steps) > 1 else []
    marks = [Mark((step.started - began) / unit, step.name, "step", inside=True) for step in several]
    numbered = [
        Mark((event["at"] - began) / unit, str(event["number"]), "event", f"{event['pod']}: {event['event']}")
        for event in events(found)
    ]
    extra = {"span": "the generator was the limit"} if spans else {}

    def chart(
        title: str, label: str, lines: Sequence[Line], *, log: bool = False, first: bool = False, **more: Any
    ) -> Chart:
        values = [y for line in lines for y in line.ys] + [height for _, _, height, _ in more.get("bars", ())]
        return Chart(
            title, x, axis(label, values, log=log), lines, [*(marks if first else ()), *numbered], spans,
            height=220, extra=extra if first else {}, **more,
        )  # fmt: skip

    latency = [*_latency_lines(found, edges, middles), *_minutes_lines(found, unit)]
    values = [y for line in latency for y in line.ys if np.isfinite(y) and y > 0]
    log = bool(values) and max(values) > 20 * min(values)
    yield chart("Latency over time", "ms until the whole answer", latency, log=log, first=True)
    yield chart("Requests over time", "per second", _rates(found, edges, middles))
    if failures := _failures(found, edges, unit):
        yield chart("Failed requests over time", "per second", [], bars=failures, bars_name="failed")
    for column, what, label in (("rss_mib", "Memory", "MiB"), ("cores", "Processor", "cores")):
        of_gateway, of_others = _pod_lines(found, column, edges, unit)
        if of_gateway:
            yield chart(f"{what} of LiteLLM", label, of_gateway)
        if of_others:
            yield chart(f"{what} of vLLM and the generator", label, of_others)


def _time_unit(seconds: float) -> tuple[float, str]:
    if seconds > 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if seconds > 240 else (1.0, "seconds")


def _void_spans(found: Conclusions, unit: float) -> list[tuple[float, float, str]]:
    began = found.loaded.run.started
    return [
        (max(0.0, void.began - began) / unit, (void.ended - began) / unit, f"{void.worker}: {void.reason}")
        for void in found.loaded.run.voids
    ]


def _latency_lines(found: Conclusions, edges: Numbers, middles: Sequence[float]) -> list[Line]:
    records = found.loaded.records
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
        Line(name, style, middles, _over_time(rows["intended"].to_numpy(), values.to_numpy(), edges, share))
        for name, style, rows, values, share in lines
        if len(rows)
    ]


def _minutes_lines(found: Conclusions, unit: float) -> list[Line]:
    """What is left of the load's latency where its records are folded: the mean of each minute."""
    folded = found.loaded.folded
    minutes = folded[folded["error"] == ""].groupby("minute")[["waited_ms", "count"]].sum()
    if not len(minutes):
        return []
    after = list((minutes.index.to_numpy(float) + 30 - found.loaded.run.started) / unit)
    return [Line("load through LiteLLM, mean", "soft1", after, list(minutes["waited_ms"] / minutes["count"]))]


def _over_time(moments: Numbers, values: Numbers, edges: Numbers, share: float) -> list[float]:
    order = np.argsort(moments, kind="stable")
    values = values[order]
    cuts = np.searchsorted(moments[order], edges)
    return [float(np.quantile(values[low:high], share)) if high > low else float("nan") for low, high in pairwise(cuts)]


def _rates(found: Conclusions, edges: Numbers, middles: Sequence[float]) -> list[Line]:
    records = found.loaded.records
    of_load = records[(records["role"] == "load") & (records["arm"] == "proxied")]
    answered = of_load[of_load["error"] == ""]
    per_second = 1 / np.diff(edges)
    folded = found.loaded.folded
    came = np.histogram(of_load["intended"], edges)[0] + of_minutes(folded, edges)
    went = np.histogram(answered["started"] + answered["e2e_ms"] / 1000, edges)[0]
    went = went + of_minutes(folded[folded["error"] == ""], edges)
    return [
        Line("arrived", "other", middles, list(came * per_second), dashed=True),
        Line("answered by LiteLLM", "proxied", middles, list(went * per_second)),
    ]


def _failures(found: Conclusions, edges: Numbers, unit: float) -> list[tuple[float, float, float, str]]:
    """A bar for each stretch of time with failed requests, of load and probes, with their kinds."""
    folded, records, began = found.loaded.folded, found.loaded.records, found.loaded.run.started
    moments = records["intended"].clip(edges[0], edges[-1])
    failed = {
        str(kind): np.histogram(moments[records["error"] == kind], edges)[0]
        + of_minutes(folded[folded["error"] == kind], edges).round(6)
        for kind in sorted({*records["error"].unique(), *folded["error"]} - {""})
    }
    bars = []
    for place, (low, high) in enumerate(pairwise(edges)):
        counts = sorted(((float(each[place]), kind) for kind, each in failed.items() if each[place] > 0), reverse=True)
        kinds = ", ".join(f"{_whole(count)} {kind}" for count, kind in counts)
        if total := sum(count for count, _ in counts):
            bars.append(((low - began) / unit, (high - began) / unit, total / (high - low), kinds))
    return bars


def _whole(count: float) -> str:
    """Requests in words: of a minute's that are spread over several bins, one bin may hold less than one."""
    return f"{count:.0f}" if count >= 1 else "less than 1"


def _pod_lines(found: Conclusions, column: str, edges: Numbers, unit: float) -> tuple[list[Line], list[Line]]:
    """Those of LiteLLM's pods, and the others: vLLM holds so much that LiteLLM's changes would not show beside it."""
    lines: tuple[list[Line], list[Line]] = [], []
    for pod, own in found.loaded.samples.groupby("pod", sort=True):
        name = str(pod)
        if column == "cores":
            own = own[own["cpu_seconds"].notna()]
            own = own.assign(cores=own["cpu_seconds"].diff() / own["at"].diff())
            own.loc[own["cores"] < 0, "cores"] = np.nan
        seen = own.dropna(subset=[column])
        if not len(seen):
            continue
        # No more bins than samples, so that a line without gaps is one.
        places = np.linspace(edges[0], edges[-1], max(2, min(len(edges), len(seen) // 2 + 1)))
        middles = list(((places[:-1] + places[1:]) / 2 - edges[0]) / unit)
        values = _over_time(seen["at"].to_numpy(), seen[column].to_numpy(), places, 0.5)
        group = lines[0 if name.startswith(story.GATEWAY) else 1]
        group.append(Line(name, _pod_style(name, len(group)), middles, values))
    return lines


def _pod_style(pod: str, number: int) -> str:
    if pod.startswith(story.GATEWAY):
        return ("proxied", "soft1", "soft2", "ttft")[number % 4]
    return "other" if pod.startswith("generator") else "direct"


def trend_chart(trend: Trend, began: float) -> Chart:
    """A series of a soak with the line whose slope was judged."""
    unit, name = _time_unit(float(trend.moments[-1] - began))
    xs = [(moment - began) / unit for moment in trend.moments]
    lines = [Line(trend.name, "proxied", xs, list(trend.values))]
    if trend.slope:
        middle = float(trend.moments.mean())
        fitted = trend.values.mean() + trend.slope.value / 3600 * (trend.moments[[0, -1]] - middle)
        lines.append(Line("fitted slope", "other", [xs[0], xs[-1]], list(fitted), dashed=True))
    return Chart(
        title=trend.name,
        x=Axis(f"{name} since the start", 0.0, max(xs[-1], 1e-9)),
        y=axis(trend.unit, [y for line in lines for y in line.ys], zero=trend.unit == "%"),
        lines=lines,
        height=200,
    )


def events(found: Conclusions) -> list[dict[str, Any]]:
    """The pods' events in the order of time, numbered as in the timeline."""
    samples = found.loaded.samples
    happened = samples[samples["event"] != ""]
    columns = (happened["at"].to_numpy(float), happened["pod"], happened["event"])
    return [
        {"number": number, "at": at, "pod": pod, "event": event, "after": at - found.loaded.run.started}
        for number, (at, pod, event) in enumerate(zip(*columns, strict=True), 1)
    ]


def _number(value: float | None, decimals: int = 1) -> str:
    return "" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def _interval(figure: Estimate | None, decimals: int = 1) -> str:
    if figure is None:
        return ""
    if figure.low is None or figure.high is None:
        return _number(figure.value, decimals)
    return f"{_number(figure.value, decimals)} ({_number(figure.low, decimals)} to {_number(figure.high, decimals)})"


def _interval_cell(figure: Estimate | None, decimals: int = 1) -> Markup:
    """The figure, and its interval in smaller letters on a line of its own."""
    value, _, ends = _interval(figure, decimals).partition(" ")
    return Markup("{}<br><i>{}</i>").format(value, ends.strip("()")) if ends else Markup(value)


def _percent(figure: Estimate) -> str:
    ends = "" if figure.low is None or figure.high is None else f" ({figure.low:.2%} to {figure.high:.2%})"
    return f"{figure.value:.2%}{ends}".replace("%", " %")


def _utc(moment: float) -> str:
    return f"{pd.Timestamp(moment, unit='s'):%Y-%m-%d %H:%M:%S} UTC"
