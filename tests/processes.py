"""Programs that tests start as a user's shell would."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path


def start(command: Sequence[str], cwd: Path) -> "subprocess.Popen[str]":
    """Start it with pipes for its input and for both outputs together.

    It hears Ctrl-C even where the tests themselves do not (nohup, CI).
    """
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def said_until(process: "subprocess.Popen[str]", word: str) -> str:
    """What the process says up to the first line with this word."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"it never said {word!r}:\n{seen}")
