"""A declaration speaks of settings by `$name`; a run's story holds their values."""

from pathlib import Path
from typing import Any

import pytest

from signoff.core.errors import UsageError
from signoff.core.paths import ROOT
from signoff.settings import read, story_values
from signoff.story.declaration import Declaration, Story

VALUES = {"port": 4001, "allowed_nodes": ["a", "b", "c"], "limit": 100.0, "asked_model": "my-model", "on": True}
TEXT = """
schema: signoff.story/1
name: small
title: A title of $5 and $port
criteria:
  AC1: {text: %(text)s, checks: [one]}
checks:
  one:
    text: it is so
    judge: equals
    wants: %(wants)s
"""


def filled(wants: str = "1", text: str = "all is fine") -> Story:
    return Declaration(Path("story.yaml"), TEXT % {"wants": wants, "text": text}).filled(VALUES).story


@pytest.mark.parametrize(
    ("wants", "value"),
    [
        ("$port", 4001),
        ("${port}", 4001),
        ("$on", True),
        ("$limit", 100.0),
        ("$allowed_nodes", ["a", "b", "c"]),
        ("[$port, {x: $limit}]", [4001, {"x": 100.0}]),
        ("{limit_ms: $limit}", {"limit_ms": 100.0}),
        ("{$asked_model: chat}", {"my-model": "chat"}),
        ('"http://x:$port/v1"', "http://x:4001/v1"),
        ('"$asked_model.$port"', "my-model.4001"),
        ('"${asked_model}s"', "my-models"),
        ("at most $limit", "at most 100"),
        ("on $allowed_nodes", "on a, b or c"),
        ("$$port", "$port"),
        ("$$", "$"),
        ("$5 for $ and 100$", "$5 for $ and 100$"),
        ("it is literal", "it is literal"),
        ("{a: [1, true, null]}", {"a": [1, True, None]}),
    ],
)
def test_what_a_check_wants_is_filled(wants: str, value: Any) -> None:
    found = filled(wants).checks["one"].wants
    assert found == value and type(found) is type(value)


def test_a_text_is_filled_and_stays_text() -> None:
    assert filled(text="on port $port").criteria["AC1"].text == "on port 4001"
    assert filled(text="$port").criteria["AC1"].text == "4001"


def test_nothing_else_is() -> None:
    assert filled().title == "A title of $5 and $port"


@pytest.mark.parametrize(
    ("wants", "text", "what", "line"),
    [
        ("$prot", "fine", "there is no setting $prot; did you mean 'port'?", 11),
        ("1", "on $alowed_nodes", "there is no setting $alowed_nodes; did you mean 'allowed_nodes'?", 6),
        (
            "\n      - 1\n      - {$asked_modl: x}",
            "fine",
            "there is no setting $asked_modl; did you mean 'asked_model'?",
            13,
        ),
        ("1", "in $HOME", "there is no setting $HOME", 6),
    ],
)
def test_a_name_that_is_none_is_refused_with_its_line(wants: str, text: str, what: str, line: int) -> None:
    with pytest.raises(UsageError) as refused:
        filled(wants, text)
    assert refused.value.what.startswith(what)
    assert refused.value.where.endswith(f"story.yaml:{line}")
    assert "$$" in refused.value.hint


def test_a_story_without_names_is_as_it_was() -> None:
    declared = Declaration(Path("story.yaml"), TEXT % {"wants": "{a: b}", "text": "fine"})
    assert declared.filled({}).story == declared.story


def test_the_storys_own_declaration_follows_the_settings() -> None:
    given = {
        "namespace": ["ai"],
        "port": ["8080"],
        "service_type": ["NodePort"],
        "allowed_nodes": ["n1,n2"],
        "forbidden_nodes": ["n3"],
        "backend_nodes": ["n4"],
        "labels": ["app=litellm"],
        "overhead_limit_ms": ["500"],
        "model": ["big"],
        "asked_model": ["alias"],
        "host": ["llm.example"],
        "timeout": ["60"],
    }
    story = Declaration.read(ROOT / "features" / "story.yaml").filled(story_values(read(given).settings)).story
    wants = {name: check.wants for name, check in story.checks.items()}
    assert story.criteria["AC1"].text.startswith("LiteLLM starts in the ai namespace")
    assert "below 500 ms (NFR66 wants 100 ms)" in story.criteria["AC3"].text
    assert wants["service"] == {"type": "NodePort", "port": 8080}
    assert wants["labels"] == {"app": "litellm"}
    assert wants["on-workers"] == wants["stays-pending"] == ["n1", "n2"]
    assert (wants["not-on-gpu-worker"], wants["vllm-on-gpu-worker"]) == (["n3"], ["n4"])
    assert wants["cluster-name"] == {"base": "http://litellm.ai.svc.cluster.local:8080/v1", "model": "alias"}
    assert wants["mode-chat"] == {"alias": "chat"} and wants["model-list"] == "alias"
    assert wants["overhead"] == {"limit_ms": 500.0}
    assert {wants["configuration"][name] for name in ("model_name", "model", "timeout")} == {"alias", "big", 60}
    assert story.tasks["task 2"].points[1].text == "A Deployment on n1 or n2, not the GPU worker"
    assert story.tasks["task 4"].points[0].text == "A Traefik IngressRoute at llm.example"


def test_no_secret_is_a_value() -> None:
    assert "api_key" not in story_values(read({}).settings)
