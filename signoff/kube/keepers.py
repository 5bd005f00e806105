"""Who keeps an object as it is: a tool that would put back what others change of it, or stumble over it later.

Sources: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/,
https://fluxcd.io/flux/components/kustomize/kustomizations/, https://helm.sh/docs/chart_best_practices/labels/
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

_MANAGED_BY = "app.kubernetes.io/managed-by"
_INSTANCE = "app.kubernetes.io/instance"
_HELM = "Helm"


class _Mark(NamedTuple):
    tool: str
    within: str
    key: str


_MARKS = (
    _Mark("Argo CD", "labels", "argocd.argoproj.io/instance"),
    _Mark("Argo CD", "annotations", "argocd.argoproj.io/instance"),
    _Mark("Argo CD", "annotations", "argocd.argoproj.io/tracking-id"),
    _Mark("Flux", "labels", "kustomize.toolkit.fluxcd.io/name"),
    _Mark("Flux", "labels", "helm.toolkit.fluxcd.io/name"),
    _Mark(_HELM, "annotations", "meta.helm.sh/release-name"),
)
"""Where each tool notes that an object is its own; those first that have Helm's marks as well."""
_MANAGERS = {"argocd-controller": "Argo CD", "kustomize-controller": "Flux", "helm-controller": "Flux"}
"""As whom a tool writes that may leave no mark: Argo CD may know its objects by a label that anybody sets."""
_PREFIXES = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/", "meta.helm.sh/")


def keeper_of(body: Mapping[str, Any]) -> str:
    """The tool that keeps an object of a cluster; empty if none does, as far as it shows."""
    metadata = body.get("metadata") or {}
    for mark in _MARKS:
        if mark.key in (metadata.get(mark.within) or {}):
            return mark.tool
    managers = {each.get("manager") for each in metadata.get("managedFields") or []}
    for manager, tool in _MANAGERS.items():
        if manager in managers:
            return tool
    return _HELM if (metadata.get("labels") or {}).get(_MANAGED_BY) == _HELM else ""


def nobodys(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The metadata of a copy called `name`: no tool takes it for its own and deletes it, and nothing holds it.

    Argo CD may know its objects by their instance alone, which is therefore the copy's own name.
    """
    kept: dict[str, Any] = {"name": name}
    if namespace := metadata.get("namespace"):
        kept["namespace"] = namespace
    for within in ("labels", "annotations"):
        pairs = {key: each for key, each in (metadata.get(within) or {}).items() if not key.startswith(_PREFIXES)}
        if pairs.get(_MANAGED_BY) == _HELM:
            del pairs[_MANAGED_BY]
        if within == "labels" and _INSTANCE in pairs:
            pairs[_INSTANCE] = name
        if pairs:
            kept[within] = pairs
    return kept
