"""Of the real story nothing passes that was observed less, of another side, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest

from signoff.core.paths import ROOT
from signoff.evidence import Recorded
from signoff.evidence.models import (
    AnswersSeen,
    CallsCompared,
    Cause,
    CertificateSeen,
    CounterSeen,
    Disturbance,
    FilesSeen,
    ForwardedSeen,
    IngressTrios,
    InsideSeen,
    LargePrompt,
    Line,
    Observation,
    OverheadTimed,
    PacedByGateway,
    PacedStream,
    PendingSeen,
    PlacesSeen,
    RouteFound,
    RouteSeen,
    SchedulerAsked,
    SlowAnswer,
    StayedReady,
    Subject,
    TriosSeen,
    TurnedAway,
)
from signoff.judges.run import Result
from signoff.settings import Settings, story_values
from signoff.story.declaration import Declaration
from signoff.verdicts import Value
from tests.evidence import runs
from tests.evidence.runs import ASKED

VALUES = {**story_values(Settings()), "asks_for_key": True}
CHECKS = Declaration.read(ROOT / "features" / "story.yaml").filled(VALUES).story.checks
JUDGED = [name for name, check in CHECKS.items() if not check.pending]
FINDS_ITS_CASES = (
    "overhead",
    "parity-gate",
    "parity-recorded",
    "parity-exercised",
    "forwarded-headers",
    "certificate",
)
"""Judges whose observations hold several cases."""
OF_CASES = [name for name in JUDGED if CHECKS[name].judge not in FINDS_ITS_CASES]
ELSEWHERE = RouteFound(host="other.example", object="IngressRoute/other")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run in which everything passed."""
    result = runs.whole_run(tmp_path_factory.mktemp("runs") / "whole", {})
    assert result.signed_off
    return result.evidence


def judged(whole: Recorded, change: Callable[[Observation], Observation | None]) -> Result:
    """The run with its observations changed, or without those of which nothing is left."""
    lines = []
    for line in whole.lines:
        record = change(line.record) if isinstance(line.record, Observation) else line.record
        if record is not None:
            lines.append(Line(**{**line.model_dump(include=set(Line.HEAD)), "record": record}))
    return Result(Recorded(whole.folder, lines))


def test_each_observation_is_judged_as_it_stands(whole: Recorded) -> None:
    assert judged(whole, lambda seen: seen).signed_off


@pytest.mark.parametrize("name", JUDGED)
def test_a_check_that_was_not_observed_is_not_judged(whole: Recorded, name: str) -> None:
    result = judged(whole, lambda seen: None if seen.check == name else seen)
    assert result.checks[name].value is Value.NOT_JUDGED
    assert not result.signed_off


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in OF_CASES for case in CHECKS[name].cases])
def test_a_case_that_was_not_observed_is_not_judged(whole: Recorded, name: str, case: str) -> None:
    result = judged(whole, lambda seen: None if (seen.check, seen.case) == (name, case) else seen)
    assert result.checks[name].value is Value.NOT_JUDGED
    assert case in result.checks[name].verdict.reason


def less(kind: type[Observation], **changes: Any) -> Callable[[Observation], Observation]:
    return lambda seen: seen.model_copy(update=changes) if isinstance(seen, kind) else seen


def fewer_prompts(seen: Observation) -> Observation:
    return seen.model_copy(update={"trios": seen.trios[:3]}) if isinstance(seen, TriosSeen) else seen


def one_prompt(seen: Observation) -> Observation:
    return seen.model_copy(update={"trios": seen.trios[:1]}) if isinstance(seen, IngressTrios) else seen


def one_answer_for_three(seen: Observation) -> Observation:
    if not isinstance(seen, TriosSeen):
        return seen
    one = [each.model_copy(update={"again": each.direct, "proxied": each.direct}) for each in seen.trios]
    return seen.model_copy(update={"trios": one})


def other_prompts(seen: Observation) -> Observation:
    if not isinstance(seen, TriosSeen):
        return seen
    return seen.model_copy(update={"trios": [each.model_copy(update={"prompt": "?"}) for each in seen.trios]})


