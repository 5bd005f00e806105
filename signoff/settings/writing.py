"""A file of settings as a program writes it for a person: each line with the reason why it is there."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Item

from signoff.core.errors import SignoffError, UsageError
from signoff.core.whole import draft_of
from signoff.settings.reading import FILE, Read


@dataclass(frozen=True)
class Line:
    """A setting with its value; what is not `is_set` is written as a comment, for a person to decide on."""

    name: str
    value: Any
    why: str
    is_set: bool = True


def written(lines: Sequence[Line], head: Sequence[str] = ()) -> str:
    """The file, with comments above the settings.

    Raises:
        UsageError: a value is no text that TOML can have, such as the name of a file that is not UTF-8.
    """
    document = tomlkit.document()
    for text in head:
        document.add(tomlkit.comment(_printable(text)))
    for line in lines:
        item = _item(line.value)
        if line.why:
            item.comment(_printable(line.why))
            item.trivia.comment_ws = "  "
        if line.is_set:
            document.add(line.name, item)
        else:
            one = tomlkit.document()
            one.add(line.name, item)
            document.add(tomlkit.comment(one.as_string().strip()))
    text = document.as_string()
    try:
        text.encode()
    except UnicodeEncodeError:
        what = "a file of settings cannot say what is not UTF-8"
        raise UsageError(what, where=_printable(text[:200]), hint="rename the file or folder") from None
    return text


def remember(read: Read, found: Mapping[str, str], why: str) -> Path | None:
    """Add settings that a run has found out to the file of settings that it was given, all else in which stays.

    Without one it is written here, where the next run finds it. None, and nothing is written, if it says otherwise
    already: what a person has set is theirs, whatever an option or a variable says for this run.

    Raises:
        UsageError: it cannot be written.
    """
    path = (read.file or Path(FILE)).resolve()  # of a link, what it leads to is written
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if read.file else tomlkit.document()
    if any(name in document and document[name] != value for name, value in found.items()):
        return None
    for name, value in found.items():
        if name in document:
            continue
        item = _item(value)
        item.comment(_printable(why))
        item.trivia.comment_ws = "  "
        document[name] = item
    try:
        with draft_of(path, f"let this user write it, or set {' and '.join(found)} yourself") as draft:
            draft.touch(mode=0o600 if read.file else 0o666)
            if read.file:
                shutil.copymode(path, draft)  # it may hold a key that is for one user's eyes
            draft.write_text(document.as_string(), encoding="utf-8")
    except SignoffError as error:
        raise UsageError(error.what, where=error.where, hint=error.hint) from error
    return path


def _item(value: Any) -> Item:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table
    item: Item = tomlkit.item(value)
    return item


def _printable(text: str) -> str:
    """In one line, without what a comment cannot have."""
    return "".join(each if each.isprintable() else " " for each in text)
