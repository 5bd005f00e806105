"""What differs between two states of an object, field by field, and how a change is undone that others have overlaid.

Items of a list are told apart by what names them, as the API does, not by their place: a taint that a controller adds
beside ours does not make ours another's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signoff.core.words import listed
from signoff.kube.metadata import OF_THE_SERVER

Object = dict[str, Any]


class _Missing:
    def __repr__(self) -> str:
        return "not there"


MISSING: Final = _Missing()
_KEYS = (
    *(("uid",), ("name",), ("key", "effect"), ("containerPort", "protocol"), ("port", "protocol")),
    *(("mountPath",), ("devicePath",), ("topologyKey", "whenUnsatisfiable"), ("type",), ("ip",)),
)
"""What names an item of a list, the first that all of its items have: https://kubernetes.io/docs/reference/using-api/"""


@dataclass(frozen=True)
class Difference:
    """A field that is not the same in two states."""

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def field(self) -> str:
        """The field as kubectl would write it."""
        return written(self.path)


def written(path: Sequence[str]) -> str:
    """A path in one word.

    >>> written(("spec", "taints", "[a:NoSchedule]", "value"))
    'spec.taints[a:NoSchedule].value'
    """
    return ".".join(path).replace(".[", "[")


def told(body: Object) -> Object:
    """An object without what the API server alone keeps of it."""
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in OF_THE_SERVER}
    return {**body, "metadata": metadata}


def at_version_of(live: Object, wanted: Object) -> Object:
    """What is wanted, to be put in the place of what is there now."""
    kept = {key: value for key, value in live["metadata"].items() if key in OF_THE_SERVER}
    return {**wanted, "metadata": {**kept, **wanted["metadata"]}}


def differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """The smallest fields that differ between two values."""
    if before == after:
        return
    pair = _as_tables(before, after)
    if pair is None:
        yield Difference(path, before, after)
        return
    one, other = pair
    for key in dict.fromkeys((*one, *other)):
        yield from differences(one.get(key, MISSING), other.get(key, MISSING), (*path, key))


class Undoing:
    """Undoes changes of an object; `kept` are the fields that another has changed since, and which stay as theirs."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def undone(self, before: Any, after: Any, live: Any, path: tuple[str, ...] = ()) -> Any:
        """What `live` is without a change that led from `before` to `after`."""
        if before == after or live == before:
            return live
        if live == after:
            return before
        tables = _as_tables(before, after, live)
        if tables is None:
            self.kept.append(written(path))
            return live
        result = {}
        for key in dict.fromkeys(key for table in reversed(tables) for key in table):
            was, left, now = (table.get(key, MISSING) for table in tables)
            value = self.undone(was, left, now, (*path, key))
            if value is not MISSING:
                result[key] = value
        return self._in_the_shape_of(before, live, tables, result)

    def _in_the_shape_of(self, before: Any, live: Any, tables: Sequence[Mapping[str, Any]], result: Object) -> Any:
        """A table again, or a list in the order that it had; nothing where nothing was."""
        if not result and MISSING in (before, live):
            return MISSING
        if any(isinstance(each, dict) for each in (before, live)):
            return result
        order = tables[0] if result.keys() == tables[0].keys() else result
        return [result[key] for key in order]


def _as_tables(*values: Any) -> tuple[Mapping[str, Any], ...] | None:
    """The values as tables whose entries can be compared one by one, or None if each is one whole."""
    there = [each for each in values if each is not MISSING]
    if all(isinstance(each, dict) for each in there):
        return tuple({} if each is MISSING else each for each in values)
    if not all(isinstance(each, list) for each in there):
        return None
    for keys in _KEYS:
        tables = [_by(keys, [] if each is MISSING else each) for each in values]
        if all(each is not None for each in tables):
            return tuple(each for each in tables if each is not None)
    return None


def _by(keys: tuple[str, ...], items: list[Any]) -> dict[str, Any] | None:
    """The items by what names them; None if these keys do not."""
    if not all(isinstance(each, dict) and all(key in each for key in keys) for each in items):
        return None
    table = {f"[{':'.join(str(each[key]) for key in keys)}]": each for each in items}
    return table if len(table) == len(items) else None


def shown(names: Sequence[str], most: int = 3) -> str:
    """Fields in words; the first of many."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return listed([*names[:most], *more])