@pytest.mark.parametrize(
    ("names", "change"),
    [
        (["each-request-once", "no-key-stops-here"], less(CounterSeen, requests=0, grown=0)),
        (["equal-answers", "answers-differ"], fewer_prompts),
        (["equal-answers", "answers-differ", "finish-reasons"], one_answer_for_three),
        (["equal-answers", "answers-differ", "finish-reasons"], other_prompts),
        (["finish-reasons"], less(TriosSeen, asked=["stop"])),
        (["error-in-time"], less(AnswersSeen, asked={"seconds": 300})),
        (["on-workers", "not-on-gpu-worker", "vllm-on-gpu-worker"], less(PlacesSeen, asked=["anywhere"])),
        (["stays-pending"], less(PendingSeen, cordoned=["k3s-worker-01"])),
        (["stays-pending"], less(PendingSeen, seconds=0.1)),
        (["scheduler-asked"], less(SchedulerAsked, forbidden_by="labels")),
        (["scheduler-asked"], less(SchedulerAsked, tolerant=False)),
        (["scheduler-asked"], less(SchedulerAsked, nodes=ASKED[:3])),
        (["scheduler-asked"], less(SchedulerAsked, nodes=ASKED[1:])),
        (["scheduler-asked"], less(SchedulerAsked, nodes=[*ASKED[:2], *ASKED[3:]])),
        (["scheduler-asked"], less(SchedulerAsked, nodes=ASKED[:4])),
        (["stays-ready"], less(StayedReady, seconds=1)),
        (["stays-ready"], less(StayedReady, looks=1)),
        (["cluster-name"], less(InsideSeen, url="http://127.0.0.1:4000/v1/models")),
        (["way-in"], less(RouteSeen, route=ELSEWHERE)),
        (["ingress-answers"], one_prompt),
        (["ingress-streams"], less(PacedStream, pause=0.01)),
        (["gateway-streams"], less(PacedByGateway, pause=0.01)),
        (["ingress-timeouts"], less(SlowAnswer, timeouts={})),
        (["ingress-timeouts"], less(SlowAnswer, timeouts={"readTimeout": 29})),
        (["ingress-large-prompt"], less(LargePrompt, sent_bytes=1000, arrived_bytes=1000)),
        (["ingress-headers"], less(ForwardedSeen, sent={})),
        (["plain-http", "unknown-host"], less(TurnedAway, asked="ftp://127.0.0.1/")),
        (["plain-http"], less(TurnedAway, host="other.example")),
        (["certificate"], less(CertificateSeen, older={})),
        (["certificate"], less(CertificateSeen, route=ELSEWHERE)),
        (["overhead"], less(OverheadTimed, limit_asked_ms=500)),
        (
            ["response-format", "request-fidelity", "calls-exercised"],
            less(CallsCompared, only=["chat.plain/plain/hosted_vllm"]),
        ),
    ],
)
def test_less_than_the_story_declares_is_not_judged(
    whole: Recorded, names: list[str], change: Callable[[Observation], Observation]
) -> None:
    result = judged(whole, change)
    assert {name: result.checks[name].value for name in names} == dict.fromkeys(names, Value.NOT_JUDGED)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "big", "elsewhere": {"two": 0}}, ""),
        ({"model": "big", "elsewhere": {"two": 3}}, "what was asked for big reached other backends: two finished 3"),
        ({"model": "big", "grown": 9}, "vLLM finished 9 requests for big, expected 10"),
    ],
)
def test_what_another_backend_answers_fails(whole: Recorded, change: dict[str, Any], told: str) -> None:
    found = judged(whole, less(CounterSeen, **change)).checks["each-request-once"]
    assert (found.value is Value.FAILED, told in found.verdict.reason) == (bool(told), True)


@pytest.mark.parametrize("name", [name for name in JUDGED if CHECKS[name].arms and CHECKS[name].judge != "overhead"])
def test_another_side_than_the_declared_one_is_not_judged(whole: Recorded, name: str) -> None:
    seqs = [line.seq for line in whole.lines if getattr(line.record, "arm", "") == "direct"]

    def of_vllm(seen: Observation) -> Observation:
        if seen.check == name and isinstance(seen, AnswersSeen):
            return seen.model_copy(update={"exchanges": seqs[:1]})
        if seen.check == name and isinstance(seen, TriosSeen | IngressTrios):
            swapped = [each.model_copy(update={"direct": each.proxied, "proxied": each.direct}) for each in seen.trios]
            return seen.model_copy(update={"trios": swapped})
        if seen.check == name:
            sides = {"exchange", "ingress"} & type(seen).model_fields.keys()
            return seen.model_copy(update=dict.fromkeys(sides, seqs[0]))
        return seen

    assert judged(whole, of_vllm).checks[name].value is Value.NOT_JUDGED


def test_what_vllm_does_excuses_no_manifest(whole: Recorded) -> None:
    cause = Cause(subject=Subject.BACKEND, what="vLLM ended: OOMKilled (exit code 137)")
    lines = [
        *(line for line in judged(whole, less(FilesSeen, kinds={})).evidence.lines),
        *(
            line.model_copy(update={"record": Disturbance(cause=cause)})
            for line in whole.lines
            if isinstance(line.record, FilesSeen)
        ),
    ]
    assert Result(Recorded(whole.folder, lines)).checks["file-layout"].value is Value.FAILED
