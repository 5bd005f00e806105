"""Tests that run beside each other are told of as if one process had run them, and none is lost unsaid."""

import os

import pytest

from tests.beside import TOGETHER

MANY = 2 * TOGETHER + 1


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    others = "-p no:locust -p no:pytest-kind -p no:hypothesispytest -p no:anyio -p no:xdist"
    pytester.makeini(f"[pytest]\naddopts = {others} -p tests.beside --beside 2")
    return pytester


def test_each_test_runs_once_and_its_failure_is_shown_with_what_it_said(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_many=f"""
        import os, pytest
        @pytest.mark.parametrize("number", range({MANY}))
        def test_it(number, tmp_path):
            with open("ran", "a") as file:
                print(number, os.getpid(), file=file)
            print(f"this is {{number}}")
            assert number != 3, "three is wrong"
        """,
        test_other="""
        import pytest, warnings
        def test_skipped(): pytest.skip("not here")
        def test_warned(): warnings.warn("look out")
        """,
    )
    done = suite.runpytest_inprocess()
    done.assert_outcomes(passed=MANY, failed=1, skipped=1)
    done.stdout.fnmatch_lines(["*test_it?3?*", "*three is wrong*", "this is 3", "*UserWarning: look out*"])
    assert "this is 4" not in done.stdout.str()
    numbers, processes = zip(*(line.split() for line in (suite.path / "ran").read_text().splitlines()), strict=True)
    assert sorted(map(int, numbers)) == list(range(MANY))
    assert str(os.getpid()) not in processes


def test_what_a_module_set_up_is_undone_wherever_it_was(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"""
        import os, pytest
        @pytest.fixture(scope="session")
        def place():
            yield
            with open(f"undone-{{os.getpid()}}", "x"): pass
        @pytest.mark.parametrize("number", range({MANY}))
        def test_it(number, place):
            with open(f"done-{{os.getpid()}}", "w"): pass
        """
    )
    suite.runpytest_inprocess().assert_outcomes(passed=MANY)
    done = {path.name.removeprefix("done-") for path in suite.path.glob("done-*")}
    assert done and done == {path.name.removeprefix("undone-") for path in suite.path.glob("undone-*")}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(7)", "*not all tests ran: the process of test_it.py::test_it ended with status 7*"),
        ("import pytest; pytest.exit('no more')", "*no more*"),
    ],
)
def test_a_process_that_ends_too_early_fails_the_run(suite: pytest.Pytester, code: str, said: str) -> None:
    suite.makepyfile(test_it=f"def test_it():\n    {code}\n")
    done = suite.runpytest_inprocess()
    assert done.ret != pytest.ExitCode.OK
    done.stdout.fnmatch_lines([said])


def test_the_first_failure_ends_all_where_that_is_asked_for(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(500))
        def test_it(number): assert number
        """
    )
    done = suite.runpytest_inprocess("-x")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert done.parseoutcomes().get("passed", 0) < 499
    done.stdout.fnmatch_lines(["*stopping after 1 failures*"])
