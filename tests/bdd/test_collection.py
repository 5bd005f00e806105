"""Features are collected directly, and what is wrong with them is said before anything starts."""

import pytest

from tests.bdd.conftest import Project


def test_ids_name_the_feature_and_the_scenario(project: Project) -> None:
    done = project.run("features", "--collect-only", "-q")
    assert done.status == 0
    assert "features/one.feature::test_both[plain-fine]" in done.output
    assert "Signed off" not in done.output
    assert not (project.folder / "reports").exists()


def test_a_step_text_defined_twice_is_an_error_with_both_places(project: Project) -> None:
    project.write("more.py", "from pytest_bdd import given\n\n@given('a start')\ndef again():\n    pass\n")
    project.replace("conftest.py", '"words"]', '"words", "more"]')
    done = project.run()
    assert done.status == 4
    assert "2 step definitions match" in done.output
    assert "more.py:4" in done.output or "more.py:3" in done.output


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("Then nobody wrote this", "no step definition matches"),
        ("Then nobody would miss it", "observes no check, so nobody would judge it"),
    ],
)
def test_a_step_that_observes_nothing_is_an_error_with_its_place(project: Project, step: str, told: str) -> None:
    project.scenarios(f"First: Given a start; Then it is fine; {step}")
    done = project.run()
    assert done.status == 4
    assert f"features/one.feature:7: {step}" in done.output
    assert told in done.output
    assert "Traceback" not in done.output


def test_an_unknown_tag_is_an_error(project: Project) -> None:
    project.scenarios("First: Then it is fine", tags="@AC1 @typo")
    done = project.run()
    assert done.status not in (0, 1)
    assert "typo" in done.output


def test_a_run_without_features_leaves_no_report(project: Project) -> None:
    project.write("test_plain.py", "def test_it():\n    pass\n")
    done = project.run("test_plain.py")
    assert done.status == 0
    assert not (project.folder / "reports").exists()


# The declaration


@pytest.mark.parametrize(
    ("old", "new", "told", "line"),
    [
        ("checks: [enough]", "checks: [enuogh]", "no check is called 'enuogh'; did you mean 'enough'?", 7),
        ("judge: at-most", "judge: atmost", "no judge is called 'atmost'; did you mean 'at-most'?", 14),
        ("wants: 3", "wnats: 3", "no such setting; did you mean 'wants'?", 14),
        (", wants: 3", "", "the judge 'at-most' needs wants", 14),
        ("  enough: {", "  enough: {part_of: fien, ", "no check is called 'fien'; did you mean 'fine'?", 14),
        ("  enough:", "  other: {text: o, judge: equals, wants: 1}\n  enough:", "no criterion needs the check", 14),
        ("documents: a book", "documents: ''", "needs either checks or documents", 9),
        ("signoff.story/1", "signoff.story/9", "signoff.story/1", 2),
        ("checks:\n  fine:", "checks:\n  late: {text: l, judge: equals, wants: 1}\n  fine:", "no criterion needs", 12),
        ("title: A small", "title: [A small", "not valid YAML", 5),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said_by_file_and_line(
    project: Project, old: str, new: str, told: str, line: int
) -> None:
    project.replace("features/story.yaml", old, new)
    done = project.run()
    assert done.status == 4
    assert told in done.output
    assert f"features/story.yaml:{line}" in done.output
    assert not (project.folder / "reports").exists()


def test_features_without_a_declaration_are_refused(project: Project) -> None:
    (project.folder / "features" / "story.yaml").unlink()
    done = project.run()
    assert done.status == 4
    assert "no story.yaml says what must be judged" in done.output


def test_features_of_two_stories_are_no_run(project: Project) -> None:
    project.write("other/story.yaml", project.read("features/story.yaml"))
    project.write("other/two.feature", project.read("features/two.feature"))
    done = project.run("features", "other")
    assert done.status == 4
    assert "belong to 2 stories" in done.output


def test_a_check_that_no_scenario_observes_is_refused_with_its_line(project: Project) -> None:
    (project.folder / "features" / "two.feature").unlink()
    done = project.run()
    assert done.status == 4
    assert "features/story.yaml:14: no scenario observes the check 'enough'" in done.output


def test_a_pending_check_that_is_observed_is_pending_no_more(project: Project) -> None:
    project.replace("features/story.yaml", "wants: 3}", "wants: 3, pending: later}")
    done = project.run()
    assert done.status == 4
    assert "a scenario observes the check 'enough', which is `pending`" in done.output
