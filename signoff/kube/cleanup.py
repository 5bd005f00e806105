"""What earlier runs left on a kept cluster, cleared away so that a run judges only its own doings.

vLLM stays where it is as its manifests have it, since its start takes longest. LiteLLM, the subject, is deployed anew.
"""

from typing import Any

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from kubernetes.dynamic.resource import ResourceList

from signoff.core import timeouts
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import FIELD_MANAGER, Kube
from signoff.kube.manifests import Manifest

_CONTROLLERS = {FIELD_MANAGER, "kube-controller-manager"}
_LATER = {"ReplicaSet", "Pod", "EndpointSlice", "Endpoints", "Event", "Lease", "ControllerRevision"}
"""What others make and remove after the objects that are looked at here."""


def clear(kube: Kube, namespace: str, stays: list[Manifest]) -> list[str]:
    """Remove from the namespace what runs have applied, but for the objects that `stays` names; returns what was done.

    An object of `stays` that someone else has edited is removed too: applying it again would not undo the edit.
    Nodes take pods again. What a person has made in the namespace by other means is left.
    """
    done = [f"uncordoned {name}" for name in _uncordon(kube)]
    keep = {manifest.name for manifest in stays}
    removed = []
    for resource in _kinds(kube):
        for item in kube.dynamic.get(resource, namespace=namespace).to_dict()["items"]:
            name = f"{resource.kind}/{item['metadata']['name']}"
            managers = _managers(item)
            if FIELD_MANAGER in managers and (name not in keep or not managers <= _CONTROLLERS):
                _delete(kube, resource, item, namespace)
                removed.append((resource, item["metadata"]["name"]))
                done.append(f"removed {name}")
    for resource, name in removed:
        _wait_until_gone(kube, resource, name, namespace)
    return done


def _uncordon(kube: Kube) -> list[str]:
    cordoned = [node.metadata.name for node in kube.core.list_node().items if node.spec.unschedulable]
    for name in cordoned:
        kube.core.patch_node(name, {"spec": {"unschedulable": False}})
    return cordoned


def _kinds(kube: Kube) -> list[Any]:
    """Every kind of object in namespaces that can be deleted, each once."""
    found = {}
    for resource in (each for same_kind in kube.dynamic.resources for each in same_kind):
        if isinstance(resource, ResourceList) or not (resource.namespaced and resource.preferred):
            continue
        if {"list", "delete"} <= set(resource.verbs) and resource.kind not in _LATER:
            found[resource.kind] = resource
    return list(found.values())


def _managers(item: dict[str, Any]) -> set[str]:
    """Who has set fields of the object itself; a subresource such as `scale` or `status` is overwritten anyhow."""
    fields = item["metadata"].get("managedFields", [])
    return {each["manager"] for each in fields if not each.get("subresource")}


def _delete(kube: Kube, resource: Any, item: dict[str, Any], namespace: str) -> None:
    """Delete it together with all that it owns; its pods get a second to end."""
    name, spec = item["metadata"]["name"], item.get("spec", {})
    try:
        kube.dynamic.delete(resource, name=name, namespace=namespace, body={"propagationPolicy": "Foreground"})
        if "template" in spec and "selector" in spec:
            labels = spec["selector"].get("matchLabels", {})
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            kube.core.delete_collection_namespaced_pod(namespace, label_selector=selector, grace_period_seconds=1)
    except (DynamicApiError, ApiException) as error:
        if error.status != 404:
            raise


def _wait_until_gone(kube: Kube, resource: Any, name: str, namespace: str) -> None:
    def look() -> None:
        try:
            kube.dynamic.get(resource, name=name, namespace=namespace)
        except DynamicApiError as error:
            if error.status == 404:
                return
            raise
        raise NotYet(f"{resource.kind}/{name} is still there")

    eventually(f"{resource.kind}/{name} of an earlier run to be gone", timeouts.SCALED_DOWN, look)
