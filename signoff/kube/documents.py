"""YAML and JSON files read the way that kubectl reads them: made into JSON before Kubernetes sees anything.

kubectl's reader is sigs.k8s.io/yaml (goyaml.v2/resolve.go and yaml.go): YAML 1.1 without timestamps and base-60
numbers, with C's octal numbers, and with keys made into texts. In one thing it is followed no further: of a key that
is there twice it takes the last one without a word, and a reader sees the first; here it is an error.
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import SignoffError

SUFFIXES = (".yaml", ".yml", ".json")
"""Of the files in a folder that are manifests, as with kubectl."""
_TAG = "tag:yaml.org,2002:"
_MAX_VALUES = 1_000_000
"""More values than an object has that etcd takes (1.5 MiB). Aliases can make a small file larger than memory."""
_MAX_DEPTH = 100
"""Twice as deep as the schemas of CRDs go, and shallow enough for Python's stack, however much of it is used."""
_TOO_DEEP = f"nested too deeply: more than {_MAX_DEPTH} levels"


class Unreadable(Exception):
    """What is wrong with a document, and on which line, if one is known."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's, with what Go's reader makes of plain scalars, and an end to nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unreadable(_TOO_DEEP, self.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag in (f"{_TAG}bool", f"{_TAG}null", f"{_TAG}merge")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile("^[yYnN]$"), list("yYnN"))
_Loader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile("^[-+]?(0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def _boolean(_: _Loader, node: yaml.ScalarNode) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    return int(re.sub("^([-+]?)0([0-7])", r"\g<1>0o\2", text), 0)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    return {_key(loader, key): loader.construct_object(value, deep=True) for key, value in node.value}


def _key(loader: _Loader, node: yaml.Node) -> str:
    key = loader.construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else None
    match key:
        case bool():
            return str(key).lower()
        case int() | float():
            return str(key)
        case str():
            return key
    raise Unreadable("a key is not a string", node.start_mark.line + 1)


def _check_keys(loader: _Loader, document: yaml.Node) -> None:
    """See that no mapping has a key twice, before `<<` brings in those of others, which it may replace."""
    seen, waiting = set[int](), [document]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        names = set[str]()
        for key, value in node.value:
            waiting.append(value)
            if key.tag == f"{_TAG}merge":
                continue
            if (name := _key(loader, key)) in names:
                raise Unreadable(f"duplicate key {name!r}", key.start_mark.line + 1)
            names.add(name)


_Loader.add_constructor(f"{_TAG}bool", _boolean)
_Loader.add_constructor(f"{_TAG}int", _integer)
_Loader.add_constructor(f"{_TAG}map", _mapping)


def read(file: Path) -> list[dict[str, Any]]:
    """The mappings in a file, one for each document that is not empty, as JSON holds them.

    Raises:
        SignoffError: the file is missing, cannot be read, or holds something else, with the line.
    """
    return decoded(content(file), file)


def content(file: Path) -> bytes:
    """What is in a file.

    Raises:
        SignoffError: it is missing, or cannot be read.
    """
    with reading(file):
        return file.read_bytes()


def is_there(path: Path) -> bool:
    """Whether a path leads to something: a link that leads nowhere, or in a circle, does not.

    Raises:
        SignoffError: nobody may look there.
    """
    with reading(path):
        return path.exists()


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; raises as `is_there` does."""
    with reading(path):
        return path.is_dir()


def is_file(path: Path) -> bool:
    """Whether a path leads to a regular file; raises as `is_there` does."""
    with reading(path):
        return path.is_file()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file, or list a folder, in this block.

    Raises:
        SignoffError: it is missing, or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        what = f"a manifest cannot be read: {error.strerror}"
        hint = "check its permissions" if isinstance(error, PermissionError) else "name a file that can be read"
        raise SignoffError(what, where=str(path), hint=hint) from None
    except ValueError:  # of a NUL, which no file's name holds
        raise missing(path) from None


def missing(file: Path) -> SignoffError:
    """That a file, which something names, is not there."""
    return SignoffError("a manifest is missing", where=str(file), hint="check `resources:` and --manifests")


