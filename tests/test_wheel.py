"""The wheel in an empty virtual environment, used from an empty folder: nothing of the checkout is within reach."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from signoff.core.paths import ROOT
from signoff.kube import shipping
from signoff.load.distributed import LOCUSTFILE

pytestmark = pytest.mark.wheel

UV = Path(sys.executable).with_name("uv")
OWN = """Feature: A pod of one's own

  Scenario: It is ready
    Then my LiteLLM is ready
"""
OWN_STEPS = """
from pytest_bdd import then
from signoff.bdd.observing import observes
from steps.chat import PROMPT
from steps.names import POD_READY

@then("my LiteLLM is ready")
@observes(POD_READY)
def is_ready(kube, evidence):
    raise NotImplementedError(PROMPT)
"""
STORY = """
schema: signoff.story/1
name: own
title: A story of one's own
criteria:
  AC7: {text: It is ready, checks: [pod-ready]}
checks:
  pod-ready: {text: it is ready, judge: equals, wants: true}
"""


@dataclass
class Installed:
    """Where the programs of the virtual environment are, and the folder that they are called in."""

    bin: Path
    folder: Path

    def signoff(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.bin / "signoff", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), "LC_ALL": "POSIX"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    def collected(self, *arguments: str) -> list[str]:
        done = self.signoff("run", *arguments, "--collect-only", "-q")
        assert done.returncode == 0, done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if "::" in line]

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that holds the wheel, and what the lock names with it."""
    made = tmp_path_factory.mktemp("wheel")
    _uv("build", "--quiet", "--out-dir", made)  # by way of the source distribution
    _uv("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", made / "locked.txt")
    _uv("venv", "--quiet", "--python", sys.executable, made / "environment")
    (wheel,) = made.glob("*.whl")
    python = made / "environment" / "bin" / "python"
    _uv("pip", "install", "--quiet", "--python", python, "--requirements", made / "locked.txt", wheel)
    return python.parent


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    return Installed(environment, folder)


def test_every_scenario_comes_along_and_nothing_is_left_behind(installed: Installed) -> None:
    command = [sys.executable, "-m", "pytest", "features", "--collect-only", "-q"]
    here = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    assert installed.collected() == [line for line in here.splitlines() if "::" in line]
    assert list(installed.folder.iterdir()) == []


def test_a_run_that_cannot_be_is_refused_in_a_sentence(installed: Installed) -> None:
    done = installed.signoff("run", "--cluster", "existing", "-k", "placement")
    assert done.returncode == 4
    assert "which cluster is meant?" in done.stderr
    assert list(installed.folder.iterdir()) == []


def test_an_option_of_pytest_is_passed_through(installed: Installed) -> None:
    assert all("placement.feature" in each for each in installed.collected("-k", "placement"))
    assert installed.signoff("run", "--no-such-option").returncode == 4


def test_help_teaches(installed: Installed) -> None:
    said = installed.signoff("run", "--help").stdout
    for word in ("story.yaml", "steps/", "--waive", "--overhead-pairs", "--collect-only"):
        assert word in said


def test_own_features_without_a_story_count_for_the_suites(installed: Installed) -> None:
    packaged = len(installed.collected())
    installed.write("own/ready.feature", OWN)
    installed.write("own/steps/ready.py", OWN_STEPS)
    installed.write("own/steps/names.py", 'POD_READY = "pod-ready"\n')
    collected = installed.collected("own")
    assert len(collected) == packaged + 1
    assert "own/ready.feature::test_it_is_ready" in collected
    assert installed.collected(".") == collected
    installed.write("own/steps/names.py", 'POD_READY = "pod-reddy"\n')
    done = installed.signoff("run", "own", "--collect-only")
    assert done.returncode == 4
    assert "observes 'pod-reddy', which story.yaml does not declare; did you mean 'pod-ready'?" in done.stderr


def test_own_features_with_a_story_are_judged_alone(installed: Installed) -> None:
    installed.write("features/story.yaml", STORY)
    installed.write("features/ready.feature", f"@AC7\n{OWN}")
    installed.write("steps/names.py", 'POD_READY = "pod-ready"\n')
    installed.write("steps/ready.py", OWN_STEPS.replace("kube, ", "").replace("raise NotImplementedError", "print"))
    assert installed.collected() == ["features/ready.feature::test_it_is_ready"]
    done = installed.signoff("run")
    assert done.returncode not in (0, 4)
    assert "the step recorded nothing of the check 'pod-ready'" in done.stdout
    (folder,) = (installed.folder / "reports").iterdir()
    assert "-nogit-" in folder.name
    assert "A story of one's own" in (folder / "signoff.md").read_text(encoding="utf-8")


def test_a_folder_without_features_is_refused(installed: Installed) -> None:
    done = installed.signoff("run", ".")
    assert done.returncode == 4
    assert "there is no feature\n  where: ." in done.stderr


def test_two_step_modules_of_one_name_are_refused(installed: Installed) -> None:
    installed.write("own/ready.feature", OWN)
    installed.write("own/steps/chat.py", OWN_STEPS)
    done = installed.signoff("run", "own")
    assert done.returncode == 4
    assert "two step modules are called chat" in done.stderr


def test_a_report_is_drawn_from_evidence(installed: Installed, signed_off: Path) -> None:
    done = installed.signoff("report", str(signed_off))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Signed off" in done.stdout


def test_a_load_ships_its_modules(installed: Installed) -> None:
    done = installed.signoff("load", "--print")
    assert done.returncode == 0, done.stderr
    code, *_ = yaml.safe_load_all(done.stdout)
    assert code["data"] == shipping.data(shipping.modules(LOCUSTFILE))


def test_the_rights_to_grant_come_along(installed: Installed) -> None:
    own = installed.bin.parent.glob("lib/python*/site-packages/signoff/_suite/manifests/rbac/*.yaml")
    assert {each.name for each in own} == {each.name for each in (ROOT / "manifests" / "rbac").iterdir()}


def test_the_cases_of_parity_come_along(installed: Installed) -> None:
    done = installed.signoff("parity", "--list")
    assert "chat.plain/streamed" in done.stdout
