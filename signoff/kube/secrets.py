"""Secrets: those of the manifests, and those that are made of files which are in no repository.

Whoever reads manifests has their secrets hidden from all that the suite writes (`learned`). No hash of them is written
either: a password of eight letters is found from its SHA-256 in minutes, and all else that was hashed with it is known.
A salt for each run would keep it from being found, but also from being compared with anything, so it would say nothing.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from signoff.core.errors import UsageError
from signoff.core.redact import hide, is_credential, keep, redacted, scrubbed_bytes
from signoff.core.words import listed
from signoff.kube import credentials, documents
from signoff.kube.objects import Manifest, containers, texts

OPTION = "--secret"
_FORM = f"{OPTION} NAME=FILE.env, or {OPTION} NAMESPACE/NAME=FILE.env"
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME = 253
_LONGEST_NAMESPACE = 63
_KEY = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z][-._a-zA-Z0-9]*")
"""What both the name of a variable and a key of a Secret may be (k8s.io/apimachinery: util/validation)."""
_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Go's unicode.IsSpace takes for space."""


# Those of the manifests


def learned(found: Sequence[Manifest]) -> list[Manifest]:
    """The same manifests, whose secrets nothing shows from now on; what a secret was hashed with is left out."""
    with_secrets = set[Path]()
    learnt = []
    for manifest in found:
        body = manifest.body
        keep(_names(body), texts(redacted(body)) if body["kind"] != "Secret" else ())
        secrets = list(_secrets_in(body))
        for value, surely in secrets:
            hide(value, surely=surely)
        has_secret = bool(secrets) or body["kind"] == "Secret"
        learnt.append(replace(manifest, has_secret=has_secret))
        with_secrets |= {manifest.file} if manifest.file and has_secret else set()

    @cache
    def holds_one(file: Path) -> bool:
        data = documents.content(file) if file.is_file() else b""
        return file in with_secrets or scrubbed_bytes(data) != data

    return [replace(each, sha256="") if each.file and each.sha256 and holds_one(each.file) else each for each in learnt]


def values(body: Mapping[str, Any]) -> dict[str, bytes]:
    """What a Secret holds: `stringData` counts before `data`, and what is no base64 is not there."""
    found = {}
    for key, text in _pairs(body.get("data")):
        try:
            found[key] = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            continue
    return found | {key: text.encode(errors="replace") for key, text in _pairs(body.get("stringData"))}


def _pairs(table: Any) -> Iterator[tuple[str, str]]:
    for key, value in table.items() if isinstance(table, dict) else ():
        if isinstance(value, str):
            yield str(key), value


def _secrets_in(body: dict[str, Any]) -> Iterator[credentials.Found]:
    """What an object holds that nobody should read, each value with whether it is surely a secret."""
    if body["kind"] != "Secret":
        yield from credentials.of(body)
        return
    for key, value in values(body).items():
        text = value.decode(errors="surrogateescape")
        yield text, is_credential(key)
        yield from ((password, False) for password in credentials.passwords(text))
    # Somebody may have written the values themselves there.
    yield from ((text, is_credential(key)) for key, text in _pairs(body.get("data")))


def _names(body: dict[str, Any]) -> Iterator[str]:
    """What things are called: a report that hid it would say nothing."""
    metadata = body["metadata"]
    yield from (body["kind"], metadata["name"], metadata.get("namespace", ""))
    yield from (text for pair in metadata.get("labels", {}).items() for text in pair)
    for container in containers(body):
        yield from (str(container.get("name", "")), container["image"])


# Those of files


def read(
    given: Mapping[str, Path], namespace: str, needed_in: Mapping[str, Sequence[str]] | None = None
) -> list[Manifest]:
    """The Secrets that were given, each by its name, or NAMESPACE/NAME, and a file of KEY=VALUE lines.

    One that names no namespace belongs in the one in which pods miss it, which `needed_in` tells by its name; in
    `namespace` if none does.

    The file is read as `kubectl create secret generic --from-env-file` reads it (kubectl: cmd/util/env_file.go). Only a
    KEY alone that the environment lacks is refused, where kubectl makes an empty value of it. Nothing that a file holds
    is repeated in an error, not even a key: a line without = is more often a value.

    Raises:
        UsageError: a name or a file is wrong, or several namespaces could be meant.
    """
    found: dict[tuple[str, str], Manifest] = {}
    for key, file in given.items():
        asked_by = f"{OPTION} {key}={file}"
        stated, _, name = key.rpartition("/")
        home = stated if "/" in key else _home(name, (needed_in or {}).get(name) or [namespace], asked_by)
        secret = _of_file(name, home, file, asked_by)
        if (before := found.setdefault((home, name), secret)) is not secret:
            what = f"Secret/{name} of the namespace {home} is given twice"
            raise UsageError(what, where=f"{asked_by}, {before.file}", hint="leave one out")
    return list(found.values())


