"""A node towards the API server: its registration, its lease and its heartbeat."""

import asyncio
import logging
import platform

import aiohttp

from signoff.cluster.embedded.agent.clock import now, now_micro
from signoff.cluster.embedded.agent.config import NodeConfig
from signoff.cluster.embedded.agent.downward import machine
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi

LOG = logging.getLogger(__name__)

_KUBELET_VERSION = "v1.35.4"
_LEASE_SECONDS = 40
_BEAT_SECONDS = 10
"""A kubelet's own defaults: after 40 s without renewal the node counts as lost."""
_TRY_AGAIN_SECONDS = 0.2
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_MERGE = "application/strategic-merge-patch+json"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_MOST_PODS = "110"
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("NetworkUnavailable", "False", "Loopback", "pods listen on loopback"),
    ("Ready", "True", "KubeletReady", "the node agent is running"),
)


def node_object(node: NodeConfig, log_port: int) -> Json:
    """The Node: all of this machine, since its nodes share it."""
    arch = _MACHINES.get(platform.machine(), platform.machine())
    what = {**machine(), "ephemeral-storage": "100Gi", "pods": _MOST_PODS}
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "status": {
            "capacity": what,
            "allocatable": what,
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": platform.release(),
                "osImage": "Linux",
                "containerRuntimeVersion": "process://1",
                "kubeletVersion": _KUBELET_VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": arch,
            },
            "conditions": _conditions(now()),
        },
    }


def _conditions(since: str) -> list[Json]:
    stamp = now()
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": stamp,
            "lastTransitionTime": since,
        }
        for kind, status, reason, message in _CONDITIONS
    ]


class Node:
    """One node, registered and kept Ready."""

    def __init__(self, api: KubeApi, config: NodeConfig, log_port: int) -> None:
        self._api, self._config, self._log_port = api, config, log_port
        self._since = now()

    async def run(self) -> None:
        """Register, then renew for ever; a node that was deleted comes back."""
        registered = False
        while True:
            try:
                if registered:
                    await self._beat()
                else:
                    await self._register()
                    registered = True
                await self._renew_lease()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("node %s: %s", self._config.name, error)
                registered = registered and not (isinstance(error, ApiError) and error.status == 404)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            await asyncio.sleep(_BEAT_SECONDS)

    async def _register(self) -> None:
        self._since = now()
        try:
            await self._api.request("POST", "/api/v1/nodes", json=node_object(self._config, self._log_port))
        except ApiError as error:
            if error.status != 409:
                raise

    async def _beat(self) -> None:
        status = {"status": {"conditions": _conditions(self._since)}}
        path = f"/api/v1/nodes/{self._config.name}/status"
        await self._api.request("PATCH", path, json=status, content_type=_MERGE)

    async def _renew_lease(self) -> None:
        name = self._config.name
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now_micro()}
        try:
            await self._api.request(
                "PATCH", f"{_LEASES}/{name}", json={"spec": spec}, content_type="application/merge-patch+json"
            )
        except ApiError as error:
            if error.status != 404:
                raise
            node = await self._api.request("GET", f"/api/v1/nodes/{name}")
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._api.request("POST", _LEASES, json=lease)
