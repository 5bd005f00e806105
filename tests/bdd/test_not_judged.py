"""Whatever is tried to be signed off without being judged ends non-zero: the table of docs/not-judged.md, tried."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from signal import SIGINT, SIGKILL

import pytest

from signoff.cli import main
from signoff.core.paths import ROOT
from signoff.evidence import FILE
from signoff.judges.run import Result
from signoff.report import PAGES, VERDICT
from tests.bdd.conftest import Finished, Project
from tests.forks import appears
from tests.sampling import sampled

TABLE = ROOT / "docs" / "not-judged.md"
MIN_ROWS = 25


@dataclass(frozen=True)
class Row:
    """A line of the table: what is tried, the exit status, and what is said."""

    key: str
    status: int
    said: str


def rows() -> list[Row]:
    found = re.findall(r"^\| ([a-z][a-z-]+) \| .+ \| (-?\d+) \| (.*?) ?\|$", TABLE.read_text(), re.MULTILINE)
    return [Row(key, int(status), said) for key, status, said in found]


TRICKS: dict[str, Callable[[Project], Finished]] = {}


def trick(function: Callable[[Project], Finished]) -> Callable[[Project], Finished]:
    TRICKS[function.__name__.replace("_", "-")] = function
    return function


def with_options(key: str, *options: str) -> None:
    """A trick that is nothing but options."""
    TRICKS[key] = lambda project: project.run("features", *options)


def failing(project: Project) -> Project:
    """With a check that fails."""
    project.replace("features/one.feature", "Then it is fine", "Then it is not fine")
    return project


def repaired(project: Project) -> None:
    """After a run that failed."""
    failing(project).run()
    project.replace("features/one.feature", "Then it is not fine", "Then it is fine")
    (project.folder / "reports").rename(project.folder / "before")


def conftest(project: Project, code: str) -> Finished:
    """With something more in the conftest."""
    project.write("conftest.py", project.read("conftest.py") + "\nimport pytest\n" + code)
    return project.run()


with_options("collect-only", "--co")
with_options("setup-plan", "--setup-plan")
with_options("setup-only", "--setup-only")
with_options("keyword", "-k", "first")
with_options("marker", "-m", "AC1")
with_options("nothing-selected", "-k", "nothing_of_that_name")
with_options("no-plug-in", "-p", "no:signoff.bdd.plugin")
with_options("no-bdd", "-p", "no:pytest-bdd")
with_options("no-terminal", "-p", "no:terminal", "-k", "first")
with_options("no-conftest", "--noconftest")
with_options("parallel", "-n", "2")
with_options("waive-all", "--waive", "enough=nobody counts")
with_options("waive-unknown", "--waive", "everything=why not")
with_options("waive-passed", "--waive", "fine=never mind")


@trick
def one_id(project: Project) -> Finished:
    return project.run("features/one.feature::test_first")


@trick
def one_example(project: Project) -> Finished:
    return project.run(
        "features/one.feature::test_first", "features/one.feature::test_both[plain-fine]", "features/two.feature"
    )


@trick
def last_failed(project: Project) -> Finished:
    repaired(project)
    return project.run("features", "--lf")


@trick
def stepwise(project: Project) -> Finished:
    project.replace("features/two.feature", "there are 3", "there are 9")
    project.run("features", "--sw")
    project.replace("features/two.feature", "there are 9", "there are 3")
    (project.folder / "reports").rename(project.folder / "before")
    return project.run("features", "--sw")


@trick
def deselect(project: Project) -> Finished:
    return failing(project).run("features", "--deselect", "features/one.feature::test_first")


@trick
def ignore(project: Project) -> Finished:
    return failing(project).run("features", "--ignore", "features/one.feature")


@trick
def first_failure(project: Project) -> Finished:
    return failing(project).run("features", "-x")


@trick
def max_failures(project: Project) -> Finished:
    return failing(project).run("features", "--maxfail=1")


@trick
def optimised(project: Project) -> Finished:
    failing(project)
    command = [sys.executable, "-O", "-m", "pytest", "features", "--reports", "reports"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout + done.stderr, project.folder)


@trick
def conftest_deselects(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "first" not in item.name]
""",
    )


