"""A kubeconfig of one cluster, made of a person's own; and what it holds itself, moved into files of its folder."""

import base64
import binascii
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import UsageError
from signoff.core.paths import write_private, writing
from signoff.core.words import listed

VARIABLE = "KUBECONFIG"
_HELD = (
    ("clusters", "cluster", "certificate-authority"),
    ("users", "user", "client-certificate"),
    ("users", "user", "client-key"),
)
_FILES = (*_HELD, ("users", "user", "tokenFile"))
"""What a kubeconfig may name by a path that is relative to itself."""
_ENTRIES = ("contexts", "clusters", "users")
_NAMES_SHOWN = 10


@dataclass(frozen=True)
class _Entry:
    """A context, a cluster or a user, and the file that has it."""

    path: Path
    value: dict[str, Any]


def files() -> list[Path]:
    """The person's kubeconfigs that are there, the first of which counts most: as kubectl looks for them."""
    named = [Path(each).expanduser() for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    return [path.absolute() for path in named or [_default()] if path.exists()]


def _default() -> Path:
    return Path.home() / ".kube" / "config"


def only(context: str, folder: Path) -> Path:
    """Write a kubeconfig of this context alone into a folder that only this user can read, and return it.

    It stands by itself: whatever becomes of the person's files meanwhile, another context chosen in them say, a run
    stays on the cluster that it began on.

    Raises:
        UsageError: there is no such context, or it cannot be read.
        SignoffError: the folder cannot be written.
    """
    found = _read(files())
    chosen = _named("contexts", context, found)
    if chosen is None:
        raise _no_such_context(context, found)
    config: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": context}
    config["contexts"] = [chosen.value]
    for entries, kind in (("clusters", "cluster"), ("users", "user")):
        config[entries] = [_standing_alone(_of_context(chosen, entries, kind, found), entries, kind)]
    path = folder / "kubeconfig"
    with writing("a kubeconfig", folder, "free some space there, or have it be writable"):
        write_private(path, yaml.safe_dump(config).encode())
        try:
            hold_in_files(path)
        except (binascii.Error, TypeError) as error:
            raise UsageError(
                f"a certificate or key of the context {context} is no base64: {error}", where=_listed(found)
            ) from None
    return path


def hold_in_files(kubeconfig: Path) -> None:
    """Have a kubeconfig of one cluster name the files of its certificates and key, which then lie beside it.

    Kubernetes' Python client writes what a kubeconfig holds itself into the temporary folder, where a run that is
    killed leaves it: a private key that nobody sweeps. A cluster's own folder is swept.
    """
    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    for entries, kind, name in _HELD:
        for entry in config[entries]:
            if held := entry[kind].pop(f"{name}-data", None):
                file = kubeconfig.with_name(f"{name}.pem")
                write_private(file, base64.b64decode(held))
                entry[kind][name] = file.name
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")


def _read(paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    if not paths:
        raise UsageError(
            "there is no kubeconfig",
            where=f"{VARIABLE}={os.environ[VARIABLE]}" if os.environ.get(VARIABLE) else str(_default()),
            hint=f"name yours in {VARIABLE}; k3s writes one to /etc/rancher/k3s/k3s.yaml, for root alone",
        )
    return {path: _one(path) for path in paths}


def _one(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        hint = f"let this user read it, or name another in {VARIABLE}"
        raise UsageError(f"the kubeconfig cannot be read: {error.strerror}", where=str(path), hint=hint) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        why = getattr(error, "problem", None) or "it is no text"
        raise UsageError(f"the kubeconfig is no YAML: {why}", where=f"{path}{line}", hint="mend it") from None
    if not isinstance(read, dict) or not all(isinstance(read.get(each) or [], list) for each in _ENTRIES):
        what = f"the kubeconfig is none: it needs lists of {listed(_ENTRIES)}"
        raise UsageError(what, where=str(path), hint="look at it with `kubectl config view`")
    return read


def _entries(kind: str, found: dict[Path, dict[str, Any]]) -> list[_Entry]:
    """Those of all files, those of the first before the others'."""
    every = ((path, each) for path, config in found.items() for each in config.get(kind) or [])
    return [_Entry(path, each) for path, each in every if isinstance(each, dict) and "name" in each]


def _named(kind: str, name: str, found: dict[Path, dict[str, Any]]) -> _Entry | None:
    """The one of this name; where several files have one, that of the first, as kubectl has it."""
    return next((each for each in _entries(kind, found) if str(each.value["name"]) == name), None)


def _no_such_context(context: str, found: dict[Path, dict[str, Any]]) -> UsageError:
    names = list(dict.fromkeys(str(each.value["name"]) for each in _entries("contexts", found)))
    near = get_close_matches(context, names, n=3)
    others = [*near, *(each for each in names if each not in near)]
    more = f" and {len(others) - _NAMES_SHOWN} more" if len(others) > _NAMES_SHOWN else ""
    there = f"there are {', '.join(others[:_NAMES_SHOWN])}{more}" if others else "there is none at all"
    return UsageError(f"no context is called {context}: {there}", where=_listed(found), hint="name one of these")


def _of_context(context: _Entry, entries: str, kind: str, found: dict[Path, dict[str, Any]]) -> _Entry:
    """The cluster or user that the context names."""
    name, value = context.value["name"], context.value.get("context")
    wanted = value.get(kind) if isinstance(value, dict) else None
    if not wanted:
        raise UsageError(f"the context {name} names no {kind}", where=str(context.path), hint="complete it")
    entry = _named(entries, str(wanted), found)
    if entry is None or not isinstance(entry.value.get(kind), dict):
        what = f"the context {name} names the {kind} {wanted}, of which no kubeconfig tells more"
        raise UsageError(what, where=_listed(found), hint=f"add it to the {entries}, or name another context")
    if kind == "cluster" and not entry.value[kind].get("server"):
        raise UsageError(f"the cluster {wanted} of the context {name} has no server", where=str(entry.path))
    return entry


def _standing_alone(entry: _Entry, entries: str, kind: str) -> dict[str, Any]:
    """The entry with paths that hold from anywhere."""
    told = dict(entry.value[kind])
    for of, _, name in _FILES:
        if of == entries and told.get(name):
            told[name] = _from(entry.path, told[name])
    program = told.get("exec")
    if isinstance(program, dict) and os.sep in str(program.get("command") or ""):  # else it is looked for in PATH
        told["exec"] = {**program, "command": _from(entry.path, program["command"])}
    return {"name": entry.value["name"], kind: told}


def _from(kubeconfig: Path, path: str) -> str:
    return os.path.normpath(kubeconfig.parent / path)


def _listed(found: dict[Path, dict[str, Any]]) -> str:
    return ", ".join(map(str, found))
