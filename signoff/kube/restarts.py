"""Pods that have to start anew to read what is applied: LiteLLM reads its configuration only when it starts.

A pod template that names the checksum of its configuration sees to that itself; most do not.
"""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from signoff.kube.client import Kube
from signoff.kube.objects import Key, Manifest, pod_template
from signoff.kube.roles import references

CONFIGURATION: Final = "signoff/configuration"
"""The annotation of a pod template whose configuration is another than what stands."""
_READ_AT_START = ("ConfigMap", "Secret")


def with_restarts(kube: Kube, wanted: Sequence[Manifest], namespace: str) -> list[Manifest]:
    """The same objects; those whose pods read a ConfigMap or Secret that is about to change start these anew."""
    changed = {
        manifest.key(namespace): digest
        for manifest in wanted
        if manifest.kind in _READ_AT_START and (digest := _digest_of_change(kube, manifest, namespace))
    }
    return [_restarted(each, changed, namespace) for each in wanted]


def _digest_of_change(kube: Kube, manifest: Manifest, namespace: str) -> str:
    """Of what an object is going to hold; empty if it holds that already, or is not there yet."""
    home, name = manifest.key(namespace).namespace, manifest.body["metadata"]["name"]
    live = kube.object("v1", manifest.kind, name, home)
    if live is None:
        return ""
    made = kube.tried(manifest, namespace)
    held = [[body.get(each) or {} for each in ("data", "binaryData")] for body in (live, made)]
    return "" if held[0] == held[1] else hashlib.sha256(json.dumps(held[1], sort_keys=True).encode()).hexdigest()


def _restarted(manifest: Manifest, changed: dict[Key, str], namespace: str) -> Manifest:
    if not pod_template(manifest.body):
        return manifest
    home = manifest.key(namespace).namespace
    reads = sorted({Key(each, home) for each in references(manifest.body)})
    digests = [changed[each] for each in reads if each in changed]
    if not digests:
        return manifest
    body = deepcopy(manifest.body)
    metadata: dict[str, Any] = pod_template(body).setdefault("metadata", {})
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CONFIGURATION: whole}
    return replace(manifest, body=body)
