"""The gate of a load: limits on its figures, and on how much worse than a baseline they may be.

A thresholds file is TOML (signoff/load/thresholds.toml is the default and explains itself):

    required_rate = 20             # requests per second to keep up with; without it no load in particular

    [[limit]]                      # one rule
    figure = "overhead_ms"         # see FIGURES
    at = "rate=20"                 # steps, by name or pattern; without it: all that are required
    max = 100                      # or min = ...; "overhead_limit_ms" is what that setting of the run says

    [[compare]]                    # used with --baseline
    figure = "overhead_ms"
    max_regression = 5             # by how much it may be worse than the baseline's, in the figure's own unit

Required is each step up to the lightest that asks for `required_rate`; without that, each but those of which it is
known that LiteLLM did not keep up, or that the backend could not. One that is invalid, too short or silent passes
nothing.

A rule is judged on the whole 95 % interval: passed or failed when it lies on one side, else inconclusive
(signoff.verdicts.below). Whatever the rules are, the overhead by the pairs of probes, the required rate, a soak's
memory and whether the load came to its end are judged too: a file of rules adds to these, and takes none of them away.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError
from signoff.load.analysis import PERCENTILES, StepResult, StepState
from signoff.load.conclusions import Conclusions
from signoff.settings import shown
from signoff.stats.estimate import Estimate
from signoff.verdicts.below import below
from signoff.verdicts.verdict import GRAVITY, Value

THRESHOLDS = Path(__file__).with_name("thresholds.toml")
_HINT = f"name a file of rules; {THRESHOLDS} is one that explains itself"

STEP_FIGURES = {
    "overhead_ms": "median of the probes' paired differences, mean of plain answers' and streams'",
    "overhead_plain_ms": "that median of plain answers",
    "overhead_streamed_ms": "that median of streams",
    "overhead_p95_ms": "p95 through LiteLLM minus p95 of vLLM; from 400 pairs on",
    "overhead_ttft_ms": "median of streams' differences of the time to the first token",
    "overhead_itl_ms": "the same of the inter-token latency",
    "error_rate": "share of the load's requests that failed (0 to 1)",
    "probe_error_rate": "share of the probes through LiteLLM that failed",
    "direct_error_rate": "share of the probes of vLLM that failed",
    "achieved_per_second": "answers per second",
    "shortfall": "share of arrivals that was not answered in the same time (0 to 1)",
    **{f"{what}_{p}_ms": f"{p} of the load's {words}" for p in PERCENTILES for what, words in
       (("e2e", "whole answers"), ("ttft", "time to the first token"), ("itl", "inter-token latency"))},
}  # fmt: skip
RUN_FIGURES = {
    "run_error_rate": "share of the load's that failed over all required steps; no step may be above it by itself",
    "kept_up_with": "the heaviest load that LiteLLM kept up with (requests per second, or in flight)",
    "memory_mib_per_hour": "slope of LiteLLM's memory in a soak",
    "latency_ms_per_hour": "slope of the load's mean latency in a soak",
    "overhead_ms_per_hour": "slope of the probes' mean paired difference in a soak",
    "error_percent_per_hour": "slope of the error rate in a soak, in percentage points",
}
FIGURES = STEP_FIGURES | RUN_FIGURES
_TRENDS = {
    "latency_ms_per_hour": "mean latency",
    "overhead_ms_per_hour": "overhead",
    "error_percent_per_hour": "error rate",
}
_REQUIRED = "required_rate"
_SETTING = "overhead_limit_ms"
"""What a [[limit]] may name in the place of a number."""
_MORE_IS_BETTER = {"achieved_per_second", "kept_up_with"}


@dataclass(frozen=True)
class Limit:
    """A figure and its upper or lower limit."""

    figure: str
    at: str = ""
    max: float | None = None
    min: float | None = None


@dataclass(frozen=True)
class Compare:
    """A figure and by how much it may be worse than the baseline's."""

    figure: str
    max_regression: float
    at: str = ""


@dataclass(frozen=True)
class Thresholds:
    """A gate's rules."""

    limits: Sequence[Limit]
    compares: Sequence[Compare]
    path: Path
    required_rate: float | None = None
    """Requests per second that LiteLLM has to keep up with."""

    def upper_limit(self, figure: str) -> float | None:
        """The upper limit on this figure, if there is one."""
        return next((limit.max for limit in self.limits if limit.figure == figure), None)


@dataclass(frozen=True)
class Ruling:
    """One rule judged at one step; `step` is empty for a figure of the whole run."""

    rule: str
    step: str
    verdict: Value
    reason: str

    @property
    def words(self) -> str:
        """What was asked, where, and what was found."""
        return f"{self.rule}{f' [{self.step}]' if self.step else ''}: {self.reason}"


