"""Programs that tests start as a user's shell would, without the second in which each would import the same.

One Python imports what all of them need, then forks for each: that one has its own output, folder, environment and end,
and hears signals.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NoReturn

import pytest

from signoff import cli
from signoff.core.paths import ROOT


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
        self.pid = int(said.readline())

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        status = int(self._said.readline())
        return Ended(status, *(path.read_text("utf-8", "surrogateescape") for path in self._outputs))


class Interpreter:
    """A Python that runs one program after another."""

    def __init__(self, process: "subprocess.Popen[str]", outputs: Path) -> None:
        self._process, self._outputs = process, [outputs / "stdout", outputs / "stderr"]

    def start(self, folder: Path, *command: str) -> Fork:
        """Start `signoff` or `pytest` with these arguments in a folder; the one before has to be over."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {
            "command": command,
            "folder": str(folder),
            "environment": dict(os.environ),
            "outputs": [str(path) for path in self._outputs],
        }
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return Fork(self._process.stdout, self._outputs)

    def run(self, folder: Path, *command: str) -> Ended:
        """The same to its end."""
        return self.start(folder, *command).wait()


@contextmanager
def interpreter(environment: Mapping[str, str] | None = None) -> Iterator[Interpreter]:
    """Start one, with these settings of Python's own."""
    command = [sys.executable, "-m", "tests.forks"]
    with (
        TemporaryDirectory() as outputs,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield Interpreter(process, Path(outputs))


# Within it

NEEDED = ("signoff.commands.report", "signoff.commands.verify", "signoff.options")
"""What most programs import. Not signoff.bdd: from there on a signal ends the process without a word."""


def serve() -> None:
    """Fork for each line of the input; tell the PID, then the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the tests don't hear it (nohup, CI)
    for module in NEEDED:
        import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            answers.close()
            become(**json.loads(line))
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def become(command: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> NoReturn:
    """Be this program."""
    for descriptor, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND), descriptor)
    os.chdir(native(folder))
    os.environ.clear()
    os.environ.update({native(name): native(value) for name, value in environment.items()})
    sys.path[0] = native(folder)
    sys.argv = list(map(native, command))
    sys.exit(pytest.console_main() if command[0] == "pytest" else cli.main())


def native(text: str) -> str:
    """As this Python would have read it from its command line, in whatever locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    serve()
