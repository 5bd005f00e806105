"""Paths with spaces and umlauts, and a locale that knows neither: all is written, read and printed as in any other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from signoff import report
from signoff.core.paths import MANIFESTS, ROOT
from tests.bdd.conftest import Project

_POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python's standard encoding is ASCII then."""


@pytest.fixture(params=["of this machine", "POSIX"], autouse=True)
def locale(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "POSIX":
        for name, value in _POSIX.items():
            monkeypatch.setenv(name, value)


@pytest.fixture
def elsewhere(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project in a folder with a space and an umlaut, with a story that holds some too."""
    folder = tmp_path_factory.mktemp("prüf stand")
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    moved = Project(folder, project.pytester, alone=True)
    moved.replace("features/story.yaml", "All is fine", "Alles ist gut für Ödön und Πλάτων")
    return moved


def signoff(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "signoff.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SIGNOFF_CACHE": str(folder / "der cache")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="surrogateescape"
    )


def test_a_run_is_written_drawn_again_and_verified(elsewhere: Project) -> None:
    done = elsewhere.run("features", "--junitxml", "für CI.xml")
    assert done.status == 0, done.output
    assert (elsewhere.folder / "für CI.xml").exists()
    pages = {page: (done.run_dir / page).read_bytes() for page in report.PAGES}
    assert all("für Ödön und Πλάτων" in page.decode() for page in pages.values())
    run = str(done.run_dir.relative_to(elsewhere.folder))
    assert signoff(elsewhere.folder, "report", run).returncode == 0
    assert pages == {page: (done.run_dir / page).read_bytes() for page in report.PAGES}
    verified = signoff(elsewhere.folder, "verify", run)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_what_would_be_deployed_is_printed(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("prüf stand")
    shutil.copytree(MANIFESTS, folder / "für hier")
    printed = signoff(folder, "load", "--print", "--manifests", "für hier", "--reports", "meine läufe")
    assert printed.returncode == 0, printed.stderr
    assert "kind: ConfigMap" in printed.stdout
    assert [each.name for each in folder.iterdir()] == ["für hier"]


def test_a_sentence_names_the_path_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("prüf stand")
    refused = signoff(folder, "prepare", "--manifests", "für hier")
    assert refused.returncode == 4
    assert refused.stderr.startswith("signoff: the folder of manifests is not there\n  where: für hier\n")


def test_a_scenario_whose_name_has_umlauts_is_judged(elsewhere: Project) -> None:
    elsewhere.replace("features/two.feature", "Scenario: Enough", "Scenario: Größe für Ödön")
    done = elsewhere.run("features")
    assert done.status == 0, done.output
    assert done.scenario("Größe für Ödön").state.value == "passed"