@trick
def conftest_skips(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
def pytest_runtest_setup(item):
    if "first" in item.name:
        pytest.skip("not today")
""",
    )


@trick
def conftest_expects_failure(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xfail)
""",
    )


@trick
def conftest_reorders(project: Project) -> Finished:
    return conftest(failing(project), "def pytest_collection_modifyitems(items): items.reverse()\n")


@trick
def conftest_swallows(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
    )


@trick
def conftest_runs_nothing(project: Project) -> Finished:
    return conftest(failing(project), "def pytest_runtest_protocol(item, nextitem): return True\n")


@trick
def conftest_exit_status(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    try:
        return (yield)
    finally:
        session.exitstatus = 0
""",
    )


@trick
def conftest_last_word(project: Project) -> Finished:
    return conftest(
        failing(project),
        """
SESSION = []
def pytest_sessionstart(session): SESSION.append(session)
@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config): SESSION[0].exitstatus = 0
""",
    )


@trick
def repeated(project: Project) -> Finished:
    project.write(
        "words.py",
        project.read("words.py").replace(
            'evidence.add(Fact(check="fine", seen=True))',
            'evidence.add(Fact(check="fine", seen=TRIES.append(1) or len(TRIES) > 1))',
        )
        + "\nTRIES = []\n",
    )
    return conftest(
        project,
        """
def pytest_collection_modifyitems(items): items.extend([item for item in items if "first" in item.name])
def pytest_runtest_logreport(report): pass
""",
    )


@trick
def error_after(project: Project) -> Finished:
    project.replace("features/one.feature", "Then it is fine", "Then it is fine\n    And LiteLLM does not answer")
    return conftest(
        project,
        """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
    )


@trick
def error_at_the_end(project: Project) -> Finished:
    return conftest(
        project,
        """
@pytest.fixture(autouse=True)
def fails_at_the_end():
    yield
    raise OSError("the cluster is not as it was")
""",
    )


@trick
def other_tests(project: Project) -> Finished:
    project.write("test_other.py", "def test_it():\n    assert False\n")
    return project.run("features", "test_other.py")


@trick
def plug_in_unregistered(project: Project) -> Finished:
    return conftest(
        project,
        """
def pytest_collection_finish(session):
    session.config.pluginmanager.unregister(name="signoff.bdd.plugin")
def pytest_runtest_protocol(item, nextitem):
    return True
""",
    )


@trick
def linked_folder(project: Project) -> Finished:
    (project.folder / "sub").mkdir()
    (project.folder / "sub" / "link").symlink_to(project.folder / "features")
    return project.run("sub", "-k", "first")


@trick
def undeclared_case(project: Project) -> Finished:
    project.replace("features/one.feature", "| streamed | fine |", "| streamed | fine |\n      | other | fine |")
    return project.run()


@trick
def undeclared_check(project: Project) -> Finished:
    project.replace("words.py", 'Fact(check="fine", seen=True)', 'Fact(check="fien", seen=True)')
    return project.run()


@trick
def waive_outside(project: Project) -> Finished:
    project.replace("features/story.yaml", "checks: [enough]", "checks: [enough, outside]")
    return project.run("features", "--waive", "enough=nobody counts")


@trick
def nothing_in_reach(project: Project) -> Finished:
    project.replace("features/story.yaml", "checks: [enough]", "checks: [outside]")
    project.replace("features/story.yaml", "  enough: {text: there is enough of it, judge: at-most, wants: 3}\n", "")
    (project.folder / "features" / "two.feature").unlink()
    return project.run()


def half_way(project: Project, number: int) -> Finished:
    project.scenarios("First: Then it is fine", "Second: Then it takes for ever")
    process = project.start()
    appears(project.folder / "waiting")
    process.send_signal(number)
    ended = process.wait()
    return Finished(ended.status, ended.said, project.folder)


@trick
def killed(project: Project) -> Finished:
    return half_way(project, SIGKILL)


@trick
def interrupted(project: Project) -> Finished:
    return half_way(project, SIGINT)


@trick
def feature_deleted(project: Project) -> Finished:
    (project.folder / "features" / "two.feature").unlink()
    return project.run()


