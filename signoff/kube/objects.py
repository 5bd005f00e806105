"""One Kubernetes object as a manifest has it, and what pods are made from."""

import binascii
import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, ValidationError
from pydantic_core import PydanticCustomError

from signoff.core.redact import scrubbed
from signoff.core.yaml_lines import Path as Place
from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube import documents

_STRINGS = frozenset({"annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "stringData"})
"""Mappings of texts, in which a key is kept although nothing stands behind it, as an empty text."""


class _Read(BaseModel):
    """What is read here of an object; the API server looks at all the rest."""

    model_config = ConfigDict(extra="allow")


class _Metadata(_Read):
    name: Annotated[str, Field(min_length=1)]
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Expression(_Read):
    key: str = ""
    operator: str = ""
    values: list[str] = []


class _Term(_Read):
    matchExpressions: list[_Expression] = []  # noqa: N815 - Kubernetes' names


class _Required(_Read):
    nodeSelectorTerms: list[_Term] = []  # noqa: N815


class _NodeAffinity(_Read):
    requiredDuringSchedulingIgnoredDuringExecution: _Required | None = None  # noqa: N815


class _Affinity(_Read):
    nodeAffinity: _NodeAffinity = _NodeAffinity()  # noqa: N815


class _Reference(_Read):
    name: str = ""
    key: str = ""


class _Source(_Read):
    configMapKeyRef: _Reference | None = None  # noqa: N815
    secretKeyRef: _Reference | None = None  # noqa: N815


class _Variable(_Read):
    name: str = ""
    value: str = ""
    valueFrom: _Source | None = None  # noqa: N815


class _Variables(_Read):
    prefix: str = ""
    configMapRef: _Reference | None = None  # noqa: N815
    secretRef: _Reference | None = None  # noqa: N815


class _Mount(_Read):
    name: str = ""
    mountPath: str = ""  # noqa: N815
    subPath: str = ""  # noqa: N815
    subPathExpr: str = ""  # noqa: N815


_PortNumber = Annotated[StrictInt, Field(ge=1, le=65535)]


class _ContainerPort(_Read):
    name: str = ""
    containerPort: _PortNumber | None = None  # noqa: N815
    hostPort: Annotated[StrictInt, Field(ge=0, le=65535)] | None = None  # noqa: N815


class _Exec(_Read):
    command: list[str] = []


class _Handler(_Read):
    exec: _Exec | None = None


class _Lifecycle(_Read):
    postStart: _Handler | None = None  # noqa: N815
    preStop: _Handler | None = None  # noqa: N815


class _Container(_Read):
    image: Annotated[str, Field(min_length=1)]
    command: list[str] = []
    args: list[str] = []
    workingDir: str = ""  # noqa: N815
    env: list[_Variable] = []
    envFrom: list[_Variables] = []  # noqa: N815
    ports: list[_ContainerPort] = []
    volumeMounts: list[_Mount] = []  # noqa: N815
    startupProbe: _Handler | None = None  # noqa: N815
    readinessProbe: _Handler | None = None  # noqa: N815
    livenessProbe: _Handler | None = None  # noqa: N815
    lifecycle: _Lifecycle | None = None


class _Item(_Read):
    key: str
    path: str


class _MountedConfigMap(_Read):
    name: str = ""
    items: list[_Item] = []


class _Projection(_Read):
    configMap: _MountedConfigMap | None = None  # noqa: N815


class _Projected(_Read):
    sources: list[_Projection] = []


class _Volume(_Read):
    name: str = ""
    configMap: _MountedConfigMap | None = None  # noqa: N815
    projected: _Projected | None = None


class _PodSpec(_Read):
    nodeSelector: dict[str, str] = {}  # noqa: N815
    affinity: _Affinity = _Affinity()
    initContainers: list[_Container] = []  # noqa: N815
    containers: list[_Container] = []
    volumes: list[_Volume] = []


class _TemplateMetadata(_Read):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Template(_Read):
    metadata: _TemplateMetadata = _TemplateMetadata()
    spec: _PodSpec = _PodSpec()


class _Selector(_Read):
    matchLabels: dict[str, str] = {}  # noqa: N815


class _Spec(_Read):
    selector: _Selector = _Selector()
    template: _Template = _Template()


class _Object(_Read):
    apiVersion: Annotated[str, Field(min_length=1)]  # noqa: N815
    kind: Annotated[str, Field(min_length=1)]
    metadata: _Metadata
    spec: dict[str, Any] = {}


def _base64(text: str) -> str:
    try:
        b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("base64", "is not base64") from None
    return text


_Base64 = Annotated[str, AfterValidator(_base64)]


class _Data(_Object):
    data: dict[str, str] = {}
    binaryData: dict[str, _Base64] = {}  # noqa: N815


class _Secret(_Object):
    data: dict[str, _Base64] = {}


class _Port(_Read):
    name: str = ""
    port: _PortNumber


class _ServiceSpec(_Read):
    ports: list[_Port] = []


class _Service(_Object):
    spec: _ServiceSpec = _ServiceSpec()  # type: ignore[assignment]


class _Workload(_Object):
    spec: _Spec = _Spec()  # type: ignore[assignment]


class _Pod(_Object):
    spec: _PodSpec = _PodSpec()  # type: ignore[assignment]


_WORKLOADS = frozenset({"DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"})
_MODELS: dict[str, type[_Object]] = {
    "ConfigMap": _Data,
    "Secret": _Secret,
    "Pod": _Pod,
    "Service": _Service,
    **dict.fromkeys(_WORKLOADS, _Workload),
}
_SAID = {
    "missing": "is missing",
    "string_too_short": "is empty",
    "string_type": "is not a string",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
    "list_type": "is not a list",
    "int_type": "is not a whole number",
    "greater_than_equal": "is no port: those are 1 to 65535",
    "less_than_equal": "is no port: those are 1 to 65535",
}


class Key(NamedTuple):
    """What tells an object from all others on a cluster: kind and name ("Service/litellm"), and its namespace."""

    name: str
    namespace: str


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object and the file that it stands in; none for one that a cluster has. `sha256` is the file's.

    Neither a hash nor `repr` tells of a secret: what holds one has no hash.
    """

    file: Path | None
    sha256: str
    body: dict[str, Any] = field(repr=False)
    has_secret: bool = False

    @property
    def kind(self) -> str:
        """Its kind, as `kind_of` has it."""
        return kind_of(self.body)

    @property
    def name(self) -> str:
        """Kind and name, as a person would say it: `Deployment/litellm`."""
        return f"{self.kind}/{self.body['metadata']['name']}"

    def key(self, namespace: str) -> Key:
        """What tells it from all others; `namespace` is that of objects which name none."""
        return Key(self.name, self.body["metadata"].get("namespace") or namespace)

    def place(self, *path: str | int) -> str:
        """Where a place in the object is, for a person: file and line, or the object of the cluster and the field.

        Such as "litellm/deployment.yaml:27", and "Deployment/litellm of ml: spec.replicas".
        """
        if self.file:
            return f"{self.file}:{self.line(*path)}"
        return f"{self._on_the_cluster}: {field_path(path)}" if path else self._on_the_cluster

    def place_in_text(self, line: int, *path: str | int) -> str:
        """The same of a line, counted from 1, of a text that is at this place in the object."""
        return f"{self.file}:{self.line_of_text(line, *path)}" if self.file else f"{self.place(*path)}, line {line}"

    @property
    def _on_the_cluster(self) -> str:
        namespace = self.body["metadata"].get("namespace")
        return f"{self.name} of {namespace}" if namespace else self.name

    def line(self, *path: str | int) -> int:
        """The line of a place in the object, or of the nearest one above it that the file has; 0 without a file."""
        return line_in(self.file, self.body, path) if self.file else 0

    def line_of_text(self, line: int, *path: str | int) -> int:
        """The file's line on which a line of a text stands, counted from 1, that is at this place in the object.

        A text that is not a block (`|`) stands on the line of its key, for in none other do its lines remain.
        """
        node = _below_all(_node_of(self.file, self.body), path) if self.file else None
        is_block = isinstance(node, yaml.ScalarNode) and node.style == "|"
        return node.start_mark.line + 1 + line if node and is_block else self.line(*path)

    @property
    def object_sha256(self) -> str:
        """Of the object as it is applied, overrides and checksums included: its JSON with sorted keys."""
        text = json.dumps(self.body, sort_keys=True)
        has_secret = self.has_secret or self.kind == "Secret"
        return "" if has_secret or scrubbed(text) != text else hashlib.sha256(text.encode()).hexdigest()


def kind_of(body: Mapping[str, Any]) -> str:
    """An object's kind: where another API calls its own like one of Kubernetes', with that API's group.

    That is how kubectl writes it: `Service.serving.knative.dev`. Only groups of Kubernetes' own have no domain of
    another's (https://kubernetes.io/docs/reference/using-api/#api-groups).
    """
    kind, group = str(body.get("kind", "")), str(body.get("apiVersion", "")).rpartition("/")[0]
    is_of_another = "." in group and not group.endswith(".k8s.io")
    return f"{kind}.{group}" if is_of_another and kind in _MODELS else kind


def field_path(path: Place) -> str:
    """A place in an object as kubectl writes it.

    >>> field_path(("spec", "containers", 0, "image")), field_path(("data", "config.yaml"))
    ('spec.containers[0].image', "data['config.yaml']")
    """
    plain = [
        f"[{each}]" if isinstance(each, int) else f".{each}" if each.isidentifier() else f"['{each}']" for each in path
    ]
    return "".join(plain).removeprefix(".")


def line_in(file: Path, body: dict[str, Any], path: Place) -> int:
    """The line of a place in an object that a file holds, be it in a List; 1 if the object is not found there.

    An object that kustomize has given another name is found by its kind and the part of its name that the file knows.
    """
    node = _node_of(file, body)
    return nearest_line(lines_of(node), path) if node else 1


def _node_of(file: Path, body: dict[str, Any]) -> yaml.Node | None:
    try:
        nodes = list(_objects_of(file))
    except (OSError, yaml.YAMLError, ValueError, documents.Unreadable):
        return None  # it went since it was read, or is no YAML, as JSON can be and a Secret's values are
    metadata = body.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    namespace = str(metadata.get("namespace", "")) if isinstance(metadata, dict) else ""
    alike = [node for node in nodes if _names(node)[0] == body.get("kind", "") and _names(node)[1] in name]
    same = [node for node in alike if _names(node)[1] == name]
    exact = [node for node in same if _home(node) == (str(body.get("apiVersion", "")), namespace)]
    return next(iter(exact or same or (alike if len(alike) == 1 else [])), None)


def image_name(container: dict[str, Any]) -> str:
    """What a container's image is called, without registry and repository's folders: `litellm:v1`."""
    return str(container["image"].rpartition("/")[2])


def container_that_runs(what: str, body: dict[str, Any]) -> dict[str, Any]:
    """The container of a workload that is LiteLLM or vLLM itself, among those that run beside it; else the first."""
    several = main_containers(body)
    return next((each for each in several if what in image_name(each)), several[0])


def containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload, init containers included; none for other objects."""
    return [*pod_spec(body).get("initContainers", []), *main_containers(body)]


def main_containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload that run side by side."""
    found: list[dict[str, Any]] = pod_spec(body).get("containers", [])
    return found


def images_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Each image that its pods ask for, and the place that says so."""
    for container, place in placed_containers(manifest.body):
        yield container["image"], manifest.place(*place, "image")


def placed_containers(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Place]]:
    """The containers of a workload, init containers included, each with where it stands."""
    for group in ("initContainers", "containers"):
        for at, container in enumerate(pod_spec(body).get(group, [])):
            yield container, (*place_of_pod_spec(body), group, at)


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container stays beside the main ones."""
    return container.get("restartPolicy") == "Always"


def place_of_pod_spec(body: dict[str, Any]) -> Place:
    """Where in a workload, or in a pod, `pod_spec` stands."""
    return ("spec",) if kind_of(body) == "Pod" else ("spec", "template", "spec")


def text_in(body: Mapping[str, Any], key: str) -> str:
    """What a ConfigMap holds under a key, as text or in base64; empty for a key that it lacks."""
    if key in (data := body.get("data") or {}):
        return str(data[key])
    return b64decode((body.get("binaryData") or {}).get(key, "")).decode(errors="replace")


def write_text(body: dict[str, Any], key: str, text: str) -> None:
    """Have a ConfigMap hold a text under a key that it has."""
    body.get("binaryData", {}).pop(key, None)
    body.setdefault("data", {})[key] = text


def pod_spec(body: dict[str, Any]) -> dict[str, Any]:
    """The spec of a workload's pods, or of a pod itself; empty for other objects."""
    found: dict[str, Any] = body.get("spec", {}) if kind_of(body) == "Pod" else pod_template(body).get("spec", {})
    return found


def pod_template(body: dict[str, Any]) -> dict[str, Any]:
    """What a workload makes its pods of; empty for other objects: what they call a template may be anything."""
    found: dict[str, Any] = body.get("spec", {}).get("template", {}) if kind_of(body) in _WORKLOADS else {}
    return found


def without_nulls(value: Any, *, strings: bool = False) -> Any:
    """The value without what a template left empty (`annotations:`), which to Kubernetes isn't there.

    `strings` says that it is a mapping of texts, whose empty ones are texts: Go decodes null into a map's value as the
    value's zero (https://pkg.go.dev/encoding/json#Unmarshal).
    """
    if isinstance(value, dict):
        kept = {key: "" if each is None and strings else each for key, each in value.items()}
        return {key: without_nulls(each, strings=key in _STRINGS) for key, each in kept.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in children:
        yield from texts(each)


def faults(body: dict[str, Any]) -> list[tuple[Place, str]]:
    """What makes this no Kubernetes object, as far as it is read here, with where that is in it."""
    kind = body.get("kind")
    model = _MODELS.get(kind_of(body), _Object) if isinstance(kind, str) else _Object
    try:
        model.model_validate(body)
    except ValidationError as error:
        return [(each["loc"], _SAID.get(each["type"], each["msg"])) for each in error.errors()]
    return []


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


def _home(node: yaml.Node) -> tuple[str, str]:
    """The API and the namespace of the object that a node is."""
    api, namespace = _below(node, "apiVersion"), _below(_below(node, "metadata"), "namespace")
    return str(getattr(api, "value", "")), str(getattr(namespace, "value", ""))


def _below_all(node: yaml.Node | None, path: Place) -> yaml.Node | None:
    for key in path:
        node = _below(node, str(key))
    return node


def _below(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)
