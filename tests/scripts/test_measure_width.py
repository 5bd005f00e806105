"""The comparison of interval widths: what the peers write is read, and the tables say what was measured."""

import argparse
import contextlib
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts import measure_width, peers
from scripts.measure_width import OWN, STREAMS, Measured, Run, read, repeated, tables, two_samples
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence
from signoff.evidence.models import Cluster, Measurement
from signoff.evidence.models import Run as RunRecord
from signoff.stats.estimate import Estimate, z
from signoff.traffic import timings_csv
from signoff.traffic.pairs import Timing

FOREVER = float("inf")


def work(folder: Path, prompts: int = 3) -> peers.Work:
    return peers.Work("http://127.0.0.1:1", ["abc"] * prompts, 3, 8, 1, 1, folder / "hub", folder)


def peer(script: str) -> peers.Peer:
    """One that runs this Python in its folder; what it writes is a list of milliseconds."""
    return peers.Peer(
        "double",
        lambda _: [sys.executable, "-c", script],
        lambda folder: [float(ms) for ms in json.loads((folder / "told.json").read_text())],
    )


def test_vllm_tells_seconds_and_an_error_for_those_that_failed(tmp_path: Path) -> None:
    (tmp_path / "vllm.json").write_text('{"latencies": [0.5, 0.0, 0.25], "errors": ["", "Bad Gateway", ""]}')
    assert peers.vllm_latencies(tmp_path) == [500.0, 250.0]


def test_guidellm_tells_seconds_in_any_order(tmp_path: Path) -> None:
    rows = [{"request_latency": 0.5, "request_start_time": 8.0}, {"request_latency": 0.25, "request_start_time": 7.0}]
    told = {"benchmarks": [{"requests": {"successful": rows, "errored": [{"request_latency": 9.0}]}}]}
    (tmp_path / "guidellm.json").write_text(json.dumps(told))
    assert peers.guidellm_latencies(tmp_path) == [250.0, 500.0]


def test_aiperf_tells_its_warm_up_too(tmp_path: Path) -> None:
    def line(start: int, ms: float, phase: str = "profiling", error: object = None) -> str:
        metrics = {"request_latency": {"value": ms, "unit": "ms"}}
        return json.dumps(
            {"metadata": {"benchmark_phase": phase, "request_start_ns": start}, "metrics": metrics, "error": error}
        )

    lines = [line(1, 900.0, "warmup"), line(3, 30.0), line(2, 20.0), line(4, 1.0, error={"code": 502})]
    (tmp_path / "profile_export.jsonl").write_text("\n".join(lines))
    assert peers.aiperf_latencies(tmp_path) == [20.0, 30.0]


def test_a_peer_is_given_its_prompts_and_asked_for_its_timed_requests(tmp_path: Path) -> None:
    script = "import pathlib; pathlib.Path('told.json').write_text('[2, 3]' if open('prompts.jsonl').read() else '')"
    assert peer(script).run(work(tmp_path), seconds=30) == [2.0, 3.0]
    whole = replace(peer(script.replace("[2, 3]", "[9, 2, 3]")), tells_warm_up=False)
    assert whole.run(work(tmp_path), seconds=30) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("script", "seconds", "said"),
    [
        ("raise SystemExit('no tokenizer')", 30, "exit status 1: no tokenizer"),
        ("import time; time.sleep(60)", 1, "it took more than 1 s"),
        ("open('told.json', 'w').write('[2]')", 30, "1 of 2 requests succeeded"),
        ("open('told.json', 'w').write('{')", 30, "not what is expected"),
        ("", 30, "not what is expected"),
    ],
)
def test_a_peer_that_fails_says_why(tmp_path: Path, script: str, seconds: float, said: str) -> None:
    with pytest.raises(SignoffError, match=said):
        peer(script).run(work(tmp_path), seconds=seconds)


def timing(number: int, error: str = "") -> Timing:
    return Timing(number, 0, "proxied" if error else "direct", 0.0, 1.0, error)


