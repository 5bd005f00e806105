"""What a judge says: a value, the code of why, a sentence for a person, and the estimates that it rests on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from signoff.stats.estimate import Estimate


class Value(StrEnum):
    """What a check says of its subject. "Could not judge" never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged"
    OUTSIDE_REACH = "outside reach"
    """The story itself says that such a cluster cannot tell; it neither passes nor hinders."""


GRAVITY = (Value.FAILED, Value.INCONCLUSIVE, Value.NOT_JUDGED, Value.PASSED, Value.OUTSIDE_REACH)
"""Of several values the first of these that is among them speaks for all."""


class Code(StrEnum):
    """Why a verdict is what it is; what a program reads where a person reads the reason."""

    AS_WANTED = "as-wanted"
    BY_RATES = "by-rates"
    """As wanted by how often answers differ, since the one who was asked twice does not repeat itself."""
    NOT_AS_WANTED = "not-as-wanted"
    NO_ANSWER = "no-answer"
    """LiteLLM did not start, or did not answer."""
    LIMIT_EXCEEDED = "limit-exceeded"
    INTERVAL_HOLDS_LIMIT = "interval-holds-limit"
    RESTLESS = "restless"
    """The control arm differs from itself: the machine was too busy to tell."""
    DOES_LESS = "does-less"
    """The way through LiteLLM takes less time than the one without it: it does not do the same."""
    UNEQUAL_WORK = "unequal-work"
    """The answers that were timed against each other are not of one length, or not all from vLLM by one call each."""
    NOT_COUNTED = "not-counted"
    """vLLM's own counter does not tell whether each answer came from it."""
    GENERATOR_BOUND = "generator-bound"
    """The load generator, not what it asked, was the limit."""
    PROVES_NOTHING = "proves-nothing"
    """vLLM did not exercise what was to be compared, or does not repeat itself."""
    BACKEND_FAILED = "backend-failed"
    CLUSTER_FAILED = "cluster-failed"
    MACHINE_FAILED = "machine-failed"
    SUITE_FAILED = "suite-failed"
    SKIPPED = "skipped"
    """The cluster lacks what the scenario needs, or somebody left it out."""
    NO_OBSERVATION = "no-observation"
    CASE_MISSING = "case-missing"
    TOO_FEW = "too-few"
    ASKED_OTHERWISE = "asked-otherwise"
    """A feature's table or number is not the one that the story declares."""
    PENDING = "pending"
    """The story declares it; this version does not observe it yet."""
    OUTSIDE_REACH = "outside-reach"


@dataclass(frozen=True)
class Verdict:
    """One judgement. `reason` is a sentence: what was seen, what was wanted, where to look."""

    value: Value
    code: Code
    reason: str = ""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


def passed(reason: str = "", estimates: Mapping[str, Estimate] | None = None, code: Code = Code.AS_WANTED) -> Verdict:
    """It is as wanted."""
    return Verdict(Value.PASSED, code, reason, estimates or {})


def failed(reason: str, code: Code = Code.NOT_AS_WANTED) -> Verdict:
    """It is not."""
    return Verdict(Value.FAILED, code, reason)


def inconclusive(reason: str, code: Code) -> Verdict:
    """It was looked at and cannot be told, for a cause that is not LiteLLM's."""
    return Verdict(Value.INCONCLUSIVE, code, reason)


def not_judged(reason: str, code: Code = Code.NO_OBSERVATION) -> Verdict:
    """It was not looked at, or at less of it than the story declares."""
    return Verdict(Value.NOT_JUDGED, code, reason)


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The one that speaks for all; the first of those with its value, with the reasons of all of these.

    Raises:
        ValueError: there is none.
    """
    found = list(verdicts)
    first = min(found, key=lambda each: GRAVITY.index(each.value))
    same = [each for each in found if each.value is first.value]
    reasons = dict.fromkeys(each.reason for each in same if each.reason)
    estimates = {name: estimate for each in same for name, estimate in each.estimates.items()}
    return Verdict(first.value, first.code, "; ".join(reasons), estimates)


class ExitStatus(IntEnum):
    """How a run of features ends; from 2 to 5 they are pytest's own."""

    SIGNED_OFF = 0
    NOT_JUDGED = 1
    INTERRUPTED = 2
    INTERNAL_ERROR = 3
    USAGE = 4
    NOTHING_COLLECTED = 5
    FAILED = 10
    INCONCLUSIVE = 11
