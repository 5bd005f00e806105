"""The declaration of story 14.1 says what the story says, and agrees with the machinery's own names."""

import re
from pathlib import Path

import pytest
from pytest_bdd.feature import get_features
from pytest_bdd.parser import Feature

from signoff import judges, story
from signoff.core.paths import ROOT
from signoff.judges import registry
from signoff.overhead import estimate
from signoff.settings import Settings, story_values
from signoff.story.declaration import Declaration

assert judges
DECLARED = Declaration.read(ROOT / "features" / "story.yaml").filled(story_values(Settings()))
CHECKS = DECLARED.story.checks


def test_the_declaration_is_valid() -> None:
    registry.validate(DECLARED)


def test_it_has_the_storys_criteria_tasks_and_notes() -> None:
    assert list(DECLARED.story.requirements) == [
        *("AC1", "AC2", "AC3"),
        *(f"task {number}" for number in range(1, 6)),
        "notes",
    ]
    points = {key: len(task.points) for key, task in DECLARED.story.tasks.items() if key != "notes"}
    assert points == {"task 1": 3, "task 2": 5, "task 3": 3, "task 4": 3, "task 5": 4}


def test_its_values_are_those_that_the_machinery_uses() -> None:
    service = f"http://{story.GATEWAY}.{story.NAMESPACE}.svc.cluster.local:{story.GATEWAY_PORT}/v1"
    backend = f"http://{story.BACKEND}.{story.NAMESPACE}.svc.cluster.local:{story.BACKEND_PORT}/v1"
    assert CHECKS["labels"].wants == story.GATEWAY_LABELS
    assert CHECKS["service"].wants == {"type": "ClusterIP", "port": story.GATEWAY_PORT}
    assert CHECKS["model-list"].wants == story.MODEL
    assert CHECKS["mode-chat"].wants == {story.MODEL: "chat"}
    assert {CHECKS[name].wants for name in ("plain-http", "unknown-host", "certificate")} == {story.GATEWAY_HOST}
    assert CHECKS["way-in"].wants == {"host": story.GATEWAY_HOST, "url": service.removesuffix("/v1")}
    assert CHECKS["ingress-timeouts"].wants == {"longest": CHECKS["configuration"].wants["timeout"]}
    assert CHECKS["cluster-name"].wants == {"base": service, "model": story.MODEL}
    assert CHECKS["configuration"].wants["api_base"] == backend
    assert CHECKS["configuration"].wants["model"] == CHECKS["configuration"].wants["model_name"] == story.MODEL
    assert CHECKS["on-workers"].wants == CHECKS["stays-pending"].wants == list(story.ALLOWED_NODES)
    assert CHECKS["vllm-on-gpu-worker"].wants == CHECKS["not-on-gpu-worker"].wants == [story.GPU_NODE]
    assert CHECKS["overhead"].wants["limit_ms"] == story.OVERHEAD_LIMIT_MS
    assert CHECKS["overhead"].cases == estimate.JUDGED


def test_every_call_whose_form_is_judged_has_to_be_exercised() -> None:
    compared = CHECKS["response-format"].cases + CHECKS["request-fidelity"].cases
    assert CHECKS["calls-exercised"].cases == compared


def test_nothing_but_tailscale_is_pending_and_that_is_outside_reach() -> None:
    assert {name for name, check in CHECKS.items() if check.pending} == {"tailscale"}
    assert {DECLARED.story.checks["tailscale"].beyond(cluster) for cluster in ("embedded", "kind")} == {"existing only"}
    assert DECLARED.story.checks["tailscale"].beyond("existing") == ""


@pytest.mark.parametrize(("asks", "why"), [(True, ""), (False, "it does not apply here")])
def test_keys_are_judged_where_the_gateway_has_one(asks: bool, why: str) -> None:
    values = {**story_values(Settings()), "asks_for_key": asks}
    assert Declaration.read(DECLARED.file).filled(values).story.checks["key-asked"].beyond("embedded") == why


@pytest.mark.parametrize("feature", get_features([str(ROOT / "features")]), ids=lambda feature: feature.name)
def test_the_tags_of_a_feature_are_what_it_is_for(feature: Feature) -> None:
    meant = {each for each in feature.tags if not each.startswith("needs-")}
    assert meant
    assert meant <= {key.replace(" ", "_") for key in DECLARED.story.requirements}


def test_make_acceptance_waives_nothing() -> None:
    assert "--waive" not in (ROOT / "Makefile").read_text()


def test_no_step_compares_and_no_step_module_asserts() -> None:
    """Steps act and observe; whatever is to be thought of it is a judge's."""
    for module in Path(ROOT / "steps").glob("*.py"):
        text = module.read_text()
        assert not re.search(r"^\s+assert ", text, re.MULTILINE), f"{module.name} asserts"
        assert "Verdict" not in text, f"{module.name} speaks of verdicts"


def test_the_name_that_version_0_1_had_for_a_minimum_is_read() -> None:
    text = DECLARED.file.read_text(encoding="utf-8")
    former = Declaration(DECLARED.file, text.replace("min: {", "least: {"))
    assert text.count("min: {") > 10 and former.filled(story_values(Settings())).story == DECLARED.story
