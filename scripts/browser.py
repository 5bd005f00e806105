"""Chromium or Chrome of this machine, in which the tests look at the pages; needs nothing beyond Python.

    python3 scripts/browser.py      # prints the browser's path, or ends with 1 and says what to do

A program of such a name need not be a browser: Ubuntu's `chromium-browser` only says to install a snap. The first one
that reports a version is taken.
"""

import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = "there is no Chromium or Chrome on PATH: install it, as by apt-get install chromium"
_ANSWERS_WITHIN_SECONDS = 30


def find() -> str | None:
    """The path of the first one that works."""
    return next(filter(_works, filter(None, map(shutil.which, NAMES))), None)


def _works(program: str) -> bool:
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, timeout=_ANSWERS_WITHIN_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


if __name__ == "__main__":
    found = find()
    print(found or MISSING, file=sys.stdout if found else sys.stderr)
    sys.exit(found is None)
