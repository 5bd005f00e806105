"""A known delay is found again, and a measurement that is off, or a verdict that is wrong, is heard of."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff import story
from signoff.cli import main
from signoff.commands import calibrate as command
from signoff.commands.calibrate import lines
from signoff.evidence import read
from signoff.evidence.models import DelayFound, DelayTimed, End
from signoff.overhead.calibration import Injection, Recovery, injections
from signoff.overhead.estimate import Overhead, Samples, judge
from signoff.stats.estimate import Estimate
from signoff.traffic import delay_proxy, timings_csv
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import ARMS
from signoff.verdicts.verdict import Code, failed, inconclusive
from tests.pair import Pair

HONEST = delay_proxy.running


def calibrate(pair: Pair, folder: Path, *arguments: str) -> int:
    return main(["calibrate", "--url", pair.direct, "--pairs", "20", "--seed", "1", "--out", str(folder), *arguments])


def found_in(folder: Path) -> dict[float, DelayFound]:
    """What was made of each delay, by its milliseconds."""
    evidence = read(folder)
    return {evidence.by_seq(each.timed, DelayTimed).delay_ms: each for each in evidence.of(DelayFound)}


def late_by(extra_ms: float) -> object:
    """A relay that waits longer than it is told, if it is told to wait at all."""

    @contextlib.contextmanager
    def running(url: str, delay_ms: float = 0.0, jitter_ms: float = 0.0) -> Iterator[str]:
        with HONEST(url, delay_ms + extra_ms if delay_ms else 0.0, jitter_ms) as found:
            yield found

    return running


def test_a_known_delay_is_found_again(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair.backend.delay_ms = 8.0
    calibrate(pair, tmp_path / "run", "--delay", "0", "--delay", "60+-5")
    said = capsys.readouterr().out
    found = found_in(tmp_path / "run")
    assert found.keys() == {0.0, 60.0}
    for each in found.values():
        assert each.bias_ms is not None
        assert abs(each.bias_ms) < 15  # half of what losing half of the delay would show, on a restless machine
        assert each.verdict != "failed"
    assert "60+-5" in said
    assert "95 % interval" in said


def test_a_server_that_idled_for_longer_is_not_taken_for_a_longer_delay(pair: Pair, tmp_path: Path) -> None:
    pair.backend.delay_ms, pair.backend.drowsy = 5.0, 0.8
    calibrate(pair, tmp_path / "run", "--delay", "35", "--pairs", "10")
    bias_ms = found_in(tmp_path / "run")[35.0].bias_ms
    assert bias_ms is not None
    assert abs(bias_ms) < 14  # 28 where only the delayed requests find it drowsy


@pytest.mark.usefixtures("brisk")
def test_what_was_found_follows_from_the_files_that_the_evidence_names(pair: Pair, tmp_path: Path) -> None:
    calibrate(pair, tmp_path / "run", "--delay", "5+-2", "--delay", "5+-2")
    evidence = read(tmp_path / "run")
    assert evidence.run.tool == "calibrate"
    asked = {"url": pair.direct, "pairs": 20, "seed": 1, "delays": ["5+-2", "5+-2"]}
    assert {name: each for name, each in evidence.run.settings.items() if name in asked} == asked
    assert evidence.run.settings.keys() - asked.keys() == {"model", "overhead_limit_ms"}
    assert evidence.of(End) == [End()]
    timed = evidence.of(DelayTimed)
    assert [(each.delay_ms, each.jitter_ms) for each in timed] == [(5.0, 2.0), (5.0, 2.0)]
    assert len({each.requests.name for each in timed}) == len(timed)
    for found in evidence.of(DelayFound):
        each = evidence.by_seq(found.timed, DelayTimed)
        timings = timings_csv.read(evidence.path(each.requests))
        assert sum(timing.round >= 0 for timing in timings) == 20 * len(ARMS)
        again = judge(Samples(timings), limit_ms=story.OVERHEAD_LIMIT_MS, seed=each.seed)
        assert (again.figures, again.verdict.code) == (found.figures, found.code)


@pytest.mark.usefixtures("brisk", "never_invalid")
def test_a_measurement_that_is_off_fails(
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair.backend.delay_ms = 8.0
    monkeypatch.setattr(delay_proxy, "running", late_by(40))  # more than a restless machine's scatter
    assert calibrate(pair, tmp_path / "run", "--delay", "5") == 1
    assert "off by more than 0.35 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("low", "ms", "high", "code", "said"),
    [
        (4.8, 5.2, 5.6, Code.RESTLESS, ""),
        (4.8, 6.0, 7.2, Code.RESTLESS, "too restless to say"),
        (5.5, 6.0, 6.5, Code.RESTLESS, "off by more than 0.35 ms"),
        (4.8, 5.2, 5.6, Code.GENERATOR_BOUND, "it worked too much"),
    ],
)
def test_a_bias_that_may_be_noise_is_not_called_one(low: float, ms: float, high: float, code: Code, said: str) -> None:
    figures = {"median": Estimate(ms, low, high), "control": Estimate(0.0, -0.1, 0.1)}
    recovery = Recovery(Injection(5), Overhead(inconclusive("it worked too much", code), 100.0, 200, 1, figures))
    assert recovery.fault.startswith(said)
    assert bool(recovery.fault) == bool(said)
    told = "\n".join(lines([recovery]))
    assert f"{ms - 5:+7.2f}     0.35" in told
    assert ("too busy a machine to say of 1" in told) == (said in ("too restless to say", "it worked too much"))


def test_a_wrong_verdict_is_not_put_down_to_the_machine() -> None:
    figures = {"median": Estimate(6.0, 4.8, 7.2), "control": Estimate(0.0, -0.1, 0.1)}
    recovery = Recovery(Injection(5), Overhead(failed(""), 100.0, 200, 1, figures))
    assert recovery.fault == "wrongly failed"
    assert "too busy" not in "\n".join(lines([recovery]))


@pytest.mark.usefixtures("brisk", "never_invalid")
def test_a_wrong_verdict_fails(
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair.backend.delay_ms = 8.0
    monkeypatch.setattr(delay_proxy, "running", late_by(40))
    assert calibrate(pair, tmp_path / "run", "--delay", "15", "--overhead-limit-ms", "20") == 1
    told = capsys.readouterr().out
    assert "wrongly failed" in told
    assert "not the story's: overhead_limit_ms = 20, by --overhead-limit-ms 20; the story's is 100" in told


def test_the_delays_near_the_limit_follow_it() -> None:
    assert list(map(str, injections(100.0))) == ["0", "5", "18", "95", "105", "40+-10"]
    assert list(map(str, injections(500.0))) == ["0", "5", "18", "475", "525", "40+-10"]


@pytest.mark.usefixtures("brisk")
def test_the_server_is_asked_for_the_model_of_the_settings(pair: Pair, tmp_path: Path) -> None:
    pair.backend.model = "another"
    calibrate(pair, tmp_path / "run", "--delay", "5", "--model", "another")
    assert read(tmp_path / "run").first(DelayFound) is not None


def test_a_relay_passes_a_stream_on_as_it_comes(pair: Pair) -> None:
    pair.backend.token_delay_ms = 100.0  # half of each delay is far more than a busy machine's scatter
    with delay_proxy.running(pair.direct, 40.0) as url, OpenAIClient(Endpoint(url)) as client:
        answer = client.chat("hi", stream=True, max_tokens=4, stream_options={"include_usage": True})
    assert answer.ttft_ms is not None
    assert answer.ttft_ms >= 40
    assert answer.e2e_ms >= answer.ttft_ms + 150
    assert answer.itl_ms is not None
    assert answer.itl_ms >= 50


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--url", "http://127.0.0.1:9", "--delay", "5"], 1, "no answer to GET /v1/models"),
        (["--url", "127.0.0.1:8000"], 4, "is no http:// URL"),
        (["--url", "http://127.0.0.1:9", "--delay", "much"], 4, "--delay takes milliseconds, not much"),
        (["--url", "http://127.0.0.1:9", "--pairs", "0"], 4, "--pairs 0 times nothing"),
    ],
)
def test_bad_input_is_said(
    arguments: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--out", str(tmp_path / "run"), *arguments]) == status
    error = capsys.readouterr().err
    assert said in error
    assert "next:" in error


@pytest.mark.usefixtures("brisk")
def test_a_server_that_fails_is_said(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair.backend.model = "another"
    assert calibrate(pair, tmp_path / "run", "--delay", "5") == 1
    assert "a request failed: status 404" in capsys.readouterr().err
    evidence = read(tmp_path / "run")
    (timed,) = evidence.of(DelayTimed)
    assert "status 404" in timings_csv.read(evidence.path(timed.requests))[-1].error
    assert evidence.of(DelayFound) == []
    assert evidence.last(End) == End()


def test_an_interrupted_calibration_says_so(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "recover", interrupted)
    assert calibrate(pair, tmp_path / "run", "--delay", "5") == 130
    assert read(tmp_path / "run").last(End) == End(interrupted=True)
