"""What is concluded from a load as a whole: the sentence, the verdict on the overhead, the knee, a soak's trends."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from math import inf
from pathlib import Path

from signoff.core.words import listed
from signoff.in_cluster.load_generator.run import Step
from signoff.load import analysis, knee, soak
from signoff.load.analysis import Loaded, StepResult, StepState
from signoff.load.knee import Knee
from signoff.load.soak import Trend
from signoff.settings import shown
from signoff.settings.shown import Setting
from signoff.settings.values import is_nfr66, overhead_requirement
from signoff.stats.estimate import Estimate
from signoff.stats.proportions import proportion
from signoff.verdicts.verdict import GRAVITY, Value

SILENT_SECONDS = 5.0
"""A step in which so long no request was recorded has none; of rates below 1, as many times longer."""


@dataclass(frozen=True)
class Conclusions:
    """A load, judged."""

    loaded: Loaded
    steps: list[StepResult]
    knee: Knee
    trends: list[Trend]
    required_rate: float | None = None
    """The requests per second that LiteLLM has to keep up with; None where the thresholds ask for no such load."""

    @property
    def required(self) -> list[StepResult]:
        """The steps at which every rule is judged, from the lightest on.

        With a required rate: each up to the lightest step that asks for as much. Else all but those of which it is
        known that LiteLLM did not keep up, or that the backend could not, where it kept up with none that asks more.
        """
        if self.required_rate is None:
            beyond = StepState.FELL_BEHIND, StepState.SATURATED
            heaviest = max((each.load for each in self.steps if each.state is StepState.KEPT_UP), default=0.0)
            return [each for each in self.ordered if each.state not in beyond or each.load < heaviest]
        return [each for each in self.ordered if each.load <= self._required_load]

    @property
    def asks_enough(self) -> bool:
        """Whether a step asks for the required rate; a closed loop asks for none."""
        return self.required_rate is None or self._required_load < inf

    @property
    def silent(self) -> list[Step]:
        """The steps that are required and long enough for requests, and have none."""
        known = {each.name for each in self.steps}
        wanted = self._required_load if self.required_rate is not None else inf
        return [
            each
            for each in self.loaded.run.steps
            if each.name not in known
            and (each.planned_rate or 0.0) <= wanted
            and ((each.ended or self.loaded.ended) - each.started) * min(each.planned_rate or 1.0, 1.0) > SILENT_SECONDS
        ]

    @property
    def _required_load(self) -> float:
        rates = [each.planned_rate for each in self.loaded.run.steps if each.planned_rate is not None]
        return min((each for each in rates if each >= (self.required_rate or 0.0)), default=inf)

    @property
    def ordered(self) -> list[StepResult]:
        """The steps from the lightest to the heaviest."""
        return sorted(self.steps, key=lambda step: step.load)

    @property
    def lightest(self) -> StepResult:
        """The step that asked least."""
        return self.ordered[0]

    @property
    def _first(self) -> StepResult:
        """The lightest step whose figures stand."""
        return next((step for step in self.ordered if not step.invalid_spans), self.lightest)

    @property
    def limit_ms(self) -> float:
        """What LiteLLM has to add less than, by the settings of the run."""
        return self.loaded.limit_ms

    @property
    def requirement(self) -> str:
        """What is asked of the overhead, in short: only the story's own limit is NFR66."""
        return "NFR66" if is_nfr66(self.limit_ms) else f"overhead below {self.limit_ms:g} ms"

    @property
    def not_the_storys(self) -> list[Setting]:
        """The settings of the run with which it was no longer quite the story's gateway under load."""
        return shown.not_the_storys(self.loaded.settings)

    @cached_property
    def verdict(self) -> tuple[Value, str]:
        """The verdict on the overhead, with the load up to which it holds: of the required steps the gravest speaks.

        A step beyond them that did not pass is told, and does not count.
        """
        asked, held, first = overhead_requirement(self.limit_ms), self._held, self._first_not_held
        gravest = min(self.required, key=lambda each: GRAVITY.index(each.verdict), default=self.lightest)
        if gravest.verdict is not Value.PASSED:
            up_to = f"holds up to {held.at()}; " if held else ""
            return gravest.verdict, f"{asked} {up_to}{gravest.verdict.value} at {gravest.at()}: {gravest.reason}"
        assert held is not None
        if first is None:
            return Value.PASSED, f"{asked} holds at all loads that were asked, up to {held.at()}"
        return Value.PASSED, f"{asked} holds up to {held.at()}; {first.verdict.value} at {first.at()}: {first.reason}"

    @property
    def _first_not_held(self) -> StepResult | None:
        return next((each for each in self.ordered if each.verdict is not Value.PASSED), None)

    @property
    def _held(self) -> StepResult | None:
        """The heaviest step up to which the overhead passed at each."""
        passed = takewhile(lambda each: each.verdict is Value.PASSED, self.ordered)
        return next(iter(reversed(list(passed))), None)

    @property
    def sentence(self) -> str:
        """The run in one sentence; invalid steps say nothing in it."""
        if (
            self.lightest.invalid_spans
            and self.lightest.state is StepState.INVALID
            and self.knee.step is None
            and self.knee.last is None
        ):
            return "Nothing can be said about LiteLLM: the load generator was the limit."
        parts = ["; ".join(self._overheads())]
        parts[0] += f"{', and ' if parts[0] else 'LiteLLM '}{self.knee.text}"
        first = self._first.overhead
        parts += [f"{name} {figure.value:+.1f} ms" for name, figure in
                  (("TTFT", first.ttft), ("inter-token", first.itl)) if figure]  # fmt: skip
        if growth := self.memory:
            parts.append(growth_words(growth))
        return "; ".join(parts) + "."

    def _overheads(self) -> Iterator[str]:
        first, last = self._first, self.knee.last
        if first.overhead.e2e is None:
            return
        text = f"LiteLLM adds {with_interval(first.overhead.e2e)} at {first.at()}"
        if last and last is not first and last.overhead.e2e:
            text += f", {with_interval(last.overhead.e2e)} at {last.at()}"
        yield text

    @property
    def memory(self) -> Estimate | None:
        """The slope of LiteLLM's memory in MiB per hour: of the pod whose upper bound is the highest.

        None where a pod has no slope, as one that restarted or was replaced: the others' would speak for it.
        """
        slopes = [trend.slope for trend in self.trends if trend.verdict]
        known = [slope for slope in slopes if slope]
        if len(known) < len(slopes):
            return None
        return max(known, key=lambda each: each.value if each.high is None else each.high, default=None)

    @property
    def unsampled(self) -> str:
        """Of whose pods nothing was seen; empty where both were."""
        samples = self.loaded.samples
        seen = set(samples.loc[samples["rss_mib"].notna() | samples["cpu_seconds"].notna(), "role"])
        lacking = [name for role, name in (("gateway", "LiteLLM"), ("backend", "vLLM")) if role not in seen]
        return f"no memory and no processor time of {listed(lacking)} was sampled" if lacking else ""

    @property
    def error_rate(self) -> Estimate | None:
        """The share of the load's requests that failed, over all required steps that are not invalid."""
        records = self.loaded.records
        kept = [step.name for step in self.required if step.state is not StepState.INVALID]
        mine = (records["role"] == "load") & (records["arm"] == "proxied") & records["step"].isin(kept)
        rollup = self.loaded.rollup
        happened = analysis.failures(records[mine], rollup[rollup["step"].isin(kept)])
        return proportion(happened) if len(happened) else None

    @property
    def invalid(self) -> str:
        """Where and why the load generator was the limit; empty where no step is invalid."""
        hidden = [step for step in self.ordered if step.invalid_spans]
        if not hidden:
            return ""
        spans = list({id(span): span for step in hidden for span in step.invalid_spans}.values())
        more = f", and {len(spans) - 1} more" if len(spans) > 1 else ""
        return f"at {', '.join(step.at() for step in hidden)}: {spans[0].reason}{more}"


def growth_words(growth: Estimate) -> str:
    """Memory's growth as its upper bound: that there is no leak cannot be shown."""
    if growth.high is None:
        return f"memory changes by {growth.value:.2g} MiB per hour"
    return f"memory grows by less than {growth.high:.2g} MiB per hour"


def with_interval(figure: Estimate, unit: str = "ms", decimals: int = 1) -> str:
    """A figure in words, with its interval if it has one."""
    text = f"{figure.value:.{decimals}f} {unit}"
    if figure.low is None:
        return text
    return f"{text} (95 % interval {figure.low:.{decimals}f} to {figure.high:.{decimals}f})"


def conclude(
    folder: Path, memory_limit: float = soak.MEMORY_LIMIT_MIB_PER_HOUR, required_rate: float | None = None
) -> Conclusions:
    """Read a run and judge it.

    Raises:
        SignoffError: there is no run, it is damaged, or holds no request in any of its steps.
    """
    loaded = analysis.load(folder)
    steps = knee.with_states(analysis.steps_of(loaded))
    return Conclusions(loaded, steps, knee.find(steps), soak.trends(loaded, memory_limit), required_rate)
