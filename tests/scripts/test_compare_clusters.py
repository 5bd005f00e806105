"""Two runs agree only when every scenario and check was judged alike on both, or skipped with a reason."""

from pathlib import Path
from typing import Any

import pytest

from scripts.compare_clusters import main
from signoff.evidence import Evidence
from signoff.evidence.models import (
    Cause,
    Cluster,
    End,
    Fact,
    Plan,
    PlannedScenario,
    Run,
    ScenarioEnd,
    Subject,
)

Outcomes = dict[str, str]


def story(**outside: list[str]) -> dict[str, Any]:
    """Of two checks, one for each scenario; `outside` are the only clusters that can tell a check."""
    checks: dict[str, Any] = {name: {"text": name, "judge": "equals", "wants": True} for name in "xy"}
    for name, reach in outside.items():
        checks[name]["reach"] = reach
    return {
        "schema": "signoff.story/1",
        "name": "small",
        "title": "A small story",
        "criteria": {name: {"text": name, "checks": [name]} for name in checks},
        "checks": checks,
    }


def run(folder: Path, provider: str, told: dict[str, Any], outcomes: Outcomes) -> str:
    """A run that planned two scenarios, of which some ended: "passed", "failed: and why", "skipped: and why"..."""
    kept = Evidence(folder, Run(cluster=provider, story=told))
    ids = {name: f"features/a.feature::{name}" for name in told["checks"]}
    planned = [PlannedScenario(id=ids[name], name=name, feature="features/a.feature", checks=[name]) for name in ids]
    kept.add(Plan(scenarios=planned, selected=list(ids.values())))
    kept.add(Cluster(provider=provider, kubernetes_version="1.35", nodes=["one"]))
    for name, text in outcomes.items():
        outcome, _, reason = text.partition(": ")
        kept.scenario = ids[name]
        if outcome == "skipped":
            kept.add(ScenarioEnd(id=ids[name], end="skipped", skipped=reason))
        elif outcome == "passed":
            kept.add(Fact(check=name, seen=True))
            kept.add(ScenarioEnd(id=ids[name], end="whole"))
        else:
            whose = Subject.GATEWAY if outcome == "failed" else Subject.MACHINE
            kept.add(ScenarioEnd(id=ids[name], end="error", unobserved=[name], cause=Cause(subject=whose, what=reason)))
        kept.scenario = ""
    kept.add(End())
    kept.close()
    return str(folder)


BOTH = {"x": "passed", "y": "passed"}


@pytest.mark.parametrize(
    ("embedded", "kind", "status", "words"),
    [
        (BOTH, BOTH, 0, ["2 scenarios and 2 checks, 0 disagreements"]),
        (BOTH | {"x": "failed: 1"}, BOTH | {"x": "failed: 2"}, 0, ["0 disagreements", "| failed | failed | 1; 2 |"]),
        (
            BOTH | {"x": "failed: 1"},
            BOTH,
            1,
            ["| a: x | failed | passed | **different states**; 1", "| x | failed | passed | **different verdicts**; 1"],
        ),
        (BOTH | {"x": "failed: 1"}, BOTH | {"x": "inconclusive: 1"}, 1, ["| a: x | failed | inconclusive | **diff"]),
        ({"x": "passed"}, {"x": "passed"}, 1, ["| a: y | not run | not run | **not run on both** |"]),
        (BOTH | {"y": "skipped"}, BOTH | {"y": "skipped"}, 1, ["**skipped without a reason**", "1 disagreements"]),
        (BOTH | {"y": "skipped: no GPU"}, BOTH | {"y": "skipped: no GPU"}, 0, ["| skipped | skipped | no GPU |"]),
        (BOTH | {"y": "skipped: no GPU"}, BOTH, 1, ["| a: y | skipped | passed | **different states**; no GPU |"]),
    ],
)
def test_compare(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    embedded: Outcomes,
    kind: Outcomes,
    status: int,
    words: list[str],
) -> None:
    folders = [run(tmp_path / "a", "embedded", story(), embedded), run(tmp_path / "b", "kind", story(), kind)]
    assert main(["--runs", *folders]) == status
    printed = capsys.readouterr().out
    for word in ("| scenario | embedded | kind | |", "| check | embedded | kind | |", *words):
        assert word in printed


def test_a_check_that_one_cluster_cannot_tell_is_no_disagreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story(y=["kind"])
    told["checks"]["y"]["pending"] = "later"
    folders = [run(tmp_path / name, name, told, {"x": "passed", "y": "skipped: no"}) for name in ("embedded", "kind")]
    assert main(["--runs", *folders]) == 0
    assert "| y | outside reach | not judged |" in capsys.readouterr().out


def test_a_check_that_only_one_story_declares_is_a_disagreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    less = story()
    del less["checks"]["y"], less["criteria"]["y"]
    folders = [run(tmp_path / "a", "embedded", less, {"x": "passed"}), run(tmp_path / "b", "kind", story(), BOTH)]
    assert main(["--runs", *folders]) == 1
    assert "| y | not declared | passed | **different verdicts** |" in capsys.readouterr().out


def test_a_folder_that_is_no_run_or_judges_no_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(tmp_path), str(tmp_path)]) == 2
    assert "there is no evidence" in capsys.readouterr().err
    Evidence(tmp_path / "other", Run(tool="calibrate")).close()
    assert main(["--runs", str(tmp_path / "other"), str(tmp_path / "other")]) == 2
    assert "a run of signoff calibrate, which judges no story" in capsys.readouterr().err
