"""A known delay is found again, and a measurement that is off, or a verdict that is wrong, is heard of."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff.calibration import Injection, Recovery, lines
from signoff.cli import main
from signoff.overhead import Overhead
from signoff.stats.estimate import Estimate
from signoff.traffic import relay
from signoff.traffic.client import OpenAIClient
from signoff.verdicts.verdict import Value
from tests.traffic.conftest import Pair

HONEST = relay.running


def calibrate(pair: Pair, folder: Path, *arguments: str) -> int:
    return main(["calibrate", "--url", pair.direct, "--pairs", "20", "--seed", "1", "--out", str(folder), *arguments])


def late_by(extra_ms: float) -> object:
    """A relay that waits longer than it is told, if it is told to wait at all."""

    @contextlib.contextmanager
    def running(url: str, delay_ms: float = 0.0, jitter_ms: float = 0.0) -> Iterator[str]:
        with HONEST(url, delay_ms + extra_ms if delay_ms else 0.0, jitter_ms) as found:
            yield found

    return running


def test_a_known_delay_is_found_again(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair.backend.delay_ms = 20.0
    calibrate(pair, tmp_path / "run", "--delay", "0", "--delay", "60+-5")
    said = capsys.readouterr().out
    records = [json.loads(line) for line in (tmp_path / "run" / "evidence.jsonl").read_text().splitlines()]
    found = {record["delay"]: record for record in records if record["kind"] == "recovery"}
    assert found.keys() == {"0", "60+-5"}
    for record in found.values():
        assert abs(record["bias_ms"]) < 15  # on a restless machine; the command itself measures it properly
        assert record["summary"]["verdict"] != "failed"
    assert "60+-5" in said
    assert "95 % interval" in said


def test_a_server_that_idled_for_longer_is_not_taken_for_a_longer_delay(pair: Pair, tmp_path: Path) -> None:
    pair.backend.delay_ms, pair.backend.drowsy = 5.0, 0.8
    calibrate(pair, tmp_path / "run", "--delay", "35", "--pairs", "10")
    records = [json.loads(line) for line in (tmp_path / "run" / "evidence.jsonl").read_text().splitlines()]
    (found,) = (record for record in records if record["kind"] == "recovery")
    assert abs(found["bias_ms"]) < 14  # 28 where only the delayed requests find it drowsy


def test_a_measurement_that_is_off_fails(
    pair: Pair, never_void: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.backend.delay_ms = 20.0
    monkeypatch.setattr(relay, "running", late_by(60))  # more than a restless machine's scatter
    assert calibrate(pair, tmp_path / "run", "--delay", "5") == 1
    assert "off by more than 0.35 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("low", "ms", "high", "reason", "said"),
    [
        (4.8, 5.2, 5.6, "", ""),
        (4.8, 6.0, 7.2, "", "too restless to say"),
        (5.5, 6.0, 6.5, "", "off by more than 0.35 ms"),
        (4.8, 5.2, 5.6, "void: the generator itself was the limit", "void"),
    ],
)
def test_a_bias_that_may_be_noise_is_not_called_one(low: float, ms: float, high: float, reason: str, said: str) -> None:
    figures = {"median": Estimate(ms, low, high), "control": Estimate(0.0, -0.1, 0.1)}
    recovery = Recovery(Injection(5), Overhead(Value.INCONCLUSIVE, reason, 100.0, 200, 1, figures))
    assert recovery.fault.startswith(said)
    assert bool(recovery.fault) == bool(said)
    told = "\n".join(lines([recovery]))
    assert f"{ms - 5:+7.2f}     0.35" in told
    assert ("too busy a machine to say of 1" in told) == (said in ("too restless to say", "void"))


def test_a_wrong_verdict_is_not_put_down_to_the_machine() -> None:
    figures = {"median": Estimate(6.0, 4.8, 7.2), "control": Estimate(0.0, -0.1, 0.1)}
    recovery = Recovery(Injection(5), Overhead(Value.FAILED, "", 100.0, 200, 1, figures))
    assert recovery.fault == "wrongly failed"
    assert "too busy" not in "\n".join(lines([recovery]))


def test_a_wrong_verdict_fails(
    pair: Pair, never_void: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.backend.delay_ms = 20.0
    monkeypatch.setattr(relay, "running", late_by(60))
    assert calibrate(pair, tmp_path / "run", "--delay", "95") == 1
    assert "wrongly failed" in capsys.readouterr().out


def test_a_relay_passes_a_stream_on_as_it_comes(pair: Pair) -> None:
    pair.backend.token_delay_ms = 100.0  # half of each delay is far more than a busy machine's scatter
    with relay.running(pair.direct, 40.0) as url, OpenAIClient(url) as client:
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


def test_a_server_that_fails_is_said(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair.backend.model = "another"
    assert calibrate(pair, tmp_path / "run", "--delay", "5") == 1
    assert "a request failed: status 404" in capsys.readouterr().err
