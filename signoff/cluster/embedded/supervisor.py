"""The process that owns a cluster: `python -m signoff.cluster.embedded.supervisor --dir DIR`.

It starts the control plane, the node agent and the service proxy, and ends them all, within `limits.CLUSTER_DOWN`, when
its owner dies (end of file on stdin), on SIGTERM, or when one of them dies. The line "keep" on stdin has it live on
without its owner. On stdout it writes one JSON object a line: {"progress": text, "subject": optional},
{"phase": name, "seconds": duration}, then {"ready": facts} or {"error": {what, where, hint}}; {"kept": true} answers
"keep". Should it be killed itself, its guardian clears away the cluster.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from signoff.cluster.embedded import once
from signoff.cluster.embedded.address_range import AddressRange, claim_address_range, free_ports
from signoff.cluster.embedded.binaries import find_binaries, versions_of
from signoff.cluster.embedded.cluster_registry import FACTS_FILE, KEEP, KEPT_FILE, UNCONFINED, fingerprint, settings
from signoff.cluster.embedded.controlplane import Children, ControlPlane, or_first_end
from signoff.cluster.embedded.images import Images
from signoff.cluster.embedded.kubeapi import KubeApi
from signoff.cluster.embedded.postmortem import note_end
from signoff.cluster.embedded.processes import dead_children, kill_descendants, reap
from signoff.cluster.embedded.sweep import make_cluster_dir, remove, sweep
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.paths import cache_dir, write_private
from signoff.core.processes import become_subreaper
from signoff.core.timeouts import NODES_READY
from signoff.core.waiting import until
from signoff.programs.search import check_space

_REAP_EVERY_SECONDS = 5
_CLUSTER_SPACE = 0.3e9
"""Bytes: etcd's files, which it makes 64 MB each in advance, and logs; images and their pods are on top of it."""


_TELLING = threading.Lock()


def tell(**message: Any) -> None:
    """Write one line for the owner, who may be gone; called from the threads that prepare images, too."""
    with _TELLING, suppress(OSError):
        print(json.dumps(message), flush=True)


class Phases:
    """How long each phase of the start took, in seconds; each is told as it ends."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.seconds: dict[str, float] = {}

    def done(self, name: str, seconds: float) -> None:
        """Note that the phase `name` took `seconds`."""
        self.seconds[name] = round(seconds, 3)
        tell(phase=name, seconds=self.seconds[name])

    def total(self) -> None:
        """Note the whole."""
        self.done("total", time.monotonic() - self._start)


async def run(cluster: Path, *, nodes: Sequence[Node], images: Sequence[str] = (), unconfined: str = "") -> None:
    """Bring the cluster up, its images meanwhile, then stay until one of its processes ends.

    Raises:
        SignoffError: always, in the end: whatever keeps the cluster from living on.
    """
    phases = Phases()
    start = time.monotonic()
    print_of_code = fingerprint()
    # The node agent asks for each image again, and waits for the one being prepared; it also reports what fails.
    preparing = [asyncio.create_task(asyncio.to_thread(_prepare, image)) for image in images]
    binaries = await asyncio.to_thread(find_binaries, lambda text: tell(progress=text))
    versions = await asyncio.to_thread(versions_of, binaries)
    check_space("a cluster", _CLUSTER_SPACE, cache_dir())
    phases.done("programs", time.monotonic() - start)
    addresses, children = claim_address_range(), Children(cluster)
    names = tuple(node.name for node in nodes)
    plane = ControlPlane(cluster, addresses, binaries, names)
    config = _write_agent_config(cluster, addresses, plane, nodes, namespaces=not unconfined)
    await plane.start(children)
    await children.start("serviceproxy", _module("serviceproxy", config))
    if nodes:
        await children.start("agent", _module("agent", config))
    await plane.ready(children, phases.done)
    if nodes:
        await _nodes_ready(plane, children, names, phases)
    phases.total()
    children.all_started()
    facts = {
        "dir": str(cluster),
        "kubeconfig": str(plane.kubeconfig),
        "server": plane.server,
        "kubernetes_version": f"v{versions['kube-apiserver']}",
        "etcd_version": f"v{versions['etcd']}",
        "address_range": addresses.number,
        "nodes": list(names),
        UNCONFINED: unconfined,
        "declared_nodes": list(map(str, nodes)),
        "start_seconds": phases.seconds,
        "supervisor_pid": os.getpid(),
        "owner_pid": os.getppid(),
        "ready_at": time.time(),
        "fingerprint": print_of_code,
        "settings": settings(),
        "pids": children.pids,
        "starts": children.starts,
    }
    write_private(cluster / FACTS_FILE, json.dumps(facts, indent=2).encode())
    tell(ready=facts)
    ended = await children.first_end()
    for task in preparing:
        task.cancel()
    raise ended


def _prepare(image: str) -> None:
    with suppress(SignoffError):
        once.prepared(Images(cache_dir(), lambda subject, text: tell(progress=text, subject=subject)), image)


def _module(name: str, config: Path) -> list[str | Path]:
    return [sys.executable, "-m", f"signoff.cluster.embedded.{name}", "--config", config]


def _write_agent_config(
    cluster: Path, addresses: AddressRange, plane: ControlPlane, nodes: Sequence[Node], *, namespaces: bool
) -> Path:
    """Write what the node agent and the service proxy must know."""
    path = cluster / "agent.json"
    config = {
        "server": plane.server,
        "ca": str(plane.pki.ca),
        "cert": str(plane.pki.admin.cert),
        "key": str(plane.pki.admin.key),
        "address_range": addresses.number,
        "dir": str(cluster),
        "cache": str(cache_dir()),
        "namespaces": namespaces,
        "nodes": [
            {
                "node": str(node),
                "address": addresses.node(index),
                "pod_prefix": addresses.pod_prefix(index),
            }
            for index, node in enumerate(nodes)
        ],
        "kubelet_serving_cert": str(plane.pki.kubelet_serving.cert),
        "kubelet_serving_key": str(plane.pki.kubelet_serving.key),
        "kubelet_client_ca": str(plane.pki.ca),
        "pod_range": addresses.pod_range,
        "service_range": addresses.service_range,
        "relay": [addresses.relay, *free_ports(addresses.relay, 1), secrets.token_urlsafe(32)],
    }
    write_private(path, json.dumps(config, indent=2).encode())
    return path


async def _nodes_ready(plane: ControlPlane, children: Children, nodes: tuple[str, ...], phases: Phases) -> None:
    start = time.monotonic()

    async def all_ready() -> None:
        async with plane.api() as api:
            await until(lambda: _are_ready(api, nodes), every=NODES_READY.every)

    await or_first_end(all_ready(), children, f"the nodes {', '.join(nodes)}", NODES_READY)
    phases.done("nodes", time.monotonic() - start)


async def _are_ready(api: KubeApi, nodes: tuple[str, ...]) -> bool:
    listed = await api.request("GET", "/api/v1/nodes")
    ready = {
        node["metadata"]["name"]
        for node in listed["items"]
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return ready >= set(nodes)


async def _supervise(
    cluster: Path, *, nodes: Sequence[Node], images: Sequence[str], unconfined: str
) -> SignoffError | None:
    """Run the cluster until it fails (the error) or is told to end (None)."""
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told_to_end.set)
    loop.add_signal_handler(signal.SIGINT, told_to_end.set)
    loop.add_reader(sys.stdin.fileno(), _on_stdin, cluster, told_to_end)
    running, ending = (
        asyncio.create_task(run(cluster, nodes=nodes, images=images, unconfined=unconfined)),
        asyncio.create_task(told_to_end.wait()),
    )
    reaping = asyncio.create_task(_reap_adopted())
    await asyncio.wait({running, ending, reaping}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        return None
    error = running.exception()
    if error is None or isinstance(error, SignoffError):
        return error
    return SignoffError(f"the embedded cluster failed: {type(error).__name__}: {error}")


def _on_stdin(cluster: Path, told_to_end: asyncio.Event) -> None:
    said = os.read(sys.stdin.fileno(), 4096).decode()
    if said == KEEP:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        (cluster / KEPT_FILE).touch()
        tell(kept=True)
        _let_go_of_the_terminal()
    elif not said:
        told_to_end.set()


def _let_go_of_the_terminal() -> None:
    """Close what was inherited: who reads the owner's output from a pipe would else wait for this process too."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


