"""Whether something grows over hours: the slopes of a steady load's memory, latency, errors and overhead."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd

from signoff.load import analysis
from signoff.load.analysis import NOT_ITS_DOING, Loaded
from signoff.stats.arrays import Numbers
from signoff.stats.estimate import Estimate
from signoff.stats.trend import MIN_POINTS, fitted_slope
from signoff.verdicts.below import below
from signoff.verdicts.verdict import Value

WARM_UP = 0.1
"""Share of the run, from its beginning, that is left out, but at most `MAX_WARM_UP_SECONDS`: caches and pools fill."""
MAX_WARM_UP_SECONDS = 600.0
MEMORY_LIMIT_MIB_PER_HOUR = 4.0
SOAK_SECONDS = 900.0
"""A load that is shorter, without its warm-up, is no soak, and its memory has no verdict.

Python takes memory in arenas of 1 MiB (Objects/obmalloc.c, from 3.10 on): of growth below 4 MiB per hour nothing need
show in a shorter time."""
MAX_UNSEEN = 0.05
"""Share of the time, at its beginning or end, in which a pod may be unseen: one that came later has another memory."""
_MAX_BINS = 720
_FINEST_BIN_SECONDS = 5.0
_HOUR = 3600.0


@dataclass(frozen=True)
class Trend:
    """A series over the run, and its slope per hour; `slope` is None where it was seen too shortly, or in part.

    `moments` are Unix seconds of bins of equal length. `late` is the slope of the second half where the whole has
    another one: a line does not describe such a series, and the interval of `slope` covers both. `verdict` and `reason`
    are of memory's alone, else None and ""; `verdict` is None as well where the load was too short to be a soak.
    """

    name: str
    unit: str
    moments: Numbers
    values: Numbers
    slope: Estimate | None
    late: Estimate | None = None
    verdict: Value | None = None
    reason: str = ""


def _fitted(moments: Numbers, values: Numbers) -> tuple[Estimate | None, Estimate | None]:
    """The slope, and that of the second half where it is another.

    What a cache takes until it is full is no growth per hour, and a leak that began late is more than the whole shows:
    where the two intervals do not meet, the first of the two is widened to cover both, so that nothing is concluded
    which only one of them says.
    """
    if not len(moments):
        return None, None
    hours = (moments - moments[0]) / _HOUR
    whole = fitted_slope(hours, values)
    if whole is None:
        return None, None
    second = hours >= hours[-1] / 2
    late = fitted_slope(hours[second], values[second])
    return (whole, None) if late is None or whole.meets(late) else (whole.covering(late), late)


def trends(loaded: Loaded, memory_limit: float = MEMORY_LIMIT_MIB_PER_HOUR) -> list[Trend]:
    """Memory of LiteLLM's pods, latency, error rate, overhead over a steady load; empty for any other shape."""
    run = loaded.run
    if run.shape != "steady" or not len(run.steps):
        return []
    began, ended = min(step.started for step in run.steps), loaded.ended
    start = began + min(WARM_UP * (ended - began), MAX_WARM_UP_SECONDS)
    of_pods = _memory(loaded, start, ended, memory_limit)
    return [*of_pods, *_of_requests(loaded, start, ended), *_overhead(loaded, start, ended)]


