"""`signoff settings`: each setting's value, and where it comes from."""

import argparse
import json
import os
import sys
from typing import Any

from signoff.settings import Read, arguments
from signoff.settings.model import default_of, names
from signoff.settings.shown import origin, record, text

_HEADINGS = ("", "SETTING", "VALUE", "FROM")
_YELLOW, _PLAIN = "\x1b[33m", "\x1b[0m"


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "settings",
        help="show each setting's value, and where it comes from",
        description=run.__doc__,
        epilog="An API key is given in SIGNOFF_API_KEY or in the file, and never shown.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments.declare(parser.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show each setting's value, and where it comes from.

    That is an option, else a variable, else a file of settings, else the story. A value that is not the story's is
    marked: a run with it says so in its headline.
    """
    read = arguments.read_from(options)
    if options.json:
        print(json.dumps(record(read), ensure_ascii=False, indent=1))
        return 0
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    rows = [_HEADINGS, *(_row(read, name) for name in names())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        print(f"{_YELLOW}{line}{_PLAIN}" if colour and row[0] == "*" else line)
    if read.differing:
        print("* is not the story's")
    return 0


def _row(read: Read, name: str) -> tuple[str, ...]:
    value, where = text(name, getattr(read.settings, name)), origin(read, name)
    if name not in read.differing:
        return "", name, value, where
    return "*", name, value, f"{where} (the story's: {text(name, default_of(name))})"
