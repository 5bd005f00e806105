"""Folders for PersistentVolumeClaims: what a provisioner such as k3s' local-path does on a cluster of machines.

Each claim, of whatever storage class, gets a PersistentVolume that is bound to it alone, and a folder of the cluster's
own, which ends with the cluster. Capacity and access modes are as asked for and not enforced. Binding is the
controller manager's work; a claim that names a volume itself is left to it.
"""

import logging
from pathlib import Path

import aiohttp

from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi

LOG = logging.getLogger("claims")
_CONFLICT, _NOT_FOUND = 409, 404
_VOLUMES = "/api/v1/persistentvolumes"


def folder_of(cluster: Path, namespace: str, claim: str) -> Path:
    """The folder that stands for a claim's volume on every node of the cluster."""
    return cluster / "claims" / namespace / claim


class Claims:
    """Keeps one PersistentVolume per claim in step with the API."""

    def __init__(self, api: KubeApi, cluster: Path) -> None:
        self._api, self._cluster = api, cluster

    async def run(self) -> None:
        """Follow the API for ever."""
        async for event, obj in self._api.watch("/api/v1/persistentvolumeclaims"):
            for claim in obj["items"] if event == "SYNC" else [obj]:
                try:
                    await (self._release(claim) if event == "DELETED" else self._provide(claim))
                except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                    LOG.warning("the claim %s: %s", claim["metadata"]["name"], error)

    async def _provide(self, claim: Json) -> None:
        if claim["spec"].get("volumeName") or claim["metadata"].get("deletionTimestamp"):
            return
        try:
            await self._api.request("POST", _VOLUMES, json=volume_for(claim, self._cluster))
        except ApiError as error:
            if error.status != _CONFLICT:  # made before, and not bound yet
                raise

    async def _release(self, claim: Json) -> None:
        try:
            await self._api.request("DELETE", f"{_VOLUMES}/{_name_for(claim)}")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise


def volume_for(claim: Json, cluster: Path) -> Json:
    """The PersistentVolume for a claim."""
    meta, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _name_for(claim)},
        "spec": {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": spec.get("storageClassName") or "",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder_of(cluster, meta["namespace"], meta["name"]))},
            "claimRef": {"kind": "PersistentVolumeClaim", **{key: meta[key] for key in ("namespace", "name", "uid")}},
        },
    }


def _name_for(claim: Json) -> str:
    return f"pvc-{claim['metadata']['uid']}"
