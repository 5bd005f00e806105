"""What manifests would have run: the image of each container, and every command that is written for it."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from signoff.kube.objects import Manifest

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS = ("postStart", "preStop")


def told(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Lines for a person who is to vouch for them, of which nothing in a manifest can hide or overwrite one.

    They are as the manifests have them, secrets among them: they are for that person's terminal, and for no log.
    """
    for manifest in manifests:
        found = list(_containers(manifest.body))
        if found:
            yield f"{_word(manifest.name)} ({_word(manifest.place('spec'))})"
        for group, container in found:
            kind = "init container" if group == "initContainers" else "container"
            yield f"  {kind} {_word(container.get('name', ''))}: {_word(container.get('image', ''))}"
            for what, command in _commands(container):
                first, *more = _plain(shlex.join(map(str, command))).splitlines() or [""]
                yield f"    {what}: {first}"
                yield from (f"      {line}" for line in more)


def _containers(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The containers anywhere in an object: what makes pods of them, and how deep, is not asked."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            if key in _CONTAINERS and isinstance(value, list):
                yield from ((key, each) for each in value if isinstance(each, dict))
            else:
                yield from _containers(value)
    elif isinstance(found, list):
        for each in found:
            yield from _containers(each)


def _commands(container: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    if command := container.get("command"):
        yield "runs", [*command, *(container.get("args") or [])]
    elif args := container.get("args"):
        yield "runs its image's program with", args
    for variable in container.get("env") or []:
        if isinstance(variable, Mapping):
            yield f"with {_word(variable.get('name', ''))}", [variable.get("value") or variable.get("valueFrom") or ""]
    for probe in _PROBES:
        if command := _exec(container.get(probe)):
            yield f"{probe} runs", command
    for hook in _HOOKS:
        if command := _exec(_of(container.get("lifecycle"), hook)):
            yield f"{hook} runs", command


def _exec(handler: Any) -> list[Any]:
    command = _of(_of(handler, "exec"), "command")
    return list(command) if isinstance(command, list) else [command] if command else []


def _of(found: Any, key: str) -> Any:
    """What a mapping has; a manifest that is no such thing is refused by the API server, not here."""
    return found.get(key) if isinstance(found, Mapping) else None


def _word(text: object) -> str:
    """In one line, for a name is one."""
    return _plain(text).replace("\n", r"\n")


def _plain(text: object) -> str:
    """Without what a terminal would take for more than a letter."""
    lines = str(text).split("\n")
    return "\n".join("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line) for line in lines)
