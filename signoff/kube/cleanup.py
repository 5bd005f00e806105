"""Clears away what earlier runs left on a cluster, so that a run judges only its own doings.

The suite's field manager marks what a run has changed, also what it had no time to undo. vLLM stays where it is as its
manifests have it, since its start takes longest. LiteLLM, the subject, is deployed again.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from kubernetes.dynamic.exceptions import DynamicApiError

from signoff.core.words import listed
from signoff.kube.acceptance import JOINED
from signoff.kube.client import FIELD_MANAGER, Kube
from signoff.kube.kinds import kinds
from signoff.kube.metadata import APPLIED, OF_THE_SERVER, REVISION
from signoff.kube.objects import Manifest
from signoff.kube.undo import Delete

_CONTROLLERS = {FIELD_MANAGER, "kube-controller-manager"}
_TRIED = "signoff-tried"
"""What an object is called that is never made."""
_GIVEN = ("clusterIP", "clusterIPs")
_SERVER_SET = (*OF_THE_SERVER, "name", "namespace")
"""What the API server gives each object in its metadata, and where it is."""
_OF_CONTROLLERS = {
    *(("apps", "ReplicaSet"), ("apps", "ControllerRevision"), ("discovery.k8s.io", "EndpointSlice"), ("", "Endpoints")),
    *(("", "Event"), ("events.k8s.io", "Event"), ("coordination.k8s.io", "Lease")),
}
"""Kinds that controllers make and remove by themselves."""

OBTAINED, _OBTAINED_FOR = "controller.cert-manager.io/fao=true", "cert-manager.io/certificate-name"
"""What cert-manager notes of a Secret that it has written: that it did, and for which Certificate."""


def clear(kube: Kube, namespaces: Sequence[str], stays: Sequence[Manifest]) -> list[str]:
    """Remove from the namespaces what runs have applied, except the objects in `stays`; returns what was done.

    An object in `stays` that names no namespace is in the first one. One that someone else has edited is removed too,
    since to apply it again would not undo the edit; it stays if that one has only applied the same, as
    `kubectl apply -k` does.
    The Secrets of certificates that go are removed as well: cert-manager leaves them, and would take the next run's
    certificate from there, whatever has become of its issuer.
    Nodes that runs have cordoned take pods again, and those that they had join are removed. What a person has made or
    cordoned stays.
    """
    done = [f"uncordoned {name}" for name in _uncordon(kube)]
    keep = {(each.body["metadata"].get("namespace", namespaces[0]), each.name): each for each in stays}
    joined = kube.core.list_node(label_selector=JOINED).items
    removed = [Delete("v1", "Node", "", node.metadata.name) for node in joined]
    going: set[str] = set()
    done += [f"removed {each.kind}/{each.name}" for each in removed]
    namespaced = [each for each in kinds(kube, _OF_CONTROLLERS) if each.namespaced]
    for resource, namespace in product(namespaced, namespaces):
        for item in kube.dynamic.get(resource, namespace=namespace).to_dict()["items"]:
            name = f"{resource.kind}/{item['metadata']['name']}"
            stays_as = keep.get((namespace, name))
            managers = _managers(item)
            if FIELD_MANAGER not in managers:
                continue
            others = sorted(managers - _CONTROLLERS) if stays_as else []
            if not stays_as or (others and not _is_as_in(stays_as, item, kube, resource, namespace)):
                removed.append(Delete(resource.group_version, resource.kind, namespace, item["metadata"]["name"]))
                going.add(item["metadata"]["uid"])
                of = "" if namespace == namespaces[0] else f" of {namespace}"
                done.append(f"removed {name}{of}" + (f", which {listed(others)} has edited" if others else ""))
    obtained = list(_obtained_for(going, kube, namespaces))
    done += [f"removed {each.kind}/{each.name}, a certificate's" for each in obtained]
    for together in (removed, obtained):  # of a certificate that is still there, cert-manager makes the Secret anew
        for each in together:
            each.make(kube)
        for each in together:
            each.wait(kube)
    return done


def _obtained_for(going: set[str], kube: Kube, namespaces: Sequence[str]) -> Iterator[Delete]:
    """The Secrets that cert-manager has written for objects with these UIDs, or for the Certificates made of these."""
    for namespace in namespaces:
        certificates = {
            each["metadata"]["name"]
            for each in kube.objects("cert-manager.io/v1", "Certificate", namespace)
            if not going.isdisjoint(_uids(each["metadata"]))
        }
        for secret in kube.core.list_namespaced_secret(namespace, label_selector=OBTAINED).items:
            if (secret.metadata.annotations or {}).get(_OBTAINED_FOR) in certificates:
                yield Delete("v1", "Secret", namespace, secret.metadata.name)


def _uids(metadata: dict[str, Any]) -> set[str]:
    """An object's, and its owners'."""
    return {metadata["uid"], *(owner["uid"] for owner in metadata.get("ownerReferences") or [])}


def _uncordon(kube: Kube) -> list[str]:
    cordoned = [node.metadata.name for node in kube.core.list_node().items if _cordoned_by_a_run(node)]
    for name in cordoned:
        kube.cordon(name, cordoned=False)
    return cordoned


def _cordoned_by_a_run(node: Any) -> bool:
    managed = [each.fields_v1 for each in node.metadata.managed_fields or [] if each.manager == FIELD_MANAGER]
    return bool(node.spec.unschedulable) and any("f:unschedulable" in fields.get("f:spec", {}) for fields in managed)


def _is_as_in(manifest: Manifest, item: dict[str, Any], kube: Kube, resource: Any, namespace: str) -> bool:
    """Whether the object is what the API server would make of its manifest now, its defaults included."""
    body = {**manifest.body, "metadata": {**manifest.body["metadata"], "name": _TRIED}}
    try:
        made = kube.dynamic.create(resource, body=body, namespace=namespace, dry_run="All").to_dict()
    except DynamicApiError:
        return False
    return _told(item) == _told(made)


def _told(item: dict[str, Any]) -> dict[str, Any]:
    """What someone has told of an object, in whatever field, without what the cluster adds to each."""
    return {
        **_without(("status",), item),
        "spec": _without(_GIVEN, item.get("spec", {})),
        "metadata": _without((*_SERVER_SET, "annotations"), item["metadata"]),
        "annotations": _without((APPLIED, REVISION), item["metadata"].get("annotations", {})),
    }


def _without(keys: tuple[str, ...], table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _managers(item: dict[str, Any]) -> set[str]:
    """Who has set fields of the object itself; a subresource such as `scale` or `status` is overwritten anyhow."""
    fields = item["metadata"].get("managedFields", [])
    return {each["manager"] for each in fields if not each.get("subresource")}
