"""Pods that run the suite's own code: from an image that has Python, with the modules in a ConfigMap."""

from collections.abc import Sequence
from typing import Any

from signoff.paths import ROOT

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
RESOURCES: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def data(modules: Sequence[str]) -> dict[str, str]:
    """What a ConfigMap holds of these modules, named by their paths in the repository."""
    return {_key(module): (ROOT / module).read_text(encoding="utf-8") for module in modules}


def items(modules: Sequence[str]) -> list[dict[str, str]]:
    """Where a volume of that ConfigMap puts each of them: at its path in the repository."""
    return [{"key": _key(module), "path": module} for module in modules]


def environment(folder: str) -> list[dict[str, str]]:
    """Has Python find the modules in this folder, where they are mounted read-only."""
    return [{"name": "PYTHONPATH", "value": folder}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}]


def _key(module: str) -> str:
    """A key of a ConfigMap may hold no slash."""
    return module.replace("/", ".")
