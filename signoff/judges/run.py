"""From evidence to verdict: each check, each criterion, and the run as a whole. Pure functions of what was recorded."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from signoff import judges
from signoff.core.errors import SignoffError
from signoff.evidence import Recorded
from signoff.evidence.models import (
    Cause,
    End,
    LeftAsFound,
    Observation,
    OverheadTimed,
    Plan,
    PlannedScenario,
    ScenarioEnd,
    Subject,
    UnderTest,
    Unproven,
)
from signoff.judges import certificate, overhead
from signoff.judges.registry import JUDGES
from signoff.settings import shown
from signoff.settings.shown import Setting
from signoff.stats.estimate import Estimate
from signoff.story.declaration import Check, Criterion, Point, Story, Task
from signoff.verdicts.verdict import (
    Code,
    ExitStatus,
    Value,
    Verdict,
    failed,
    gravest,
    inconclusive,
    not_judged,
    passed,
)

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.estimate import Ingress

assert judges, "the judges register themselves"

_CODES = {
    Subject.GATEWAY: Code.NO_ANSWER,
    Subject.BACKEND: Code.BACKEND_FAILED,
    Subject.CLUSTER: Code.CLUSTER_FAILED,
    Subject.MACHINE: Code.MACHINE_FAILED,
    Subject.SUITE: Code.SUITE_FAILED,
}

_OF_PYTEST = (ExitStatus.INTERRUPTED, ExitStatus.INTERNAL_ERROR, ExitStatus.USAGE, ExitStatus.NOTHING_COLLECTED)


class State(StrEnum):
    """How a scenario went, for whoever reads the list of them."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Judged:
    """A check's verdict, and those of its cases. `waiver` is the reason for which a person leaves it out, if so.

    What is part of a waived check is left out with it, unless it has passed all the same.
    """

    name: str
    check: Check
    verdict: Verdict
    cases: Mapping[str, Verdict] = field(default_factory=dict)
    waiver: str | None = None

    @property
    def value(self) -> Value:
        """Its verdict's value."""
        return self.verdict.value

    @property
    def hinders(self) -> bool:
        """Whether it keeps what needs it from passing."""
        return self.waiver is None and self.value not in (Value.PASSED, Value.OUTSIDE_REACH)


@dataclass(frozen=True)
class Requirement:
    """A criterion, task or group of notes, with its checks; passed when none of them hinders it."""

    key: str
    needs: Criterion | Task
    checks: tuple[Judged, ...]

    @property
    def value(self) -> Value:
        """Passed, or the gravest value that hinders; where all was waived or documents, what is left to say."""
        hindering = [each.verdict for each in self.checks if each.hinders]
        return gravest(hindering).value if hindering else Value.PASSED

    @property
    def word(self) -> str:
        """The value as the pages show it."""
        if self.value is Value.PASSED and not any(each.value is Value.PASSED for each in self.checks):
            if any(each.waiver is not None for each in self.checks):
                return "waived"
            return Value.OUTSIDE_REACH.value if self.checks else "documents only"
        return self.value.value

    @property
    def reason(self) -> str:
        """Which checks keep it from passing, and why."""
        hindering = [each for each in self.checks if each.hinders]
        worst = [each for each in hindering if each.value is self.value]
        return "; ".join(f"{each.name}: {each.verdict.reason or each.value.value}" for each in worst)

    @property
    def points(self) -> Sequence[Point]:
        """A task's subtasks; none of a criterion."""
        return self.needs.points if isinstance(self.needs, Task) else ()


@dataclass(frozen=True)
class Scenario:
    """A planned scenario, how it ended, and the state that follows from what it observed."""

    planned: PlannedScenario
    state: State
    reason: str
    end: ScenarioEnd | None


