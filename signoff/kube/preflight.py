"""Whether a person's cluster takes all of what is to be applied there, found out before any of it is.

Each object is sent as a dry run, in which conflicts are not forced: nothing is written, and nothing half-applied.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.core.errors import SignoffError, UsageError
from signoff.kube.addons import why_skipped, without_crd
from signoff.kube.client import FIELD_MANAGER, Kube
from signoff.kube.keepers import keeper_of
from signoff.kube.objects import Manifest, pod_template
from signoff.kube.refusals import AS_COPY, QUOTA, Denied, refused


def check(kube: Kube, wanted: Sequence[Manifest], namespace: str) -> None:
    """See that all of these can be applied; `namespace` is that of objects which name none.

    Raises:
        UsageError: some cannot, each in a sentence.
    """
    found = [each for manifest in wanted if (each := _refusal(kube, manifest, namespace, wanted))]
    if not found:
        return
    several = f"{len(found)} objects cannot be applied: " if len(found) > 1 else ""
    raise UsageError(
        several + "; ".join(each.what for each in found),
        where=", ".join(dict.fromkeys(each.where for each in found)),
        hint="; ".join(dict.fromkeys(each.hint for each in found)),
    )


def _refusal(kube: Kube, manifest: Manifest, namespace: str, wanted: Sequence[Manifest]) -> SignoffError | None:
    """Why an object cannot be applied; None where nothing tells against it."""
    home = manifest.key(namespace).namespace
    try:
        if not kube.knows(manifest):
            if manifest in without_crd(wanted):
                why_skipped(manifest)
            return None
        live = _live(kube, manifest, home)
        if live and (tool := keeper_of(live)):
            return _kept(manifest, tool)
        if live is None and _comes_with(home, wanted) and not kube.object("v1", "Namespace", home):
            return None  # nothing can be tried in a namespace that is still to be made
        kube.tried(manifest, namespace)
    except SignoffError as error:
        return error
    return _of_pods(kube, manifest, home, is_there=live is not None)


def _live(kube: Kube, manifest: Manifest, namespace: str) -> dict[str, Any] | None:
    body = manifest.body
    try:
        return kube.object(body["apiVersion"], body["kind"], body["metadata"]["name"], namespace)
    except ForbiddenError:  # then it may not be applied either, which the dry run tells
        return None


def _kept(manifest: Manifest, tool: str) -> SignoffError:
    return SignoffError(
        f"{manifest.name} is kept by {tool}, which would take back what is changed of it",
        where=manifest.place(),
        hint=f"change it where {tool} has it from and leave it out of these manifests, or {AS_COPY}",
    )


def _comes_with(namespace: str, wanted: Sequence[Manifest]) -> bool:
    return any(each.name == f"Namespace/{namespace}" for each in wanted)


def _of_pods(kube: Kube, manifest: Manifest, namespace: str, *, is_there: bool) -> SignoffError | None:
    """Why the pods of a workload would not be let in, which its own dry run does not tell.

    One more pod may be beyond a quota where another one goes for it: of a workload that is there, that is no reason.
    """
    template = pod_template(manifest.body)
    if not template or not manifest.body["spec"].get("replicas", 1):
        return None
    metadata = {**template.get("metadata", {}), "name": manifest.body["metadata"]["name"]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    try:
        kube.core.create_namespaced_pod(namespace, body, dry_run="All", field_manager=FIELD_MANAGER)
    except ApiException as error:
        found = refused(replace(manifest, body={**manifest.body, "kind": f"a pod of {manifest.kind}"}), error)
        of_quota = QUOTA in found.what
        return found if isinstance(found, Denied) and not (of_quota and is_there) else None
    return None
