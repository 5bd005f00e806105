"""A file of settings: what it says, and the line at which it says so."""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signoff.core.errors import UsageError

KeyPath = tuple[str, ...]
_PATHS = ("manifests", "reports", "secrets")
"""Settings that name files; such a name is relative to the file that it stands in."""


class File:
    """A file of settings, read."""

    def __init__(self, path: Path, asked_by: str) -> None:
        """Read it; `asked_by` is what named it, for the refusal.

        Raises:
            UsageError: it cannot be read, or is not TOML.
        """
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"the settings are not UTF-8 text: {error.reason} at byte {error.start}",
                where=asked_by,
                hint="save the file as UTF-8",
            ) from None
        except OSError as error:
            raise UsageError(
                f"the settings cannot be read: {error.strerror}",
                where=asked_by,
                hint="name a file such as signoff.toml",
            ) from None
        try:
            told = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(
                f"not valid TOML: {_without_place(str(error))}",
                where=f"{path}:{_line_of(str(error), text)}",
                hint='write a setting as: name = "value"',
            ) from None
        except RecursionError:
            raise UsageError(
                "not valid TOML: it is nested too deep", where=str(path), hint="settings are flat"
            ) from None
        self.told: dict[str, Any] = {name: _from_here(path, name, value) for name, value in told.items()}
        self._lines = lines_of(text)

    def where(self, *path: str) -> str:
        """File and line of a key; of the nearest one above, if it has none."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.path}:{self._lines.get(path, 1)}"


def lines_of(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, at which each key of a valid document is first spoken of.

    TOML's statements stand on their own: each begins a line, and ends with the first line up to which it can be read.
    Of an array of tables each has its line by its number, which counts from 0.
    """
    found: dict[KeyPath, int] = {}
    tables: Counter[KeyPath] = Counter()
    table: KeyPath = ()
    statement: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        statement.append(line)
        try:
            told = tomllib.loads("\n".join(statement))
        except tomllib.TOMLDecodeError:
            continue
        is_header = statement[0].lstrip().startswith("[")
        paths = list(_paths_in(told, () if is_header else table))
        for path in paths:
            found.setdefault(path, number - len(statement) + 1)
        table = paths[-1] if is_header else table
        if statement[0].lstrip().startswith("[["):
            found[*table, str(tables[table])] = number
            tables[table] += 1
        statement = []
    return found


def _paths_in(told: Any, above: KeyPath) -> Iterator[KeyPath]:
    """The path of every key, each after those above it."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield (*above, key)
            yield from _paths_in(value, (*above, key))


def _from_here(file: Path, name: str, value: Any) -> Any:
    """What a setting says, with the names of files in it as they are from here."""
    if name not in _PATHS:
        return value
    if isinstance(value, list):
        return [_path(file, each) for each in value]
    if isinstance(value, dict):
        return {key: _path(file, each) for key, each in value.items()}
    return _path(file, value)


def _path(file: Path, told: Any) -> Any:
    """Text as a path relative to the file; what is none is for others to refuse."""
    if not isinstance(told, str) or not told or "\0" in told:
        return told
    return file.parent / os.path.expanduser(told)  # noqa: PTH111  Path's own fails where there is no such user


def _without_place(message: str) -> str:
    sentence = re.sub(r" \(at .*\)$", "", message)
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _line_of(message: str, text: str) -> int:
    told = re.search(r"\(at line (\d+), ", message)
    return int(told[1]) if told else len(text.splitlines()) or 1
