"""Answers of a vLLM that does not repeat itself, as they are recorded: what is judged by rates, and what never is."""

import json
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace as Of
from typing import Any

import pytest

from signoff import judges
from signoff.evidence.models import (
    ClientRead,
    Exchange,
    IngressTrios,
    Observation,
    RouteFound,
    ThreeRead,
    Trio,
    TriosSeen,
)
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Code, Value, Verdict
from signoff.verdicts.verdict import gravest
from tests.evidence.runs import completion

assert judges, "the judges register themselves"
PROMPTS = ("Name a river.", "Name a town.", "Name a tree.", "Name a line.")
ARMS = ("direct", "direct again", "proxied")
THROUGH = ("proxied", "proxied again", "ingress")
ROUTE = RouteFound(host="lab.example", object="IngressRoute/litellm", file="ingressroute.yaml:17")
Said = dict[str, Any]
Side = Callable[[str, int], Said]
"""The body of an answer to a prompt in a round."""


def exchange(arm: str, prompt: str, body: Said, status: int = 200) -> Exchange:
    asked = {"body": {"messages": [{"role": "user", "content": prompt}]}}
    headers = {"content-type": "application/json"}
    told: Said = {"request": asked, "headers": headers, "body": json.dumps(body), "status": status}
    return Exchange(arm=arm, started=1.0, e2e_ms=9.0, **told)


def moody(share: float, seed: int = 1, calm: Sequence[str] = ()) -> Side:
    chance = random.Random(seed)

    def answer(prompt: str, number: int) -> Said:
        another = prompt not in calm and chance.random() < share
        return completion("something else" if another else f"{prompt} indeed")

    return answer


def trios(own: Side, proxied: Side, rounds: int = 60, arms: Sequence[str] = ARMS) -> tuple[list[Trio], list[Exchange]]:
    made: list[Trio] = []
    exchanges: list[Exchange] = []
    for number in range(rounds):
        for prompt in PROMPTS:
            at = len(exchanges)
            made.append(Trio(prompt=prompt, direct=at, again=at + 1, proxied=at + 2))
            sides = (own, own, proxied)
            exchanges += [exchange(arm, prompt, side(prompt, number)) for arm, side in zip(arms, sides, strict=True)]
    return made, exchanges


def verdict_on(judge: str, seen: Observation, exchanges: Sequence[Exchange] = (), **declared: Any) -> Verdict:
    check = Check(text="it is", judge=judge, **declared)
    rule: Callable[..., Any] = JUDGES[judge].rule
    evidence = Of(by_seq=lambda seq, _: exchanges[seq])
    return gravest([verdict for _, verdict in rule([seen], check, evidence)])


def equal(own: Side, proxied: Side, rounds: int = 60, prompts: int = 4) -> Verdict:
    made, exchanges = trios(own, proxied, rounds)
    seen = TriosSeen(check="c", case="plain", trios=made)
    return verdict_on("equal-answers", seen, exchanges, arms=ARMS, min={"prompts": prompts})


def changed(side: Side, share: float, prompt: str = "", words: str = "tampered with") -> Side:
    chance = random.Random(8)

    def answer(asked: str, number: int) -> Said:
        return completion(words) if prompt in asked and chance.random() < share else side(asked, number)

    return answer


def test_an_honest_gateway_before_a_moody_vllm_passes_with_the_rates_in_its_reason() -> None:
    verdict = equal(moody(0.2), moody(0.2, seed=2))
    assert (verdict.value, verdict.code) == (Value.PASSED, Code.BY_RATES), verdict.reason
    for words in ("of 240 pairs", "within vLLM", "between vLLM and LiteLLM (p = ", "with a power of 80%"):
        assert words in verdict.reason


def test_a_gateway_that_changes_more_answers_than_a_moody_vllm_does_is_red() -> None:
    verdict = equal(moody(0.2), changed(moody(0.2, seed=2), 0.4))
    assert verdict.value is Value.FAILED
    assert "LiteLLM differs from vLLM more often than vLLM from itself, by rates of mismatch" in verdict.reason


def test_a_gateway_that_changes_the_one_question_which_vllm_answers_alike_is_red() -> None:
    calm = PROMPTS[2]
    own, through = moody(0.4, calm=[calm]), moody(0.4, seed=2, calm=[calm])
    verdict = equal(own, changed(through, 1.0, calm))
    assert verdict.value is Value.FAILED
    assert f"{calm!r}: choices[0].text is 'tampered with', vLLM said '{calm} indeed'" in verdict.reason
    assert equal(own, through).value is Value.PASSED


def test_a_question_that_is_changed_at_times_is_red_by_its_own_rate() -> None:
    calm = PROMPTS[2]
    honest_first = moody(0.4, seed=2, calm=[calm])
    changes = changed(honest_first, 0.4, calm)
    verdict = equal(moody(0.4, calm=[calm]), lambda prompt, at: (changes if at else honest_first)(prompt, at))
    assert verdict.value is Value.FAILED
    assert f"{calm!r} alone: of 60 pairs 0 differ within vLLM" in verdict.reason


def test_too_few_rounds_are_inconclusive() -> None:
    verdict = equal(moody(0.2), moody(0.2, seed=2), rounds=8)
    assert (verdict.value, verdict.code) == (Value.INCONCLUSIVE, Code.PROVES_NOTHING)
    assert "32 pairs show too little" in verdict.reason