@dataclass(frozen=True)
class Outcome:
    """What a load comes to: headline, last sentence and exit status tell this one value."""

    found: Conclusions
    rulings: Sequence[Ruling]

    @property
    def value(self) -> Value:
        """The gravest of all rulings; where there is none nothing was judged."""
        return min((each.verdict for each in self.rulings), key=GRAVITY.index, default=Value.NOT_JUDGED)

    @property
    def status(self) -> int:
        """The exit status."""
        return 0 if self.value is Value.PASSED else 1

    @property
    def headline(self) -> str:
        """The value beside the verdict on the overhead, with each setting that is not the story's."""
        overhead = f"{self.found.requirement} {self.found.verdict[0].value}"
        return shown.headline(f"Load on LiteLLM {self.value.value}: {overhead}", self.found.not_the_storys)

    @property
    def sentence(self) -> str:
        """The value with what made it."""
        if self.value is Value.PASSED:
            return f"load passed: {len(self.rulings)} of {len(self.rulings)} rulings"
        why = next((each.words for each in self.rulings if each.verdict is self.value), "no rule was judged")
        return f"load {self.value.value}: {why}"


def read_thresholds(path: Path, overhead_limit_ms: float) -> Thresholds:
    """Read a thresholds file, for a run with this limit of the overhead in its settings.

    Raises:
        SignoffError: it is not there, not TOML, or has a rule that is none.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SignoffError(f"the thresholds cannot be read: {error.strerror}", where=str(path), hint=_HINT) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SignoffError(f"the thresholds are not TOML: {error}", where=str(path), hint=_HINT) from error
    if unknown := set(told) - {"limit", "compare", _REQUIRED}:
        raise SignoffError(
            f"unknown in thresholds: {', '.join(sorted(unknown))}",
            where=str(path),
            hint=f"rules begin with [[limit]] or [[compare]]; {_REQUIRED} stands above them",
        )
    limits = [
        _rule(Limit, _with_number(each, overhead_limit_ms), f"[[limit]] number {number}", path)
        for number, each in _numbered(told, "limit", path)
    ]
    compares = [
        _rule(Compare, each, f"[[compare]] number {number}", path) for number, each in _numbered(told, "compare", path)
    ]
    for number, limit in enumerate(limits, 1):
        if (limit.max is None) == (limit.min is None):
            raise SignoffError(
                f"[[limit]] number {number} needs either `max` or `min`", where=str(path), hint=f"for {limit.figure}"
            )
    if not limits and not compares:
        raise SignoffError("the thresholds hold no rule", where=str(path), hint="add a [[limit]] or a [[compare]]")
    return Thresholds(limits, compares, path, _required_rate(told, path))


def _required_rate(told: dict[str, Any], path: Path) -> float | None:
    rate = told.get(_REQUIRED)
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < inf:
        raise SignoffError(f"{_REQUIRED} is {rate!r}, no rate", where=str(path), hint="requests per second, such as 20")
    return float(rate)


def _numbered(told: dict[str, Any], name: str, path: Path) -> "enumerate[Any]":
    rules = told.get(name, [])
    if not isinstance(rules, list):
        raise SignoffError(
            f"{name} is not a list of rules", where=str(path), hint=f"write [[{name}]], with two brackets"
        )
    return enumerate(rules, 1)


def _with_number(told: Any, overhead_limit_ms: float) -> Any:
    """The rule with what the setting says in the place of its name."""
    if not isinstance(told, dict):
        return told
    return {
        name: overhead_limit_ms if (name, each) in (("max", _SETTING), ("min", _SETTING)) else each
        for name, each in told.items()
    }


_FORMER_NAMES = {"most": "max", "least": "min", "worse": "max_regression"}
"""Of version 0.1, whose files are still read."""


def _rule(kind: type[Any], told: Any, where: str, path: Path) -> Any:
    names = [each.name for each in fields(kind)]
    numbers = [name for name in names if name not in ("figure", "at")]
    if not isinstance(told, dict):
        raise SignoffError(f"{where} is not a rule", where=str(path), hint=_HINT)
    told = {_FORMER_NAMES.get(name, name): value for name, value in told.items()}
    if unknown := set(told) - set(names):
        raise SignoffError(
            f"{where} has {', '.join(sorted(unknown))}", where=str(path), hint=f"it may have {', '.join(names)}"
        )
    if told.get("figure") not in FIGURES:
        raise SignoffError(
            f"{where} names the figure {told.get('figure')!r}", where=str(path), hint=f"one of {', '.join(FIGURES)}"
        )
    if told["figure"] in RUN_FIGURES and "at" in told:
        raise SignoffError(
            f"{where}: {told['figure']} is of the whole run, not of a step", where=str(path), hint="leave `at` out"
        )
    for name in numbers:
        if name in told and (isinstance(told[name], bool) or not isinstance(told[name], int | float)):
            raise SignoffError(f"{where}: {name} is not a number", where=str(path), hint=_HINT)
    if not isinstance(told.get("at", ""), str):
        raise SignoffError(f"{where}: `at` is not the name of a step", where=str(path), hint='such as "rate=20"')
    if kind is Compare and "max_regression" not in told:
        raise SignoffError(
            f"{where} lacks `max_regression`", where=str(path), hint="by how much the figure may be worse"
        )
    return kind(**told)


def judge(found: Conclusions, thresholds: Thresholds, baseline: Conclusions | None = None) -> list[Ruling]:
    """What is always judged, and each rule at each of its steps.

    Raises:
        SignoffError: the baseline was another load, or ran on other software or another kind of machine.
    """
    rulings = [*_always(found), *(ruling for limit in thresholds.limits for ruling in _limit(found, limit))]
    if baseline:
        refuse_unlike(found, baseline)
        rulings += [ruling for rule in thresholds.compares for ruling in _compare(found, baseline, rule)]
    return rulings


def _always(found: Conclusions) -> Iterator[Ruling]:
    """What the page's own sentences say, so that none of them says what the exit status does not."""
    if found.loaded.run.ended is None:
        yield Ruling("the load comes to its end", "", Value.INCONCLUSIVE, "it was killed, or still runs")
    yield from _keeping_up(found)
    for step in found.ordered:
        if step.backend and step.backend.is_multiplied:
            told = f"vLLM was sent {step.backend.received:.0f} while {step.backend.sent} were sent to LiteLLM and to it"
            yield Ruling("no request reaches vLLM more than once", step.name, Value.FAILED, told)
    for silent in found.silent:
        yield Ruling("each step has requests", silent.name, Value.INCONCLUSIVE, "no request of it was recorded")
    rule = f"{found.requirement} by the pairs of probes"
    for step in found.required:
        yield Ruling(rule, step.name, step.verdict, step.reason or "below the limit")
    if not found.required:
        yield Ruling(rule, "", Value.INCONCLUSIVE, "there is no step that LiteLLM kept up with")
    for trend in found.trends:
        if trend.verdict:
            yield Ruling(f"{trend.name} does not grow too fast", "", trend.verdict, trend.reason)