def _home(name: str, namespaces: Sequence[str], asked_by: str) -> str:
    if len(namespaces) > 1:
        each = " ".join(f"{OPTION} {namespace}/{name}=FILE.env" for namespace in namespaces)
        what = f"pods of several namespaces need a Secret {name}: {listed(namespaces)}"
        raise UsageError(what, where=asked_by, hint=f"say for which one it is: {each}")
    return namespaces[0]


def missing_from(found: Sequence[Manifest], given: Sequence[Manifest], namespace: str) -> list[Manifest]:
    """Those that were given, of which none may be among the manifests: which of the two counts would be chance.

    Raises:
        UsageError: one is.
    """
    for secret in given:
        for each in found:
            own = each.body["metadata"].get("namespace", namespace)
            if (each.name, own) == (secret.name, secret.body["metadata"]["namespace"]):
                raise UsageError(
                    f"{each.name} is given, and is among the manifests",
                    where=f"{OPTION} {secret.body['metadata']['name']}={secret.file}, {each.place()}",
                    hint="leave one out",
                )
    return list(given)


def _of_file(name: str, namespace: str, file: Path, asked_by: str) -> Manifest:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        hint = f"write {_FORM}, with the name that the manifests call it by"
        raise UsageError("a Secret cannot be called so", where=asked_by, hint=hint)
    if not re.fullmatch(_LABEL, namespace) or len(namespace) > _LONGEST_NAMESPACE:
        raise UsageError("a namespace cannot be called so", where=asked_by, hint=f"write {_FORM}")
    found = _from_env_file(file, asked_by)
    for key, value in found.items():
        hide(value.decode(errors="surrogateescape"), surely=is_credential(key))
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in found.items()},
    }
    return Manifest(file, "", body)


def _from_env_file(file: Path, asked_by: str) -> dict[str, bytes]:
    try:
        data = file.read_bytes()
    except OSError as error:
        hint = "name a file of KEY=VALUE lines"
        raise UsageError(f"the file of a Secret cannot be read: {error.strerror}", where=asked_by, hint=hint) from None
    found: dict[str, bytes] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        key, value = _pair(line.removesuffix(b"\r"), f"{file}:{number}")
        if not key:
            continue
        if key in lines:
            what = f"the key of line {lines[key]} is there again"
            raise UsageError(what, where=f"{file}:{number}", hint="remove one of the lines")
        lines[key], found[key] = number, value
    if not found:
        raise UsageError(
            "the file of a Secret holds no value", where=str(file), hint="write lines of the form KEY=VALUE"
        )
    return found


def _pair(line: bytes, where: str) -> tuple[str, bytes]:
    """The key and the value of a line; no key where it is empty or a comment."""
    try:
        text = line.decode().lstrip(_SPACE)
    except UnicodeDecodeError:
        raise UsageError("the line is not UTF-8", where=where, hint="save the file as UTF-8") from None
    if not text or text.startswith("#"):
        return "", b""
    key, equals, value = text.partition("=")
    if not _KEY.fullmatch(key) or len(key) > _LONGEST_NAME:
        hint = (
            "write KEY=VALUE with a key of letters, digits, -, _ and ., without `export` and without a space before ="
        )
        raise UsageError("the line is not of the form KEY=VALUE", where=where, hint=hint)
    if equals:
        return key, value.encode()
    if key not in os.environ:
        hint = "write KEY=VALUE, or set the variable that the line names"
        raise UsageError(
            "the line is a key alone, and no variable of the environment is called so", where=where, hint=hint
        )
    return key, os.fsencode(os.environ[key])
