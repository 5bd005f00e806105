"""Every test, a few at a time: what has passed on this commit is left out, and a table says what ran when.

`make prove` loads this plugin, and then tries each mutation with every feature. Each test's end is one line of a file,
written as it comes, so that a run may be interrupted and gone on with. With uncommitted changes nothing is left out:
nobody could say what had passed.
"""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path, PurePath

import pytest

from signoff.core.paths import ROOT

OPTION = "--prove"
CHANGED = "-dirty"
TABLE = "{:<34} {:>6} {:>6} {:>7} {:>8}  {:<16} {:<16}"


@dataclass(frozen=True)
class Ending:
    """How a test ended, on which commit, when, and after how long."""

    test: str
    outcome: str
    commit: str
    at: str
    seconds: float

    @property
    def group(self) -> str:
        """The folder or module right below tests/."""
        return "/".join(PurePath(self.test.partition("::")[0]).parts[:2])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION, metavar="FILE", help="write each test's end into this file; leave out what has passed on this commit"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(EndRecorder(Path(config.getoption(OPTION)), this_commit()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption(OPTION):
        return
    passed = proven(endings(Path(config.getoption(OPTION))), this_commit())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


def this_commit() -> str:
    """The commit, and whether anything differs from it."""
    return _git("rev-parse", "--short", "HEAD") + (CHANGED if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout.strip()


def endings(file: Path) -> list[Ending]:
    """What the file holds; a line that a kill has cut off counts for nothing."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Ending(**json.loads(line)) for line in lines if line.endswith("}")]


def proven(kept: Iterable[Ending], commit: str) -> set[str]:
    """The tests whose last end on this commit is that they passed."""
    last = {each.test: each.outcome for each in kept if each.commit == commit}
    return set() if commit.endswith(CHANGED) else {test for test, outcome in last.items() if outcome == "passed"}


class EndRecorder:
    """Records how each test ended, of all processes of a run."""

    def __init__(self, file: Path, commit: str) -> None:
        self.file, self.commit = file, commit
        self.outcomes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        file.parent.mkdir(parents=True, exist_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid
        self.seconds[test] = self.seconds.get(test, 0.0) + report.duration
        if not report.passed:
            self.outcomes.setdefault(test, report.outcome)
        if report.when == "teardown":
            self.record(test, self.outcomes.pop(test, "passed"), self.seconds.pop(test))

    def record(self, test: str, outcome: str, seconds: float) -> None:
        ending = Ending(test, outcome, self.commit, f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", round(seconds, 2))
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(ending)) + "\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Where nothing is left to run, all is well."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and proven(endings(self.file), self.commit):
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"what ran on {self.commit} ({self.file})")
        for line in table(endings(self.file), self.commit):
            terminalreporter.write_line(line.rstrip())


def table(kept: Iterable[Ending], commit: str) -> list[str]:
    """A line for each folder of tests: how many ended how, how long they took, and from when to when."""
    last = {each.test: each for each in kept if each.commit == commit}
    lines = [TABLE.format("", "passed", "failed", "skipped", "seconds", "first", "last")]
    for group, members in groupby(sorted(last.values(), key=lambda each: each.group), key=lambda each: each.group):
        those = list(members)
        counts = [sum(each.outcome == outcome for each in those) for outcome in ("passed", "failed", "skipped")]
        seconds = f"{sum(each.seconds for each in those):.0f}"
        lines.append(
            TABLE.format(group, *counts, seconds, min(each.at for each in those), max(each.at for each in those))
        )
    return lines
