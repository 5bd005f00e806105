"""Features are collected directly, and what is wrong with them is said before anything starts."""

from tests.plugin.conftest import Project


def test_ids_name_the_feature_and_the_scenario(project: Project) -> None:
    project.write(
        "features/one.feature",
        "@AC1\nFeature: One\n  Scenario Outline: Sums are right\n    Then <a> equals <b>\n"
        "    Examples:\n      | a | b |\n      | 1 | 1 |\n",
    )
    done = project.run("features", "--collect-only", "-q")
    assert "features/one.feature::test_sums_are_right[1-1]" in done.output
    assert not (project.folder / "reports").exists()


def test_an_undefined_step_is_an_error_with_its_place(project: Project) -> None:
    project.scenarios("First: Given a start; Then nobody wrote this")
    done = project.run()
    assert done.status == 4
    assert "features/one.feature:6: Then nobody wrote this" in done.output
    assert "no step definition matches" in done.output


def test_a_step_text_defined_twice_is_an_error_with_both_places(project: Project) -> None:
    project.scenarios("First: Given a start")
    project.write("more.py", "from pytest_bdd import given\n\n@given('a start')\ndef again():\n    pass\n")
    conftest = (project.folder / "conftest.py").read_text()
    project.write("conftest.py", conftest.replace('"words"]', '"words", "more"]'))
    done = project.run()
    assert done.status == 4
    assert "2 step definitions match" in done.output
    assert "more.py:4" in done.output or "more.py:3" in done.output


def test_an_unknown_tag_is_an_error(project: Project) -> None:
    project.scenarios("First: Given a start", tags="@AC1 @typo")
    done = project.run()
    assert done.status != 0
    assert "typo" in done.output


def test_a_feature_that_is_none_is_an_error(project: Project) -> None:
    project.write("features/one.feature", "Scenario without a feature\n")
    done = project.run()
    assert done.status != 0
    assert "one.feature is not a feature" in done.output


def test_a_run_without_features_leaves_no_report(project: Project) -> None:
    project.write("test_plain.py", "def test_it():\n    pass\n")
    done = project.run("test_plain.py")
    assert done.status == 0
    assert not (project.folder / "reports").exists()
