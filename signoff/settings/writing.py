"""A file of settings as a program writes it for a person: each line with the reason why it is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.items import Item

from signoff.core.errors import UsageError


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
