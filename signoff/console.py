"""Progress for a person: one line per step on stderr, with the seconds since the start; colour only on a terminal."""

import os
import sys
import time

_START = time.monotonic()


def _colour() -> bool:
    return sys.__stderr__ is not None and sys.__stderr__.isatty() and "NO_COLOR" not in os.environ


def progress(subject: str, text: str) -> None:
    """Write `[ 12.3s] subject: text` past any capture, so that pytest shows it while one waits."""
    stamp, name = f"[{time.monotonic() - _START:6.1f}s]", subject
    if _colour():
        stamp, name = f"\x1b[2m{stamp}\x1b[0m", f"\x1b[36m{subject}\x1b[0m"
    print(f"{stamp} {name}: {text}", file=sys.__stderr__, flush=True)
