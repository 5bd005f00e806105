"""`python -m signoff.cluster.embedded.agent --config DIR/agent.json`: play the nodes until killed."""

import argparse
import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from signoff.cluster.embedded.agent.addresses import PodAddresses
from signoff.cluster.embedded.agent.config import AgentConfig, NodeConfig
from signoff.cluster.embedded.agent.container import Container, Runtime
from signoff.cluster.embedded.agent.events import Events
from signoff.cluster.embedded.agent.logserver import application, tls
from signoff.cluster.embedded.agent.node import Node
from signoff.cluster.embedded.agent.pod import Pod
from signoff.cluster.embedded.agent.pulls import Pulls
from signoff.cluster.embedded.agent.services import Services
from signoff.cluster.embedded.images import Images
from signoff.cluster.embedded.kubeapi import Json, KubeApi
from signoff.cluster.embedded.slot import free_port

_OVER = ("Succeeded", "Failed")


class Pods:
    """All pods of the agent's nodes, each with a task that runs it."""

    def __init__(self, nodes: tuple[NodeConfig, ...], runtime: Runtime) -> None:
        self._nodes = {node.name: (node, PodAddresses(node.pod_prefix)) for node in nodes}
        self._runtime = runtime
        self._pods: dict[str, Pod] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Follow the API server for ever."""
        async for event, obj in self._runtime.api.watch("/api/v1/pods", fieldSelector="spec.nodeName!="):
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
        elif pod["spec"]["nodeName"] in self._nodes and pod.get("status", {}).get("phase") not in _OVER:
            self._start(pod)

    def _start(self, pod: Json) -> None:
        node, addresses = self._nodes[pod["spec"]["nodeName"]]
        started = self._pods[pod["metadata"]["uid"]] = Pod(pod, node, addresses, self._runtime)
        started.update(pod)
        task = asyncio.create_task(self._run(started))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, pod: Pod) -> None:
        try:
            await pod.run()
        finally:
            del self._pods[pod.pod["metadata"]["uid"]]

    def container(self, namespace: str, pod_name: str, name: str) -> Container | None:
        """The container of this name in the pod of this name."""
        for pod in self._pods.values():
            meta = pod.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, pod_name):
                return pod.container(name)
        return None


async def play(config: AgentConfig) -> None:
    """Play the nodes for ever."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeApi(config.server, config.ca, config.cert, config.key))
        # A probe is one connection, as a kubelet's: a server that no longer accepts must not pass by an old one.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        events, services = Events(api), Services(api)
        runtime = Runtime(api, events, Pulls(Images(config.cache)), services, http, config.dir)
        pods = Pods(config.nodes, runtime)
        runner = web.AppRunner(application(pods.container), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        async with asyncio.TaskGroup() as forever:
            for each in config.nodes:
                port = free_port(each.address)
                await web.TCPSite(runner, each.address, port, ssl_context=tls(config)).start()
                forever.create_task(Node(api, each, port).run())
            for follower in (events.run(), services.run(), pods.follow()):
                forever.create_task(follower)


def main() -> None:
    """Read the configuration and play."""
    parser = argparse.ArgumentParser(description="Play the nodes of one embedded cluster.")
    parser.add_argument("--config", type=Path, required=True, help="the cluster's agent.json")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(play(AgentConfig.read(options.config)))


if __name__ == "__main__":
    main()