async def _reap_adopted() -> None:
    """Reap the dead orphans that came to this subreaper.

    Those that this process started are reaped by asyncio at once; a zombie seen twice has been adopted.
    """
    seen: set[int] = set()
    while True:
        await asyncio.sleep(_REAP_EVERY_SECONDS)
        now = set(dead_children())
        for pid in now & seen:
            reap(pid)
        seen = now


def main() -> None:
    """Supervise one cluster; exit code 0 when it was told to end, 1 when it failed."""
    parser = argparse.ArgumentParser(description="Supervise one embedded cluster.")
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's folder, which must not exist")
    parser.add_argument("--node", action="append", default=[], type=Node.parse, help="a node as a text (default: none)")
    parser.add_argument("--image", action="append", default=[], help="prepare this image meanwhile")
    parser.add_argument(
        "--unconfined", default="", metavar="WHY", help="why containers have no namespaces (default: each has)"
    )
    options = parser.parse_args()
    start_guardian(options.dir.parent)
    become_subreaper()
    # At the end all children are reaped here, which asyncio's watcher of children would warn of.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    error: SignoffError | None = None
    try:
        sweep(options.dir.parent)
        make_cluster_dir(options.dir)
    except SignoffError as early:
        _tell_error(early)
        kill_descendants(os.getpid())
        os._exit(1)
    try:
        supervised = _supervise(options.dir, nodes=options.node, images=options.image, unconfined=options.unconfined)
        # Not asyncio.run, which would wait for the thread that builds.
        error = asyncio.new_event_loop().run_until_complete(supervised)
    except SignoffError as early:
        error = early
    if error:
        with suppress(OSError):  # a full disk must not keep the cluster from being taken down
            error = note_end(options.dir, error)
        _tell_error(error)
    _take_down(options.dir)
    os._exit(1 if error else 0)  # not sys.exit, which would wait for a thread that still builds


def _tell_error(error: SignoffError) -> None:
    tell(error={"what": error.what, "where": error.where, "hint": error.hint})


def start_guardian(clusters: Path) -> None:
    """Fork a process that outlives this one just long enough to sweep, should it be killed.

    The parent-death signal ends this process's children by itself, but not the children of theirs. The fork shares
    its memory with this process, and dies with all other descendants where this one ends in order.
    """
    me = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(me)
        return
    try:
        os.setsid()
        _let_go_of_the_terminal()
        select.select([me], [], [])
        sweep(clusters)
    finally:
        os._exit(0)


def _take_down(cluster: Path) -> None:
    kill_descendants(os.getpid())
    remove(cluster)


if __name__ == "__main__":
    main()
