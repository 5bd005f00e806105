"""A gateway that does less than it seems to is not quick, and what vLLM did is not held against LiteLLM."""

import threading
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff.core.timeouts import Timeout
from signoff.overhead import estimate, measure, plausible
from signoff.overhead.estimate import JUDGED, Overhead, Samples
from signoff.traffic import blocks, counted, timings_csv
from signoff.traffic.blocks import Block
from signoff.traffic.client import OpenAIClient
from signoff.traffic.counted import Counted, Counting
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import ARMS, Timing
from signoff.verdicts.verdict import Code, Value
from tests.pair import Pair

LIMIT_MS = 100.0
PAIRS = 30
Judge = Callable[[], Overhead]


@pytest.fixture
def timed(pair: Pair, never_invalid: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Times the doubles as a run does, and judges it."""
    monkeypatch.setattr(estimate, "CPU_BOUND", inf)

    def judge() -> Overhead:
        direct, proxied = Endpoint(pair.direct), Endpoint(pair.proxied)
        deployment: Any = SimpleNamespace(
            cluster=SimpleNamespace(tunnelled=False), direct=direct, answering_gateway=lambda: proxied
        )
        file = tmp_path / "overhead.csv"
        taken = measure.time_pairs(deployment, PAIRS, 1, file)
        samples = Samples(timings_csv.read(file), tuple(taken.blocks), taken.counted)
        return plausible.judge(samples, limit_ms=LIMIT_MS, seed=1)

    return judge


def told(result: Overhead) -> tuple[Value, Code]:
    return result.verdict.value, result.verdict.code


def test_an_honest_gateway_passes(timed: Judge) -> None:
    result = timed()
    assert told(result) == (Value.PASSED, Code.AS_WANTED), result.verdict.reason


def test_a_gateway_that_answers_one_token_is_not_quick_but_fails(pair: Pair, timed: Judge) -> None:
    pair.backend.token_delay_ms, pair.gateway.tampering = 5.0, "one_token"
    result = timed()
    assert result.figures["median_streamed"].value < 0
    assert told(result) == (Value.FAILED, Code.UNEQUAL_WORK)
    assert f"of {PAIRS} rounds LiteLLM's answer holds fewer tokens than vLLM's in {PAIRS}" in result.verdict.reason
    assert "in round 0 LiteLLM's holds 1, vLLM's 8 and 8" in result.verdict.reason
    assert {result.of(name).value for name in JUDGED if name in result.figures} == {Value.FAILED}


def test_a_gateway_that_answers_from_a_cache_fails(pair: Pair, timed: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (blocks, counted):
        monkeypatch.setattr(each, "COUNTER_GROWS", Timeout(1, every=0.1))
    pair.gateway.tampering = "cached"
    result = timed()
    assert told(result) == (Value.FAILED, Code.UNEQUAL_WORK)
    assert "it answers without vLLM, from a cache say" in result.verdict.reason


def test_a_gateway_that_asks_vllm_twice_fails(pair: Pair, timed: Judge) -> None:
    pair.gateway.tampering, pair.gateway.aside = "asks_aside", pair.direct
    result = timed()
    assert told(result) == (Value.FAILED, Code.UNEQUAL_WORK)
    assert "it asks more than once for each" in result.verdict.reason


def test_a_stranger_who_asks_vllm_too_is_not_held_against_litellm(pair: Pair, timed: Judge) -> None:
    over = threading.Event()

    def ask() -> None:
        with OpenAIClient(Endpoint(pair.direct)) as client:
            while not over.wait(0.02):
                client.chat("hi")

    stranger = threading.Thread(target=ask)
    stranger.start()
    try:
        result = timed()
    finally:
        over.set()
        stranger.join()
    assert told(result) == (Value.INCONCLUSIVE, Code.NOT_COUNTED)
    assert "LiteLLM asks more than once, or somebody else asks it too" in result.verdict.reason


# A request that failed


@pytest.mark.parametrize("failing", [1, inf])
def test_a_vllm_that_failed_while_litellm_asked_it_is_not_held_against_litellm(
    pair: Pair, timed: Judge, failing: float
) -> None:
    """Of one request it tells in its own metrics; one that is gone for good does not answer the next round."""
    asked = 0

    def fails_at_last(_: bytes) -> bool:
        nonlocal asked
        asked += 1
        pair.backend.failing = failing if asked == 10 else pair.backend.failing
        return False

    pair.gateway.tampers_with = fails_at_last
    result = timed()
    assert told(result) == (Value.INCONCLUSIVE, Code.BACKEND_FAILED)
    assert not result.figures


def test_a_litellm_that_fails_by_itself_fails(pair: Pair, timed: Judge) -> None:
    pair.gateway.tampering = "server_error"
    assert told(timed()) == (Value.FAILED, Code.NO_ANSWER)


# What was noted


def samples(added: float = 10.0, counted: Counted | None = None, **proxied: Any) -> Samples:
    """60 rounds of plain answers of 8 tokens, of which LiteLLM's are `added` slower, and may hold something else."""
    timings = [
        Timing(at, place, arm, at, 20.0 + at % 7 / 10, tokens=8, prompt_tokens=30, characters=40)
        for at in range(60)
        for place, arm in enumerate(ARMS)
    ]
    timings = [replace(each, ms=each.ms + added, **proxied) if each.arm == "proxied" else each for each in timings]
    return Samples(tuple(timings), (), counted or Counted(len(timings), len(timings)))


def judged(timed: Samples) -> Overhead:
    return plausible.judge(timed, limit_ms=LIMIT_MS, seed=1)


def varied(timed: Samples, rounds: range, arm: str, tokens: int) -> Samples:
    return replace(
        timed,
        timings=tuple(
            replace(each, tokens=tokens) if each.round in rounds and each.arm == arm else each for each in timed.timings
        ),
    )


def test_as_much_on_both_arms_passes() -> None:
    assert told(judged(samples())) == (Value.PASSED, Code.AS_WANTED)


def test_who_is_quicker_than_vllm_itself_does_less() -> None:
    result = judged(samples(added=-5.0))
    assert told(result) == (Value.INCONCLUSIVE, Code.DOES_LESS)
    assert result.verdict.reason.startswith("the proxied arm does less: median is -5.0 ms")


@pytest.mark.parametrize("field", ["tokens", "prompt_tokens", "characters"])
def test_what_is_not_known_of_an_answer_is_not_taken_for_granted(field: str) -> None:
    unknown: dict[str, Any] = {field: None}
    assert told(judged(samples(**unknown))) == (Value.INCONCLUSIVE, Code.UNEQUAL_WORK)


@pytest.mark.parametrize(("field", "less"), [("prompt_tokens", 20), ("characters", 5)])
def test_a_shorter_prompt_or_text_than_its_tokens_promise_is_inconclusive(field: str, less: int) -> None:
    shorter: dict[str, Any] = {field: less}
    result = judged(samples(**shorter))
    assert told(result) == (Value.INCONCLUSIVE, Code.UNEQUAL_WORK)
    assert f"LiteLLM's holds {less}" in result.verdict.reason


def test_a_single_shorter_answer_is_inconclusive_where_vllm_never_varies() -> None:
    assert told(judged(varied(samples(), range(3, 4), "proxied", 7))) == (Value.INCONCLUSIVE, Code.UNEQUAL_WORK)


def test_a_model_that_ends_early_on_any_arm_says_nothing_of_litellm() -> None:
    timed = varied(varied(varied(samples(), range(3), "proxied", 5), range(5, 9), "direct", 6), range(2), "control", 7)
    assert told(judged(timed)) == (Value.PASSED, Code.AS_WANTED)


def test_more_tokens_than_vllm_gives_is_inconclusive() -> None:
    assert told(judged(samples(tokens=9))) == (Value.INCONCLUSIVE, Code.UNEQUAL_WORK)


@pytest.mark.parametrize(
    ("counted", "reason"),
    [
        (Counted(180, note="no route"), "cannot be read: no route"),
        (Counted(180, 179), "some answers did not come from it"),
        (Counted(180, 181), "somebody else asks it too"),
        (Counted(180, 181, restarted=True), "it started anew, or there are several"),
        (Counted(180, 185, uncertain=4), "somebody else asks it too"),
    ],
)
def test_a_counter_that_does_not_tell_is_inconclusive(counted: Counted, reason: str) -> None:
    result = judged(samples(counted=counted))
    assert told(result) == (Value.INCONCLUSIVE, Code.NOT_COUNTED)
    assert reason in result.verdict.reason


def test_what_was_asked_in_rounds_that_are_left_out_may_be_counted_or_not() -> None:
    assert judged(samples(counted=Counted(180, 183, uncertain=4))).verdict.value is Value.PASSED


def test_a_counter_that_nobody_read_is_inconclusive() -> None:
    assert told(judged(replace(samples(), counted=None))) == (Value.INCONCLUSIVE, Code.NOT_COUNTED)


def test_blocks_that_tell_of_both_arms_alike_prove_nothing_of_litellm() -> None:
    blocks = (Block("direct", 5, 20.0), Block("proxied", 5, 20.0))
    timed = replace(samples(counted=Counted(180, 240)), blocks=blocks)
    assert told(judged(timed)) == (Value.INCONCLUSIVE, Code.NOT_COUNTED)


def test_a_limit_that_is_exceeded_stays_a_failure() -> None:
    assert told(judged(samples(added=150.0, tokens=None))) == (Value.FAILED, Code.LIMIT_EXCEEDED)


# vLLM's counters


def test_a_server_without_vllms_counter_is_said(pair: Pair) -> None:
    counted = Counting(f"{pair.direct}/v1").over(3)
    assert counted.answered is None and "the metrics page cannot be read" in counted.note


def test_a_counter_that_fell_is_another_vllms(pair: Pair) -> None:
    pair.backend.finished["stop"] = 7
    counting = Counting(pair.direct)
    pair.backend.finished.clear()
    assert counting.over(3).restarted
