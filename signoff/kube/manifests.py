"""The manifests as they will be applied: read, checked, and with the run's overrides in them."""

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from signoff import story
from signoff.core.errors import SignoffError
from signoff.kube import loading
from signoff.kube.objects import Manifest, containers, main_containers, pod_spec
from signoff.kube.roles import belonging_to

CHECKSUM = "checksum/config"
_BACKEND = "vllm"
_PARTS = (story.GATEWAY, _BACKEND)
_APPLIED_FIRST = ("Namespace", "CustomResourceDefinition")
"""What other objects need to be there; it is counted with vLLM, which is applied before LiteLLM."""


@dataclass(frozen=True)
class StoryManifests:
    """What the story deploys: vLLM with all that belongs to it alone, and LiteLLM with the rest."""

    folder: Path
    backend: list[Manifest]
    gateway: list[Manifest]

    @classmethod
    def read(cls, folder: Path, gateway_image: str | None = None, backend_image: str | None = None) -> "StoryManifests":
        """Read the folder, or the file; an image given here replaces those of its manifests.

        Raises:
            SignoffError: a folder or a file is missing, is not YAML, or holds something that is no Kubernetes object;
                or nothing there deploys vLLM or LiteLLM.
        """
        backend, gateway = _parts(folder)
        return cls(
            folder if folder.is_dir() else folder.parent,
            with_image(backend, _BACKEND, backend_image) if backend_image else backend,
            with_image(gateway, story.GATEWAY, gateway_image) if gateway_image else gateway,
        )

    def where(self, kind: str, name: str, *path: str | int) -> str:
        """File and line of a place in an object ("litellm/deployment.yaml:27"); empty for one that is not there."""
        for manifest in (*self.backend, *self.gateway):
            if manifest.name == f"{kind}/{name}":
                return f"{shown(manifest.file, self.folder)}:{manifest.line(*path)}"
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
        workload = next(each.body for each in self.gateway if each.name == f"Deployment/{story.GATEWAY}")
        return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])


def load(path: Path) -> list[Manifest]:
    """Read the objects in a file or folder, as `loading.read` does.

    The pod templates' config checksum is filled in from the ConfigMaps beside them, so that a changed configuration
    rolls the pods.

    Raises:
        SignoffError: they cannot be read.
    """
    return with_checksums(loading.read(path))


def check_deploys(folder: Path, found: list[Manifest], name: str) -> None:
    """See that the manifests of this folder deploy what is waited for under this name.

    Raises:
        SignoffError: they do not.
    """
    deployed = (each for each in found if each.name == f"Deployment/{name}")
    if not any(main_containers(each.body) for each in deployed):
        raise SignoffError(
            f"no manifest is a Deployment called {name} with a container in it",
            where=str(loading.kustomization_of(folder) or folder),
            hint="add the file that holds it, or list it under `resources:`",
        )


def transform(manifests: list[Manifest], change: Callable[[dict[str, Any]], None]) -> list[Manifest]:
    """Let `change` edit a copy of each object, then bring the checksums up to date."""
    changed = []
    for manifest in manifests:
        body = deepcopy(manifest.body)
        change(body)
        changed.append(replace(manifest, body=body))
    return with_checksums(changed)


def with_image(manifests: list[Manifest], workload: str, image: str) -> list[Manifest]:
    """Use `image` wherever this workload's own is used, which its first container has. All other images stay."""
    own = next(main_containers(each.body)[0]["image"] for each in manifests if each.name == f"Deployment/{workload}")

    def change(body: dict[str, Any]) -> None:
        for container in containers(body):
            container["image"] = image if container["image"] == own else container["image"]

    return transform(manifests, change)


def with_gateway_config(manifests: list[Manifest], name: str, edit: Callable[[dict[str, Any]], None]) -> list[Manifest]:
    """A second gateway called `name` beside the first: the same manifests with `edit` applied to its config.yaml.

    Every object, its label, and each reference to one of the objects carries the new name, so that neither gateway's
    Service or selector matches the other's pods. What other workloads use too is shared with the first, and what claims
    the host name from outside is left out.

    Raises:
        SignoffError: the config.yaml is none.
    """
    own = belonging_to(story.GATEWAY, manifests)
    chosen = [each for each in own if each.body["kind"] in {"ConfigMap", "Deployment", "Service"}]
    names = {each.body["metadata"]["name"] for each in chosen}
    renamed = {old: old.replace(story.GATEWAY, name, 1) if story.GATEWAY in old else f"{name}-{old}" for old in names}

    for manifest in chosen:
        _check_config(manifest)

    def change(body: dict[str, Any]) -> None:
        text = json.dumps(body)
        for old, new in renamed.items():
            text = text.replace(f'"{old}"', f'"{new}"').replace(f"//{old}.", f"//{new}.")
        body.clear()
        body.update(json.loads(text))
        if story.GATEWAY_CONFIG_KEY in body.get("data", {}):
            config = yaml.safe_load(body["data"][story.GATEWAY_CONFIG_KEY])
            edit(config)
            body["data"][story.GATEWAY_CONFIG_KEY] = yaml.safe_dump(config, sort_keys=False)

    return transform(chosen, change)


def _check_config(manifest: Manifest) -> None:
    text = manifest.body.get("data", {}).get(story.GATEWAY_CONFIG_KEY, "{}")
    try:
        if isinstance(yaml.safe_load(text), dict):
            return
        what = "no mapping"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = f"not valid YAML: {getattr(error, 'problem', None) or error}"
    raise SignoffError(
        f"LiteLLM's configuration is {what}",
        where=f"{manifest.file}:{manifest.line('data', story.GATEWAY_CONFIG_KEY)}",
        hint="write it as docs.litellm.ai shows: `model_list:` and so on",
    )


def _possible_nodes(body: dict[str, Any]) -> set[str]:
    """The story's nodes whose names the pods' node affinity allows; it looks at no other requirement."""
    required = (
        pod_spec(body).get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    terms = required.get("nodeSelectorTerms", [{}]) if required else [{}]
    return {node for node in story.NODES if any(_matches(term, node) for term in terms)}


def _matches(term: dict[str, Any], node: str) -> bool:
    tests = {"In": lambda values: node in values, "NotIn": lambda values: node not in values}
    expressions = [each for each in term.get("matchExpressions", []) if each.get("key") == "kubernetes.io/hostname"]
    return all(tests[each["operator"]](each.get("values", [])) for each in expressions if each.get("operator") in tests)


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


def _parts(path: Path) -> tuple[list[Manifest], list[Manifest]]:
    """What belongs to vLLM, and all the rest, told by what refers to what.

    Raises:
        SignoffError: there is nothing, or one of them is missing.
    """
    if not path.exists():
        hint = "name the folder of your manifests with --manifests"
        raise SignoffError("the folder of manifests is not there", where=str(path), hint=hint)
    found = loading.read(path)
    for name in _PARTS:
        check_deploys(path, found, name)
    first = [each for each in found if each.body["kind"] in _APPLIED_FIRST]
    backend = [each for each in belonging_to(_BACKEND, found) if each not in first]
    return (
        with_checksums([*first, *backend]),
        with_checksums([each for each in found if each not in first and each not in backend]),
    )


def shown(file: Path, folder: Path) -> str:
    """The file for a person, below the folder of manifests if it lies there."""
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)
