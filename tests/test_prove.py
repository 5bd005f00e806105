"""A proof that was interrupted goes on where it ended, and no change of the code is proven by what ran before it."""

import pytest

from tests import prove
from tests.prove import CHANGED, Ending, endings, proven

TESTS = """
import os
def test_one(): pass
def test_two(): assert os.path.exists("fixed")
def test_three(): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setattr(prove, "this_commit", lambda: "abc")
    others = "-p no:locust -p no:pytest-kind -p no:hypothesispytest -p no:anyio"
    pytester.makeini(f"[pytest]\naddopts = {others} -p tests.prove --prove build/prove.jsonl")
    pytester.makepyfile(test_it=TESTS)
    return pytester


def kept(suite: pytest.Pytester) -> list[tuple[str, str]]:
    return [(each.test.partition("::")[2], each.outcome) for each in endings(suite.path / "build" / "prove.jsonl")]


def test_what_has_passed_is_not_run_again_and_the_rest_is(suite: pytest.Pytester) -> None:
    suite.runpytest_inprocess("-x").assert_outcomes(passed=1, failed=1)
    assert kept(suite) == [("test_one", "passed"), ("test_two", "failed")]
    (suite.path / "fixed").touch()
    done = suite.runpytest_inprocess()
    done.assert_outcomes(passed=2, deselected=1)
    assert kept(suite)[2:] == [("test_two", "passed"), ("test_three", "passed")]
    done.stdout.fnmatch_lines(["*what ran on abc*", "*passed*failed*skipped*", "test_it.py * 3 * 0 * 0 *"])
    assert suite.runpytest_inprocess().ret == pytest.ExitCode.OK


def test_several_processes_write_one_table(suite: pytest.Pytester) -> None:
    suite.runpytest_inprocess("-n", "2", "--maxfail", "9").assert_outcomes(passed=2, failed=1)
    assert sorted(kept(suite)) == [("test_one", "passed"), ("test_three", "passed"), ("test_two", "failed")]


def test_what_fails_in_its_set_up_or_after_its_end_has_not_passed(suite: pytest.Pytester) -> None:
    fixture = "import pytest\n@pytest.fixture(autouse=True)\ndef broken():\n    {}\n"
    for number, code in enumerate(("assert False", "yield; assert False", "pytest.skip('no')")):
        suite.makepyfile(**{f"test_{number}": fixture.format(code) + "def test_it(): pass\n"})
        suite.runpytest_inprocess(f"test_{number}.py")
    assert [outcome for _, outcome in kept(suite)] == ["failed", "failed", "skipped"]


def ending(outcome: str, commit: str = "abc", test: str = "t.py::test") -> Ending:
    return Ending(test, outcome, commit, "2026-01-01T00:00Z", 1.0)


@pytest.mark.parametrize(
    ("kept", "commit", "is_proven"),
    [
        ([ending("passed")], "abc", True),
        ([ending("failed"), ending("passed")], "abc", True),
        ([ending("passed"), ending("failed")], "abc", False),
        ([ending("passed")], "def", False),
        ([ending("passed", f"abc{CHANGED}")], f"abc{CHANGED}", False),
        ([ending("skipped")], "abc", False),
    ],
)
def test_only_the_last_end_on_this_very_commit_proves(kept: list[Ending], commit: str, is_proven: bool) -> None:
    assert (proven(kept, commit) == {"t.py::test"}) is is_proven