def _keeping_up(found: Conclusions) -> Iterator[Ruling]:
    if found.required_rate is None:
        for step in found.required:
            if step.state in (StepState.FELL_BEHIND, StepState.SATURATED):
                reason = f"{step.state.words}, though a heavier step was"
                yield Ruling("keeps up below its heaviest load", step.name, Value.INCONCLUSIVE, reason)
        return
    rule = f"keeps up with {found.required_rate:g} requests per second"
    for step in found.required:
        yield Ruling(rule, step.name, _KEEPING_UP.get(step.state, Value.INCONCLUSIVE), step.state.words)
    if not found.asks_enough:
        yield Ruling(rule, "", Value.INCONCLUSIVE, "no step asks for as much on a schedule (--rate)")


_KEEPING_UP = {StepState.KEPT_UP: Value.PASSED, StepState.FELL_BEHIND: Value.FAILED}


def refuse_unlike(found: Conclusions, baseline: Conclusions) -> None:
    """Compare fingerprints; a difference between unlike runs means nothing.

    Raises:
        SignoffError: they differ, with what differs.
    """
    now, then = found.loaded.run.fingerprint, baseline.loaded.run.fingerprint
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        told = "; ".join(f"{name}: {then.get(name)} there, {now.get(name)} here" for name in names)
        raise SignoffError(
            f"the baseline is another kind of run ({told})",
            where=str(baseline.loaded.folder),
            hint="take a baseline with the same load on the same kind of machine",
        )


def _limit(found: Conclusions, limit: Limit) -> Iterator[Ruling]:
    bound = f"most {limit.max:g}" if limit.max is not None else f"least {limit.min:g}"
    rule = f"{limit.figure}, at {bound}"
    for step, figure in _figures(found, limit.figure, limit.at):
        name = step.name if step else ""
        if invalid := _invalid(step, found):
            yield Ruling(rule, name, Value.INCONCLUSIVE, invalid)
        elif figure is None:
            yield Ruling(rule, name, Value.INCONCLUSIVE, "there is no such figure in this run")
        else:
            yield Ruling(rule, name, *_of_state(step, limit.figure, *_judged(figure, limit)))
    if limit.figure == "run_error_rate" and limit.max is not None:
        yield from _failing_steps(found, limit)
    if not list(_figures(found, limit.figure, limit.at)):
        yield Ruling(rule, limit.at, Value.INCONCLUSIVE, "no step to judge it at")


