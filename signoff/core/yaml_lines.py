"""Where something stands in a YAML file: a sentence about a manifest names the line to change."""

from collections.abc import Iterator
from typing import Any

import yaml

Path = tuple[str | int, ...]


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """A document of one's own, and the line of each key and item in it.

    By libyaml, ten times as fast, which trusts that it is not nested thousands deep; PyYAML's own parser says better
    what is wrong, and has the word where something is.

    Raises:
        yaml.YAMLError: it is none.
    """
    try:
        return yaml.load(text, yaml.CSafeLoader), lines_of(yaml.compose(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text), lines_of(yaml.compose(text, Loader=yaml.SafeLoader))


def lines_of(node: yaml.Node | None) -> dict[Path, int]:
    """The line, counted from 1, of each key and item of a document, by its path.

    What an alias repeats is spoken of where it stands first: nested aliases repeat it a billion times.
    """
    return dict(_lines(node, (), set())) if node is not None else {}


def nearest_line(lines: dict[Path, int], path: Path) -> int:
    """The line of a path; of the nearest place above it that has one, else the first."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _lines(node: yaml.Node, path: Path, seen: set[int]) -> Iterator[tuple[Path, int]]:
    yield path, node.start_mark.line + 1
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield from _lines(value, below, seen)
            yield below, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            yield from _lines(item, (*path, at), seen)
