"""The overhead that was put in is found again, and the verdict follows from the figures alone."""

import itertools
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from signoff.overhead.breakdown import Attribution, attribute
from signoff.overhead.estimate import (
    IDLE,
    JUDGED,
    PAIRS_FOR_P99,
    Generator,
    Overhead,
    Samples,
    judge,
    verdict_of,
)
from signoff.stats.estimate import Estimate
from signoff.traffic import blocks
from signoff.traffic import pairs as paired
from signoff.traffic.blocks import Block, time_blocks
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import ARMS, Arm, Round, Timing, is_narrow, is_stable, measure
from signoff.verdicts.verdict import Code, Value, gravest, inconclusive
from tests.pair import Pair

LIMIT_MS = 100.0
WINDOWS, WINDOW_ROUNDS, REST_SECONDS = paired.WARM_UP_WINDOWS, paired.WINDOW_ROUNDS, paired.REST_SECONDS
"""As they are shipped, before `brisk` makes them short."""


def samples(
    pairs: int,
    shift_ms: float,
    *,
    streamed_ms: float | None = None,
    noise_ms: float = 2.0,
    control_ms: float = 0.0,
) -> Samples:
    rng = np.random.default_rng(7)
    timings = []
    for number in range(pairs):
        stream = number % 2 == 1
        added = {"direct": 0.0, "proxied": shift_ms, "control": control_ms}
        if stream and streamed_ms is not None:
            added["proxied"] = streamed_ms
        for place, arm in enumerate(ARMS):
            ms = 20 + added[arm] + rng.exponential(noise_ms)
            ttft, itl = (ms - 7, 1.0) if stream else (None, None)
            timings.append(Timing(number, place, arm, number, ms, streamed=stream, ttft_ms=ttft, itl_ms=itl, cpu_ms=1))
    return Samples(tuple(timings))


def taken(pair: Pair, pairs: int = 20, gateway: str = "") -> Samples:
    return Samples(tuple(measure(Endpoint(pair.direct), Endpoint(gateway or pair.proxied), pairs=pairs, seed=1)))


def figure(result: Overhead, name: str) -> Estimate:
    assert name in result.figures, result.verdict.reason
    return result.figures[name]


def holds(found: Estimate, truth: float) -> bool:
    low, high = found.ends
    return low <= truth <= high


