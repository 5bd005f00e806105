"""What in an object nobody should read: by what it is called, as a password in a URL, or as the value of an option."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from signoff.core.errors import SignoffError
from signoff.core.redact import is_credential
from signoff.kube import documents
from signoff.kube.objects import text_in

_OF_LITELLM = re.compile(r"\b(?:model_list|(?:general|litellm|router)_settings|environment_variables)\b")
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s:@\"']*:([^/\s@]+)@")
_OPTION = re.compile(r"--([\w-]+)(?:=|\s+)([\"']?)([^\s\"']+)\2")
_IS_URL = re.compile("(?i)url$")
_REFERENCE = re.compile(r"os\.environ/.*|\$\([^)]*\)|\$\{?[A-Z_][A-Z0-9_]*\}?")
_PLACEHOLDER = re.compile(
    r"(?i)(?:sk-)?(?:|none|null|empty|dummy|fake|unused|placeholder|no-?key(?:-required)?|not-(?:needed|required|used))"
    r"(?:-key)?"
)
"""What people write where a client needs a key and the server asks for none."""

Found = tuple[str, bool]
"""A secret, and whether it is surely one: a user's password may be a word that stands openly elsewhere."""


def of(body: dict[str, Any]) -> Iterator[Found]:
    """The secrets in an object that is none itself; references to others and placeholders are no secrets."""
    for value, surely in _in(body):
        text = value.removeprefix("Bearer ").strip()
        if not _REFERENCE.fullmatch(text) and not _PLACEHOLDER.fullmatch(text):
            yield text, surely


def passwords(text: str) -> Iterator[str]:
    """The passwords in the URLs of a text, as they stand there and as a server repeats them."""
    for password in _URL_PASSWORD.findall(text):
        yield from dict.fromkeys((password, unquote(password)))


def _in(body: dict[str, Any]) -> Iterator[Found]:
    if body["kind"] == "ConfigMap":
        data = {key: text_in(body, key) for table in ("data", "binaryData") for key in body.get(table) or ()}
        yield from ((text, True) for key, text in data.items() if is_credential(key))
        for text in filter(_OF_LITELLM.search, data.values()):
            yield from ((each, True) for each in _of_configuration(text))
    yield from _below(body)


def _below(value: Any) -> Iterator[Found]:
    """Those in objects of any kind, for a kind that is unknown here may run pods too."""
    match value:
        case str():
            yield from ((password, False) for password in passwords(value))
        case list():
            for each in value:
                yield from _below(each)
        case dict():
            match value:
                case {"name": str(name), "value": str(text)} if is_credential(name):
                    yield text, True
            for key, each in value.items():
                if key in ("args", "command") and isinstance(each, list):
                    yield from ((text, True) for text in _of_command([str(word) for word in each]))
                yield from _below(each)


def _of_command(words: Sequence[str]) -> Iterator[str]:
    """The values of options, each a word of its own, behind a =, or within a line for a shell."""
    for option, value in pairwise(words):
        if option.startswith("--") and is_credential(option) and not value.startswith("--"):
            yield value
    for word in words:
        yield from (value for name, _, value in _OPTION.findall(word) if is_credential(name))


def _of_configuration(text: str) -> Iterator[str]:
    """Those of a configuration of LiteLLM's, wherever in it they are."""
    try:
        found = documents.parse(text, Path())
    except SignoffError:  # whoever needs it says so
        return
    for config in found:
        yield from _called_so(config, "")


def _called_so(value: Any, name: str) -> Iterator[str]:
    """What is called like a credential; of a table of URLs that are, each."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _called_so(each, key if is_credential(key) or not _IS_URL.search(name) else name)
    elif isinstance(value, list):
        for each in value:
            yield from _called_so(each, name)
    elif isinstance(value, str | int) and not isinstance(value, bool) and _is_one(name):
        yield str(value)


def _is_one(name: str) -> bool:
    """A price per token is called like a token."""
    return is_credential(name) and not name.endswith("_per_token")