def decoded(data: bytes, file: Path) -> list[dict[str, Any]]:
    """The mappings in bytes that came from `file`.

    Raises:
        SignoffError: they are not UTF-8, or hold something else, with the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        what = "a manifest cannot be read: it is not UTF-8"
        raise SignoffError(what, where=str(file), hint="fix the file") from None
    return parse(text, file)


def parse(text: str, file: Path) -> list[dict[str, Any]]:
    """The same of a text that came from `file`.

    Raises:
        SignoffError: it is not YAML, or holds what JSON has not, with the line.
    """
    try:
        return [_as_json(document, line) for document, line in _documents(text)]
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        what, line = f"not valid YAML: {' '.join(problem.split())}", mark.line + 1 if mark else None
    except Unreadable as error:
        what, line = str(error), error.line
    except ValueError as error:
        what, line = f"not valid YAML: {error}", None
    hint = "render the chart first: `helm template RELEASE CHART`" if "{{" in text else "fix the file"
    raise SignoffError(what, where=f"{file}:{line}" if line else str(file), hint=hint)


@lru_cache(maxsize=64)
def nodes(text: str) -> tuple[yaml.Node, ...]:
    """The documents as PyYAML composes them, with their lines, to be looked at only; those that are empty are left out.

    By libyaml, ten times as fast, where it takes them: of JSON's escapes it knows fewer. It crashes where nesting does
    not end, so that what cannot be read does not come to it.

    Raises:
        yaml.YAMLError, Unreadable, ValueError: it cannot be read.
    """
    _documents(text)
    try:
        return tuple(_composed(text, yaml.CSafeLoader))
    except yaml.YAMLError:
        return tuple(_composed(text, _Loader))


def _composed(text: str, loader: type[yaml.CSafeLoader | _Loader]) -> Iterator[yaml.Node]:
    # Tabs between tokens are fine in JSON, and not in YAML.
    return filter(None, yaml.compose_all(text.replace("\t", " ") if _json(text) else text, Loader=loader))


@lru_cache(maxsize=64)
def _documents(text: str) -> tuple[tuple[dict[str, Any], int | None], ...]:
    """Each document with the line that it begins at: a run reads the same files several times."""
    if (found := _json(text)) is not None:
        return ((found, None),)
    return tuple(_constructed(text))


def _constructed(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    for node in _composed(text, _Loader):
        line = node.start_mark.line + 1
        loader = _Loader("")
        try:
            _check_keys(loader, node)
            document = loader.construct_document(node)
        finally:
            loader.dispose()
        if document is None:
            continue
        if not isinstance(document, dict):
            raise Unreadable("a YAML document is not a mapping", line)
        yield document, line


def _as_json(document: dict[str, Any], line: int | None) -> dict[str, Any]:
    try:
        check_size(document)
        return _mapping_as_json(document)
    except Unreadable as error:
        raise Unreadable(str(error), line) from None


def _json(text: str) -> dict[str, Any] | None:
    """The object that the whole text is, if it is JSON: YAML forbids some of that (tabs, keys of 1024 characters)."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found: dict[str, Any] = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise Unreadable(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}")
    return found


def check_size(document: Any) -> None:
    """See that whoever walks through a document comes to an end, whatever its aliases repeat.

    Raises:
        Unreadable: it is larger than a Kubernetes object can be, or nested too deeply.
    """
    values, levels = _measured(document, 1, {})
    if levels > _MAX_DEPTH:
        raise Unreadable(_TOO_DEEP)
    if values > _MAX_VALUES:
        raise Unreadable("its aliases make it larger than a Kubernetes object can be")


def _measured(value: Any, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values it holds, itself too, and in how many levels; what aliases repeat is measured once."""
    if depth > _MAX_DEPTH:
        raise Unreadable(_TOO_DEEP)
    if not isinstance(value, dict | list):
        return 1, 1
    if id(value) not in known:
        children = value.values() if isinstance(value, dict) else value
        below = [_measured(each, depth + 1, known) for each in children]
        known[id(value)] = 1 + sum(values for values, _ in below), 1 + max((levels for _, levels in below), default=0)
    return known[id(value)]


def _mapping_as_json(value: dict[str, Any]) -> dict[str, Any]:
    return {_text(key): _value_as_json(each) for key, each in value.items()}


def _value_as_json(value: Any) -> Any:
    """A copy of a value as JSON holds it, so that nothing in it is the same object twice: it will be edited."""
    match value:
        case dict():
            return _mapping_as_json(value)
        case list():
            return [_value_as_json(each) for each in value]
        case str():
            return _text(value)
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
    kind = "float that is no number" if isinstance(value, float) else type(value).__name__
    raise Unreadable(f"JSON has no value of this kind ({kind})")


def _text(value: str) -> str:
    """The text, with pairs of surrogates, as JSON escapes them, made into the characters that they mean."""
    try:
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Unreadable("a text holds half a character (a lone surrogate)") from None
