"""The manifests as they will be applied: read, checked, and with the run's overrides in them."""

import hashlib
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from signoff import story
from signoff.core.errors import SignoffError
from signoff.core.yaml_lines import lines_of, nearest_line

CHECKSUM = "checksum/config"
_PARTS = ("litellm", "vllm")
_AFFINITY = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
_MAPPINGS = (
    "metadata",
    "data",
    "spec",
    "spec.template",
    "spec.template.metadata",
    "spec.template.metadata.annotations",
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
        """The line of a place in the object, or of the nearest one above it that the file has."""
        for node in yaml.compose_all(self.file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
            lines = lines_of(node)
            if _names(node) == (self.body["kind"], self.body["metadata"]["name"]):
                return nearest_line(lines, path)
        return 1

    @property
    def object_sha256(self) -> str:
        """Of the object as it is applied, overrides and checksums included: its JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class StoryManifests:
    """What the story deploys, from `folder`/vllm and `folder`/litellm."""

    folder: Path
    backend: list[Manifest]
    gateway: list[Manifest]

    @classmethod
    def read(cls, folder: Path, gateway_image: str | None = None, backend_image: str | None = None) -> "StoryManifests":
        """Read both folders; an image given here replaces those of its manifests.

        Raises:
            SignoffError: a folder or a file is missing, is not YAML, or holds something that is no Kubernetes object;
                or nothing there deploys vLLM or LiteLLM.
        """
        _check_parts(folder)
        backend, gateway = load(folder / "vllm"), load(folder / "litellm")
        check_deploys(folder / "vllm", backend, "vllm")
        check_deploys(folder / "litellm", gateway, story.GATEWAY)
        return cls(
            folder,
            with_image(backend, backend_image) if backend_image else backend,
            with_image(gateway, gateway_image) if gateway_image else gateway,
        )

    def where(self, kind: str, name: str, *path: str | int) -> str:
        """File and line of a place in an object ("litellm/deployment.yaml:27"); empty for one that is not there."""
        for manifest in (*self.backend, *self.gateway):
            if manifest.name == f"{kind}/{name}":
                return f"{manifest.file.relative_to(self.folder)}:{manifest.line(*path)}"
        return ""

    @property
    def images(self) -> dict[str, tuple[str, ...]]:
        """Every image that a container asks for, and those of the story's nodes on which that may be."""
        found: dict[str, set[str]] = {}
        for manifest in (*self.backend, *self.gateway):
            for container in containers(manifest.body):
                found.setdefault(container["image"], set()).update(_possible_nodes(manifest.body))
        return {image: tuple(node for node in story.NODES if node in nodes) for image, nodes in sorted(found.items())}

    @property
    def gateway_image(self) -> str:
        """The image of LiteLLM's own container, the first one of its Deployment."""
        workload = next(each.body for each in self.gateway if each.body["kind"] == "Deployment")
        return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])


def _names(node: yaml.Node | None) -> tuple[str, str]:
    """Kind and name of the object that a document holds."""

    def below(each: yaml.Node | None, key: str) -> yaml.Node | None:
        pairs = each.value if isinstance(each, yaml.MappingNode) else []
        return next((value for name, value in pairs if name.value == key), None)

    kind, name = below(node, "kind"), below(below(node, "metadata"), "name")
    return str(getattr(kind, "value", "")), str(getattr(name, "value", ""))


def load(folder: Path) -> list[Manifest]:
    """Read the files that the folder's kustomization.yaml lists under `resources`, in that order.

    The pod templates' config checksum is filled in from the ConfigMaps beside them, so that a changed configuration
    rolls the pods.

    Raises:
        SignoffError: a file is missing, is not YAML, or holds something that is no Kubernetes object.
    """
    kustomization = folder / "kustomization.yaml"
    documents = _documents(kustomization)
    if beyond := {key for document in documents for key in document} - {"apiVersion", "kind", "resources"}:
        raise SignoffError(
            f"kustomize would change the manifests by {', '.join(sorted(beyond))}; here only `resources` is read",
            where=str(kustomization),
            hint="write what is meant into the manifests, or name a folder with the output of `kubectl kustomize`",
        )
    names = [name for document in documents for name in _listed(document.get("resources"), kustomization)]
    if not names:
        raise SignoffError(
            "the folder lists no manifests", where=str(kustomization), hint="name them under `resources:`"
        )
    found = [_manifest(folder / name, document) for name in names for document in _documents(folder / name)]
    return with_checksums(found)


def check_deploys(folder: Path, found: list[Manifest], name: str) -> None:
    """See that the manifests of this folder deploy what is waited for under this name.

    Raises:
        SignoffError: they do not.
    """
    deployed = (each for each in found if each.name == f"Deployment/{name}")
    if not any(_main_containers(each.body) for each in deployed):
        raise SignoffError(
            f"no manifest is a Deployment called {name} with a container in it",
            where=str(folder / "kustomization.yaml"),
            hint="list the file that holds it under `resources:`",
        )


def transform(manifests: list[Manifest], change: Callable[[dict[str, Any]], None]) -> list[Manifest]:
    """Let `change` edit a copy of each object, then bring the checksums up to date."""
    changed = []
    for manifest in manifests:
        body = deepcopy(manifest.body)
        change(body)
        changed.append(replace(manifest, body=body))
    return with_checksums(changed)