class Result:
    """A run, judged."""

    def __init__(self, evidence: Recorded) -> None:
        self.evidence = evidence
        run = evidence.run
        self.story = Story.model_validate(run.story)
        plan = evidence.last(Plan)
        self.planned: list[PlannedScenario] = list(plan.scenarios) if plan else []
        self._told = list(_told(self.story, evidence))
        self.checks = {
            name: Judged(name, check, verdict, cases, _waiver(name, check, verdict, run.waivers))
            for name, check in self.story.checks.items()
            for told in [[each for each in self._told if each.check == name]]
            for verdict, cases in [_judged(name, check, evidence, self.planned, told)]
        }
        self.requirements = [
            Requirement(key, needs, tuple(self.checks[name] for name in needs.checks))
            for key, needs in self.story.requirements.items()
        ]

    @cached_property
    def scenarios(self) -> list[Scenario]:
        """Every planned scenario in its order, with its state."""
        ends = {end.id: end for end in self.evidence.of(ScenarioEnd)}
        return [
            _scenario(each, ends.get(each.id), self.evidence, [told for told in self._told if told.scenario == each.id])
            for each in self.planned
        ]

    @property
    def waived(self) -> list[Judged]:
        """The checks that a person left out."""
        return [each for each in self.checks.values() if each.waiver is not None]

    @property
    def under_test(self) -> UnderTest | None:
        """Which gateway was judged, and where it was found; older evidence does not say."""
        return self.evidence.first(UnderTest)

    @cached_property
    def way_in(self) -> dict[str, Any]:
        """The route from outside and its certificate, as they were seen; empty where nobody looked at any."""
        return certificate.way_in(self.evidence)

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings, as the run recorded them."""
        return list(shown.recorded(self.evidence.run.settings))

    @cached_property
    def not_the_storys(self) -> list[Setting]:
        """The settings with which it is no longer quite the story that was judged."""
        return shown.not_the_storys(self.evidence.run.settings)

    @property
    def unproven(self) -> list[Unproven]:
        """The models that clients may ask for and that nothing here judges; the story is about another."""
        return list(dict.fromkeys(self.evidence.of(Unproven)))

    @property
    def unneeded_waivers(self) -> list[str]:
        """Waivers of checks that passed all the same."""
        return [each.name for each in self.waived if each.value is Value.PASSED]

    @property
    def counted(self) -> Counter[Value]:
        """How many checks there are of each value, those that are waived or outside reach left out."""
        return Counter(
            each.value for each in self.checks.values() if each.waiver is None and each.value is not Value.OUTSIDE_REACH
        )

    @cached_property
    def _unfinished(self) -> str:
        """Why the run as a whole cannot be signed off, whatever its checks say; empty if nothing speaks against it."""
        end = self.evidence.last(End)
        if end is None or end.interrupted or self.evidence.cut_off:
            return "the run did not come to its end"
        if end.other_failures:
            return f"{end.other_failures} other tests of the run failed"
        if errors := [each.cause for each in self.evidence.of(ScenarioEnd) if each.end == "error" and each.cause]:
            return f"a scenario ended in an error: {errors[0].what}"
        if left := [each for found in self.evidence.of(LeftAsFound) for each in found.differences]:
            return f"the cluster is not as it was before: {'; '.join(left)}"
        if bare := [key for key in self.story.criteria if not self._has_passed_check(key)]:
            return f"nothing of {bare[0]} was judged"
        return ""

    def _has_passed_check(self, criterion: str) -> bool:
        return any(self.checks[name].value is Value.PASSED for name in self.story.criteria[criterion].checks)

    @property
    def signed_off(self) -> bool:
        """Whether every requirement has passed, the run came whole to its end, and no waiver was in vain."""
        passed_all = all(each.value is Value.PASSED for each in self.requirements)
        return passed_all and not self._unfinished and not self.unneeded_waivers

    @property
    def status(self) -> ExitStatus:
        """The exit status of the run: pytest's own where that says why it did not run, else the gravest value."""
        end = self.evidence.last(End)
        if end is not None and end.interrupted:
            return ExitStatus.INTERRUPTED
        if end is not None and end.pytest_status in _OF_PYTEST:
            return ExitStatus(end.pytest_status)
        if self.signed_off:
            return ExitStatus.SIGNED_OFF
        values = {each.value for each in self.requirements}
        if Value.FAILED in values:
            return ExitStatus.FAILED
        if Value.INCONCLUSIVE in values or any(each.end == "error" for each in self.evidence.of(ScenarioEnd)):
            return ExitStatus.INCONCLUSIVE
        if self.unneeded_waivers and Value.NOT_JUDGED not in values:
            return ExitStatus.USAGE
        return ExitStatus.NOT_JUDGED

    @property
    def headline(self) -> str:
        """The run in one sentence, with each setting that is not the story's."""
        return shown.headline(self._outcome, self.not_the_storys)

    @property
    def _outcome(self) -> str:
        if self.signed_off:
            if self.waived:
                return f"Signed off; {_checks(len(self.waived))} waived"
            return "Signed off: every criterion passed"
        counted = self.counted
        judged = sum(counted[value] for value in (Value.PASSED, Value.FAILED, Value.INCONCLUSIVE))
        every = judged + counted[Value.NOT_JUDGED]
        told = ", ".join(
            f"{counted[value]} {value.value}"
            for value in (Value.FAILED, Value.INCONCLUSIVE, Value.PASSED)
            if counted[value]
        )
        sentence = f"judged {judged} of {_checks(every)}" + (f", {told}" if told else "")
        if counted[Value.FAILED] or counted[Value.INCONCLUSIVE]:
            return f"Not signed off: {sentence}"
        if self.unneeded_waivers:
            names = ", ".join(self.unneeded_waivers)
            return f"Not signed off: the waiver of {names} is not needed, since the check passed; run again without it"
        if judged == every:
            return f"Not signed off: {sentence}; {self._unfinished}"
        return f"{sentence[:1].upper()}{sentence[1:]}; not a sign-off"

    @cached_property
    def ingress(self) -> "Ingress | None":
        """What the ingress adds to a request, which no check asks; None where nothing was to be timed through one."""
        timed = [each for each in self.evidence.of(OverheadTimed) if each.check in self.checks]
        try:
            return overhead.ingress(timed[-1], self.evidence) if timed else None
        except SignoffError:
            return None  # the check of the same file says why

    def to_record(self) -> dict[str, Any]:
        """What `verdict.json` says; `evidence` and its lines tie it to what it was judged from."""
        differing = {each.name: {"value": each.value, "story": each.story} for each in self.not_the_storys}
        unproven = {each.model: each.reason for each in self.unproven}
        return {
            "schema": "signoff.verdict/1",
            "story": {"name": self.story.name, "title": self.story.title, "sha256": self.evidence.run.story_sha256},
            **({"under_test": self.under_test.found} if self.under_test else {}),
            **({"way_in": self.way_in} if self.way_in else {}),
            "headline": self.headline,
            "status": self.status.name.lower().replace("_", " "),
            "exit_status": int(self.status),
            "requirements": {each.key: {"verdict": each.word, "reason": each.reason} for each in self.requirements},
            "checks": {each.name: _check_record(each) for each in self.checks.values()},
            **({"ingress": _ingress_record(self.ingress)} if self.ingress else {}),
            "scenarios": {each.planned.id: each.state.value for each in self.scenarios},
            "waivers": dict(self.evidence.run.waivers),
            **({"unproven_models": unproven} if unproven else {}),
            **({"not_the_storys": differing} if differing else {}),
            "evidence": {"sha256": self.evidence.sha256, "lines": len(self.evidence.lines)},
        }


