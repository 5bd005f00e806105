"""The kinds of objects that a cluster has. Two API groups may call theirs by one name: a kind is known by both."""

from collections.abc import Collection
from typing import Any

from kubernetes.dynamic.resource import ResourceList

from signoff.kube.client import Kube

_LISTED = {"list", "delete"}


def kinds(kube: Kube, left_out: Collection[tuple[str, str]]) -> list[Any]:
    """Every kind that somebody can make, each once, but those of these groups and names."""
    found = {}
    for resource in (each for same_kind in kube.dynamic.resources for each in same_kind):
        kind = (resource.group or "", resource.kind)
        if isinstance(resource, ResourceList) or not resource.preferred or kind in left_out:
            continue
        if set(resource.verbs) >= _LISTED:
            found[kind] = resource
    return list(found.values())
