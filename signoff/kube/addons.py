"""Objects of add-ons, such as an operator's: without the add-on's CRD a cluster does not know what they are."""

from collections.abc import Sequence

from signoff.kube.objects import Manifest

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


def addons(found: Sequence[Manifest]) -> list[Manifest]:
    """The objects whose kind is none of Kubernetes' own, and whose CRD is not among the manifests."""
    brought = {
        (each.body["spec"].get("group"), _kind(each))
        for each in found
        if each.body["kind"] == "CustomResourceDefinition" and "spec" in each.body
    }
    others = [each for each in found if _group(each) not in _OF_KUBERNETES]
    return [each for each in others if (_group(each), each.body["kind"]) not in brought]


def _group(manifest: Manifest) -> str:
    return str(manifest.body["apiVersion"].rpartition("/")[0])


def _kind(crd: Manifest) -> str:
    names = crd.body["spec"].get("names")
    return str(names.get("kind")) if isinstance(names, dict) else ""
