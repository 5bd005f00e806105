"""The features, run on people's own manifests: each check ends as it has to, on a cluster of the run's own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from signoff.core.paths import ROOT
from tests.labs.expected import EXPECTED, Expected
from tests.labs.lab import HERE, SETTINGS

pytestmark = pytest.mark.cluster
SECONDS = 600
WITHOUT_OVERHEAD = ("-k", "not overhead")
"""It takes as long as all else, and says nothing of whose manifests these are."""
SMALL = ("deploy", "proxying", "keys")


def judged(lab: str, reports: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """What the run's verdict says of each check."""
    settings = ["--settings", str(HERE / lab / SETTINGS), "--reports", str(reports)]
    command = [sys.executable, "-m", "pytest", *arguments, *settings, "--fresh-cluster", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    folders = list(reports.glob("*")) if reports.is_dir() else []
    assert len(folders) == 1, done.stdout + done.stderr
    checks: dict[str, dict[str, Any]] = json.loads((folders[0] / "verdict.json").read_text())["checks"]
    return checks


def values(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Each check's value; those that are outside this cluster's reach are left out."""
    found = {name: "waived" if each["waived"] else str(each["verdict"]) for name, each in checks.items()}
    return {name: value for name, value in found.items() if value != "outside reach"}


def wanted(name: str, expected: Expected) -> str:
    """The value that a check has to have."""
    if name in expected.waived:
        return "waived"
    if name in expected.failed:
        return "failed"
    return "not judged" if name in expected.not_judged | {"overhead"} else "passed"


@pytest.mark.prove
@pytest.mark.parametrize("lab", EXPECTED)
def test_each_check_ends_as_it_has_to(lab: str, tmp_path: Path) -> None:
    expected, checks = EXPECTED[lab], judged(lab, tmp_path, "features", *WITHOUT_OVERHEAD)
    found = values(checks)
    assert found == {name: wanted(name, expected) for name in found}
    for name, words in {**expected.failed, **expected.notes}.items():
        assert words in checks[name]["reason"]


def test_a_home_lab_is_deployed_and_asked_with_its_key(tmp_path: Path) -> None:
    """What takes a minute of it, nearly all of which is vLLM's start."""
    expected = EXPECTED["home_lab"]
    checks = judged("home_lab", tmp_path, *(f"features/{name}.feature" for name in SMALL))
    found = {name for name, value in values(checks).items() if value == "passed"}
    assert {"pod-ready", "labels", "service", "cluster-name", "each-request-once", "key-asked"} <= found
    assert not found & set(expected.failed)
