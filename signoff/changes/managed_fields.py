"""Who has set which field of an object, as the API server notes it, and how a run's own part in that is given back.

Where a run has changed a field that another had applied, the API server takes the field from that one and gives it to
the run: the next `kubectl apply --server-side` or `helm upgrade` of its owner would end in a conflict with a manager
whom nobody knows. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from collections.abc import Iterable
from typing import Any

Entry = dict[str, Any]
_Path = tuple[str, ...]
_ITSELF = "."


def given_back(before: Iterable[Entry], live: Iterable[Entry], manager: str) -> list[Entry]:
    """The entries of an object without those of this manager, which gives back what it took of the others.

    What others have done since stays as it is. An entry that the manager had before is kept.
    """
    old = {_key(each): each for each in before}
    there = {_key(each): each for each in live if each.get("manager") != manager}
    taken = {path for each in live if each.get("manager") == manager for path in _paths(each)}
    entries = []
    for key in dict.fromkeys((*old, *there)):
        if key[0] == manager:
            entries.append(old[key])
        elif entry := _merged(old.get(key), there.get(key), taken):
            entries.append(entry)
    return entries


def _merged(old: Entry | None, live: Entry | None, taken: set[_Path]) -> Entry | None:
    """An entry with what was taken of it; None if nothing is left of it."""
    if old is None:
        return live
    had, has = set(_paths(old)), set(_paths(live)) if live else set()
    fields = has | (had - has) & taken
    if fields == had:
        return old
    return {**(live or old), "fieldsV1": _nested(fields)} if fields else None


def _key(entry: Entry) -> tuple[str, ...]:
    return tuple(str(entry.get(each, "")) for each in ("manager", "operation", "apiVersion", "subresource"))


def _paths(entry: Entry) -> list[_Path]:
    return list(_below(entry.get("fieldsV1") or {}, ()))


def _below(fields: dict[str, Any], path: _Path) -> Iterable[_Path]:
    """Each field that is set itself: a leaf, or one with a dot in it."""
    for key, value in fields.items():
        if key == _ITSELF:
            yield path
        elif value:
            yield from _below(value, (*path, key))
        else:
            yield (*path, key)


def _nested(paths: Iterable[_Path]) -> dict[str, Any]:
    every = set(paths)
    parents = {path[:length] for path in every for length in range(len(path))}
    top: dict[str, Any] = {}
    for path in sorted(every):
        fields = top
        for key in path:
            fields = fields.setdefault(key, {})
        if path in parents:
            fields[_ITSELF] = {}
    return top
