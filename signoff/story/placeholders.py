"""Values in the places of their names: `$port` in a declaration is what the setting of that name says."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from signoff.core.words import listed

Path = tuple[str | int, ...]
_TEXT, _VALUES = "text", ("wants", "applies")
"""The fields of a declaration in which `$name` is a value; all below them as well."""
_PLACE = re.compile(r"\$(?:(?P<escaped>\$)|(?P<name>[a-z_][a-z0-9_]*)|\{(?P<braced>[a-z_][a-z0-9_]*)\})", re.I | re.A)
"""As `string.Template` has it; any other dollar stands for itself."""


def names_in(data: Any) -> Iterator[tuple[Path, str]]:
    """Each name that a declaration's data speak of, and where."""
    for path, text in _texts(data, (), filled=False):
        yield from ((path, name) for match in _PLACE.finditer(text) if (name := _name(match)))


def filled(data: Any, values: Mapping[str, Any]) -> Any:
    """The data with the values in their places: what is a name and nothing else becomes the value as it is."""
    if isinstance(data, list):
        return [filled(each, values) for each in data]
    if not isinstance(data, dict):
        return data
    return {key: _field(key, each, values) for key, each in data.items()}


def _field(key: str, value: Any, values: Mapping[str, Any]) -> Any:
    if key in _VALUES:
        return _filled(value, values)
    return _in_words(value, values) if _is_text(key, value) else filled(value, values)


def _filled(data: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(data, dict):
        return {_in_words(key, values): _filled(each, values) for key, each in data.items()}
    if isinstance(data, list):
        return [_filled(each, values) for each in data]
    if not isinstance(data, str):
        return data
    whole = _PLACE.fullmatch(data)
    return values[name] if whole and (name := _name(whole)) else _in_words(data, values)


def _in_words(text: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda place: _worded(values[name]) if (name := _name(place)) else "$", text)


def _worded(value: Any) -> str:
    """A value within a text.

    >>> _worded(["k3s-worker-01", "k3s-worker-02"]), _worded(100.0), _worded({"app": "litellm"})
    ('k3s-worker-01 or k3s-worker-02', '100', 'app=litellm')
    """
    if isinstance(value, Mapping):
        return listed(f"{name}={each}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return " or ".join(", ".join(map(str, value)).rsplit(", ", 1))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_text(key: str, value: Any) -> bool:
    return key == _TEXT and isinstance(value, str)


def _name(place: re.Match[str]) -> str:
    return place["name"] or place["braced"] or ""


def _texts(data: Any, path: Path, *, filled: bool) -> Iterator[tuple[Path, str]]:
    """The texts in which a name is a value, keys among them."""
    if isinstance(data, dict):
        for key, each in data.items():
            if filled:
                yield (*path, key), key
            yield from _texts(each, (*path, key), filled=filled or key in _VALUES or _is_text(key, each))
    elif isinstance(data, list):
        for at, each in enumerate(data):
            yield from _texts(each, (*path, at), filled=filled)
    elif filled and isinstance(data, str):
        yield path, data
