"""Each mutation turns exactly its scenarios red, and every scenario and every Then step fails under some mutation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_bdd.feature import get_features

from signoff.paths import ROOT
from tests.mutations.scenarios import OVERHEAD
from tests.mutations.table import TABLE, Mutation

FEATURES = get_features([str(ROOT / "features")])
RunFeatures = Callable[[Mutation], dict[str, dict[str, Any]]]

ORDERED = sorted(TABLE, key=lambda mutation: mutation.leaves_vllm_away)
"""Where vLLM is left on its way back, nobody waits for it at the end."""


# Two classes, which two processes run at the same time, each with a cluster of its own (--dist loadscope).


@pytest.mark.parametrize("mutation", ORDERED[0::2], ids=lambda mutation: mutation.name)
class TestOneHalf:
    def test_mutation_turns_exactly_its_scenarios_red(self, mutation: Mutation, run_features: RunFeatures) -> None:
        turns_exactly_its_scenarios_red(mutation, run_features)


@pytest.mark.parametrize("mutation", ORDERED[1::2], ids=lambda mutation: mutation.name)
class TestOtherHalf:
    def test_mutation_turns_exactly_its_scenarios_red(self, mutation: Mutation, run_features: RunFeatures) -> None:
        turns_exactly_its_scenarios_red(mutation, run_features)


def turns_exactly_its_scenarios_red(mutation: Mutation, run_features: RunFeatures) -> None:
    scenarios = run_features(mutation)
    seen = {name: (record["outcome"], record["reason"]) for name, record in scenarios.items()}
    # A restless machine leaves the overhead undecided, which says nothing of a mutation of something else.
    restless = {OVERHEAD} - mutation.red if seen.get(OVERHEAD, ("",))[0] == "inconclusive" else set()
    red = {name: told for name, told in seen.items() if told[0] != "passed" and name not in restless}
    assert set(red) == mutation.red & set(scenarios), red
    assert {outcome for outcome, _ in red.values()} == {mutation.outcome}, red
    failed_at = {scenarios[name]["step"] for name in red}
    assert mutation.steps <= failed_at, "\n".join(f"{name}: {scenarios[name]['step']}: {red[name][1]}" for name in red)


def test_every_scenario_is_turned_red_by_a_mutation() -> None:
    names = {name.partition(" [")[0] for mutation in TABLE for name in mutation.red}
    assert names == {
        f"{Path(feature.filename).stem}: {scenario.name}"
        for feature in FEATURES
        for scenario in feature.scenarios.values()
    }


def test_every_then_step_is_what_fails_under_some_mutation() -> None:
    steps = {
        step.name
        for feature in FEATURES
        for each in feature.scenarios.values()
        for step in each.steps
        if step.type == "then"
    }
    assert frozenset().union(*(mutation.steps for mutation in TABLE)) == steps


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_the_features_run_for_a_mutation_hold_a_scenario_that_it_turns_red(mutation: Mutation) -> None:
    assert any(name.split(":")[0] in mutation.tested for name in mutation.red)