def _checks(count: int) -> str:
    return f"{count} check{'' if count == 1 else 's'}"


def _check_record(judged: Judged) -> dict[str, Any]:
    verdict = judged.verdict
    return {
        "verdict": verdict.value.value,
        "code": verdict.code.value,
        "reason": verdict.reason,
        "waived": judged.waiver,
        "cases": {case: each.value.value for case, each in judged.cases.items()},
        "estimates": {name: _estimate_record(each) for name, each in verdict.estimates.items()},
    }


def _ingress_record(ingress: "Ingress") -> dict[str, Any]:
    if ingress.missing:
        return {"missing": ingress.missing}
    return {"adds_ms": {name: _estimate_record(each) for name, each in ingress.figures.items()}, "pairs": ingress.pairs}


def _estimate_record(estimate: Estimate) -> dict[str, float | None]:
    """An estimate to six digits behind the point: the last bits differ from one machine to the next."""
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if end is None else round(end, 6) for name, end in ends.items()}


# One observation


@dataclass(frozen=True)
class Told:
    """What one observation says, case by case: of its check, and of how its scenario went."""

    scenario: str
    check: str
    verdicts: tuple[tuple[str, Verdict], ...]


def _told(story: Story, evidence: Recorded) -> Iterator[Told]:
    """What each observation of a check of the story says, in their order."""
    for line in evidence.lines:
        if isinstance(line.record, Observation) and (check := story.checks.get(line.record.check)):
            verdicts = judge_observed(check, evidence, [(line.scenario, line.record)])
            yield Told(line.scenario, line.record.check, tuple(verdicts))


