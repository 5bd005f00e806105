"""Timed requests as a CSV file: a line for each, with the fields of `Timing`."""

import csv
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from signoff.core.errors import SignoffError
from signoff.core.redact import scrubbed
from signoff.traffic.pairs import Timing


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Timing], None]]:
    """Give what writes a line; each is with the operating system at once."""
    with path.open("w", newline="", buffering=1, encoding="utf-8") as file:
        lines = csv.DictWriter(file, [each.name for each in fields(Timing)])
        lines.writeheader()
        yield lambda timing: lines.writerow(asdict(replace(timing, error=scrubbed(timing.error))))


def read(path: Path) -> tuple[Timing, ...]:
    """What was written.

    Raises:
        SignoffError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return tuple(Timing(**{name: _READS[name](text) for name, text in row.items()}) for row in rows)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise SignoffError(f"{path.name} holds no timed requests: {error}", where=str(path)) from None


_HINTS = get_type_hints(Timing)


def _reader(name: str) -> Callable[[str], Any]:
    """What reads a cell as the field's type; an empty one of an optional field is None."""
    hint = _HINTS[name]
    kind = next((each for each in get_args(hint) if isinstance(each, type) and each is not types.NoneType), hint)
    read = _OF_TYPES.get(kind, _same)
    if types.NoneType in get_args(hint):
        return lambda text: None if text == "" else read(text)
    return read


def _same(text: str) -> str:
    return text


_OF_TYPES: dict[Any, Callable[[str], Any]] = {bool: lambda text: text == "True", int: int, float: float}
_READS = {each.name: _reader(each.name) for each in fields(Timing)}