@trick
def scenario_deleted(project: Project) -> Finished:
    project.replace("features/one.feature", "  Scenario: First\n    Given a start\n    Then it is fine\n", "")
    return project.run()


@trick
def feature_empty(project: Project) -> Finished:
    project.write("features/empty.feature", "")
    return project.run()


@trick
def feature_broken(project: Project) -> Finished:
    project.write("features/broken.feature", "Feature: Broken\n  Scenario: S\n    Then it is fine\n  nonsense\n")
    return project.run()


@trick
def scenario_empty(project: Project) -> Finished:
    project.replace("features/two.feature", "    Then there are 3", "    Then there are 3\n\n  Scenario: Nothing")
    return project.run()


@trick
def only_given(project: Project) -> Finished:
    project.replace(
        "features/two.feature", "    Then there are 3", "    Then there are 3\n\n  Scenario: S\n    Given a start"
    )
    return project.run()


@trick
def same_name(project: Project) -> Finished:
    failing(project)
    project.replace(
        "features/one.feature", "  Scenario Outline", "  Scenario: First\n    Then it is fine\n\n  Scenario Outline"
    )
    return project.run()


@trick
def then_records_nothing(project: Project) -> Finished:
    project.replace("features/one.feature", "Then it is fine", "Then it is said to be fine")
    return project.run()


@trick
def then_observes_nothing(project: Project) -> Finished:
    project.replace("features/one.feature", "Then it is fine", "Then it is fine\n    And nobody would miss it")
    return project.run()


@trick
def example_deleted(project: Project) -> Finished:
    project.replace("features/one.feature", "      | streamed | fine |\n", "")
    return project.run()


@trick
def number_edited(project: Project) -> Finished:
    project.replace("features/two.feature", "there are 3", "there are 9")
    return project.run()


@trick
def report_of_less(project: Project) -> Finished:
    run_dir = project.run().run_dir
    lines = (run_dir / FILE).read_text().splitlines(keepends=True)
    (run_dir / FILE).write_text("".join(line for line in lines if '"check": "enough"' not in line))
    for page in (*PAGES, VERDICT):
        (run_dir / page).unlink()
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = main(["report", str(run_dir)])
    return Finished(status, printed.getvalue(), project.folder)


def test_every_row_is_tried_and_there_are_enough() -> None:
    keys = [row.key for row in rows()]
    assert len(keys) == len(set(keys)) >= MIN_ROWS
    assert set(keys) == set(TRICKS)


def see_that_it_is_not_signed_off(row: Row, done: Finished) -> None:
    assert done.status == row.status, done.output
    assert "Signed off" not in done.output
    assert row.said in done.output, done.output
    for folder in (done.folder / "reports").glob("*"):
        if (folder / VERDICT).exists():
            assert json.loads((folder / VERDICT).read_text())["exit_status"] == row.status
        for page in (*PAGES, VERDICT):
            if (folder / page).exists():
                assert "Signed off" not in (folder / page).read_text()


def kind(row: Row) -> tuple[str, int, str]:
    """What it is tried with, by an option, a conftest, an interpreter without assertions, or else; how it ends."""
    first = row.key.partition("-")[0]
    with_what = "option" if TRICKS[row.key].__name__ == "<lambda>" else first
    return with_what if with_what in {"option", "conftest", "optimised"} else "else", row.status, row.said


@pytest.mark.parametrize("row", sampled((pytest.param(row, id=row.key) for row in rows()), kind))
def test_it_is_not_signed_off(row: Row, project: Project) -> None:
    see_that_it_is_not_signed_off(row, TRICKS[row.key](project))


@pytest.mark.parametrize("key", ["setup-plan", "keyword", "deselect"])
def test_the_table_can_fail(key: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were every run signed off, the table would tell."""
    monkeypatch.setattr(Result, "signed_off", property(lambda self: True))
    row = next(row for row in rows() if row.key == key)
    with pytest.raises(AssertionError):
        see_that_it_is_not_signed_off(row, TRICKS[key](project))


def test_without_a_trick_the_run_is_signed_off(project: Project) -> None:
    done = project.run()
    assert (done.status, "Signed off" in done.output) == (0, True)