def judge_observed(
    check: Check, evidence: Recorded, observed: Iterable[tuple[str, Observation]]
) -> Iterator[tuple[str, Verdict]]:
    """What observations say of a check, case by case; whether all of its cases are there is not asked.

    Each observation comes with the id of its scenario. Where that was disturbed by something that the judge rests on,
    nothing is held against the gateway. A case that the story does not declare can fail the check, and never pass it.
    """
    declared = check.cases or ("",)
    for scenario, each in observed:
        cause = evidence.disturbance(scenario)
        for case, verdict in _told_by(check, evidence, each):
            if cause and verdict.value in (Value.FAILED, Value.INCONCLUSIVE) and _rests_on(check, cause):
                verdict = inconclusive(f"{cause.what}; seen then: {verdict.reason}", _CODES[cause.subject])
            if case not in declared and verdict.value is Value.PASSED:
                verdict = not_judged(f"the story declares no case {case!r}", Code.ASKED_OTHERWISE)
            yield case, verdict


def _rests_on(check: Check, cause: Cause) -> bool:
    return check.judge in JUDGES and cause.subject in JUDGES[check.judge].rests_on


def _told_by(check: Check, evidence: Recorded, each: Observation) -> Iterator[tuple[str, Verdict]]:
    """What the check's judge says of one observation; for all its cases, where it cannot say for which."""
    judge = JUDGES.get(check.judge)
    spoken_of = (each.case,) if each.case or not check.cases else check.cases
    if judge is None:
        told = not_judged(f"this version has no judge {check.judge!r}", Code.PENDING)
    elif not isinstance(each, judge.reads):
        told = not_judged(f"{each.kind} was observed, where {judge.reads.kind_name()} is judged")
    else:
        try:
            yield from list(judge.rule([each], check, evidence))
            return
        except SignoffError as error:
            told = not_judged(error.what)  # not where: the pages are the same wherever the folder lies
        except (LookupError, TypeError, ValueError) as error:
            what = f"the suite could not judge what was observed: {type(error).__name__}: {error}"
            told = inconclusive(what, Code.SUITE_FAILED)
    yield from ((case, told) for case in spoken_of)


# One check


