"""A small project with one feature and its steps, run by the plugin as a user would run it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from signoff import evidence
from signoff.paths import ROOT
from tests.processes import start

CONFTEST = """
pytest_plugins = ["signoff.pytest_plugin", "words"]
"""
INI = """
[pytest]
addopts = -p no:locust -p no:pytest-kind --strict-markers --tb=short
markers =
    AC1: one
    AC2: two
    AC3: three
    notes: notes
"""
STEPS = """
import os, time
import pytest
from pytest_bdd import given, then, parsers
from signoff.errors import SignoffError
from signoff.pytest_plugin import set_failure_bundle
from signoff.verdicts import Inconclusive

@pytest.fixture(scope="session")
def capabilities():
    return frozenset({"cordon"})

@pytest.fixture(scope="session")
def broken():
    raise SignoffError("no cluster", where="port 6443", hint="free it")

@given("a start")
def start():
    pass

@given("a bundle")
def bundle(request):
    set_failure_bundle(request.config, lambda error: "the moon\\nmore")

@given("a broken set-up")
def broken_setup(broken):
    pass

@given("a secret in the evidence")
def secret(evidence):
    evidence.record("note", api_key="k1", text="Bearer abcdefghijkl", headers={"Authorization": "Basic x"})

@then("it is fine")
def fine():
    pass

@then(parsers.parse("{left:d} equals {right:d}"))
def equals(left, right):
    assert left == right

@then("nobody answers")
def nobody_answers():
    raise SignoffError("no answer", where="http://litellm")

@then("nobody can say")
def unclear():
    raise Inconclusive("the sky is clouded")

@then("it takes for ever")
def for_ever():
    print("waiting", flush=True)
    open("waiting", "w").close()
    time.sleep(60)
"""


@dataclass
class Project:
    """The project's folder, and what a run in it left."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def scenarios(self, *scenarios: str, tags: str = "@AC1") -> None:
        """Write features/one.feature with these scenarios, each "Name: step; step"."""
        lines = [tags, "Feature: One"]
        for scenario in scenarios:
            name, _, steps = scenario.partition(": ")
            *marks, name = name.split(" ")
            lines += [f"  {' '.join(marks)}" if marks else "", f"  Scenario: {name}"]
            lines += [f"    {step}" for step in steps.split("; ")]
        self.write("features/one.feature", "\n".join(lines) + "\n")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "pytest", *(arguments or ("features",)), "--reports", "reports"]
        return start(command, self.folder)

    def run(self, *arguments: str) -> "Finished":
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=60)
        return Finished(process.returncode, output, self.folder)


@dataclass
class Finished:
    """Exit status and output of a run."""

    status: int
    output: str
    folder: Path

    @property
    def run_dir(self) -> Path:
        (only,) = (self.folder / "reports").iterdir()
        return only

    def records(self, kind: str) -> list[dict[str, Any]]:
        records, _ = evidence.read(self.run_dir)
        return [record for record in records if record["kind"] == kind]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    made.write("conftest.py", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{CONFTEST}")
    made.write("pytest.ini", INI)
    made.write("words.py", STEPS)
    for tag in ("AC2", "AC3", "notes"):
        made.write(f"features/{tag}.feature", f"@{tag}\nFeature: {tag}\n  Scenario: S\n    Given a start\n")
    yield made


INTERRUPT, KILL = signal.SIGINT, signal.SIGKILL
