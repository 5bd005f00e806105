"""The overhead that was put in is found again, and the verdict follows from the figures alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signoff.overhead import Samples, judge
from signoff.traffic.pairs import ARMS, Timing, measure
from signoff.verdicts import Verdict
from tests.traffic.conftest import Pair

LIMIT_MS = 100.0


def samples(pairs: int, shift_ms: float, *, noise_ms: float = 2.0, control_ms: float = 0.0, error: str = "") -> Samples:
    chance = np.random.default_rng(7)
    added = {"direct": 0.0, "proxied": shift_ms, "control": control_ms}
    timings = [
        Timing(number, place, arm, float(number), 20 + added[arm] + chance.exponential(noise_ms))
        for number in range(pairs)
        for place, arm in enumerate(ARMS)
    ]
    if error:
        timings.append(Timing(pairs, 0, "direct" if error == "direct" else "proxied", 0.0, 0.0, "status 500"))
    return Samples(tuple(timings))


def number(figure: float | None) -> float:
    assert figure is not None
    return figure


@pytest.mark.parametrize("shift_ms", [0.0, 18.0, 95.0])
def test_a_shift_below_the_limit_passes_and_is_found_again(shift_ms: float) -> None:
    result = judge(samples(400, shift_ms), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict is Verdict.PASSED, result.reason
    assert number(result.median_low_ms) <= shift_ms <= number(result.median_high_ms)
    assert result.p95_shift_ms == pytest.approx(shift_ms, abs=3)
    assert number(result.control_low_ms) <= 0 <= number(result.control_high_ms)


@pytest.mark.parametrize("shift_ms", [105.0, 150.0])
def test_a_shift_above_the_limit_fails(shift_ms: float) -> None:
    assert judge(samples(400, shift_ms), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.FAILED


def test_an_interval_that_includes_the_limit_is_inconclusive() -> None:
    result = judge(samples(60, 94.0, noise_ms=20), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "includes 100 ms" in result.reason


def test_a_restless_control_takes_a_pass_away_but_not_a_failure() -> None:
    assert judge(samples(100, 10, control_ms=30), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.INCONCLUSIVE
    assert judge(samples(100, 150, control_ms=30), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.FAILED


def test_a_slow_tail_fails_though_the_median_is_fine() -> None:
    quick = samples(400, 10)
    slow = tuple(
        Timing(t.round, t.position, t.arm, t.started, t.ms + (300 if t.arm == "proxied" and t.round % 8 == 0 else 0))
        for t in quick.timings
    )
    result = judge(Samples(slow), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict is Verdict.FAILED
    assert "p95" in result.reason


def test_few_pairs_say_nothing_of_the_tail() -> None:
    assert judge(samples(100, 10), limit_ms=LIMIT_MS, seed=1).p95_shift_ms is None


def test_failed_requests_are_never_left_out_of_the_verdict() -> None:
    assert judge(samples(100, 1, error="proxied"), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.FAILED
    assert judge(samples(100, 1, error="direct"), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.INCONCLUSIVE
    assert judge(Samples(()), limit_ms=LIMIT_MS, seed=1).verdict is Verdict.INCONCLUSIVE


def test_the_same_seed_gives_the_same_interval() -> None:
    taken = samples(100, 10)
    assert judge(taken, limit_ms=LIMIT_MS, seed=3) == judge(taken, limit_ms=LIMIT_MS, seed=3)


def test_a_delay_in_the_gateway_is_measured(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.lie, pair.gateway.delay_ms = "delay", 40.0
    measured = Samples(tuple(measure(pair.direct, pair.proxied, pairs=25, seed=1)))
    result = judge(measured, limit_ms=20.0, seed=1)
    assert result.verdict is Verdict.FAILED
    assert number(result.median_ms) > 39.0
    measured.to_csv(tmp_path / "overhead.csv")
    assert len(pd.read_csv(tmp_path / "overhead.csv")) == 25 * len(ARMS)


def test_no_arm_is_asked_what_another_was_asked(pair: Pair) -> None:
    assert len(list(measure(pair.direct, pair.proxied, pairs=20, seed=1))) == 20 * len(ARMS)
    prompts = [request["messages"][0]["content"] for request in pair.backend.seen]
    assert len(set(prompts)) == len(prompts)
    assert len({len(prompt) for prompt in prompts}) == 1


def test_an_answer_without_text_is_no_answer(pair: Pair) -> None:
    pair.gateway.lie = "no_choices"
    result = judge(Samples(tuple(measure(pair.direct, pair.proxied, pairs=20, seed=1))), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict is Verdict.FAILED
    assert "without text" in result.reason


def test_an_answer_that_ends_at_once_is_an_answer(pair: Pair) -> None:
    pair.backend.speechless = True
    measured = Samples(tuple(measure(pair.direct, pair.proxied, pairs=5, seed=1)))
    assert len(measured.rounds()) == 5


def test_a_gateway_that_fails_is_heard_of(pair: Pair) -> None:
    pair.gateway.lie = "server_error"
    measured = Samples(tuple(measure(pair.direct, pair.proxied, pairs=20, seed=1)))
    result = judge(measured, limit_ms=LIMIT_MS, seed=1)
    assert result.verdict is Verdict.FAILED
    assert "status 500" in result.reason
