"""A small project with a story, its features and their steps, run by the plugin as a user would run it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from signoff.cluster import registry
from signoff.core.paths import ROOT
from signoff.evidence import Recorded, read
from signoff.evidence.models import Record
from signoff.judges.run import Result
from tests.forks import Fork, Interpreter

registry.provider(registry.DEFAULT)
"""Imported for good: what a test with a pytest within is the first to import, `pytester` forgets at its end."""
R = TypeVar("R", bound=Record)

CONFTEST = """
pytest_plugins = ["signoff.bdd.plugin", "words"]
"""
INI = """
[pytest]
addopts = -p no:locust -p no:pytest-kind -p no:hypothesispytest -p no:anyio --strict-markers
    --assert=plain --tb=native -p no:unraisableexception
testpaths = features
"""
"""Without what costs most: tracebacks of other kinds parse every file that they lead through, rewriting of asserts
the steps, in which there are none, and what looks for unraisable exceptions looks through all objects five times."""
SETTINGS = """
manifests = ["small.yaml"]
"""
MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm, namespace: ml}
spec: {template: {spec: {containers: [{name: vllm, image: "vllm/vllm-openai-cpu:v0.32.0"}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: litellm, namespace: ml}
spec:
  template:
    spec:
      containers:
        - name: litellm
          image: ghcr.io/berriai/litellm:main-v1.80.16-stable
          args: [--config, /etc/litellm/config.yaml]
          volumeMounts: [{name: config, mountPath: /etc/litellm}]
      volumes: [{name: config, configMap: {name: litellm-config}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: litellm-config, namespace: ml}
data: {config.yaml: "model_list: [{model_name: m, litellm_params: {model: openai/m}}]"}
---
{apiVersion: v1, kind: Service, metadata: {name: litellm, namespace: ml}, spec: {ports: [{port: 4000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: vllm-api, namespace: ml}, spec: {ports: [{port: 8000}]}}
"""
"""Of what no test of a project of doubles looks at, the least that is read and checked."""
STORY = """
schema: signoff.story/1
name: small
title: A small story
criteria:
  AC1: {text: All is fine, checks: [fine, plain-and-streamed]}
  AC2: {text: There is enough, checks: [enough]}
tasks:
  task 1: {text: Read, points: [{text: Read about it, documents: a book}]}
  task 2: {text: The way in, points: [{text: From outside, checks: [outside]}]}
checks:
  fine: {text: it is fine, judge: equals, wants: true}
  plain-and-streamed: {text: both are fine, judge: equals, wants: fine, cases: [plain, streamed]}
  enough: {text: there is enough of it, judge: at-most, wants: 3}
  outside: {text: it is reached from outside, judge: equals, wants: true, reach: [existing], pending: later}
"""
FEATURE = """@AC1
Feature: One

  Scenario: First
    Given a start
    Then it is fine

  Scenario Outline: Both
    Given a start
    Then the <kind> one is <how>

    Examples:
      | kind     | how  |
      | plain    | fine |
      | streamed | fine |
"""
OTHER = """@AC2
Feature: Two

  Scenario: Enough
    Then there are 3
"""
STEPS = """
import time
import pytest
from pytest_bdd import given, then, parsers
from signoff.evidence import causes
from signoff.core.errors import SignoffError
from signoff.evidence.models import Cause, Fact, Note, Subject
from signoff.bdd.observing import observes
from signoff.bdd.plugin import watch_over

@pytest.fixture(scope="session")
def capabilities():
    return frozenset({"cordon"})

@pytest.fixture(scope="session")
def broken():
    raise SignoffError("no cluster", where="port 6443", hint="free it")

@pytest.fixture(scope="session")
def slow():
    time.sleep(1)

@given("a start")
def start():
    pass

@given("a slow start")
def slow_start(slow):
    pass

@given("a bundle")
def bundle(request):
    watch_over(request.config, bundle=lambda error: "the moon\\nmore", disturbances=lambda: [])

@given("a disturbance")
def disturbance(request):
    ended = Cause(subject=Subject.BACKEND, what="vLLM ended: killed (exit code 137)")
    watch_over(request.config, bundle=lambda error: "the moon", disturbances=lambda: [ended])

@given("a broken set-up")
def broken_setup(broken):
    pass

@given("a secret in the evidence")
def secret(evidence):
    evidence.add(Note(text="Bearer abcdefghijkl and sk-abcdefghijklm"))

@then("it is fine")
@observes("fine")
def fine(evidence):
    evidence.add(Fact(check="fine", seen=True))

@then("it is not fine")
@observes("fine")
def not_fine(evidence):
    evidence.add(Fact(check="fine", seen=False))

@then("it is said to be fine")
@observes("fine")
def silent(evidence):
    pass

@pytest.fixture
def stuck():
    yield
    with causes.of(Subject.CLUSTER):
        raise SignoffError("the node stays cordoned")

@given("a change that cannot be undone")
def change(stuck):
    pass

@then("nobody would miss it")
def unobserved(evidence):
    pass

@then(parsers.parse("the {kind} one is {how}"))
@observes("plain-and-streamed")
def one_is(evidence, kind, how):
    evidence.add(Fact(check="plain-and-streamed", case=kind, seen=how))

@then(parsers.parse("there are {count:d}"))
@observes("enough")
def there_are(evidence, count):
    evidence.add(Fact(check="enough", seen=count))

@then("LiteLLM does not answer")
@observes("fine")
def nobody_answers():
    with causes.of(Subject.GATEWAY):
        raise SignoffError("no answer", where="http://litellm")

@then("vLLM does not answer")
@observes("fine")
def no_backend():
    with causes.of(Subject.BACKEND):
        raise SignoffError("no answer", where="http://vllm")

@then("the step is wrong")
@observes("fine")
def wrong():
    raise ZeroDivisionError("division by zero")

@then("it takes for ever")
@observes("fine")
def for_ever():
    print("waiting", flush=True)
    open("waiting", "w").close()
    time.sleep(60)
"""


