"""Each mutation turns exactly its scenarios red, and every scenario and every Then step fails under some mutation."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_bdd.feature import get_features

from signoff.core.paths import ROOT
from signoff.kube.objects import containers
from signoff.overhead.estimate import WAIT_BOUND, Generator
from signoff.report import PAGES
from signoff.verdicts import ExitStatus
from tests.mutations.conftest import Finished
from tests.mutations.sample import RUNS, SAMPLE, broken_by, fuller
from tests.mutations.scenarios import BELOW_LIMIT, EQUAL, EQUAL_STREAMED, OVERHEAD, SAYS_THE_SAME
from tests.mutations.table import TABLE, Mutation
from tests.mutations.together import Together, mutated, packed, share

FEATURES = get_features([str(ROOT / "features")])
THEN_STEPS = {
    step.name
    for feature in FEATURES
    for each in feature.scenarios.values()
    for step in each.steps
    if step.type == "then"
}
NO_PROCESSOR = "had to wait for a processor"
"""Why an overhead was not judged, in the words of its verdict."""
RunFeatures = Callable[[Together], dict[str, dict[str, Any]]]

EVERY = [
    pytest.param(run, id=" + ".join(each.name for each in run), marks=() if run in RUNS else pytest.mark.prove)
    for run in dict.fromkeys([*RUNS, *((mutation,) for mutation in TABLE)])
]


# Two classes, which two processes run at the same time, each with a cluster of its own (--dist loadscope).


class TestOneHalf:
    def test_a_vllm_that_is_killed_while_timed_is_not_held_against_litellm(
        self, vllm_is_killed_while_timed: Finished
    ) -> None:
        done = vllm_is_killed_while_timed
        assert done.status == ExitStatus.INCONCLUSIVE, done.output
        told = "vLLM ended: vllm"
        for text in (done.output, *((done.run_dir / name).read_text() for name in (*PAGES, "junit.xml"))):
            assert told in text
        assert "exit code 137" in done.output
        assert "AC3     inconclusive" in done.output

    @pytest.mark.parametrize("mutations", EVERY[0::2])
    def test_mutations_turn_exactly_their_scenarios_red(self, mutations: Together, run_features: RunFeatures) -> None:
        turn_exactly_their_scenarios_red(mutations, run_features)


class TestOtherHalf:
    @pytest.mark.parametrize("mutations", EVERY[1::2])
    def test_mutations_turn_exactly_their_scenarios_red(self, mutations: Together, run_features: RunFeatures) -> None:
        turn_exactly_their_scenarios_red(mutations, run_features)


def turn_exactly_their_scenarios_red(mutations: Together, run_features: RunFeatures) -> None:
    wanted = {name: each.outcome for each in mutations for name in each.red}
    scenarios = run_features(mutations)
    if OVERHEAD in wanted.keys() & scenarios and NO_PROCESSOR in scenarios[OVERHEAD]["reason"]:
        scenarios = run_features(mutations)  # it says nothing of them, and who was so busy may be done by now
    seen = {name: (record["outcome"], record["reason"]) for name, record in scenarios.items()}
    # A restless machine leaves the overhead undecided, which says nothing of a mutation of something else.
    restless = {OVERHEAD} - wanted.keys() if seen.get(OVERHEAD, ("",))[0] == "inconclusive" else set()
    red = {name: told for name, told in seen.items() if told[0] != "passed" and name not in restless}
    assert {name: outcome for name, (outcome, _) in red.items()} == {
        name: outcome for name, outcome in wanted.items() if name in scenarios
    }, red
    for each in mutations:
        fails_at_its_steps(each, {name: scenarios[name] for name in each.red & scenarios.keys()})


def fails_at_its_steps(mutation: Mutation, red: dict[str, dict[str, Any]]) -> None:
    failed_at = {name: record["step"] for name, record in red.items()}
    told = "\n".join(f"{name}: {step}: {red[name]['reason']}" for name, step in failed_at.items())
    assert mutation.steps <= set(failed_at.values()), told
    # What only `make prove` runs fails wherever it meets the mutation first.
    tested = {step for name, step in failed_at.items() if name.partition(":")[0] in mutation.tested}
    assert mutation.before_then or tested <= THEN_STEPS, told


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_a_mutation_names_its_containers_as_kubernetes_wants_it(mutation: Mutation, tmp_path: Path) -> None:
    folder = mutated((mutation,), tmp_path / "manifests")
    documents = [each for file in folder.rglob("*.yaml") for each in yaml.load_all(file.read_text(), yaml.CSafeLoader)]
    named = [container["name"] for each in documents if "kind" in each for container in containers(each)]
    assert named and all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) for name in named)


def test_every_scenario_is_turned_red_by_a_mutation() -> None:
    broken = frozenset[str]().union(*map(broken_by, SAMPLE))
    assert {name.partition(" [")[0] for name in broken} == {
        f"{Path(feature.filename).stem}: {scenario.name}"
        for feature in FEATURES
        for scenario in feature.scenarios.values()
    }


def test_every_then_step_is_what_fails_under_some_mutation() -> None:
    assert frozenset().union(*(mutation.steps for mutation in TABLE)) == THEN_STEPS


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_the_features_run_for_a_mutation_hold_a_scenario_that_it_turns_red(mutation: Mutation) -> None:
    assert any(name.split(":")[0] in mutation.tested for name in mutation.red)


def test_mutations_of_one_run_have_nothing_to_do_with_each_other() -> None:
    table = {mutation.name: mutation for mutation in TABLE}
    label, port, kind = (table[name] for name in ("pod label", "Service port", "Service type"))
    assert share(label, port)
    assert not share(port, kind), "both turn the Service red"
    assert not share(table["another mode"], table["model_name"]), "both edit one text"
    assert not share(label, table["never ready"]), "nothing is seen of LiteLLM"
    assert not share(port, table["150 ms in front of LiteLLM"]), "both stand between LiteLLM and who asks"
    assert packed([label, port, kind]) == [(label, port), (kind,)]


def test_a_run_is_joined_by_what_fails_at_other_steps_alone() -> None:
    table = {mutation.name: mutation for mutation in TABLE}
    label, port, kind, ready = (table[name] for name in ("pod label", "Service port", "Service type", "never ready"))
    assert fuller([(label,)], [label, ready, kind, port]) == [(label, kind)]


def named(name: str) -> Together:
    return (next(mutation for mutation in TABLE if mutation.name == name),)


def record(outcome: str, step: str, reason: str = "") -> dict[str, Any]:
    return {"outcome": outcome, "step": step, "reason": reason}


def test_a_scenario_that_fails_at_its_given_is_not_turned_red_by_the_mutation() -> None:
    scenarios = {name: record("failed", SAYS_THE_SAME) for name in (EQUAL, EQUAL_STREAMED)}
    turn_exactly_their_scenarios_red(named("swapped finish_reason"), lambda _: scenarios)
    scenarios[EQUAL] = record("failed", "the namespace exists with vLLM deployment running")
    with pytest.raises(AssertionError, match="the namespace exists"):
        turn_exactly_their_scenarios_red(named("swapped finish_reason"), lambda _: scenarios)


BUSY = record("inconclusive", BELOW_LIMIT, f"invalid: {Generator(cpu=0.1, waited=WAIT_BOUND + 0.1).limit}")
UNSURE = record("inconclusive", BELOW_LIMIT, "the interval includes 100 ms")
SLOW = record("failed", BELOW_LIMIT)


@pytest.mark.parametrize(
    ("runs", "told"), [([BUSY, SLOW], True), ([SLOW, BUSY], True), ([BUSY, BUSY, SLOW], False), ([UNSURE, SLOW], False)]
)
def test_an_overhead_for_which_there_was_no_processor_is_measured_once_again(
    runs: list[dict[str, Any]], told: bool
) -> None:
    left = iter(runs)
    with contextlib.nullcontext() if told else pytest.raises(AssertionError):
        turn_exactly_their_scenarios_red(named("150 ms in front of LiteLLM"), lambda _: {OVERHEAD: next(left)})