def _failing_steps(found: Conclusions, limit: Limit) -> Iterator[Ruling]:
    """The required steps that fail too often by themselves, however well the others do."""
    for step in found.required:
        figure = step.figures().get("error_rate")
        if figure and not _invalid(step, found) and _judged(figure, limit)[0] is Value.FAILED:
            yield Ruling(f"error_rate, at most {limit.max:g}", step.name, Value.FAILED, _words(figure))


def _of_state(step: StepResult | None, figure: str, verdict: Value, reason: str) -> tuple[Value, str]:
    """The verdict, which at a step that was not kept up with passes no latency, and is LiteLLM's fault only there."""
    if step is None or step.state is StepState.KEPT_UP:
        return verdict, reason
    if step.state is StepState.FELL_BEHIND and (figure in _OF_FLOWS or verdict is Value.FAILED):
        return verdict, reason
    return Value.INCONCLUSIVE, f"{step.state.words}: {reason}"


_OF_FLOWS = {"error_rate", "probe_error_rate", "direct_error_rate", "achieved_per_second", "shortfall"}
"""What can be said of a step that LiteLLM did not keep up with."""


def _compare(found: Conclusions, baseline: Conclusions, rule: Compare) -> Iterator[Ruling]:
    text = f"{rule.figure}, worse than the baseline's by at most {rule.max_regression:g}"
    before = {
        step.name if step else "": (step, figure) for step, figure in _figures(baseline, rule.figure, rule.at or "*")
    }
    judged = list(_figures(found, rule.figure, rule.at))
    for step, figure in judged:
        name = step.name if step else ""
        then_step, then = before.get(name, (None, None))
        if invalid := _invalid(step, found) or _invalid(then_step, baseline):
            yield Ruling(text, name, Value.INCONCLUSIVE, invalid)
        elif figure is None or then is None:
            yield Ruling(text, name, Value.INCONCLUSIVE, "one of the two runs has no such figure")
        else:
            change = then - figure if rule.figure in _MORE_IS_BETTER else figure - then
            verdict = below(change, rule.max_regression)
            reason = f"{_words(figure)}, was {_words(then)}; worse by {_reason(change, verdict)}"
            yield Ruling(text, name, verdict, reason)
    if not judged:
        yield Ruling(text, rule.at, Value.INCONCLUSIVE, "no step to judge it at")


def _invalid(step: StepResult | None, found: Conclusions) -> str:
    # Where not latencies are judged, a backlog is what LiteLLM made of the load, no fault of the generator.
    spans = step.invalid_spans if step else [span for each in found.required for span in each.invalidated_by]
    return f"invalid: {spans[0].reason}" if spans else ""


def _figures(found: Conclusions, name: str, at: str) -> Iterator[tuple[StepResult | None, Estimate | None]]:
    """The figure at each step that is meant, or the run's own."""
    if name in RUN_FIGURES:
        yield None, _of_run(found, name)
        return
    for step in found.ordered:
        if fnmatchcase(step.name, at) if at else step in found.required:
            yield step, step.figures().get(name)


def _of_run(found: Conclusions, name: str) -> Estimate | None:
    if name == "kept_up_with":
        last = found.knee.last
        return Estimate(last.load, last.load, last.load) if last else Estimate(0.0, 0.0, 0.0)
    if name == "memory_mib_per_hour":
        return found.memory
    if name == "run_error_rate":
        return found.error_rate
    return next((each.slope for each in found.trends if each.name == _TRENDS[name]), None)


def _judged(figure: Estimate, limit: Limit) -> tuple[Value, str]:
    if limit.max is not None:
        verdict = below(figure, limit.max)
    else:
        assert limit.min is not None
        verdict = below(-figure, -limit.min)
    return verdict, _reason(figure, verdict)


def _reason(figure: Estimate, verdict: Value) -> str:
    if figure.low is None:
        return f"{_words(figure)} has no interval: too few observations"
    if verdict is Value.INCONCLUSIVE:
        return f"the interval of {_words(figure)} includes the limit"
    return _words(figure)


def _words(figure: Estimate) -> str:
    if figure.low is None or figure.low == figure.high:
        return f"{figure.value:.4g}"
    return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"