def test_the_request_that_failed_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_width, "measure", lambda *_, **__: [timing(0), timing(1, "status 502"), timing(2)])
    with pytest.raises(SignoffError) as told:
        measure_width.measured("http://127.0.0.1:1", "http://127.0.0.1:2", pairs=1, seed=1)
    assert (told.value.what, told.value.where) == ("a request failed: status 502", "proxied")


def test_more_pairs_than_are_surely_taken_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure_width, "compare", lambda _: ([], 0))
    monkeypatch.setattr(sys, "argv", ["measure_width", "--pairs", "401"])
    with pytest.raises(SystemExit):
        measure_width.main()
    assert "--pairs 401" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["measure_width", "--pairs", "400"])
    assert measure_width.main() == 0


def test_the_two_samples_interval_is_that_of_independent_requests() -> None:
    rng = np.random.default_rng(1)
    direct, proxied = rng.normal(20, 2, 300), rng.normal(30, 2, 300)
    found = two_samples(direct.tolist(), proxied.tolist(), seed=1)
    low, high = found.ends
    assert low < 10 < high
    assert found.value == pytest.approx(np.median(proxied) - np.median(direct))
    # The standard error of a normal sample's median is 1.2533 sigma / sqrt(n).
    assert found.width == pytest.approx(2 * z() * 1.2533 * 2 * np.sqrt(2 / 300), rel=0.25)
    assert found == two_samples(direct.tolist(), proxied.tolist(), seed=1)


def fine(_: int) -> Measured:
    return Measured(Estimate(10.0, 9.0, 11.0), 600)


def test_every_tool_runs_in_each_repeat_in_changing_order() -> None:
    runs = list(repeated(dict.fromkeys("abcd", fine), 5, random.Random(1), FOREVER))
    orders = ["".join(run.tool for run in runs if run.repeat == repeat) for repeat in range(5)]
    assert ["".join(sorted(order)) for order in orders] == ["abcd"] * 5
    assert len(set(orders)) > 1


def test_a_peer_that_fails_is_left_out_and_the_others_go_on() -> None:
    asked: list[int] = []

    def broken(repeat: int) -> Measured:
        asked.append(repeat)
        raise SignoffError("it died")

    tools = {"fine": fine, "broken": broken}
    assert [run.tool for run in repeated(tools, 4, random.Random(1), FOREVER)] == ["fine"] * 4
    assert asked == [0, 1]


def test_no_repeat_begins_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(_: int) -> Measured:
        now[0] += 20
        return fine(0)

    assert len(list(repeated({"slow": slow}, 9, random.Random(1), until=50.0))) == 2


def test_an_interrupted_comparison_prints_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(repeat: int) -> Measured:
        if repeat:
            raise KeyboardInterrupt
        return fine(repeat)

    @contextlib.contextmanager
    def deployed(*_: object) -> Iterator[tuple[str, str]]:
        yield "http://127.0.0.1:1", "http://127.0.0.1:2"

    monkeypatch.setattr(measure_width, "deployed", deployed)
    monkeypatch.setattr(measure_width, "measured", lambda *_, **__: [])
    monkeypatch.setattr(measure_width, "_tools", lambda *_: {"tool": interrupted})
    monkeypatch.setattr(sys, "argv", ["measure_width", "--out", str(tmp_path / "out")])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert measure_width.main() == 130
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert "| tool | 600 | 10.00" in capsys.readouterr().out
    assert len(read(tmp_path / "out")) == 1


def runs() -> list[Run]:
    found = []
    for repeat, off in enumerate((-1.0, 0.0, 1.0)):
        found.append(Run(OWN, repeat, 600, 12 + off / 10, 11.5 + off / 10, 12.5 + off / 10, 15.0, 0.5))
        found.append(Run(STREAMS, repeat, 600, 16 + off / 10, 15.5 + off / 10, 16.5 + off / 10, 16.0, 0.5))
        found.append(Run("peer", repeat, 600, 17 + off, 16.6 + off, 17.4 + off, 30.0, 1.5))
    return found