def _edges(start: float, ended: float, finest_seconds: float = _FINEST_BIN_SECONDS) -> Numbers:
    bins = int(min(_MAX_BINS, (ended - start) // finest_seconds))
    return np.linspace(start, ended, max(1, bins) + 1)


def _binned(
    moments: Numbers, values: Numbers, edges: Numbers, weights: Numbers | None = None
) -> tuple[Numbers, Numbers]:
    """The mean of the values in each bin that has any; moments are the bins' middles. NaN counts as no value."""
    weights = np.ones(len(moments)) if weights is None else weights
    place = np.searchsorted(edges, moments, side="right") - 1
    inside = (place >= 0) & (place < len(edges) - 1) & ~np.isnan(values)
    counts = np.bincount(place[inside], weights[inside], minlength=len(edges) - 1)
    sums = np.bincount(place[inside], (values * weights)[inside], minlength=len(edges) - 1)
    seen = counts > 0
    return ((edges[:-1] + edges[1:]) / 2)[seen], sums[seen] / counts[seen]


def _memory(loaded: Loaded, start: float, ended: float, limit: float) -> Iterator[Trend]:
    samples = loaded.samples
    of_gateway = samples[(samples["role"] == "gateway") & samples["rss_mib"].notna()]
    if not len(of_gateway) and ended - start >= SOAK_SECONDS:
        nothing = np.array([])
        verdict, reason = _judge_memory(None, None, "no pod of LiteLLM was sampled", ended - start, limit)
        yield Trend("memory of LiteLLM", "MiB", nothing, nothing, None, None, verdict, reason)
    for pod, own in of_gateway.groupby("pod", sort=True):
        moments, values = _binned(own["at"].to_numpy(), own["rss_mib"].to_numpy(), _edges(start, ended))
        broken = _broken(own, start, ended)
        whole, late = (None, None) if broken else _fitted(moments, values)
        verdict, reason = _judge_memory(whole, late, broken, ended - start, limit)
        yield Trend(f"memory of {pod}", "MiB", moments, values, whole, late, verdict, reason)


def _restarts(own: pd.DataFrame) -> int:
    """How often the container restarted, by its count, or by a processor time that fell."""
    counted = own["restarts"].dropna()
    told = int(counted.iloc[-1] - counted.iloc[0]) if len(counted) else 0
    fell = int((own["cpu_seconds"].dropna().diff() < 0).sum())
    return max(told, fell)


def _broken(own: pd.DataFrame, start: float, ended: float) -> str:
    """Why the pod's memory is not that of one process through all of the time; empty where it is."""
    if restarts := _restarts(own):
        times = "once" if restarts == 1 else f"{restarts} times"
        return f"the container restarted {times}, so its memory started over"
    first, last, patience = float(own["at"].min()), float(own["at"].max()), MAX_UNSEEN * (ended - start)
    if first > start + patience or last < ended - patience:
        seen = f"from minute {max(0.0, first - start) / 60:.0f} to {max(0.0, last - start) / 60:.0f}"
        return f"the pod was seen {seen} of {(ended - start) / 60:.0f} alone"
    return ""


def _judge_memory(
    slope: Estimate | None, late: Estimate | None, broken: str, seconds: float, limit: float
) -> tuple[Value | None, str]:
    if seconds < SOAK_SECONDS:
        needed = ceil(SOAK_SECONDS / (1 - WARM_UP) / 60)
        return None, f"no soak: {needed} minutes are needed, of which the first tenth is its warm-up"
    if broken:
        return Value.INCONCLUSIVE, broken
    if slope is None or slope.low is None or slope.high is None:
        return Value.INCONCLUSIVE, f"fewer than {MIN_POINTS} points in time"
    verdict = below(slope, limit)
    if verdict is Value.PASSED:
        return verdict, f"the slope's upper bound, {slope.high:.2g} MiB per hour, is not above {limit:g}"
    if verdict is Value.FAILED:
        return verdict, f"the slope's lower bound, {slope.low:.2g} MiB per hour, is above {limit:g}"
    if late:
        how = "levels off" if late.value < slope.value else "grows faster and faster"
        return Value.INCONCLUSIVE, (
            f"it {how}: {slope.value:.2g} MiB per hour, but {late.value:.2g} ({late.low:.2g} to {late.high:.2g}) "
            f"in the second half; the limit is {limit:g}, and a longer soak shows which of them stays"
        )
    return Value.INCONCLUSIVE, (
        f"the slope's interval, {slope.low:.2g} to {slope.high:.2g} MiB per hour, includes {limit:g}: "
        "a longer soak narrows it"
    )


def _of_requests(loaded: Loaded, start: float, ended: float) -> Iterator[Trend]:
    records = loaded.records
    own = records[(records["role"] == "load") & (records["arm"] == "proxied") & ~records["error"].isin(NOT_ITS_DOING)]
    rollup = loaded.rollup[~loaded.rollup["error"].isin(NOT_ITS_DOING)]
    edges = _edges(start, ended, 60.0 if len(rollup) else _FINEST_BIN_SECONDS)
    counts = np.concatenate((rollup["count"].to_numpy(float), np.ones(len(own))))
    intended = np.concatenate((rollup["minute"].to_numpy(float) + 30, own["intended"].to_numpy()))
    failed = np.concatenate((rollup["error"] != "", own["error"] != "")).astype(bool)
    waits = (own["started"] - own["intended"]).to_numpy() * 1000 + own["e2e_ms"].to_numpy()
    waited = np.concatenate((rollup["waited_ms"].to_numpy(float) / rollup["count"].to_numpy(float), waits))
    moments, values = _binned(intended, np.where(failed, np.nan, waited), edges, counts)
    yield Trend("mean latency", "ms", moments, values, *_fitted(moments, values))
    moments, values = _binned(intended, failed * 100.0, edges, counts)
    yield Trend("error rate", "%", moments, values, *_fitted(moments, values))


def _overhead(loaded: Loaded, start: float, ended: float) -> Iterator[Trend]:
    """The mean of the paired differences: unlike the load's own latency, it does not drift with vLLM's."""
    pairs = analysis.pairs_of(loaded.records)
    whole = pairs[(pairs["error_direct"] == "") & (pairs["error_proxied"] == "")]
    if len(whole):
        added = (whole["e2e_ms_proxied"] - whole["e2e_ms_direct"]).to_numpy()
        moments, values = _binned(whole["started_direct"].to_numpy(), added, _edges(start, ended))
        yield Trend("overhead", "ms", moments, values, *_fitted(moments, values))
