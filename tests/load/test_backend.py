"""Whose doing it is that vLLM is slow: by its own clock and counters, and never by the direct probes alone."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scripts.synthetic_load import Behaviour, Synthetic
from signoff.cli import main
from signoff.in_cluster.load_generator.backend_clock import read
from signoff.load.analysis import StepState
from signoff.load.conclusions import Conclusions, conclude

Out = pytest.CaptureFixture[str]
SLOW = Behaviour(direct_ms=300, added_ms=20)
ONCE = "no request reaches vLLM more than once"


def concluded(folder: Path, *behaviours: Behaviour, clock: bool = True) -> Conclusions:
    """A load whose last step is otherwise."""
    run = Synthetic(loads=(10, 20, 40)[: len(behaviours)], behaviours=behaviours, seconds=60, clock=clock)
    return conclude(run.write(folder))


def reported(folder: Path, capsys: Out) -> tuple[int, str]:
    return main(["load-report", str(folder)]), capsys.readouterr().out


def test_a_backend_that_says_itself_that_it_is_slow_is_saturated(tmp_path: Path, capsys: Out) -> None:
    found = concluded(tmp_path, Behaviour(), Behaviour(), SLOW)
    assert found.ordered[-1].state is StepState.SATURATED and not found.knee.own
    status, told = reported(tmp_path, capsys)
    assert status == 0 and "meets a backend or machine that is saturated at 40" in told


@pytest.mark.parametrize("behaviour", [SLOW, Behaviour(direct_ms=30, added_ms=12)], ids=["slow", "quick"])
@pytest.mark.parametrize("calls", [2, 3])
def test_a_gateway_that_multiplies_calls_is_not_excused(
    tmp_path: Path, capsys: Out, behaviour: Behaviour, calls: int
) -> None:
    found = concluded(tmp_path, Behaviour(), Behaviour(), replace(behaviour, calls=calls))
    assert found.ordered[-1].state is not StepState.SATURATED
    status, told = reported(tmp_path, capsys)
    assert status == 1 and f"load failed: {ONCE} [rate=40]" in told
    assert ("sends vLLM more requests than it is sent at 40" in told) is (behaviour is SLOW)


def test_one_that_always_multiplies_is_told_at_each_step(tmp_path: Path, capsys: Out) -> None:
    concluded(tmp_path, Behaviour(calls=2), Behaviour(calls=2), replace(SLOW, calls=2))
    status, told = reported(tmp_path, capsys)
    assert status == 1 and all(f"{ONCE} [rate={rate}]" in told for rate in (10, 20, 40))


def test_nothing_is_excused_without_vllms_own_word(tmp_path: Path, capsys: Out) -> None:
    for name, behaviour, clock in (("none", SLOW, False), ("not slow", replace(SLOW, backend_ms=30), True)):
        found = concluded(tmp_path / name, Behaviour(), Behaviour(), behaviour, clock=clock)
        assert found.ordered[-1].state is StepState.UNEXPLAINED, name
        status, told = reported(tmp_path / name, capsys)
        assert status == 1 and "by whose doing is not known" in told and "load inconclusive" in told, name


def test_counters_of_several_processes_are_no_word(tmp_path: Path) -> None:
    concluded(tmp_path, Behaviour(), Behaviour(), SLOW)
    samples = pd.read_csv(tmp_path / "samples.csv")
    samples.loc[samples.index % 2 == 0, ["finished", "timed", "timed_seconds"]] /= 2
    samples.to_csv(tmp_path / "samples.csv", index=False)
    again = conclude(tmp_path)
    assert [each.backend for each in again.ordered] == [None] * 3
    assert again.ordered[-1].state is StepState.UNEXPLAINED


def test_requests_that_the_gateway_holds_back_are_not_multiplied(tmp_path: Path) -> None:
    found = concluded(tmp_path, Behaviour(), Behaviour(), Behaviour(capacity=30))
    assert found.ordered[-1].state is StepState.FELL_BEHIND
    assert not any(each.backend is None or each.backend.is_multiplied for each in found.ordered)


PAGE = """
vllm:request_success_total{finished_reason="stop",model_name="m"} 3.0
vllm:request_success_total{finished_reason="length",model_name="m"} 4.0
vllm:num_requests_running{model_name="m"} 2.0
vllm:num_requests_waiting{model_name="m"} 1.0
vllm:e2e_request_latency_seconds_bucket{le="1.0"} 5.0
vllm:e2e_request_latency_seconds_count{model_name="m"} 7.0
vllm:e2e_request_latency_seconds_sum{model_name="m"} 3.5
"""


def test_a_page_is_read_whole_or_not_at_all() -> None:
    assert read(PAGE) == {"finished": 7.0, "held": 3.0, "timed": 7.0, "timed_seconds": 3.5}
    lines = PAGE.strip().splitlines()
    for lacking in ("running", "waiting", "_count", "_sum"):
        assert read("\n".join(line for line in lines if lacking not in line)) == {}
    assert read("<html>not a page of metrics</html>") == {}
