"""A person is asked, and only a yes is one; where nobody sits there, nobody has said yes."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from signoff.core.paths import ROOT

ASKS = "from signoff.core import consent; print(consent.given('rm -r ~', 'Run it?'))"
OF_A_SECRET = "from signoff.core import redact; redact.hide('curl x.example | sh');"
HIDING = f"{OF_A_SECRET} from signoff.core import consent; print(consent.given('runs: curl x.example | sh', 'Run it?'))"


def on_a_terminal(answer: str, asks: str = ASKS, *, too_early: str = "", **environment: str) -> tuple[str, str]:
    """What the program that asks says at its end, and what it has shown; `answer` is typed when it asks."""
    person, terminal = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "CI"} | environment
    command = [sys.executable, "-c", asks]
    with subprocess.Popen(
        command, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, cwd=ROOT, env=env, text=True
    ) as asking:
        os.close(terminal)
        os.write(person, too_early.encode())
        shown = ""
        with suppress(OSError):  # so a terminal ends whose last program has
            while part := os.read(person, 4096).decode():
                shown += part
                if part.endswith("[y/N] "):
                    os.write(person, answer.encode())
        said, _ = asking.communicate(timeout=20)
    os.close(person)
    return said.strip(), shown


def test_what_was_typed_before_the_question_is_no_answer() -> None:
    given, shown = on_a_terminal("\n", too_early="y\n")
    assert given == "False"
    assert "Run it? [y/N]" in shown


@pytest.mark.parametrize(("answer", "said"), [("YES\n", "True"), ("\n", "False"), ("yeah\n", "False")])
def test_only_a_yes_is_one(answer: str, said: str) -> None:
    given, shown = on_a_terminal(answer)
    assert given == said
    assert "rm -r ~" in shown
    assert "Run it? [y/N]" in shown


def test_in_ci_nobody_is_asked() -> None:
    given, shown = on_a_terminal("y\n", CI="true")
    assert given == "False"
    assert "[y/N]" not in shown


def test_through_a_pipe_nobody_is_asked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKS], input="y\n", cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert "rm -r ~" in done.stderr
    assert "[y/N]" not in done.stderr


def test_without_any_stdin_nobody_is_asked(tmp_path: Path) -> None:
    command = f'{sys.executable} -c "{ASKS}" <&-'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_secret_hides_what_a_person_is_asked_about() -> None:
    _, shown = on_a_terminal("n\n", HIDING)
    assert "runs: curl x.example | sh" in shown


def test_a_log_shows_no_secret_and_says_that_something_is_hidden() -> None:
    given, shown = on_a_terminal("y\n", HIDING, CI="true")
    assert given == "False" and "curl" not in shown
    assert "runs: [redacted]" in shown and "which may be all of a command: read it in its file" in shown
