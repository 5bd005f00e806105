"""What is concluded from records whose truth is known, and that each conclusion turns with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.core.errors import SignoffError
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.load.analysis import StepState
from signoff.load.conclusions import Conclusions, conclude
from signoff.load.records import read_records
from signoff.stats.estimate import Estimate
from signoff.verdicts.verdict import Value

LIGHT, SLOWER, BEHIND = Behaviour(), Behaviour(added_ms=31), Behaviour(added_ms=140, capacity=33)
SWEEP = Synthetic(loads=(2, 10, 20, 40), behaviours=[LIGHT, LIGHT, SLOWER, BEHIND], seconds=40)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Conclusions:
    return conclude(SWEEP.write(tmp_path_factory.mktemp("sweep")))


def about(figure: Estimate | None, truth: float, within: float) -> bool:
    assert figure is not None and figure.low is not None and figure.high is not None
    return abs(figure.value - truth) < within and figure.low - within < truth < figure.high + within


def test_sentence_tells_overhead_knee_ttft_and_tokens(sweep: Conclusions) -> None:
    assert sweep.sentence.startswith("LiteLLM adds 1")
    assert "at 2 requests per second, 3" in sweep.sentence
    assert "at 20 requests per second, and stops keeping up at 40 requests per second; TTFT +7." in sweep.sentence
    assert "inter-token +0.3 ms." in sweep.sentence


def test_overheads_are_those_of_the_gateway(sweep: Conclusions) -> None:
    for step, truth in zip(sweep.ordered, (12, 12, 31, 140), strict=True):
        assert about(step.overhead.e2e, truth, 1.0), step.name
        assert about(step.overhead.ttft, 0.6 * truth, 1.0), step.name
    assert sweep.lightest.overhead.pairs == 120


def test_nfr66_says_up_to_which_load_it_holds(sweep: Conclusions) -> None:
    verdict, text = sweep.verdict
    assert verdict is Value.PASSED
    assert "holds up to 20 requests per second; inconclusive at 40 requests per second" in text


def test_nfr66_fails_with_the_lightest_load_and_is_inconclusive_on_its_edge(tmp_path: Path) -> None:
    for added, verdict in ((140.0, Value.FAILED), (99.8, Value.INCONCLUSIVE), (95.0, Value.PASSED)):
        found = conclude(Synthetic(behaviours=[Behaviour(added_ms=added)]).write(tmp_path / f"{added}"))
        assert found.verdict[0] is verdict, added


@pytest.mark.parametrize(("plain", "streamed", "slow"), [(20.0, 110.0, "streamed"), (110.0, 20.0, "plain")])
def test_a_kind_of_answers_above_the_limit_fails_though_both_together_lie_below(
    tmp_path: Path, plain: float, streamed: float, slow: str
) -> None:
    behaviour = Behaviour(direct_ms=100, added_ms=plain, streamed_ms=streamed, noise_ms=15, pairs=300)
    found = conclude(Synthetic(behaviours=[behaviour]).write(tmp_path))
    assert found.verdict[0] is Value.FAILED
    assert f"median {slow} above 100 ms" in found.verdict[1]
    assert main(["load-report", str(tmp_path)]) == 1


def test_how_far_the_kinds_of_answers_are_apart_widens_no_overhead(tmp_path: Path) -> None:
    widths = []
    for streamed in (20.0, 70.0):
        behaviour = Behaviour(direct_ms=100, added_ms=20, streamed_ms=streamed, noise_ms=15, pairs=300)
        found = conclude(Synthetic(behaviours=[behaviour]).write(tmp_path / f"{streamed}"))
        overhead = found.lightest.overhead.e2e
        assert about(overhead, (20 + streamed) / 2, 3)
        assert overhead and overhead.low is not None and overhead.high is not None
        widths.append(overhead.high - overhead.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_p95_shift_is_judged_from_400_pairs_on(tmp_path: Path) -> None:
    folder = Synthetic(behaviours=[Behaviour(pairs=500)]).write(tmp_path)
    assert conclude(folder).verdict[0] is Value.PASSED
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    table["e2e_ms"] = table["e2e_ms"].astype(float)
    slow = (table["role"] == "probe") & (table["arm"] == "proxied") & (table.index % 10 == 0)
    table.loc[slow, "e2e_ms"] += 400
    table.to_csv(folder / "records-local.csv", index=False)
    verdict, text = conclude(folder).verdict
    assert verdict is Value.FAILED and "p95 shift above 100 ms" in text


def test_knee_is_the_first_step_that_falls_behind(sweep: Conclusions) -> None:
    assert [step.state for step in sweep.ordered] == [
        StepState.KEPT_UP,
        StepState.KEPT_UP,
        StepState.KEPT_UP,
        StepState.FELL_BEHIND,
    ]
    assert sweep.knee.own and sweep.knee.step and sweep.knee.step.name == "rate=40"
    assert sweep.ordered[-1].achieved.value == pytest.approx(33, abs=1)


def test_a_step_where_the_direct_probes_degrade_too_is_not_the_knee(tmp_path: Path) -> None:
    behaviours = [LIGHT, LIGHT, SLOWER, Behaviour(direct_ms=300, added_ms=140, capacity=33)]
    found = conclude(Synthetic(loads=SWEEP.loads, behaviours=behaviours, seconds=40, clock=True).write(tmp_path))
    assert found.ordered[-1].state is StepState.SATURATED
    assert not found.knee.own
    assert "meets a backend or machine that is saturated at 40 requests per second" in found.sentence


def test_a_gateway_that_is_never_behind_has_no_knee(tmp_path: Path) -> None:
    found = conclude(Synthetic(loads=(2, 10, 40), behaviours=[LIGHT], seconds=40).write(tmp_path))
    assert found.knee.step is None
    assert "keeps up at 40 requests per second, the most that was asked of it" in found.sentence


def test_errors_are_not_kept_up_with(tmp_path: Path) -> None:
    behaviours = [LIGHT, Behaviour(error_share=0.2)]
    found = conclude(Synthetic(loads=(5, 20), behaviours=behaviours).write(tmp_path))
    step = found.ordered[-1]
    assert step.state is StepState.FELL_BEHIND
    assert step.groups["load"].errors.keys() == {"status 503"}
    assert about(step.groups["load"].error_rate, 0.2, 0.03)


def test_requests_that_were_never_recorded_count_as_not_answered(tmp_path: Path) -> None:
    folder = Synthetic(loads=(5, 20)).write(tmp_path)
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    lost = (table["step"] == "rate=20") & (table["role"] == "load") & (table.index % 3 == 0)
    table[~lost].to_csv(folder / "records-local.csv", index=False)
    assert conclude(folder).ordered[-1].state is StepState.FELL_BEHIND


def test_a_step_that_is_too_short_is_neither_kept_up_with_nor_the_knee(tmp_path: Path) -> None:
    folder = Synthetic(loads=(5, 20), seconds=4).write(tmp_path)
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    last = table.index[(table["role"] == "load") & (table["step"] == "rate=20")][-6:]
    table.loc[last, "e2e_ms"] += 5000
    table.to_csv(folder / "records-local.csv", index=False)
    found = conclude(folder)
    assert found.ordered[-1].state is StepState.TOO_SHORT
    assert found.knee.step is None and found.knee.last and found.knee.last.name == "rate=5"


def test_knee_of_a_closed_loop_is_where_more_in_flight_buys_only_waiting(tmp_path: Path) -> None:
    behaviours = [Behaviour(), Behaviour(), Behaviour(added_ms=16), Behaviour(added_ms=16, capacity=90)]
    run = Synthetic(loads=(1, 2, 4, 16), arrivals="closed", shape="sweep-users", behaviours=behaviours, seconds=30)
    found = conclude(run.write(tmp_path))
    assert [step.state for step in found.ordered] == [
        StepState.KEPT_UP,
        StepState.KEPT_UP,
        StepState.KEPT_UP,
        StepState.FELL_BEHIND,
    ]
    assert "at 1 request in flight" in found.sentence and "past its knee at 16 requests in flight" in found.sentence


def test_late_sendings_count_into_what_a_user_waits(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    before = conclude(folder).lightest.groups["load"]
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    table.loc[table["role"] == "load", "started"] += 0.25
    table.to_csv(folder / "records-local.csv", index=False)
    after = conclude(folder).lightest.groups["load"]
    assert after.e2e["p50"].value - before.e2e["p50"].value == pytest.approx(250, abs=1)
    assert after.ttft["p95"].value - before.ttft["p95"].value == pytest.approx(250, abs=1)
    assert np.median(after.served) == pytest.approx(np.median(before.served))


def test_an_invalid_step_is_not_judged(tmp_path: Path) -> None:
    span = InvalidSpan(BEGAN + 25, BEGAN + 30, "local", InvalidKind.CPU, "the generator used 97% of a core")
    found = conclude(Synthetic(invalid_spans=[span]).write(tmp_path))
    assert found.lightest.state is StepState.INVALID
    assert found.verdict[0] is Value.INCONCLUSIVE and "97% of a core" in found.verdict[1]
    assert found.sentence == "Nothing can be said about LiteLLM: the load generator was the limit."
    assert found.invalid


def test_an_invalid_step_below_the_knee_is_told(tmp_path: Path) -> None:
    span = InvalidSpan(BEGAN + 85, BEGAN + 90, "local", InvalidKind.LOOP_LAG, "late")
    run = Synthetic(loads=(2, 10, 40), behaviours=[LIGHT, LIGHT, BEHIND], seconds=40, invalid_spans=[span])
    assert conclude(run.write(tmp_path)).ordered[-1].state is StepState.INVALID
    run.invalid_spans = [InvalidSpan(BEGAN + 55, BEGAN + 60, "local", InvalidKind.LOOP_LAG, "late")]
    found = conclude(run.write(tmp_path))
    assert "stops keeping up at 40 requests per second (or already at 10 requests per second" in found.sentence


def test_an_invalid_step_below_one_that_was_kept_up_with_hides_no_knee(tmp_path: Path) -> None:
    span = InvalidSpan(BEGAN + 50, BEGAN + 55, "local", InvalidKind.LOOP_LAG, "late")
    run = Synthetic(loads=(2, 10, 20, 40), behaviours=[LIGHT, LIGHT, LIGHT, BEHIND], seconds=40, invalid_spans=[span])
    found = conclude(run.write(tmp_path))
    assert found.ordered[1].state is StepState.INVALID
    assert "stops keeping up at 40 requests per second; " in found.sentence


def test_a_backlog_does_not_hide_the_knee(tmp_path: Path) -> None:
    span = InvalidSpan(BEGAN + 145, BEGAN + 150, "local", InvalidKind.BACKLOG, "12 requests were not sent")
    run = Synthetic(loads=SWEEP.loads, behaviours=SWEEP.behaviours, seconds=40, invalid_spans=[span])
    found = conclude(run.write(tmp_path))
    assert found.knee.own and found.ordered[-1].verdict is Value.INCONCLUSIVE


def test_a_busy_look_beside_a_backlog_does_not_hide_the_knee(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[limit]]\nfigure = "kept_up_with"\nleast = 5\n')
    behind = replace(BEHIND, capacity=8)  # thousands of requests in so long a step are enough to tell
    began = BEGAN + 2 * 600
    backlog = InvalidSpan(began + 100, began + 595, "local", InvalidKind.BACKLOG, "12 requests were not sent")
    for busy, hidden in ((5, False), (7, True)):
        spans = [backlog, InvalidSpan(began + 50, began + 50 + busy, "local", InvalidKind.CPU, "97% of a core")]
        run = Synthetic(loads=(1, 5, 10), behaviours=[LIGHT, LIGHT, behind], seconds=600, invalid_spans=spans)
        folder = run.write(tmp_path / str(busy))
        found = conclude(folder)
        assert found.ordered[-1].state is (StepState.INVALID if hidden else StepState.FELL_BEHIND)
        assert len(found.ordered[-1].invalid_spans) == 2 and found.ordered[-1].verdict is Value.INCONCLUSIVE
        assert main(["load-report", str(folder), "--thresholds", str(rules)]) == hidden


def test_pairs_without_an_answer_make_the_step_inconclusive(tmp_path: Path) -> None:
    found = conclude(Synthetic(behaviours=[Behaviour(probe_errors=6)]).write(tmp_path))
    assert found.verdict[0] is Value.INCONCLUSIVE
    assert "6 of 120 pairs lack an answer" in found.verdict[1]


def test_where_no_lighter_step_was_kept_up_with_litellm_is_not_blamed(tmp_path: Path) -> None:
    for loads in ((40,), (40, 80)):
        run = Synthetic(loads=loads, behaviours=[BEHIND], seconds=40)
        found = conclude(run.write(tmp_path / str(len(loads))))
        assert found.lightest.state is StepState.FELL_BEHIND
        assert not found.knee.own
        assert "whether by LiteLLM or vLLM needs a lighter step" in found.sentence
        assert "stops keeping up" not in found.sentence


def test_a_load_that_litellm_was_not_asked_for_says_nothing_of_it(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    table.loc[table["role"] == "load", "arm"] = "direct"
    table.to_csv(folder / "records-local.csv", index=False)
    assert conclude(folder).lightest.state is StepState.TOO_SHORT


def test_a_closed_loop_that_fails_is_not_kept_up_with(tmp_path: Path) -> None:
    for share in (1.0, 0.2):
        behaviours = [Behaviour(), Behaviour(error_share=share)]
        run = Synthetic(loads=(1, 4), arrivals="closed", shape="sweep-users", behaviours=behaviours, seconds=30)
        assert [step.state for step in conclude(run.write(tmp_path / str(share))).ordered] == [
            StepState.KEPT_UP,
            StepState.FELL_BEHIND,
        ]


def test_a_step_shorter_than_three_answers_is_too_short_to_tell(tmp_path: Path) -> None:
    long = Behaviour(direct_ms=15_000)
    for seconds, state in ((40, StepState.TOO_SHORT), (240, StepState.KEPT_UP)):
        found = conclude(Synthetic(loads=(10,), behaviours=[long], seconds=seconds).write(tmp_path / str(seconds)))
        assert found.lightest.state is state, seconds


def test_steps_that_were_not_kept_up_with_pass_nothing(tmp_path: Path) -> None:
    quick = Behaviour(direct_ms=200, added_ms=5, capacity=33)
    run = Synthetic(loads=(10, 40), behaviours=[LIGHT, quick], seconds=40, clock=True)
    found = conclude(run.write(tmp_path / "saturated"))
    assert found.ordered[-1].state is StepState.SATURATED
    assert (found.ordered[-1].verdict, found.ordered[-1].reason) == (Value.INCONCLUSIVE, "backend or machine saturated")
    behind = Behaviour(added_ms=12, capacity=33)
    found = conclude(Synthetic(loads=(10, 40), behaviours=[LIGHT, behind], seconds=40).write(tmp_path / "behind"))
    assert found.ordered[-1].state is StepState.FELL_BEHIND
    assert found.verdict[1].endswith("holds up to 10 requests per second; inconclusive at 40 requests per second: "
                                   "not kept up")  # fmt: skip


def test_a_killed_run_is_judged_up_to_its_last_whole_line(tmp_path: Path) -> None:
    folder = Synthetic(ended=False).write(tmp_path)
    whole = (folder / "records-local.csv").read_bytes()
    (folder / "records-local.csv").write_bytes(whole[:-7])
    (folder / "samples.csv").write_text("at,pod,cpu_seconds\n1800000001.0,litellm-0,1.5\n18000")
    found = conclude(folder)
    assert len(found.loaded.records) == whole.count(b"\n") - 2
    assert found.verdict[0] is Value.PASSED
    assert found.lightest.seconds == pytest.approx(60, abs=2)


def test_a_file_that_is_cut_off_in_its_heading_holds_nothing(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    (folder / "records-worker-1.csv").write_text("worker,us")
    assert len(read_records(folder)) > 100
    (folder / "records-local.csv").unlink()
    with pytest.raises(SignoffError, match="no records of requests"):
        read_records(folder)


def test_a_damaged_line_is_told_with_its_file(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    with (folder / "records-local.csv").open("a") as file:
        file.write("local,Probe,probe,direct,maybe,rate=20,x,,,,,,,,,\n")
    with pytest.raises(SignoffError, match=r"(?s)damaged.*records-local\.csv"):
        conclude(folder)


def test_records_of_several_workers_are_one_run(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    before = conclude(folder)
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    for number in range(2):
        own = table[(table.index % 2 == number) | (table["role"] == "probe")]
        own = own[(own["role"] == "load") | (number == 0)].assign(worker=f"worker-{number}")
        own.to_csv(folder / f"records-worker-{number}.csv", index=False)
    (folder / "records-local.csv").unlink()
    assert conclude(folder).sentence == before.sentence


def test_unfinished_requests_at_the_end_are_no_errors_of_the_gateway(tmp_path: Path) -> None:
    behaviour = Behaviour(error_share=0.02, error="unfinished")
    load = conclude(Synthetic(behaviours=[behaviour]).write(tmp_path)).lightest.groups["load"]
    assert load.errors["unfinished"] > 0
    assert load.error_rate.value == 0