def test_the_tables_tell_both_widths_and_the_ratios() -> None:
    printed = "\n".join(tables(runs()))
    assert "load average 0.5 to 1.5" in printed
    assert "| signoff, streams | 600 | 16.00 | -0.50 | 1.00 | 3 of 3 | 0.10 | 0.39 | 16 | 0.5 |" in printed
    assert "| peer | 600 | 17.00 | +0.50 | 0.80 | 1 of 3 | 1.00 | 3.92 | 30 | 1.5 |" in printed
    assert printed.splitlines()[-1] == "| peer | 1.25 | 0.10 | 1.25 | 0.10 |"


def test_a_known_delay_is_what_the_estimates_are_compared_with() -> None:
    printed = "\n".join(tables([replace(run, put_in=17.0) for run in runs()]))
    assert "| off the 17 put in |" in printed
    assert "| signoff, streams | 600 | 16.00 | -1.00 | 1.00 | 0 of 3 | 0.10 |" in printed
    assert "| peer | 600 | 17.00 | +0.00 | 0.80 | 1 of 3 | 1.00 |" in printed
    told = [run.put_in for run in repeated({"fine": fine}, 2, random.Random(1), FOREVER, put_in=17.0)]
    assert told == [17.0, 17.0]


def test_a_single_repeat_and_none_have_tables_too() -> None:
    assert list(tables([])) == ["no run has ended"]
    assert "| peer | 600 | 16.00 | +0.05 | 0.80 | 1 of 1 | - | - | 30 | 1.5 |" in "\n".join(tables(runs()[:3]))
    assert list(tables(runs()[2:3]))[-1] == "| peer | - | - | - | - |"


def test_the_tables_of_an_earlier_comparison_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = Evidence(tmp_path / "earlier", RunRecord(tool="measure"))
    evidence.add(Cluster(provider="embedded", kubernetes_version="1.35", nodes=["one"]))
    for run in runs():
        evidence.add(Measurement(name="latencies", values={"tool": run.tool, "direct": [1.0], "proxied": [2.0]}))
        evidence.add(Measurement(name="run", values=run.to_json()))
    evidence.close()
    assert read(tmp_path / "earlier") == runs()
    monkeypatch.setattr(sys, "argv", ["measure_width", "--from", str(tmp_path / "earlier")])
    assert measure_width.main() == 0
    assert capsys.readouterr().out.splitlines() == list(tables(runs()))
    monkeypatch.setattr(sys, "argv", ["measure_width", "--from", str(tmp_path)])
    assert measure_width.main() == 1
    assert "there is no evidence" in capsys.readouterr().err
    Evidence(tmp_path / "other", RunRecord(tool="calibrate")).close()
    with pytest.raises(SignoffError, match="a run of signoff calibrate, which compares no widths"):
        read(tmp_path / "other")


def test_a_run_without_an_interval_comes_back_from_the_evidence() -> None:
    nothing = float("nan")
    (found,) = [Run.from_json(replace(runs()[0], low=nothing, high=nothing, put_in=None).to_json())]
    assert found.low != found.low and found.high != found.high
    assert found.put_in is None
    assert Run.from_json(runs()[0].to_json()) == runs()[0]


def test_what_signoff_timed_lies_in_files_that_the_evidence_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = [timing(0), timing(1)]
    monkeypatch.setattr(measure_width, "measured", lambda *_, **__: timed)
    monkeypatch.setattr(measure_width, "judged", lambda *_: fine(0))
    monkeypatch.setattr(measure_width, "prompt_tokens", lambda _: 3)
    monkeypatch.setattr(measure_width, "_peers", lambda _: [])
    options = argparse.Namespace(seed=1, pairs=1, delay=None, without=[])
    evidence = Evidence(tmp_path / "run", RunRecord(tool="measure"))
    for tool in measure_width._tools("", "", tmp_path, options, evidence).values():
        for repeat in range(2):
            tool(repeat)
    kept = [each for each in evidence.so_far().of(Measurement) if each.name == "timings"]
    assert [(each.values["tool"], each.values["repeat"]) for each in kept] == [
        (tool, repeat) for tool in (OWN, STREAMS) for repeat in range(2)
    ]
    files = [file for each in kept for file in each.files]
    assert len({file.name for file in files}) == len(files) == 4
    assert all(list(timings_csv.read(evidence.so_far().path(file))) == timed for file in files)
