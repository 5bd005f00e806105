"""Pods that run the suite's own code: from an image that has Python, with the modules in a ConfigMap.

Which modules a program needs is read off its imports: those that run when it is imported, not those inside a function
or below `if TYPE_CHECKING`, which are for other places than a pod.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from signoff.core.paths import ROOT, SUITE
from signoff.kube.objects import Manifest
from signoff.traffic.keys import Keys

CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""As unprivileged as LiteLLM itself."""
_PACKAGE = "signoff"
RESOURCES: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def on_nodes(names: Sequence[str]) -> dict[str, Any]:
    """The node affinity of what may run on these: where LiteLLM may, its image is, and nothing is taken from vLLM."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(names)}
    terms = [{"matchExpressions": [expression]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def labels(name: str) -> dict[str, str]:
    """The labels of what belongs to a program of the suite's own."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "signoff"}


def manifest(file: Path, name: str, namespace: str, body: dict[str, Any]) -> Manifest:
    """An object of a program of the suite's own, whose code is in `file`."""
    metadata = {"name": name, "namespace": namespace, "labels": labels(name)}
    return Manifest(file, hashlib.sha256(file.read_bytes()).hexdigest(), {**body, "metadata": metadata})


@cache
def modules(program: str) -> tuple[str, ...]:
    """The program and all that it imports of this package, each named by its path in the repository.

    >>> [module for module in modules("signoff.in_cluster.recorder") if "errors" in module]
    ['signoff/core/errors.py']
    """
    found: set[str] = set()
    unread = set(_files(program))
    while unread:
        found |= unread
        unread = {imported for module in unread for imported in _imported(path_of(module))} - found
    return tuple(sorted(found))


def _imported(file: Path) -> Iterator[str]:
    """The modules of this package that run when the file is imported, with the packages around them."""
    for name in _names(ast.parse(file.read_text(encoding="utf-8")).body):
        yield from _files(name)


def _files(name: str) -> Iterator[str]:
    """The files of this module and of the packages around it; what is no module, but a name in one, has none."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = "/".join(parts[:end])
        yield from (each for each in (f"{path}.py", f"{path}/__init__.py") if path_of(each).is_file())


def _names(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """What these statements import of this package; of `from a import b` it takes a file to tell whether b is one."""
    for statement in statements:
        match statement:
            case ast.Import(names):
                yield from (each.name for each in names if each.name.partition(".")[0] == _PACKAGE)
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == _PACKAGE:
                yield from (f"{module}.{each.name}" for each in names)
            case ast.If(test=ast.Name("TYPE_CHECKING"), orelse=otherwise):
                yield from _names(otherwise)
            case ast.If(body=body, orelse=otherwise):
                yield from _names([*body, *otherwise])
            case ast.Try(body=body, handlers=handlers, orelse=otherwise, finalbody=final):
                yield from _names([*body, *(each for handler in handlers for each in handler.body), *otherwise, *final])


def data(modules: Sequence[str]) -> dict[str, str]:
    """What a ConfigMap holds of these modules, named by their paths in the repository."""
    return {_key(module): path_of(module).read_text(encoding="utf-8") for module in modules}


def items(modules: Sequence[str]) -> list[dict[str, str]]:
    """Where a volume of that ConfigMap puts each of them: at its path in the repository."""
    return [{"key": _key(module), "path": module} for module in modules]


def environment(folder: str) -> list[dict[str, str]]:
    """Has Python find the modules in this folder, where they are mounted read-only."""
    return [{"name": "PYTHONPATH", "value": folder}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}]


def key_secret(file: Path, name: str, namespace: str, keys: Keys) -> Manifest:
    """The Secret from which `key_environment` takes the keys: what stands in a pod's spec, everybody can read."""
    return manifest(file, name, namespace, {"apiVersion": "v1", "kind": "Secret", "stringData": dict(keys.given)})


def key_environment(name: str, keys: Keys) -> list[dict[str, Any]]:
    """Has a container find the keys that were given where the suite's programs look for them."""
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": variable}}} for variable in keys.given
    ]


def path_of(module: str) -> Path:
    """Where a module lies that is named by its path in the repository; a wheel has bench/ within the package."""
    return (ROOT if module.startswith(f"{_PACKAGE}/") else SUITE) / module


def _key(module: str) -> str:
    """A key of a ConfigMap may hold no slash."""
    return module.replace("/", ".")
