"""Runs the tests of one collection in several processes beside each other, each a fork of the one that has collected.

`make unit` loads this plugin: most of its tests take milliseconds, and each of pytest-xdist's workers would import and
collect all of them once more, a sixth of all the work.
"""

import os
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import groupby
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

import pytest

OPTION = "--beside"
ENDED = "ended"
TOGETHER = 24
"""Tests of one module that a process takes at once; they share what the module sets up."""
NEEDED = ("scipy.stats",)
"""What only functions import, and tests of many modules call: imported before the first fork, by all at once."""
_NUMBER = 4
"""Bytes of one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=int, metavar="N", help="run the tests in so many processes beside each other")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Deal the tests out, and tell the reports of all processes as if the tests had run here."""
    config: Any = session.config
    if not config.getoption(OPTION) or config.option.collectonly or session.testsfailed:
        return None
    config._tmp_path_factory.getbasetemp()  # one for all
    for module in NEEDED:
        import_module(module)
    waiting = Waiting(session.items)
    workers: list[Worker] = []
    for _ in range(config.getoption(OPTION)):
        workers.append(Worker(session, waiting, [each.told for each in workers]))
    try:
        while running := [worker for worker in workers if worker.runs]:
            ready = wait([worker.told for worker in running])
            for worker in running:
                if worker.told in ready:
                    worker.hear()
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
    finally:
        for worker in workers:
            worker.end()
    return True


class Waiting:
    """The tests that nobody has taken yet: the numbers of their parts lie in a pipe from which all processes read."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        modules = [list(of_module) for _, of_module in groupby(items, lambda item: item.path)]
        self._parts = [each[at : at + TOGETHER] for each in modules for at in range(0, len(each), TOGETHER)]
        self._numbers, end = os.pipe()
        with os.fdopen(end, "wb") as file:
            file.writelines(number.to_bytes(_NUMBER) for number in range(len(self._parts)))

    def taken(self) -> Iterator[pytest.Item]:
        """Those that this process takes, until none is left."""
        while number := os.read(self._numbers, _NUMBER):
            yield from self._parts[int.from_bytes(number)]


class Worker:
    """A process that runs tests; `told` are hooks and their arguments, or why it ended."""

    def __init__(self, session: pytest.Session, waiting: Waiting, others: Sequence[Connection]) -> None:
        self.told, telling = Pipe(duplex=False)
        self.runs = True
        self._session, self._test = session, "no test"
        self._pid = os.fork()
        if not self._pid:
            for each in (*others, self.told):  # else it would not notice that nobody listens any more
                each.close()
            become(session, waiting, telling)
        telling.close()

    def hear(self) -> None:
        """Tell pytest what the process says.

        Raises:
            pytest.Session.Failed: it has ended too early.
        """
        config = self._session.config
        try:
            name, told = self.told.recv()
        except EOFError:
            if status := self._status():
                raise self._failed(f"ended with status {status}") from None
            return
        if name == ENDED:
            raise self._failed(told)
        if name == "pytest_runtest_logstart":
            self._test = told["nodeid"]
        if name == "pytest_runtest_logreport":
            told["report"] = config.hook.pytest_report_from_serializable(config=config, data=told["report"])
        hook = getattr(config.hook, name)
        hook.call_historic(kwargs=told) if hook.is_historic() else hook(**told)

    def _failed(self, why: str) -> BaseException:
        self._session.shouldfail = f"not all tests ran: the process of {self._test} {why}"
        return self._session.Failed(self._session.shouldfail)

    def end(self) -> None:
        """Hear no more, which ends the process with its next report, and wait for that."""
        self.told.close()
        self._status()

    def _status(self) -> int:
        """As which it has ended, once it has."""
        if not self.runs:
            return 0
        self.runs = False
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def become(session: pytest.Session, waiting: Waiting, telling: Connection) -> NoReturn:
    """Run tests until none is left, or nobody listens, and undo what they set up."""
    status = 1
    try:
        with suppress(BrokenPipeError, KeyboardInterrupt):
            plugins = session.config.pluginmanager
            plugins.unregister(name="terminalreporter")
            plugins.register(Teller(session.config, telling))
            capture_apart(plugins.getplugin("capturemanager"))
            try:
                run(waiting.taken())
            except Exception:
                telling.send((ENDED, f"ended:\n{traceback.format_exc()}"))
            finally:
                session._setupstate.teardown_exact(None)
            status = 0
    finally:
        telling.close()
        os._exit(status)


def capture_apart(capture: Any) -> None:
    """Into files that no other process writes to."""
    if capture:
        capture.stop_global_capturing()
        capture.start_global_capturing()


def run(items: Iterator[pytest.Item]) -> None:
    item = next(items, None)
    while item:
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


class Teller:
    """Passes on what a terminal shows."""

    def __init__(self, config: pytest.Config, telling: Connection) -> None:
        self._config, self._telling = config, telling

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._telling.send(("pytest_runtest_logstart", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._telling.send(("pytest_runtest_logfinish", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._telling.send(("pytest_runtest_logreport", {"report": data}))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        if when != "runtest":  # told already, before there was this process
            return
        found = warning_message
        whole = warnings.WarningMessage(found.message, found.category, found.filename, found.lineno)
        told = {"warning_message": whole, "when": when, "nodeid": nodeid, "location": location}
        self._telling.send(("pytest_warning_recorded", told))
