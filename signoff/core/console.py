"""Progress for a person: one line per step on stderr, with the seconds since the start; colour only on a terminal."""

import os
import sys
import time
from collections.abc import Callable

from signoff.core.redact import scrubbed

_START = time.monotonic()
_colour = sys.__stderr__ is not None and sys.__stderr__.isatty() and "NO_COLOR" not in os.environ


def _to_stderr(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


_write: Callable[[str], None] = _to_stderr


def write_with(write: Callable[[str], None] | None) -> None:
    """Have lines written by `write`, by a test runner that captures stderr say; None writes to stderr again."""
    global _write
    _write = write or _to_stderr


def progress(subject: str, text: str) -> None:
    """Write `[ 12.3s] subject: text`, so that a person who waits knows for what."""
    text = scrubbed(text)
    stamp, name = f"[{time.monotonic() - _START:6.1f}s]", subject
    if _colour:
        stamp, name = f"\x1b[2m{stamp}\x1b[0m", f"\x1b[36m{subject}\x1b[0m"
    _write(f"{stamp} {name}: {text}")
