"""Secrets never reach what the suite writes: those that are known by their values, and what looks like one.

A value is known from the moment at which its Secret, or the key itself, is read (`hide`). From then on it is missing
from all that is written, in every form in which a server or a program may repeat it.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

HIDDEN = "[redacted]"
_SECRET = (
    r"(?:api|master|salt|secret|private|access|signing)[-_]?key|token|passw(?:or)?d|secret|credentials?|webhook[-_]?url"
)
_SECRET_KEYS = re.compile(rf"(?i)(?:authorization|cookie|set-cookie|.*(?:{_SECRET}))")
_SECRET_TEXT = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{8,}|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_ASSIGNED = re.compile(rf"(?i)([\w-]*(?:{_SECRET})[\"']?(?:=|:\s?))([\"']?)([^\s\"',;&]{{4,}})")

_SHORTEST = 6
"""Of what is hidden: what is shorter is found by chance, as "true" and "4000" are, and reports would be unreadable."""
_UNMISTAKABLE = 8
"""From this length on a value is hidden within a word too."""


class Known:
    """The secrets that this process knows, and the words that are none although a Secret holds them as well."""

    def __init__(self) -> None:
        self._secrets: dict[str, bool] = {}
        """Each with whether it is surely one, rather than any value of a Secret."""
        self._names: set[str] = set()
        self._texts: set[str] = set()
        self._forms: list[str] | None = None

    def hide(self, value: str, *, surely: bool) -> None:
        """Take a value for a secret."""
        self._secrets[value] = surely or self._secrets.get(value, False)
        self._forms = None

    def keep(self, names: Iterable[str], texts: Iterable[str]) -> None:
        """Take these for no secrets."""
        self._names.update(names)
        self._texts.update(texts)
        self._forms = None

    def scrubbed(self, text: str) -> str:
        """The text without the secrets."""
        forms = self._forms
        if forms is None:
            found = {form for value in [*self._secrets] if not self._is_open(value) for form in _forms(value)}
            forms = self._forms = sorted(found, key=lambda form: (-len(form), form))
        for form in forms:
            if form not in text:
                continue
            whole_word = len(form) < _UNMISTAKABLE
            text = _alone(form).sub(HIDDEN, text) if whole_word else text.replace(form, HIDDEN)
        return text

    def _is_open(self, value: str) -> bool:
        names = self._names if self._secrets[value] else self._names | self._texts
        return any(value in name and _alone(value).search(name) for name in names)


_KNOWN = Known()


def hide(value: str, *, surely: bool = True) -> None:
    """Never write this value from now on, nor what it is in base64, in JSON, in a URL, on a page, or as a SHA-256.

    One that is not `surely` a secret, such as the address that a Secret holds beside a password, is written if it
    stands openly elsewhere (`keep`).
    """
    _KNOWN.hide(value, surely=surely)


def keep(names: Iterable[str], texts: Iterable[str] = ()) -> None:
    """Go on writing these: without its objects' names, a report would say nothing of them.

    A password "litellm" is not hidden where something is called so. `texts` is what else stands openly in manifests.
    """
    _KNOWN.keep(names, texts)


def scrubbed(text: str) -> str:
    """A text without the secrets that are known.

    >>> scrubbed("nothing is known yet")
    'nothing is known yet'
    """
    return _KNOWN.scrubbed(text)


def scrubbed_bytes(data: bytes) -> bytes:
    """The same of the bytes of any file."""
    return scrubbed(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def scrub_files(folder: Path) -> None:
    """Take the secrets out of all files of a folder, which another program has written."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if (clean := scrubbed_bytes(data)) != data:
                path.write_bytes(clean)


def is_credential(name: str) -> bool:
    """Whether what is called so is a secret, by its name.

    >>> is_credential("LITELLM_MASTER_KEY"), is_credential("UI_USERNAME")
    (True, False)
    """
    return bool(_SECRET_KEYS.fullmatch(name))


def _forms(value: str) -> Iterator[str]:
    """What a value looks like wherever it may be repeated; of one of several lines, each line too."""
    for text in {value, value.strip(), *map(str.strip, value.splitlines())}:
        if len(text) >= _SHORTEST:
            yield text
            yield from (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
            yield repr(text)[1:-1]
            yield quote(text, safe="")
            yield html.escape(text)
            yield from _in_base64(text.encode(errors="surrogateescape"))
            # LiteLLM repeats a key that it refuses so, and with its hash.
            yield f"sk-...{text[-4:]}"
            yield hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _in_base64(data: bytes) -> Iterator[str]:
    """As it stands in a Secret, and within whatever else was encoded with it, where its place decides its letters."""
    for padding in range(3):
        text = base64.b64encode(bytes(padding) + data).decode()
        ends_within = (padding + len(data)) % 3 > 0
        own = text[-(-padding * 8 // 6) :].rstrip("=")
        for form in ({text} if not padding else set()) | {own[:-1] if ends_within else own}:
            yield form
            yield form.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _alone(value: str) -> re.Pattern[str]:
    """Finds a value that is not within a word."""
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])")


def redacted(value: Any) -> Any:
    """A copy of a JSON value without credentials, the values of a container's environment included.

    >>> redacted({"api_key": "k", "body": "Authorization: Bearer abcdefgh123", "usage": {"total_tokens": 3}})
    {'api_key': '[redacted]', 'body': 'Authorization: [redacted]', 'usage': {'total_tokens': 3}}
    >>> redacted({"env": [{"name": "LITELLM_MASTER_KEY", "value": "hush"}, {"name": "HOME", "value": "/tmp"}]})
    {'env': [{'name': 'LITELLM_MASTER_KEY', 'value': '[redacted]'}, {'name': 'HOME', 'value': '/tmp'}]}
    """
    if isinstance(value, dict):
        if _is_secret(value.get("name"), value.get("value")):
            value = {**value, "value": HIDDEN}
        return {
            scrubbed(key) if isinstance(key, str) else key: HIDDEN if _is_secret(key, item) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if not isinstance(value, str):
        return value
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", _SECRET_TEXT.sub(HIDDEN, scrubbed(value)))


def redacted_log(text: str) -> str:
    """A log or a command line without credentials: also what is assigned to a name that says that it is one.

    >>> redacted_log("started with --api-key=hush-hush and DB_PASSWORD: 'swordfish'; 3 tokens: 1024")
    "started with --api-key=[redacted] and DB_PASSWORD: '[redacted]'; 3 tokens: 1024"
    """
    return _ASSIGNED.sub(rf"\1\2{HIDDEN}", redacted(text))


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(value) and is_credential(key)