def _judged(
    name: str, check: Check, evidence: Recorded, planned: Sequence[PlannedScenario], told: Sequence[Told]
) -> tuple[Verdict, dict[str, Verdict]]:
    """The verdict of a check, and those of its cases."""
    if not told and (why := check.beyond(evidence.run.cluster)):
        return Verdict(Value.OUTSIDE_REACH, Code.OUTSIDE_REACH, why), {}
    found: dict[str, list[Verdict]] = {case: [] for case in check.cases or ("",)}
    for case, verdict in (each for observation in told for each in observation.verdicts):
        found.setdefault(case, []).append(verdict)
    errors = list(_errors(name, evidence))
    missing = _missing(check, evidence, [each for each in planned if name in each.checks])
    cases = {
        case: gravest(several) if several else gravest(errors) if errors else missing for case, several in found.items()
    }
    return _with_names(gravest([*cases.values(), *errors]), cases), cases


def _waiver(name: str, check: Check, verdict: Verdict, waivers: Mapping[str, str]) -> str | None:
    """The reason for which a person leaves a check out: itself, or with the one that it is part of."""
    if name in waivers or verdict.value in (Value.PASSED, Value.OUTSIDE_REACH):
        return waivers.get(name)
    return waivers.get(check.part_of)


def _with_names(verdict: Verdict, cases: Mapping[str, Verdict]) -> Verdict:
    """Say of which cases a verdict speaks, where there are several and it is not of all."""
    named = [case for case, each in cases.items() if case and each.value is verdict.value]
    if verdict.value is Value.PASSED or not named or len(named) == len(cases):
        return verdict
    reasons = [reason for case in named for reason in [cases[case].reason] if reason]
    told = "; ".join(dict.fromkeys(reasons)) or verdict.reason
    return Verdict(verdict.value, verdict.code, f"{', '.join(named)}: {told}", verdict.estimates)


def _errors(name: str, evidence: Recorded) -> Iterator[Verdict]:
    """What ended scenarios at the step that was to observe the check, or before it."""
    for end in evidence.of(ScenarioEnd):
        if name in end.unobserved and end.end == "error" and end.cause is not None:
            yield of_cause(evidence.disturbance(end.id) or end.cause)


def of_cause(cause: Cause) -> Verdict:
    """What an error says of the checks that it kept from being observed: only the gateway's own is a failure."""
    if cause.subject is Subject.GATEWAY:
        return failed(cause.what, Code.NO_ANSWER)
    return inconclusive(cause.what, _CODES[cause.subject])


def _missing(check: Check, evidence: Recorded, planned: Sequence[PlannedScenario]) -> Verdict:
    """Why a case has no observation, if no error says so."""
    if check.pending:
        return not_judged(check.pending, Code.PENDING)
    ends = {end.id: end for end in evidence.of(ScenarioEnd)}
    for scenario in planned:
        end = ends.get(scenario.id)
        if end and end.end == "skipped":
            return not_judged(f"skipped: {end.skipped}", Code.SKIPPED)
        if end and end.end == "judged":
            return not_judged(f"{scenario.name!r} ended before, at: {end.step}", Code.CASE_MISSING)
    if planned and all(scenario.id in ends for scenario in planned):
        return not_judged("no scenario observed it", Code.CASE_MISSING)
    return not_judged(f"not run: {', '.join(dict.fromkeys(each.name for each in planned)) or 'any scenario of it'}")


# One scenario


def _scenario(planned: PlannedScenario, end: ScenarioEnd | None, evidence: Recorded, told: Sequence[Told]) -> Scenario:
    if end is None:
        return Scenario(planned, State.NOT_RUN, "", None)
    if end.end == "skipped":
        return Scenario(planned, State.SKIPPED, end.skipped, end)
    verdict = gravest(_verdicts_in(end, evidence, told))
    state = State(verdict.value.value)
    return Scenario(planned, state, "" if state is State.PASSED else verdict.reason, end)


def _verdicts_in(end: ScenarioEnd, evidence: Recorded, told: Sequence[Told]) -> Iterator[Verdict]:
    """What a scenario's own observations and its end say."""
    yield passed() if end.end == "whole" else not_judged("it ended before its last step")
    if end.cause is not None:
        yield of_cause(evidence.disturbance(end.id) or end.cause)
    yield from (verdict for each in told for _, verdict in each.verdicts)
