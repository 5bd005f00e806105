"""Each mutation turns exactly its scenarios red, and every scenario is turned red by some mutation."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.mutations.scenarios import EVERY
from tests.mutations.table import TABLE, Mutation


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_mutation_turns_exactly_its_scenarios_red(
    mutation: Mutation, run_features: Callable[[Mutation], dict[str, dict[str, Any]]]
) -> None:
    scenarios = run_features(mutation)
    red = {name: record.get("reason", "") for name, record in scenarios.items() if record["outcome"] != "passed"}
    assert set(red) == mutation.red & set(scenarios), red


def test_every_scenario_is_turned_red_by_a_mutation() -> None:
    assert frozenset().union(*(mutation.red for mutation in TABLE)) == EVERY


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_the_features_run_for_a_mutation_hold_a_scenario_that_it_turns_red(mutation: Mutation) -> None:
    assert any(name.split(":")[0] in mutation.tested for name in mutation.red)
