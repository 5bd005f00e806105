"""A person's consent, asked on the terminal; never taken for granted where there is none, in CI say."""

import os
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from signoff.core.redact import HIDDEN, scrubbed

Terminal = Callable[[], AbstractContextManager[object]]
_terminal: Terminal = nullcontext
_HIDES = (
    f"Where {HIDDEN} stands above, a value of a Secret is hidden, which may be all of a command: read it in its file."
)


@contextmanager
def asked_on(terminal: Terminal) -> Iterator[None]:
    """In this block a person is reached within `terminal`, for a test runner that has taken stdin say."""
    global _terminal
    before, _terminal = _terminal, terminal
    try:
        yield
    finally:
        _terminal = before


def given(shown: str, question: str) -> bool:
    """Whether a person who has been shown this says yes; nobody is asked in CI, or through a pipe.

    A person is shown all of it as it stands: whoever wrote a command can write a Secret beside it, whose value would
    hide that command. In a log secrets are hidden, which is said. On stderr, for what programs read goes to stdout.
    """
    with _terminal():
        if os.environ.get("CI") or not all(each and each.isatty() for each in (sys.__stdin__, sys.__stderr__)):
            print(_for_a_log(shown), file=sys.__stderr__, flush=True)
            return False
        assert sys.__stdin__
        print(shown, file=sys.__stderr__, flush=True)
        termios.tcflush(sys.__stdin__, termios.TCIFLUSH)  # whoever typed before has not read it
        print(f"{question} [y/N] ", end="", file=sys.__stderr__, flush=True)
        return sys.__stdin__.readline().strip().lower() in ("y", "yes")


def _for_a_log(shown: str) -> str:
    clean = scrubbed(shown)
    return clean if clean == shown else f"{clean}\n{_HIDES}"