def with_image(manifests: list[Manifest], image: str) -> list[Manifest]:
    """Use `image` in place of each workload's own, which its first container has. Sidecars keep theirs."""

    def change(body: dict[str, Any]) -> None:
        for own in [each["image"] for each in _main_containers(body)[:1]]:
            for container in containers(body):
                container["image"] = image if container["image"] == own else container["image"]

    return transform(manifests, change)


def with_gateway_config(manifests: list[Manifest], name: str, edit: Callable[[dict[str, Any]], None]) -> list[Manifest]:
    """A second gateway called `name` beside the first: the same manifests with `edit` applied to its config.yaml.

    Every object, its label, and each reference to one of the objects carries the new name, so that neither gateway's
    Service or selector matches the other's pods. Objects that claim the host name from outside are left out.
    """
    chosen = [m for m in manifests if m.body["kind"] in {"ConfigMap", "Deployment", "Service"}]
    names = {m.body["metadata"]["name"] for m in chosen}
    renamed = {old: old.replace(story.GATEWAY, name, 1) for old in names}

    def change(body: dict[str, Any]) -> None:
        text = json.dumps(body)
        for old, new in renamed.items():
            text = text.replace(f'"{old}"', f'"{new}"').replace(f"//{old}.", f"//{new}.")
        body.clear()
        body.update(json.loads(text))
        if "config.yaml" in body.get("data", {}):
            config = yaml.safe_load(body["data"]["config.yaml"])
            edit(config)
            body["data"]["config.yaml"] = yaml.safe_dump(config, sort_keys=False)

    return transform(chosen, change)


def containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload, init containers included; none for other objects."""
    return [*_pod_spec(body).get("initContainers", []), *_main_containers(body)]


def _main_containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _pod_spec(body).get("containers", [])
    return found


def _pod_spec(body: dict[str, Any]) -> dict[str, Any]:
    """The spec of a workload's pods, or of a pod itself; empty for other objects."""
    spec: dict[str, Any] = body.get("spec", {})
    return spec if body["kind"] == "Pod" else spec.get("template", {}).get("spec", {})


def _possible_nodes(body: dict[str, Any]) -> set[str]:
    """The story's nodes whose names the pods' node affinity allows; it looks at no other requirement."""
    required = (
        _pod_spec(body)
        .get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    terms = required.get("nodeSelectorTerms", [{}]) if required else [{}]
    return {node for node in story.NODES if any(_matches(term, node) for term in terms)}


def _matches(term: dict[str, Any], node: str) -> bool:
    tests = {"In": lambda values: node in values, "NotIn": lambda values: node not in values}
    expressions = [each for each in term.get("matchExpressions", []) if each.get("key") == "kubernetes.io/hostname"]
    return all(tests[each["operator"]](each["values"]) for each in expressions if each.get("operator") in tests)


def with_checksums(manifests: list[Manifest]) -> list[Manifest]:
    """Write into each pod template that carries the checksum annotation the SHA-256 of the ConfigMaps beside it."""
    data = [m.body.get("data", {}) for m in manifests if m.body["kind"] == "ConfigMap"]
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    result = []
    for manifest in manifests:
        body = deepcopy(manifest.body)
        annotations = body.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        if CHECKSUM in annotations:
            annotations[CHECKSUM] = digest
        result.append(replace(manifest, body=body))
    return result


def _check_parts(folder: Path) -> None:
    hint = "name one with --manifests that has litellm/ and vllm/, each with a kustomization.yaml"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise SignoffError(f"the folder of manifests {what}", where=str(folder), hint=hint)
    if missing := [f"no {part}/" for part in _PARTS if not (folder / part).is_dir()]:
        raise SignoffError(f"the folder of manifests has {' and '.join(missing)}", where=str(folder), hint=hint)


def _listed(resources: Any, file: Path) -> list[str]:
    """The names of files under `resources`."""
    names = resources or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SignoffError("`resources` is no list of files", where=str(file), hint="write `resources: [a.yaml]`")
    return names


def _documents(file: Path) -> list[dict[str, Any]]:
    try:
        parsed = [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document is not None]
    except FileNotFoundError:
        raise SignoffError(
            "a manifest is missing", where=str(file), hint="check `resources:` and --manifests"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SignoffError(f"a manifest cannot be read: {error}", where=str(file), hint="fix the file") from None
    except yaml.YAMLError as error:
        raise SignoffError(
            f"not valid YAML: {' '.join(str(error).split())}", where=str(file), hint="fix the file"
        ) from None
    for document in parsed:
        if not isinstance(document, dict):
            raise SignoffError("a YAML document is not a mapping", where=str(file), hint="fix the file")
    return parsed


def _manifest(file: Path, body: dict[str, Any]) -> Manifest:
    missing = [key for key in ("apiVersion", "kind", "metadata") if not body.get(key)]
    faults = list(_faults(body))
    if not missing and not faults and not body["metadata"].get("name"):
        missing = ["metadata.name"]
    if missing:
        faults.insert(0, f"{', '.join(missing)} missing")
    if faults:
        raise SignoffError(f"not a Kubernetes object: {', '.join(faults)}", where=str(file), hint="fix the file")
    return Manifest(file, hashlib.sha256(file.read_bytes()).hexdigest(), body)


def _faults(body: dict[str, Any]) -> Iterator[str]:
    """What in an object is not of the type that it has in Kubernetes, as far as it is read here."""
    for path in ("apiVersion", "kind", "metadata.name"):
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