def test_rounds_are_no_substitute_for_prompts() -> None:
    assert equal(moody(0.2), moody(0.2, seed=2), prompts=5).value is Value.NOT_JUDGED


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (completion("cut off", "content_filter"), "finish_reason is 'content_filter'"),
        (completion("short") | {"usage": {"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}}, "is 4"),
        ({"error": {"message": "no"}}, "usage.prompt_tokens is None"),
    ],
)
def test_what_holds_whatever_the_text_is_stays_strict(body: Said, words: str) -> None:
    through = moody(0.2, seed=2)
    spoils = (PROMPTS[1], 33)
    verdict = equal(moody(0.2), lambda prompt, at: body if (prompt, at) == spoils else through(prompt, at))
    assert verdict.value is Value.FAILED
    assert words in verdict.reason


def test_a_vllm_that_repeats_itself_is_judged_by_equality_alone() -> None:
    calm = moody(0.0)
    assert equal(calm, calm, rounds=1).code is Code.AS_WANTED
    verdict = equal(calm, changed(calm, 1.0, PROMPTS[0]), rounds=1)
    assert verdict.reason == f"{PROMPTS[0]!r}: choices[0].text is 'tampered with', vLLM said '{PROMPTS[0]} indeed'"


def test_answers_through_the_ingress_are_judged_by_the_same_rates() -> None:
    for share, value in ((0.0, Value.PASSED), (0.5, Value.FAILED)):
        made, exchanges = trios(moody(0.2), changed(moody(0.2, seed=2), share), arms=THROUGH)
        seen = IngressTrios(check="c", case="plain", route=ROUTE, trios=made)
        verdict = verdict_on("ingress-answers", seen, exchanges, arms=THROUGH, cases=("plain",), min={"prompts": 4})
        assert verdict.value is value, verdict.reason
        assert "LiteLLM itself" in verdict.reason and "the ingress" in verdict.reason


# The prompts of the features


def test_answers_differ_by_the_first_of_each_prompt() -> None:
    declared = {"arms": ARMS, "min": {"prompts": 4}}
    made, exchanges = trios(moody(0.3), moody(0.3, seed=2))
    assert verdict_on("answers-differ", TriosSeen(check="c", trios=made), exchanges, **declared).value is Value.PASSED
    made, exchanges = trios(lambda *_: completion("ever the same"), moody(0.3))
    verdict = verdict_on("answers-differ", TriosSeen(check="c", trios=made), exchanges, **declared)
    assert verdict.value is Value.INCONCLUSIVE


@pytest.mark.parametrize(("reasons", "value"), [(("length", "stop"), Value.PASSED), (("length",), Value.INCONCLUSIVE)])
def test_reasons_are_those_of_all_answers_of_vllm(reasons: tuple[str, ...], value: Value) -> None:
    made, exchanges = trios(lambda _, at: completion("one", reasons[at % len(reasons)]), moody(0.0), rounds=2)
    seen = TriosSeen(check="c", trios=made, asked=["length", "stop"])
    assert verdict_on("finish-reasons", seen, exchanges, arms=ARMS, wants=["length", "stop"]).value is value


# What a client reads


def read(text: str = "as ever", **more: Any) -> Said:
    tokens = {"prompt_tokens": 5, "completion_tokens": len(text), "total_tokens": 5 + len(text)}
    return {"text": text, "finish_reason": "length", **tokens, **more}


def read_by_rates(rounds: Sequence[tuple[Said, Said, Said]]) -> Verdict:
    threes = [ThreeRead(direct=first, again=again, proxied=proxied) for first, again, proxied in rounds]
    first, _, proxied = rounds[0]
    seen = ClientRead(check="c", client="openai 2.8", direct=first, proxied=proxied, rounds=threes)
    return verdict_on("client-reads", seen)


def test_a_client_reads_from_an_honest_gateway_what_a_moody_vllm_may_say() -> None:
    chance = random.Random(3)

    def one() -> Said:
        return read("another") if chance.random() < 0.3 else read()

    rounds = [(one(), one(), one()) for _ in range(60)]
    assert read_by_rates(rounds).code is Code.BY_RATES
    tampered = [(first, again, read("tampered with")) for first, again, _ in rounds]
    verdict = read_by_rates(tampered)
    assert verdict.value is Value.FAILED and "of 60 pairs" in verdict.reason
    assert read_by_rates([*rounds[:5], (read(), read("another"), read())]).value is Value.INCONCLUSIVE


def test_what_a_client_reads_otherwise_once_and_vllm_always_says_alike_is_red() -> None:
    rounds = [(read(), read(), read("tampered with"))] + [(read(), read(), read())] * 59
    verdict = read_by_rates(rounds)
    assert verdict.value is Value.FAILED
    assert "text is 'tampered with', vLLM said 'as ever'" in verdict.reason


def test_an_error_that_a_client_reads_in_a_later_round_is_of_who_answered() -> None:
    noisy = [(read(), read("another"), read())] * 3
    error = {"error": "APIError", "message": "no"}
    assert read_by_rates([*noisy, (read(), read(), error)]).value is Value.FAILED
    assert read_by_rates([*noisy, (error, read(), read())]).value is Value.INCONCLUSIVE
