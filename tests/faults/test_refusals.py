"""What contradicts itself, or is refused while features are collected, ends with 4 and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.core.paths import ROOT
from tests.bdd.conftest import Project

HERE = "http://127.0.0.1:1"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# pytest features/; --attach with what is about a new cluster is in tests/test_options.py


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--attach", "demo", "--fresh-cluster"], "--attach uses a cluster that runs already and is left running"),
        (["--attach", "demo", "--keep-cluster"], "--attach uses a cluster that runs already and is left running"),
        (["-n", "2"], "features share one deployment: run them in one process, without -n"),
        (["--waive", "fine=a", "--waive", "fine=b"], "waived twice"),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(project: Project, more: list[str], said: str) -> None:
    done = project.run("features", *more)
    assert (done.status, said in done.output) == (4, True), done.output
    assert not (project.folder / "reports").exists()


def test_a_step_that_nobody_wrote_leaves_no_folder(project: Project) -> None:
    project.scenarios("First: Then nobody wrote this")
    done = project.run("features", "--junitxml", "ci/junit.xml")
    assert (done.status, "no step definition matches" in done.output) == (4, True), done.output
    assert not (project.folder / "reports").exists()
    assert not (project.folder / "ci").exists()


def test_a_feature_that_cannot_be_read_leaves_no_folder(project: Project) -> None:
    project.write("features/three.feature", "Feature: Three\n")
    done = project.run()
    assert (done.status, "three.feature:1: the feature has no scenario" in done.output) == (4, True), done.output
    assert not (project.folder / "reports").exists()


@pytest.mark.parametrize("shows", ["--fixtures", "--fixtures-per-test", "--collect-only"])
def test_what_only_shows_something_writes_nothing(project: Project, shows: str) -> None:
    done = project.run("features", shows)
    assert done.status == 0, done.output
    assert not (project.folder / "reports").exists()


# signoff


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cluster", "down", "demo", "--all"], "--all ends every kept cluster, and demo is one"),
        (["calibrate", "--url", HERE, "--attach", "demo"], "--url names a server that runs, and --cluster and"),
        (["calibrate", "--url", HERE, "--cluster", "kind"], "--url names a server that runs, and --cluster and"),
        (["load", "--options", "--print"], "--options lists options, and --print what would be applied"),
        (["parity", "--list", "--out", "there"], "--list writes nothing, and --out names a folder"),
        (["load-report", "run", "--baseline", "./run"], "a load does not differ from itself"),
    ],
)
def test_a_command_that_contradicts_itself_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 4
    assert capsys.readouterr().err.startswith(f"signoff: {said}")
    assert not list(here.iterdir())


# locust -f bench/


@pytest.mark.locust
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", HERE, "--proxied", f"{HERE}2"], "--host and --proxied both name LiteLLM, each another one"),
        (["--arrivals", "closed", "--rate", "5"], "--rate sets a schedule; --arrivals closed has none"),
        (["--arrivals", "closed", "--shape", "sweep-rate"], "--shape sweep-rate sets a schedule"),
        (["--shape", "sweep-users", "--rate", "5"], "--shape sweep-users sets a closed loop; --rate"),
        (["--rate", "5", "--users", "3"], "--rate sets a schedule; --users sets a closed loop"),
        (["--rate", "5", "--think", "1"], "--rate sets a schedule; --think sets the pause in a closed loop"),
        (["--shape", "sweep-users", "--arrivals", "poisson"], "--shape sweep-users sets a closed loop"),
        (["--lengths", "lengths.csv", "--length-scale", "1"], "--lengths gives the lengths themselves"),
        (["--direct", HERE], "--direct names one vLLM, and without --host"),
        (["--kubeconfig", "config"], "--kubeconfig names one cluster, and without --host"),
    ],
)
def test_a_load_that_contradicts_itself_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "lengths.csv").write_text("prompt_tokens,answer_tokens\n20,1\n")
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench"), "--headless", "-t", "1s", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 4, done.stderr
    assert f"signoff: {said}" in done.stderr
    assert "Traceback" not in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["lengths.csv"]