@dataclass
class Project:
    """The project's folder, and what a run in it left."""

    folder: Path
    pytester: pytest.Pytester
    interpreter: Interpreter
    alone: bool = False
    """Whether it is run in a process of its own."""

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file; what is to be replaced has to be there."""
        text = self.read(name)
        assert old in text, f"{name} does not hold {old!r}"
        self.write(name, text.replace(old, new))

    def scenarios(self, *scenarios: str, tags: str = "@AC1") -> None:
        """Write features/one.feature with these scenarios, each "Name: step; step", and that of the other cases."""
        lines = [tags, "Feature: One"]
        for scenario in scenarios:
            name, _, steps = scenario.partition(": ")
            *marks, name = name.split(" ")
            lines += [f"  {' '.join(marks)}" if marks else "", f"  Scenario: {name}"]
            lines += [f"    {step}" for step in steps.split("; ")]
        lines += ["  Scenario: Both", "    Then the plain one is fine", "    And the streamed one is fine"]
        self.write("features/one.feature", "\n".join(lines) + "\n")

    def start(self, *arguments: str) -> Fork:
        return self.interpreter.start(self.folder, "pytest", *(arguments or ("features",)), "--reports", "reports")

    def run(self, *arguments: str) -> "Finished":
        """Run it in this process, which is quick, unless it changes what other tests of the process need."""
        if self.alone:
            ended = self.start(*arguments).wait()
            return Finished(ended.status, ended.said, self.folder)
        done = self.pytester.runpytest_inprocess(*(arguments or ("features",)), "--reports", "reports")
        return Finished(int(done.ret), "\n".join((*done.outlines, *done.errlines)), self.folder)


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

    @property
    def evidence(self) -> Recorded:
        return read(self.run_dir)

    @property
    def result(self) -> Result:
        return Result(self.evidence)

    def records(self, kind: type[R]) -> list[R]:
        return self.evidence.of(kind)

    def scenario(self, name: str) -> Any:
        """How the scenario of this name went."""
        return next(each for each in self.result.scenarios if each.planned.name == name)


@pytest.fixture
def project(pytester: pytest.Pytester, apart: Interpreter) -> Project:
    made = Project(pytester.path, pytester, apart)
    made.write("conftest.py", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{CONFTEST}")
    made.write("pytest.ini", INI)
    made.write("signoff.toml", SETTINGS)
    made.write("small.yaml", MANIFESTS)
    made.write("words.py", STEPS)
    made.write("features/story.yaml", STORY)
    made.write("features/one.feature", FEATURE)
    made.write("features/two.feature", OTHER)
    return made
