"""A person's own steps are found beside their features and above them, however deep those are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.bdd.steps import own_steps
from tests.forks import Interpreter

FEATURE = "Feature: Own\n\n  Scenario: It is ready\n    Given a start\n    Then it is {adjective}\n"
GIVEN = "from pytest_bdd import given\n\n@given('a start')\ndef start():\n    pass\n"
THEN = """
from pytest_bdd import then
from signoff.bdd.observing import observes
from steps.chat import PROMPT

@then("it is fine")
@observes("pod-ready")
def fine():
    raise NotImplementedError(PROMPT)
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("steps", "here", "found"),
    [
        (["a/b/c/steps"], ".", ["a/b/c/steps"]),
        (["a/b/steps"], ".", ["a/b/steps"]),
        (["steps"], ".", ["steps"]),
        (["a/b/c/steps", "a/steps", "steps"], ".", ["a/b/c/steps", "a/steps", "steps"]),
        (["a/b/steps", "a/steps"], "a/b/c", ["a/b/steps"]),
        (["other/steps", "a/other/steps"], ".", []),
    ],
)
def test_folders_of_steps_are_found_up_to_this_folder(
    write: Write, tmp_path: Path, steps: list[str], here: str, found: list[str]
) -> None:
    feature = write("a/b/c/own.feature")
    for each in steps:
        write(f"{each}/own.py")
    assert own_steps([feature, feature], tmp_path / here) == [tmp_path / each for each in found]


def test_steps_beside_a_story_are_found_from_within_it(write: Write, tmp_path: Path) -> None:
    feature = write("story/deep/own.feature")
    write("story/story.yaml")
    write("steps/own.py")
    assert own_steps([feature], tmp_path / "story" / "deep") == [tmp_path / "steps"]


@pytest.mark.parametrize("here", ["story", "elsewhere"])
def test_steps_beyond_a_story_are_found_only_where_it_has_none(write: Write, tmp_path: Path, here: str) -> None:
    feature = write("story/deep/own.feature")
    write("story/story.yaml")
    write("steps/own.py")
    assert own_steps([feature], tmp_path / here) == [tmp_path / "steps"]
    write("story/steps/own.py")
    assert own_steps([feature], tmp_path / here) == [tmp_path / "story" / "steps"]


def test_a_run_uses_steps_of_several_depths(write: Write, tmp_path: Path, apart: Interpreter) -> None:
    write("a/b/c/own.feature", FEATURE.format(adjective="fine"))
    write("a/b/c/steps/given.py", GIVEN)
    write("steps/then.py", THEN)
    done = apart.run(tmp_path, "signoff", "run", "a", "--collect-only", "-q")
    assert done.status == 0, done.said
    assert "a/b/c/own.feature::test_it_is_ready" in done.stdout
    write("a/b/c/own.feature", FEATURE.format(adjective="unheard of"))
    assert "no step definition matches" in apart.run(tmp_path, "signoff", "run", "a", "--collect-only", "-q").said


def test_two_own_modules_of_a_name_are_refused(write: Write, tmp_path: Path, apart: Interpreter) -> None:
    write("a/own.feature", FEATURE.format(adjective="fine"))
    write("a/steps/given.py", GIVEN)
    write("steps/given.py", GIVEN)
    done = apart.run(tmp_path, "signoff", "run", "a", "--collect-only", "-q")
    assert done.status == 4 and "two step modules are called given" in done.stderr
