"""What a person gets whose vLLM does not repeat itself, by the steps of the features.

A double stands in vLLM's place and answers at random: the real one does not do so on demand.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.faulty_gateway import Tampering
from signoff import judges
from signoff.evidence import Evidence
from signoff.evidence.models import Exchange, Run, TriosSeen
from signoff.judges.registry import JUDGES
from signoff.parity import cases
from signoff.parity.judge import Class, Result, gate, judge
from signoff.parity.known_issues import KnownIssues
from signoff.parity.repeated import EARLY, ROUNDS
from signoff.story.declaration import Check
from signoff.traffic.endpoint import Endpoint
from signoff.verdicts import Code, Value, Verdict
from signoff.verdicts.verdict import gravest
from steps import chat, completion
from tests.pair import Pair
from tests.parity_bench import CASES, NOTHING_KNOWN, Bench

assert judges, "the judges register themselves"
ASKED = [
    ["prompt", "ends by"],
    ["Name three rivers.", "length"],
    ["Wie heißt die Hauptstadt von Österreich?", ""],
    ["東京は何の首都ですか? 🗼", ""],
    ["Write one line of Python.", "stop"],
]
ARMS = ("direct", "direct again", "proxied")
REASONS = [["finish_reason"], ["length"], ["stop"]]
DECLARED: dict[str, dict[str, Any]] = {
    "equal-answers": {"arms": ARMS, "min": {"prompts": 4}},
    "answers-differ": {"arms": ARMS, "min": {"prompts": 4}},
    "finish-reasons": {"arms": ARMS, "wants": ["length", "stop"]},
    "client-reads": {},
}


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    evidence = Evidence(tmp_path / "run", Run(tool="measure"))
    yield evidence
    evidence.close()


def verdict_on(name: str, evidence: Evidence) -> Verdict:
    rule: Callable[..., Any] = JUDGES[name].rule
    recorded = evidence.so_far()
    seen = [each for each in recorded.of(JUDGES[name].reads) if each.check in (name, "openai-client")]
    return gravest([verdict for _, verdict in rule(seen, Check(text="it is", judge=name, **DECLARED[name]), recorded)])


def compared(pair: Pair, evidence: Evidence, kind: str = "plain") -> Verdict:
    """What the steps of completion.feature lead to."""
    sides = (Endpoint(pair.direct), Endpoint(pair.proxied))
    trios = completion.send_to_both(*sides, evidence, kind, ASKED)
    completion.answers_equal(trios, evidence)
    completion.answers_differ(trios, evidence)
    completion.ended_for_each_reason(trios, evidence, REASONS)
    return verdict_on("equal-answers", evidence)


@pytest.mark.parametrize("kind", ["plain", "streamed"])
def test_a_vllm_that_repeats_itself_is_asked_once(pair: Pair, evidence: Evidence, kind: str) -> None:
    assert compared(pair, evidence, kind).code is Code.AS_WANTED
    assert Counter(each.arm for each in evidence.so_far().of(Exchange)) == dict.fromkeys(ARMS, 4) | {
        "direct, to find a stop": 1
    }
    assert verdict_on("answers-differ", evidence).value is Value.PASSED
    assert verdict_on("finish-reasons", evidence).value is Value.PASSED


@pytest.mark.parametrize("kind", ["plain", "streamed"])
def test_a_moody_vllm_is_judged_by_rates(pair: Pair, evidence: Evidence, kind: str) -> None:
    pair.backend.moody = 0.3
    verdict = compared(pair, evidence, kind)
    assert (verdict.value, verdict.code) == (Value.PASSED, Code.BY_RATES), verdict.reason
    assert f"of {4 * ROUNDS} pairs" in verdict.reason
    assert verdict_on("finish-reasons", evidence).value is Value.PASSED
    assert verdict_on("answers-differ", evidence).value is Value.PASSED


def test_a_gateway_that_changes_more_than_a_moody_vllm_does_is_red(pair: Pair, evidence: Evidence) -> None:
    pair.backend.moody, pair.gateway.tampering = 0.2, "changed_text"
    chance = random.Random(6)
    pair.gateway.tampers_with = lambda sent: chance.random() < 0.5
    verdict = compared(pair, evidence)
    assert verdict.value is Value.FAILED
    assert "more often than vLLM from itself" in verdict.reason


def test_a_gateway_that_changes_one_question_that_vllm_always_answers_alike_is_red(
    pair: Pair, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = pair.backend._reply

    def reply_of_moods(messages: list[dict[str, Any]], limit: int) -> tuple[list[str], str]:
        pair.backend.moody = 0.0 if "Hauptstadt" in messages[-1]["content"] else 0.5
        return reply(messages, limit)

    monkeypatch.setattr(pair.backend, "_reply", reply_of_moods)
    assert compared(pair, evidence).value is Value.PASSED
    pair.gateway.tampering, pair.gateway.tampers_with = "changed_text", lambda sent: b"Hauptstadt" in sent
    verdict = compared(pair, evidence)
    assert verdict.value is Value.FAILED
    assert "'Wie heißt die Hauptstadt von Österreich?': choices[0].text is" in verdict.reason


def test_a_gateway_that_always_changes_the_text_is_told_early(pair: Pair, evidence: Evidence) -> None:
    pair.gateway.tampering = "changed_text"
    assert compared(pair, evidence).value is Value.FAILED
    assert len(evidence.so_far().of(TriosSeen)[0].trios) == 4 * EARLY


@pytest.mark.parametrize("said", ["echo no", "echo a"])
def test_a_vllm_that_says_too_little_is_inconclusive(pair: Pair, evidence: Evidence, said: str) -> None:
    asked = [["prompt", "ends by"], [said, "length"], [f"{said} ", "stop"]]
    trios = completion.send_to_both(Endpoint(pair.direct), Endpoint(pair.proxied), evidence, "plain", asked)
    completion.ended_for_each_reason(trios, evidence, REASONS)
    verdict = verdict_on("finish-reasons", evidence)
    assert verdict.value is Value.INCONCLUSIVE
    assert "no answer of vLLM ended with length" in verdict.reason


@pytest.mark.parametrize(
    ("said", "stop"),
    [
        ("Die Hauptstadt ist Wien.", "H"),
        ("1. Amazon", "m"),
        ("東京は日本の首都です", "本"),
        ("Wie", "i"),
        ("a", ""),
        ("aaaa", ""),
        ("", ""),
    ],
)
def test_an_answer_stops_at_what_it_says_behind_a_word(said: str, stop: str) -> None:
    assert completion.stop_within(said) == stop


@pytest.mark.parametrize(
    ("kind", "tampering", "value"), [("streamed", None, Value.PASSED), ("plain", "changed_text", Value.FAILED)]
)
def test_what_the_official_client_reads_of_a_moody_vllm_is_judged_by_rates(
    pair: Pair, evidence: Evidence, kind: str, tampering: str | None, value: Value
) -> None:
    pair.backend.moody, pair.gateway.tampering = 0.4, tampering
    both = chat.official_client_asks(Endpoint(pair.direct), Endpoint(pair.proxied), kind)
    chat.reads_the_same(both, evidence)
    verdict = verdict_on("client-reads", evidence)
    assert verdict.value is value, verdict.reason
    assert f"of {ROUNDS} pairs" in verdict.reason


# The calls of the parity gate


def asked(bench: Bench, moody: float, tampers_with: Callable[[str], bool] = lambda text: False) -> Result:
    """One call, by the sides of the matrix, as the features ask for it; a gateway may change its text."""

    def change(body: dict[str, Any]) -> None:
        if tampers_with(body["choices"][0]["message"]["content"]):
            body["choices"][0]["message"]["content"] += "!"

    bench.faulty_gateway.tampering, bench.backend.moody = Tampering(body=change), moody
    bench.backend._random.seed(3)  # with which the first round shows the mood, whatever other tests asked before
    observed = bench.sides.observe(cases.runs(CASES, ["chat.plain/plain/*"]))
    bench.sides.ask_again(observed)
    (result,) = judge(observed, NOTHING_KNOWN, "1.80.16")
    return result


def test_a_call_to_a_moody_vllm_is_judged_by_rates(bench: Bench) -> None:
    result = asked(bench, 0.4)
    assert result.observation.mismatch and result.observation.mismatch.n == ROUNDS
    assert result.verdict in (Class.EQUAL, Class.NORMALISED), result.reason
    assert f"of {ROUNDS} pairs" in result.reason


def test_a_call_that_a_gateway_changes_more_often_is_red(bench: Bench) -> None:
    chance = random.Random(2)
    first = iter([True])
    result = asked(bench, 0.2, lambda text: next(first, chance.random() < 0.7))
    assert result.verdict is Class.DEFECT
    assert [failure.path for failure in gate([result], KnownIssues.read())]


def test_a_call_to_a_vllm_that_repeats_itself_is_asked_no_more_and_a_change_stays_red(bench: Bench) -> None:
    assert asked(bench, 0.0).observation.mismatch is None
    result = asked(bench, 0.0, lambda text: True)
    assert result.verdict is Class.DEFECT
    assert "body.choices[0].message.content" in [each.difference.path for each in result.differences]


def test_a_call_to_a_vllm_that_hardly_ever_repeats_itself_proves_nothing(bench: Bench) -> None:
    assert asked(bench, 1.0).verdict is Class.INCONCLUSIVE
