"""Which of a folder's objects belong to whom, told by what refers to what."""

from collections.abc import Iterator, Sequence
from typing import Any

from signoff.kube.objects import Manifest, pod_spec

_REFERENCES = {
    "configMap": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""Where a pod's spec names another object: the field, that object's kind, and the field in it with the name
(https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
"""


def belonging_to(workload: str, found: Sequence[Manifest]) -> list[Manifest]:
    """The Deployment of this name, what it alone refers to, and what selects only its pods."""
    own = [each for each in found if each.body["kind"] == "Deployment" and each.body["metadata"]["name"] == workload]
    others = [each for each in found if pod_spec(each.body) and each not in own]
    named = {name for each in own for name in references(each.body)}
    shared = {name for each in others for name in references(each.body)}

    def belongs(manifest: Manifest) -> bool:
        if manifest in own or manifest.name in named - shared:
            return True
        return any(_selects(manifest.body, each.body) for each in own) and not any(
            _selects(manifest.body, each.body) for each in others
        )

    return [each for each in found if belongs(each)]


def references(body: dict[str, Any]) -> Iterator[str]:
    """The objects that a workload's pods name, as `Manifest.name` writes them: `ConfigMap/litellm-config`."""
    spec = pod_spec(body)
    for each in (f"ServiceAccount/{spec.get('serviceAccountName')}", *_named(spec)):
        if not each.endswith("/None"):
            yield each


def _named(value: Any) -> Iterator[str]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in children:
        if key in _REFERENCES and isinstance(each, dict):
            kind, name = _REFERENCES[key]
            yield f"{kind}/{each.get(name, each.get('name'))}"
        yield from _named(each)


def _selects(body: dict[str, Any], workload: dict[str, Any]) -> bool:
    """Whether a Service, a disruption budget or the like is about the pods of this workload."""
    spec = body.get("spec", {})
    selector = spec.get("selector") if body["kind"] == "Service" else _match_labels(spec)
    target = spec.get("scaleTargetRef")
    if isinstance(target, dict):
        return (target.get("kind"), target.get("name")) == (workload["kind"], workload["metadata"]["name"])
    labels = workload.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
    return bool(isinstance(selector, dict) and selector and selector.items() <= labels.items())


def _match_labels(spec: dict[str, Any]) -> Any:
    if "template" in spec:
        return None
    selector = spec.get("selector", spec.get("podSelector"))
    return selector.get("matchLabels") if isinstance(selector, dict) else None
