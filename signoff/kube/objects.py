"""One Kubernetes object as a manifest has it, and what pods are made from."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube import documents

_STRINGS = frozenset({"annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "stringData"})
"""Mappings of texts, in which a key is kept although nothing stands behind it, as an empty text."""
_AFFINITY = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
_MAPPINGS = (
    "metadata",
    "metadata.annotations",
    "metadata.labels",
    "data",
    "spec",
    "spec.template",
    "spec.template.metadata",
    "spec.template.metadata.annotations",
    "spec.template.metadata.labels",
)
_MAPPINGS_OF_PODS = ("", "affinity", "affinity.nodeAffinity", _AFFINITY)
_LISTS_OF_PODS = ("initContainers", "containers", f"{_AFFINITY}.nodeSelectorTerms")
"""What is read here of any object, and of what pods are made from; the API server looks at all the rest."""


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object and the file that it stands in. `sha256` is the file's, for the report."""

    file: Path
    sha256: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """Kind and name, as a person would say it: `Deployment/litellm`."""
        return f"{self.body['kind']}/{self.body['metadata']['name']}"

    def line(self, *path: str | int) -> int:
        """The line of a place in the object, or of the nearest one above it that the file has.

        An object that kustomize named anew is found by its kind and the name that its file knows, if that is one.
        """
        try:
            found = list(_objects_of(self.file))
        except (OSError, yaml.YAMLError):
            return 1  # it went since it was read, or is JSON that is not YAML
        kind, name = self.body["kind"], self.body["metadata"]["name"]
        same = [node for node in found if _names(node) == (kind, name)]
        renamed = [node for node in found if _names(node)[0] == kind and _names(node)[1] in name]
        node = next(iter(same or (renamed if len(renamed) == 1 else [])), None)
        return nearest_line(lines_of(node), path) if node else 1

    @property
    def object_sha256(self) -> str:
        """Of the object as it is applied, overrides and checksums included: its JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


def containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload, init containers included; none for other objects."""
    return [*pod_spec(body).get("initContainers", []), *main_containers(body)]


def main_containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload that run side by side."""
    found: list[dict[str, Any]] = pod_spec(body).get("containers", [])
    return found


def pod_spec(body: dict[str, Any]) -> dict[str, Any]:
    """The spec of a workload's pods, or of a pod itself; empty for other objects."""
    spec: dict[str, Any] = body.get("spec", {})
    return spec if body["kind"] == "Pod" else spec.get("template", {}).get("spec", {})


def without_nulls(value: Any, *, strings: bool = False) -> Any:
    """The value without what a template left empty (`annotations:`), which to Kubernetes isn't there.

    `strings` says that it is a mapping of texts, whose empty ones are texts: Go decodes null into a map's value as the
    value's zero (https://pkg.go.dev/encoding/json#Unmarshal).
    """
    if isinstance(value, dict):
        kept = {key: "" if each is None and strings else each for key, each in value.items()}
        return {key: without_nulls(each, strings=key in _STRINGS) for key, each in kept.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def faults(body: dict[str, Any]) -> list[str]:
    """What makes this no Kubernetes object, as far as it is read here."""
    missing = [key for key in ("apiVersion", "kind", "metadata") if not body.get(key)]
    found = list(_of_other_types(body))
    if not missing and not found and not body["metadata"].get("name"):
        missing = ["metadata.name"]
    return [f"{', '.join(missing)} missing", *found] if missing else found


def _of_other_types(body: dict[str, Any]) -> Iterator[str]:
    for path in ("apiVersion", "kind", "metadata.name", "metadata.namespace"):
        if not isinstance(_at(body, path, ""), str):
            yield f"{path} is no text"
    pods = "spec" if body.get("kind") == "Pod" else "spec.template.spec"
    for path in dict.fromkeys((*_MAPPINGS, *(f"{pods}.{rest}".rstrip(".") for rest in _MAPPINGS_OF_PODS))):
        if not isinstance(_at(body, path, {}), dict):
            yield f"{path} is no mapping"
    for path in (f"{pods}.{rest}" for rest in _LISTS_OF_PODS):
        found = _at(body, path, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            yield f"{path} is no list of mappings"
        elif path.lower().endswith("containers") and not all(isinstance(each.get("image"), str) for each in found):
            yield f"a container in {path} has no image"


def _at(body: dict[str, Any], path: str, default: Any) -> Any:
    """What stands at this path; the default where there is nothing, or no mapping on the way to it."""
    found: Any = body
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return default
        found = found[key]
    return found


def _objects_of(file: Path) -> Iterator[yaml.Node]:
    """The nodes of the objects in a file, those in lists included."""
    waiting = list(documents.nodes(file.read_text(encoding="utf-8-sig")))
    while waiting:
        node = waiting.pop(0)
        items = _below(node, "items")
        if isinstance(items, yaml.SequenceNode) and _names(node)[0].endswith("List"):
            waiting[:0] = items.value
        else:
            yield node


def _names(node: yaml.Node) -> tuple[str, str]:
    """Kind and name of the object that a node is."""
    kind, name = _below(node, "kind"), _below(_below(node, "metadata"), "name")
    return str(getattr(kind, "value", "")), str(getattr(name, "value", ""))


def _below(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)
