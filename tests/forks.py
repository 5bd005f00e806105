"""Programs that tests start as a user's shell would, without the second in which each would import the same.

One Python imports what all of them need, then forks for each: that one has its own output, folder, environment and end,
and hears signals.
"""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from runpy import run_module
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, NoReturn

from signoff import cli
from signoff.core.paths import ROOT
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.report.environment import _environment


@dataclass(frozen=True)
class Ended:
    """Exit status of a program, and what it said; -9 if it was killed, as `subprocess` tells it."""

    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


class Fork:
    """A program that runs."""

    def __init__(self, said: IO[str], outputs: list[Path]) -> None:
        self._said, self._outputs = said, outputs
        self._pid = int(said.readline())
        self._ended: Ended | None = None

    def send_signal(self, number: int) -> None:
        if not self._ended:
            os.kill(self._pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        if not self._ended:
            status = int(self._said.readline())
            self._ended = Ended(status, *(path.read_text("utf-8", "surrogateescape") for path in self._outputs))
        return self._ended

    def kill(self) -> None:
        """End it, unless it has ended."""
        with suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)
        self.wait()


class Interpreter:
    """A Python that runs one program after another; it is started for the first."""

    def __init__(self, folder: Path, environment: Mapping[str, str], ends: ExitStack) -> None:
        self._outputs = [folder / "stdout", folder / "stderr"]
        self._environment, self._ends = environment, ends

    def start(self, folder: Path, *command: str) -> Fork:
        """Start `signoff` or `pytest` with these arguments in a folder; it ends before the next one starts."""
        asked = {
            "command": command,
            "folder": str(folder),
            "environment": dict(os.environ),
            "outputs": [str(path) for path in self._outputs],
        }
        asking, answers = self._pipes
        self._last.close()
        print(json.dumps(asked), file=asking, flush=True)
        fork = Fork(answers, self._outputs)
        self._last.callback(fork.kill)
        return fork

    def run(self, folder: Path, *command: str) -> Ended:
        """The same to its end."""
        return self.start(folder, *command).wait()

    @cached_property
    def _pipes(self) -> tuple[IO[str], IO[str]]:
        command, environment = [sys.executable, "-m", "tests.forks"], {**os.environ, **self._environment}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None and process.stdout is not None
        self._ends.enter_context(process)
        return process.stdin, process.stdout

    @cached_property
    def _last(self) -> ExitStack:
        """Ends the last program, if it still runs."""
        return self._ends.enter_context(ExitStack())


@contextmanager
def interpreter(environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Interpreter]:
    """One with these settings of Python's own; it ends with the block."""
    with TemporaryDirectory() as folder, ExitStack() as ends:
        yield Interpreter(Path(folder), environment, ends)


def appears(path: Path) -> None:
    """Wait until this is there."""

    def look() -> None:
        if not path.exists():
            raise NotYet("it is not there")

    eventually(str(path), Timeout(60, every=0.02), look)


# Within it

NEEDED = (
    "pytest", "pytest_bdd", "pytest_bdd.plugin", "xdist.plugin", "signoff.commands.report", "signoff.commands.verify",
    "signoff.options", "signoff.judges.beforehand", "signoff.gateway.under_test", "signoff.kube.client",
    "signoff.cluster.embedded.provider",
)  # fmt: skip
"""What most programs import. Not signoff.bdd: from there on a signal ends the process without a word."""


def serve() -> None:
    """Fork for each line of the input; tell the PID, then the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the tests don't hear it (nohup, CI)
    for module in NEEDED:
        import_module(module)
    for page in (environment := _environment()).list_templates(filter_func=is_of_a_run):
        environment.get_template(page)
    gc.freeze()  # so that no fork looks through all of it for garbage
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            answers.close()
            become(**json.loads(line))
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def is_of_a_run(template: str) -> bool:
    """Whether it draws the pages of a run, which most programs write: to compile it is half of what they do."""
    return template.endswith(".j2") and not template.startswith(("load/", "parity/"))


def become(command: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> NoReturn:
    """Be this program."""
    for descriptor, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND), descriptor)
    os.chdir(native(folder))
    os.environ.clear()
    os.environ.update({native(name): native(value) for name, value in environment.items()})
    sys.path[0] = native(folder)
    sys.argv = list(map(native, command))
    if command[0] == "pytest":
        run_module("pytest", run_name="__main__")
    sys.exit(cli.main())


def native(text: str) -> str:
    """As this Python would have read it from its command line, in whatever locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    serve()
