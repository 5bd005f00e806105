"""What is concluded from a load as a whole: the sentence, the verdict on the overhead, the knee, a soak's trends."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from signoff.core.words import listed
from signoff.load import analysis, knee, soak
from signoff.load.analysis import Loaded, StepResult, StepState
from signoff.load.knee import Knee
from signoff.load.soak import Trend
from signoff.settings import shown
from signoff.settings.shown import Setting
from signoff.settings.values import is_nfr66, overhead_requirement
from signoff.stats.estimate import Estimate
from signoff.stats.proportions import proportion
from signoff.verdicts.verdict import Value


@dataclass(frozen=True)
class Conclusions:
    """A load, judged."""

    loaded: Loaded
    steps: list[StepResult]
    knee: Knee
    trends: list[Trend]

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

    @property
    def headline(self) -> str:
        """The verdict on the overhead, with each setting that is not the story's."""
        return shown.headline(f"Load on LiteLLM: {self.requirement} {self.verdict[0].value}", self.not_the_storys)

    @cached_property
    def verdict(self) -> tuple[Value, str]:
        """The verdict on the overhead with the load at which it holds.

        Passed: the overhead is below the limit at the lightest load, and at each up to the one that is named. Failed or
        inconclusive: it is not, or could not be judged, at the lightest.
        """
        asked = overhead_requirement(self.limit_ms)
        held: StepResult | None = None
        for step in self.ordered:
            if step.verdict is Value.PASSED:
                held = step
                continue
            if held is None:
                return step.verdict, f"{asked} {step.verdict.value} at {step.at()}: {step.reason}"
            return Value.PASSED, (
                f"{asked} holds up to {held.at()}; {step.verdict.value} at {step.at()}: {step.reason}"
            )
        assert held is not None
        return Value.PASSED, f"{asked} holds at all loads that were asked, up to {held.at()}"

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
        """The share of the load's requests that failed, over all steps that LiteLLM kept up with."""
        records = self.loaded.records
        kept = [step.name for step in self.steps if step.state is StepState.KEPT_UP]
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


def conclude(folder: Path, memory_limit: float = soak.MEMORY_LIMIT_MIB_PER_HOUR) -> Conclusions:
    """Read a run and judge it.

    Raises:
        SignoffError: there is no run, it is damaged, or holds no request in any of its steps.
    """
    loaded = analysis.load(folder)
    steps = knee.with_states(analysis.steps_of(loaded))
    return Conclusions(loaded, steps, knee.find(steps), soak.trends(loaded, memory_limit))
