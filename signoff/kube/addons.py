"""Objects of add-ons, such as an operator's: without the add-on's CRD a cluster does not know what they are."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from signoff.core.errors import SignoffError
from signoff.kube.objects import Manifest
from signoff.story.declaration import nearest

_KNOWN = Path(__file__).with_suffix(".yaml")

_OF_KUBERNETES = {
    *("", "apps", "autoscaling", "batch", "policy"),
    *(
        f"{group}.k8s.io"
        for group in (
            *("admissionregistration", "apiextensions", "apiregistration", "authentication", "authorization"),
            *("certificates", "coordination", "discovery", "events", "flowcontrol.apiserver", "networking", "node"),
            *("rbac.authorization", "resource", "scheduling", "storage"),
        )
    ),
}
"""The groups of an API server without add-ons (https://kubernetes.io/docs/reference/kubernetes-api/)."""


def why_skipped(manifest: Manifest) -> str:
    """Why an object that the cluster does not know may be left out: it is one of a known add-on.

    Raises:
        SignoffError: it is of no add-on that is known here, so that its apiVersion or kind is misspelt.
    """
    group, kind = _group(manifest), manifest.body["kind"]
    version = manifest.body["apiVersion"].rpartition("/")[2]
    known = _known().get(group, {"versions": (), "kinds": ()})
    if version in known["versions"] and kind in known["kinds"]:
        told = manifest.body["apiVersion"]
        return f"not judged, for the cluster does not know {kind} of {told}: its CRD is not installed"
    wrong = "kind" if version in known["versions"] else "apiVersion"
    names = known["kinds"] if wrong == "kind" else _api_versions()
    raise SignoffError(
        f"the cluster knows no {kind} of {manifest.body['apiVersion']}, and it is of no known add-on"
        + nearest(manifest.body[wrong], names),
        where=manifest.place(wrong),
        hint=f"correct its {wrong}; what is an add-on's needs its CRD: add it to the manifests, or take the object out",
    )


@cache
def _known() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The versions and kinds of the known add-ons' groups."""
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(_KNOWN.read_text(encoding="utf-8"))
    return found


def _api_versions() -> list[str]:
    """Those that a person may have meant, the likeliest of each of Kubernetes' own groups among them."""
    own = [f"{group}/v1" if group else "v1" for group in sorted(_OF_KUBERNETES)]
    return [
        *own,
        "autoscaling/v2",
        *(f"{group}/{each}" for group, told in _known().items() for each in told["versions"]),
    ]


def addons(found: Sequence[Manifest]) -> list[Manifest]:
    """The objects whose kind is none of Kubernetes' own, and whose CRD is not among the manifests."""
    return [each for each in without_crd(found) if _group(each) not in _OF_KUBERNETES]


def without_crd(found: Sequence[Manifest]) -> list[Manifest]:
    """The objects whose kind the cluster has to know by itself, since no CRD among the manifests brings it."""
    brought = {
        (each.body["spec"].get("group"), _kind(each))
        for each in found
        if each.body["kind"] == "CustomResourceDefinition" and "spec" in each.body
    }
    return [each for each in found if (_group(each), each.body["kind"]) not in brought]


def _group(manifest: Manifest) -> str:
    return str(manifest.body["apiVersion"].rpartition("/")[0])


def _kind(crd: Manifest) -> str:
    names = crd.body["spec"].get("names")
    return str(names.get("kind")) if isinstance(names, dict) else ""
