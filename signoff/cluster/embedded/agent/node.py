"""A node towards the API server: its registration, its lease and its heartbeat."""

import asyncio
import logging
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from signoff.cluster.embedded.agent.clock import now, now_micro
from signoff.cluster.embedded.agent.config import NodeConfig
from signoff.cluster.embedded.agent.downward import machine
from signoff.cluster.embedded.agent.status import dated
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi
from signoff.cluster.embedded.processes import start_time
from signoff.core.node import Taint

LOG = logging.getLogger(__name__)

AGENT_PID = "signoff/agent-pid"
"""The annotation that names the process that plays the node. To lose the node, stop that process."""
AGENT_START = "signoff/agent-start"
"""When that process started, in clock ticks since boot: its PID may be another's later."""

_KUBELET_VERSION = "v1.35.4"
_LEASE_SECONDS = 40
_BEAT_SECONDS = 10
"""A kubelet's own defaults; without renewal for 50 s the controller manager counts a node as lost."""
_TRY_AGAIN_SECONDS = 0.2
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_MERGE = "application/strategic-merge-patch+json"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_MAX_PODS = "110"
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node_object(node: NodeConfig, log_port: int) -> Json:
    """The Node as it is registered."""
    agent = {AGENT_PID: str(os.getpid()), AGENT_START: str(start_time(os.getpid()))}
    names = {"hostname": node.name, "os": "linux", "arch": _arch()}
    labels = {f"kubernetes.io/{name}": value for name, value in names.items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": {**node.declared.labels, **labels}, "annotations": agent},
        "spec": {"taints": [taint._asdict() for taint in map(Taint.parse, node.declared.taints)]},
        "status": _status(node, log_port, ()),
    }


def _status(node: NodeConfig, log_port: int, before: Sequence[Json]) -> Json:
    """All of this machine, since its nodes share it, and what was declared; `before` are the conditions so far."""
    declared = {name: str(amount) for name, amount in node.declared.resources.items()}
    what = {**machine(), "ephemeral-storage": "100Gi", "pods": _MAX_PODS, **declared}
    return {
        "capacity": what,
        "allocatable": what,
        "addresses": [
            {"type": "InternalIP", "address": node.address},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
        "nodeInfo": {
            "machineID": _line("/etc/machine-id"),
            "systemUUID": "",
            "bootID": _line("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": platform.release(),
            "osImage": "Linux",
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": _KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": _arch(),
        },
        "conditions": _conditions(before),
    }


def _conditions(before: Sequence[Json]) -> list[Json]:
    said = [dict(zip(("type", "status", "reason", "message"), each, strict=True)) for each in _CONDITIONS]
    return [dated(each, before) | {"lastHeartbeatTime": now()} for each in said]


def _arch() -> str:
    return _MACHINES.get(platform.machine(), platform.machine())


def _line(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8").strip()
    return ""


class Node:
    """One node, registered and kept Ready."""

    def __init__(self, api: KubeApi, config: NodeConfig, log_port: int) -> None:
        self._api, self._config, self._log_port = api, config, log_port
        self._path = f"/api/v1/nodes/{config.name}"

    async def run(self) -> None:
        """Register, then renew for ever; a node that was deleted comes back."""
        registered = False
        while True:
            try:
                if not registered:
                    await self._register()
                    registered = True
                else:
                    await self._beat()
                await self._renew_lease()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("node %s: %s", self._config.name, error)
                registered = registered and not (isinstance(error, ApiError) and error.status == 404)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            await asyncio.sleep(_BEAT_SECONDS)

    async def _register(self) -> None:
        node = node_object(self._config, self._log_port)
        try:
            await self._api.request("POST", "/api/v1/nodes", json=node)
        except ApiError as error:
            if error.status != 409:
                raise
            await self._beat()  # before it says who plays it: then its new port is known
            await self._api.request("PATCH", self._path, json={"metadata": node["metadata"]}, content_type=_MERGE)

    async def _beat(self) -> None:
        """Say how it is. The Node is read first, since the control plane marks one that it has not heard of."""
        known = await self._api.request("GET", self._path)
        status = _status(self._config, self._log_port, known["status"].get("conditions") or [])
        await self._api.request("PATCH", f"{self._path}/status", json={"status": status}, content_type=_MERGE)

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
            node = await self._api.request("GET", self._path)
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._api.request("POST", _LEASES, json=lease)
