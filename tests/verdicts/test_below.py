"""The rule by which every figure is judged against its limit."""

import numpy as np
import pytest

from signoff.load import gate, soak
from signoff.overhead import estimate
from signoff.stats.estimate import Estimate
from signoff.verdicts.below import below, is_above, sorted_out
from signoff.verdicts.verdict import Value

PASSED, FAILED, INCONCLUSIVE = Value.PASSED, Value.FAILED, Value.INCONCLUSIVE

CASES = [
    (Estimate(90, 80, 99), PASSED),
    (Estimate(90, 80, 100), PASSED),
    (Estimate(100, 100, 100), PASSED),
    (Estimate(95, 80, 101), INCONCLUSIVE),
    (Estimate(105, 100, 110), INCONCLUSIVE),
    (Estimate(110, 101, 120), FAILED),
    (Estimate(90), INCONCLUSIVE),
    (Estimate(110), INCONCLUSIVE),
]


@pytest.mark.parametrize(("figure", "verdict"), CASES)
def test_the_whole_interval_decides_and_on_the_limit_is_not_above_it(figure: Estimate, verdict: Value) -> None:
    assert below(figure, 100) is verdict
    assert is_above(figure, 100) is (verdict is FAILED)
    assert sorted_out({"it": figure}, 100)[verdict] == ["it"]


@pytest.mark.parametrize(("figure", "verdict"), CASES)
def test_all_who_judge_agree_on_the_limit_too(figure: Estimate, verdict: Value) -> None:
    figures = {"median": figure, "control": Estimate(0, -1, 1)}
    assert estimate.verdict_of(figures, 100).value is verdict
    assert gate._judged(figure, gate.Limit("e2e_p50_ms", max=100))[0] is verdict
    assert gate._judged(-figure, gate.Limit("e2e_p50_ms", min=-100))[0] is verdict
    assert soak._judge_memory(figure, None, "", soak.SOAK_SECONDS, 100)[0] is verdict


@pytest.mark.parametrize(("end", "verdict"), [(20.0, PASSED), (20.1, INCONCLUSIVE)])
def test_a_control_on_its_limit_is_within_it(end: float, verdict: Value) -> None:
    for control in (Estimate(0, -end, 1), Estimate(0, -1, end)):
        assert estimate.verdict_of({"median": Estimate(9, 8, 10), "control": control}, 100).value is verdict


def test_memory_that_never_changes_holds_a_limit_of_zero() -> None:
    moments = np.arange(400) * 10.0
    whole, late = soak._fitted(moments, np.full(400, 250.0))
    assert whole == Estimate(0, 0, 0) and late is None
    assert soak._judge_memory(whole, late, "", 4000, 0)[0] is PASSED