@pytest.mark.parametrize("shift_ms", [0.0, 18.0, 95.0])
def test_a_shift_below_the_limit_passes_and_is_found_again(shift_ms: float) -> None:
    result = judge(samples(400, shift_ms), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict.value is Value.PASSED, result.verdict.reason
    for name in ("median", "median_plain", "median_streamed", "ttft"):
        assert holds(figure(result, name), shift_ms), name
    assert figure(result, "p95_shift").value == pytest.approx(shift_ms, abs=3)
    assert holds(figure(result, "control"), 0)
    assert figure(result, "itl").value == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("shift_ms", [105.0, 150.0])
def test_a_shift_above_the_limit_fails(shift_ms: float) -> None:
    assert judge(samples(400, shift_ms), limit_ms=LIMIT_MS, seed=1).verdict.value is Value.FAILED


def test_an_interval_that_includes_the_limit_is_inconclusive() -> None:
    result = judge(samples(60, 94.0, noise_ms=20), limit_ms=LIMIT_MS, seed=1)
    assert (result.verdict.value, result.verdict.code) == (Value.INCONCLUSIVE, Code.INTERVAL_HOLDS_LIMIT)
    assert "includes 100 ms" in result.verdict.reason


def test_a_restless_control_takes_a_pass_away_but_not_a_failure() -> None:
    quick, slow = (judge(samples(100, ms, control_ms=30), limit_ms=LIMIT_MS, seed=1).verdict for ms in (10, 150))
    assert (quick.value, quick.code) == (Value.INCONCLUSIVE, Code.RESTLESS)
    assert (slow.value, slow.code) == (Value.FAILED, Code.LIMIT_EXCEEDED)


def test_a_slow_tail_fails_though_the_median_is_fine() -> None:
    quick = samples(400, 10)
    slow = tuple(
        replace(each, ms=each.ms + (300 if each.arm == "proxied" and each.round % 8 == 0 else 0))
        for each in quick.timings
    )
    result = judge(Samples(slow), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict.value is Value.FAILED
    assert "p95" in result.verdict.reason


@pytest.mark.parametrize(("plain_ms", "streamed_ms", "slow"), [(10.0, 150.0, "streamed"), (150.0, 10.0, "plain")])
def test_one_slow_kind_of_answer_fails_though_the_other_is_quick(
    plain_ms: float, streamed_ms: float, slow: str
) -> None:
    result = judge(samples(100, plain_ms, streamed_ms=streamed_ms), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict.value is Value.FAILED
    assert f"median {slow}" in result.verdict.reason


def test_how_far_the_kinds_of_answers_are_apart_widens_no_interval() -> None:
    alike, apart = (
        figure(judge(samples(400, 10.0, streamed_ms=streamed_ms), limit_ms=LIMIT_MS, seed=1), "median")
        for streamed_ms in (10.0, 40.0)
    )
    assert holds(apart, 25.0)
    assert apart.width < 1.5 * alike.width
    assert is_narrow(rounds_of(samples(400, 10.0, streamed_ms=40.0, noise_ms=1.0)))


def test_percentiles_are_told_from_so_many_pairs_on() -> None:
    for pairs, named in ((100, set()), (400, {"p95_shift"}), (PAIRS_FOR_P99, {"p95_shift", "p99_shift"})):
        result = judge(samples(pairs, 10), limit_ms=LIMIT_MS, seed=1)
        assert {name for name in result.figures if name.endswith("_shift")} == named


@pytest.mark.parametrize(("worked", "waited"), [(0.7, 0.0), (0.1, 0.5)])
@pytest.mark.parametrize("shift_ms", [10.0, 150.0])
def test_a_run_in_which_the_generator_was_the_limit_is_invalid(worked: float, waited: float, shift_ms: float) -> None:
    timed = samples(100, shift_ms)
    busy = (replace(each, cpu_ms=worked * each.ms, waited_ms=waited * each.ms) for each in timed.timings)
    result = judge(Samples(tuple(busy)), limit_ms=LIMIT_MS, seed=1)
    assert result.is_invalid
    assert (result.verdict.value, result.verdict.code) == (Value.INCONCLUSIVE, Code.GENERATOR_BOUND)
    assert all(result.of(name) == result.verdict for name in JUDGED if name in result.figures)


def test_a_generator_that_really_has_no_time_is_seen(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "WARM_UP_WINDOWS", 0)
    pair.backend.delay_ms = 30.0
    idle = taken(pair, 3).generator()  # nine requests are enough: busy, it works for eight times as long
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            pass

    threading.Thread(target=work, daemon=True).start()
    try:
        busy = taken(pair, 3).generator()
    finally:
        over.set()
    assert busy.cpu > 1.5 * idle.cpu


@pytest.mark.parametrize(
    ("failed", "value", "code"),
    [
        (["proxied"], Value.FAILED, Code.NO_ANSWER),
        (["direct"], Value.INCONCLUSIVE, Code.BACKEND_FAILED),
        (["control"], Value.INCONCLUSIVE, Code.BACKEND_FAILED),
        (["proxied", "control"], Value.INCONCLUSIVE, Code.BACKEND_FAILED),
    ],
)
def test_failed_requests_are_never_left_out_of_the_verdict(failed: list[Arm], value: Value, code: Code) -> None:
    wrong = tuple(Timing(100, place, arm, 0.0, 0.0, "status 500") for place, arm in enumerate(failed))
    result = judge(Samples(samples(100, 1).timings + wrong), limit_ms=LIMIT_MS, seed=1)
    assert (result.verdict.value, result.verdict.code) == (value, code)
    assert result.verdict.reason.startswith("1 request to ")
    assert not result.figures


def test_nothing_that_was_timed_has_no_verdict() -> None:
    assert judge(Samples(()), limit_ms=LIMIT_MS, seed=1).verdict == inconclusive("nothing was timed", Code.TOO_FEW)


LOW, ACROSS, HIGH, UNKNOWN = Estimate(20, 10, 30), Estimate(99, 90, 110), Estimate(120, 110, 130), Estimate(20)


@pytest.mark.parametrize("control", [Estimate(0, -1, 1), Estimate(30, 25, 35), Estimate(0)])
@pytest.mark.parametrize("generator", [IDLE, Generator(0.9, 0.0)])
def test_the_verdict_of_several_figures_is_the_gravest_of_theirs(control: Estimate, generator: Generator) -> None:
    for figures in itertools.product([LOW, ACROSS, HIGH, UNKNOWN], repeat=3):
        named = dict(zip(("median", "median_plain", "median_streamed"), figures, strict=True))
        every = verdict_of(named | {"control": control}, LIMIT_MS, generator=generator)
        single = [
            verdict_of(named | {"control": control}, LIMIT_MS, names=[name], generator=generator) for name in named
        ]
        assert every.value is gravest(single).value
        assert every.code in {each.code for each in single if each.value is every.value}
        assert every.estimates == gravest(single).estimates


def warming(*round_ms: float) -> tuple[Timing, ...]:
    """A warm-up of windows in which a request takes so long."""
    return tuple(
        Timing(number, 0, arm, 0.0, ms, streamed=number % 2 == 1)
        for window, ms in enumerate(round_ms, start=-len(round_ms))
        for number in range(window * WINDOW_ROUNDS, (window + 1) * WINDOW_ROUNDS)
        for arm in ARMS
    )


@pytest.mark.parametrize(("windows", "warm"), [((500.0, 30.0, 31.0), True), ((30.0, 500.0), False)])
def test_the_warm_up_is_not_judged_and_one_that_never_settled_is_said(windows: tuple[float, ...], warm: bool) -> None:
    timed = samples(100, 10)
    result = judge(Samples(warming(*windows) + timed.timings), limit_ms=LIMIT_MS, seed=1)
    assert result == replace(judge(timed, limit_ms=LIMIT_MS, seed=1), warm=warm)


@pytest.mark.parametrize(
    ("windows", "used"),
    [
        ((30.0, 31.0), 2),
        ((500.0, 30.0, 31.0), 3),
        ((500.0, 300.0, 200.0, 100.0, 50.0), WINDOWS),
    ],
)
def test_the_warm_up_ends_when_two_windows_agree_or_all_are_used_up(
    monkeypatch: pytest.MonkeyPatch, windows: tuple[float, ...], used: int
) -> None:
    def time(client: object, arm: Arm, number: int, place: int, *_: object, stream: bool) -> Timing:
        window = number // WINDOW_ROUNDS + WINDOWS
        return Timing(number, place, arm, 0.0, windows[window] if number < 0 else 30.0, streamed=stream)

    monkeypatch.setattr(paired, "WARM_UP_WINDOWS", WINDOWS)
    monkeypatch.setattr(paired, "WINDOW_ROUNDS", WINDOW_ROUNDS)
    monkeypatch.setattr(paired, "_time", time)
    timed = Samples(tuple(measure(*[Endpoint("http://127.0.0.1:9")] * 2, pairs=1, seed=1)))
    assert len(timed.timings) == (used * WINDOW_ROUNDS + 1) * len(ARMS)
    assert timed.is_warm() is (used < WINDOWS)


def test_the_same_seed_gives_the_same_interval() -> None:
    timed = samples(100, 10)
    assert judge(timed, limit_ms=LIMIT_MS, seed=3) == judge(timed, limit_ms=LIMIT_MS, seed=3)


RECORDED = {
    (100, 1): {"median": (24.513, 25.654), "median_plain": (9.234, 10.712), "ttft": (38.836, 40.787)},
    (100, 2): {"median": (24.480, 25.670), "control": (-0.776, 0.755)},
    (400, 1): {"median": (24.797, 25.344), "median_streamed": (39.651, 40.357), "p95_shift": (38.220, 40.362)},
    (400, 2): {"median": (24.789, 25.361), "control": (-0.365, 0.079), "p95_shift": (38.158, 40.424)},
    (2000, 1): {"median": (24.936, 25.127), "p95_shift": (38.241, 39.375), "p99_shift": (38.016, 41.075)},
}
"""The ends of intervals by the number of pairs and the seed: a run that is judged again must come out as it did."""


@pytest.mark.parametrize(("pairs", "seed"), RECORDED)
def test_a_recorded_run_has_the_intervals_that_it_had(pairs: int, seed: int) -> None:
    found = judge(samples(pairs, 10.0, streamed_ms=40.0), limit_ms=LIMIT_MS, seed=seed).figures
    assert {name: found[name].ends for name in RECORDED[pairs, seed]} == {
        name: pytest.approx(ends, abs=0.05) for name, ends in RECORDED[pairs, seed].items()
    }


def test_too_few_pairs_have_no_interval_and_no_verdict() -> None:
    result = judge(samples(19, 10.0), limit_ms=LIMIT_MS, seed=1)
    assert figure(result, "median") == Estimate(figure(result, "median").value)
    assert result.verdict == inconclusive("fewer than 20 pairs have no interval", Code.TOO_FEW)
    assert judge(samples(20, 10.0), limit_ms=LIMIT_MS, seed=1).verdict.value is Value.PASSED


def rounds_of(timed: Samples) -> list[Round]:
    return [list(timed.timings[first : first + len(ARMS)]) for first in range(0, len(timed.timings), len(ARMS))]


def test_windows_that_differ_are_not_warm() -> None:
    cold, warm, too = (rounds_of(samples(10, shift)) for shift in (300.0, 10.0, 10.5))
    assert not is_stable(cold, warm)
    assert is_stable(warm, too)


def test_sampling_ends_by_the_width_whatever_the_verdict() -> None:
    for shift_ms in (10.0, 99.9, 150.0):
        assert is_narrow(rounds_of(samples(400, shift_ms, noise_ms=1.0)))
        assert not is_narrow(rounds_of(samples(400, shift_ms, noise_ms=60.0)))


def test_sampling_goes_on_until_the_budget_while_intervals_are_wide(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "PAIRS_FOR_P95", 10)
    monkeypatch.setattr(paired, "LOOK_EVERY", 5)
    monkeypatch.setattr(paired, "MEDIAN_WIDTH_MS", 1000.0)
    monkeypatch.setattr(paired, "P95_WIDTH_MS", 1000.0)
    assert len(taken(pair, 30).rounds()) == 10
    monkeypatch.setattr(paired, "P95_WIDTH_MS", 0.0)
    assert len(taken(pair, 30).rounds()) == 30


@pytest.mark.prove
def test_with_the_shipped_rests_and_warm_up_a_server_that_idles_is_measured_warm(
    pair: Pair, never_invalid: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "REST_SECONDS", REST_SECONDS)
    monkeypatch.setattr(paired, "WARM_UP_WINDOWS", WINDOWS)
    monkeypatch.setattr(paired, "WINDOW_ROUNDS", WINDOW_ROUNDS)
    pair.backend.delay_ms = 20.0
    pair.gateway.tampering, pair.gateway.delay_ms = "delay", 40.0
    timed = taken(pair, 40)
    result = judge(timed, limit_ms=LIMIT_MS, seed=1)
    assert result.warm and result.verdict.value is Value.PASSED
    assert abs(figure(result, "median").value - 40.0) < 10
    assert abs(figure(result, "control").value) < 5
    for before, after in pairwise(timed.timings):
        assert after.started - before.started >= before.ms / 1000 + REST_SECONDS


def test_a_delay_in_the_gateway_is_measured(pair: Pair, never_invalid: None) -> None:
    pair.gateway.tampering, pair.gateway.delay_ms = "delay", 40.0
    measured = taken(pair)
    result = judge(measured, limit_ms=20.0, seed=1)
    assert result.verdict.value is Value.FAILED
    for name in ("median", "median_plain", "median_streamed", "ttft"):
        assert figure(result, name).value > 39.0


def test_half_of_the_rounds_are_streamed_and_every_round_is_of_one_kind(pair: Pair) -> None:
    timed = [timing for timing in taken(pair).timings if timing.round >= 0]
    kinds = {number: {timing.streamed for timing in timed if timing.round == number} for number in range(20)}
    assert sorted(map(tuple, kinds.values())) == [(False,)] * 10 + [(True,)] * 10
    for timing in timed:
        assert (timing.ttft_ms is not None) == timing.streamed
        assert (timing.itl_ms is not None) == timing.streamed
        assert timing.tokens == paired.TOKENS


def test_a_gateway_that_keeps_a_stream_back_is_late_with_the_first_token_alone(pair: Pair) -> None:
    pair.backend.token_delay_ms, pair.gateway.tampering = 10.0, "same_text"  # it reads all, and passes it on at once
    found = judge(taken(pair, 10), limit_ms=LIMIT_MS, seed=1)
    assert figure(found, "ttft").value > 35  # half of all tokens' delay, far more than a busy machine's scatter
    assert abs(figure(found, "median_streamed").value) < figure(found, "ttft").value / 3


def test_a_slow_stream_is_slow_between_tokens(pair: Pair) -> None:
    pair.backend.token_delay_ms = 100.0  # half of each delay is far more than a busy machine's scatter
    with OpenAIClient(Endpoint(pair.direct)) as client:
        answer = client.chat("hi", stream=True, max_tokens=4, stream_options={"include_usage": True})
    assert answer.itl_ms is not None
    assert answer.itl_ms >= 50
    assert answer.ttft_ms is not None
    assert answer.ttft_ms <= answer.e2e_ms - 150


def test_no_arm_is_asked_what_another_was_asked(pair: Pair) -> None:
    assert len(taken(pair).rounds()) == 20
    prompts = [request["messages"][0]["content"] for request in pair.backend.seen]
    assert len(set(prompts)) == len(prompts)
    assert len({len(prompt) for prompt in prompts}) == 1


def test_an_answer_without_text_is_no_answer(pair: Pair) -> None:
    pair.gateway.tampering = "no_choices"
    result = judge(taken(pair), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict.value is Value.FAILED
    assert "without text" in result.verdict.reason


def test_an_answer_that_is_not_streamed_though_asked_is_a_fault(pair: Pair) -> None:
    with OpenAIClient(Endpoint(pair.direct)) as client:
        assert "no stream came" in paired.fault(client.chat("hi"), stream=True)


def test_an_answer_that_ends_at_once_is_an_answer(pair: Pair) -> None:
    pair.backend.speechless = True
    measured = taken(pair, 5)
    assert len(measured.rounds()) == 5
    assert "ttft" not in judge(measured, limit_ms=LIMIT_MS, seed=1).figures


def test_a_gateway_that_fails_is_heard_of(pair: Pair) -> None:
    pair.gateway.tampering = "server_error"
    result = judge(taken(pair), limit_ms=LIMIT_MS, seed=1)
    assert result.verdict.value is Value.FAILED
    assert "status 500" in result.verdict.reason


def split(blocks: list[Block]) -> Attribution:
    found = attribute(blocks)
    assert found is not None
    return found


def test_the_difference_is_split_and_adds_up() -> None:
    found = split([Block("direct", 20, 10.0, 8.0), Block("proxied", 20, 25.0, 9.0, 2.5), Block("hop", 20, 5.0)])
    assert (found.difference_ms, found.header_ms, found.hop_ms, found.unexplained_ms) == (15.0, 2.5, 5.0, 7.5)
    assert found.backend_difference_ms == 1.0
    assert sum(ms for _, ms in found.parts()) == pytest.approx(found.proxied_ms)
    assert found.note == ""


def test_what_nobody_told_is_said() -> None:
    found = split([Block("direct", 20, 10.0, None, note="no metric"), Block("proxied", 20, 25.0, 9.0)])
    assert found.backend_ms is None
    assert found.unexplained_ms == found.difference_ms
    for word in ("no metric", "header is missing", "hop was not measured"):
        assert word in found.note
    assert sum(ms for _, ms in found.parts()) == pytest.approx(found.proxied_ms)
    assert attribute([Block("direct", 20, 10.0)]) is None


def test_blocks_read_the_backend_s_own_clock(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCKS", 2)
    pair.backend.delay_ms = 20.0
    pair.gateway.tampering, pair.gateway.delay_ms, pair.gateway.headers = (
        "delay",
        30.0,
        {paired.OVERHEAD_HEADER: "12.5"},
    )
    found = split(list(time_blocks(Endpoint(pair.direct), Endpoint(pair.proxied), pairs=20, seed=1)))
    assert found.requests == 5 * 2
    assert found.backend_ms == pytest.approx(20, abs=1)
    assert found.direct_ms > 20
    assert found.hop_ms is not None
    assert found.difference_ms > 25
    assert found.header_ms == pytest.approx(12.5)


def test_a_backend_that_others_use_too_is_noticed(pair: Pair) -> None:
    pair.gateway.tampering, pair.gateway.aside = "asks_aside", pair.direct
    found = split(list(time_blocks(Endpoint(pair.direct), Endpoint(pair.proxied), pairs=20, seed=1)))
    assert found.backend_ms is None
    assert "somebody else uses it too" in found.note


def test_a_gateway_that_fails_has_nothing_to_split(pair: Pair) -> None:
    pair.gateway.tampering = "server_error"
    assert attribute(list(time_blocks(Endpoint(pair.direct), Endpoint(pair.proxied), pairs=20, seed=1))) is None
