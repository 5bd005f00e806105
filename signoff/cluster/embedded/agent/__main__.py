"""`python -m signoff.cluster.embedded.agent --config DIR/agent.json`: play the nodes until killed.

Each node is a process of its own, forked once everything is imported, so that one can be stopped (its pid is the Node's
annotation `signoff/agent-pid`) while the others go on. SIGHUP brings those back whose process was killed.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from signoff.cluster.embedded.address_range import free_ports
from signoff.cluster.embedded.agent import usage
from signoff.cluster.embedded.agent.addresses import PodAddresses
from signoff.cluster.embedded.agent.config import AgentConfig, NodeConfig
from signoff.cluster.embedded.agent.container import Container
from signoff.cluster.embedded.agent.events import Events
from signoff.cluster.embedded.agent.logserver import application, tls
from signoff.cluster.embedded.agent.node import Node
from signoff.cluster.embedded.agent.pod import Pod
from signoff.cluster.embedded.agent.pulls import Pulls
from signoff.cluster.embedded.agent.runtime import Runtime
from signoff.cluster.embedded.agent.services import Services
from signoff.cluster.embedded.agent.sources import Reference
from signoff.cluster.embedded.images import Images
from signoff.cluster.embedded.kubeapi import Json, KubeApi
from signoff.core.processes import dying_with

LOG = logging.getLogger(__name__)

_OVER = ("Succeeded", "Failed")
_AWAITED = (signal.SIGCHLD, signal.SIGHUP)


class Pods:
    """All pods of one node, each with a task that runs it."""

    def __init__(self, node: NodeConfig, runtime: Runtime) -> None:
        self._node, self._addresses = node, PodAddresses(node.pod_prefix)
        self._runtime = runtime
        self._pods: dict[str, Pod] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Follow the API server for ever."""
        selector = f"spec.nodeName={self._node.name}"
        async for event, obj in self._runtime.api.watch("/api/v1/pods", fieldSelector=selector):
            if event == "SYNC":
                present = {pod["metadata"]["uid"] for pod in obj["items"]}
                for uid in self._pods.keys() - present:
                    self._pods[uid].vanish()
            for pod in obj["items"] if event == "SYNC" else [obj]:
                self._note(pod, gone=event == "DELETED")

    def _note(self, pod: Json, *, gone: bool) -> None:
        known = self._pods.get(pod["metadata"]["uid"])
        if gone:
            if known:
                known.vanish()
        elif known:
            known.update(pod)
        elif pod.get("status", {}).get("phase") not in _OVER:
            self._start(pod)

    def _start(self, pod: Json) -> None:
        started = self._pods[pod["metadata"]["uid"]] = Pod(pod, self._node, self._addresses, self._runtime)
        started.update(pod)
        task = asyncio.create_task(self._run(started))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, pod: Pod) -> None:
        try:
            await pod.run()
        finally:
            del self._pods[pod.pod["metadata"]["uid"]]

    async def follow_sources(self, kind: str) -> None:
        """Tell the pods for ever of each "configmap" or "secret" that changes."""
        async for event, obj in self._runtime.api.watch(f"/api/v1/{kind}s"):
            for each in obj["items"] if event == "SYNC" else [obj]:
                meta = each["metadata"]
                for pod in self._pods.values():
                    pod.source_changed(meta["namespace"], Reference(kind, meta["name"]))

    def summary(self) -> Json:
        """What they use, as the kubelet's Summary API tells it."""
        running = [(pod.pod["metadata"], mains) for pod in list(self._pods.values()) if (mains := pod.main_processes())]
        return usage.summary(self._node.name, [usage.pod_stats(*each) for each in running])

    def container(self, namespace: str, pod_name: str, name: str) -> Container | None:
        """The container of this name in a pod of this name."""
        pod = self._newest(namespace, pod_name)
        return pod.container(name) if pod else None

    def address(self, namespace: str, pod_name: str) -> str | None:
        """Where the containers of a pod of this name listen."""
        pod = self._newest(namespace, pod_name)
        return pod.listens_at if pod else None

    def _newest(self, namespace: str, name: str) -> Pod | None:
        """The newest pod of this name: one that is gone may not be cleared away yet."""
        for pod in reversed(self._pods.values()):
            meta = pod.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return pod
        return None


async def play(config: AgentConfig, node: NodeConfig) -> None:
    """Play one node for ever."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeApi(config.server, config.ca, config.cert, config.key))
        # A probe is one connection, as a kubelet's: a server that no longer accepts must not pass by an old one.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        events, services = Events(api), Services(api, node.pod_range)
        pulls = Pulls(Images(config.cache))
        ways = {"server": config.server, "relay": config.relay}
        runtime = Runtime(api, events, pulls, services, http, config.dir, config.namespaces, **ways)
        pods = Pods(node, runtime)
        runner = web.AppRunner(application(pods.container, pods.summary, pods.address), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        (port,) = free_ports(node.address, 1)
        await web.TCPSite(runner, node.address, port, ssl_context=tls(config)).start()
        sources = (pods.follow_sources(kind) for kind in ("configmap", "secret"))
        await api.until_ready()
        async with asyncio.TaskGroup() as forever:
            for follower in (Node(api, node, port).run(), events.run(), services.run(), pods.follow(), *sources):
                forever.create_task(follower)


def fork(config: AgentConfig, node: NodeConfig) -> int:
    """Play the node in a process of its own, which dies with this one; gives its PID."""
    dies = dying_with(os.getpid())
    if pid := os.fork():
        return pid
    dies()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    asyncio.run(play(config, node))
    os._exit(1)


def tend(config: AgentConfig) -> None:
    """Have all nodes played for ever. One that is killed from outside is lost, as happens to nodes, until SIGHUP.

    Raises:
        SystemExit: a process failed by itself, or none is left.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    played = {fork(config, node): node for node in config.nodes}
    while played:
        heard = signal.sigwait(_AWAITED)
        for pid in _killed():  # SIGHUP overtakes the SIGCHLD of one that has just ended
            del played[pid]
        if heard == signal.SIGHUP:
            lost = [node for node in config.nodes if node not in played.values()]
            played |= {fork(config, node): node for node in lost}
    sys.exit("no node is left")


def _killed() -> Iterator[int]:
    """The processes of nodes that have been killed from outside.

    Raises:
        SystemExit: one ended by itself.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # none is left
            return
        if not pid:
            return
        if not os.WIFSIGNALED(status):
            sys.exit(f"the process {pid} of a node ended with exit code {os.waitstatus_to_exitcode(status)}")
        LOG.warning("the process %d of a node was killed by signal %d", pid, os.WTERMSIG(status))
        yield pid


def main() -> None:
    """Read the configuration and play."""
    parser = argparse.ArgumentParser(description="Play the nodes of one embedded cluster.")
    parser.add_argument("--config", type=Path, required=True, help="the cluster's agent.json")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    tend(AgentConfig.read(options.config))


if __name__ == "__main__":
    main()
