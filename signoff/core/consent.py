"""A person's consent, asked on the terminal; never taken for granted where there is none, in CI say."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Terminal = Callable[[], AbstractContextManager[object]]
_terminal: Terminal = nullcontext


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

    On stderr, for what programs read goes to stdout.
    """
    with _terminal():
        print(shown, file=sys.__stderr__, flush=True)
        if os.environ.get("CI") or not all(each and each.isatty() for each in (sys.__stdin__, sys.__stderr__)):
            return False
        print(f"{question} [y/N] ", end="", file=sys.__stderr__, flush=True)
        assert sys.__stdin__
        return sys.__stdin__.readline().strip().lower() in ("y", "yes")
