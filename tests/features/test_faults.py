"""The table of faults holds what scenarios inject, and nothing else."""

from pytest_bdd.feature import get_features

from signoff.core.paths import FEATURES
from signoff.faults.cluster import FAULTS


def test_every_fault_is_a_when_step_of_some_scenario() -> None:
    steps = {
        step.name
        for feature in get_features([str(FEATURES)])
        for scenario in feature.scenarios.values()
        for step in scenario.steps
        if step.type == "when"
    }
    assert set(FAULTS) <= steps
