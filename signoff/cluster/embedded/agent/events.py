"""Events on pods, as a kubelet writes them."""

import asyncio
import logging
from typing import Any, Literal

import aiohttp

from signoff.cluster.embedded.agent.clock import now
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi

LOG = logging.getLogger(__name__)

Kind = Literal["Normal", "Warning"]


class Events:
    """Writes events one after the other; the same event again only counts one up."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._queue: asyncio.Queue[Json] = asyncio.Queue()
        self._written: dict[tuple[str, ...], tuple[str, int]] = {}

    def add(self, pod: Json, kind: Kind, reason: str, message: str, field: str | None = None) -> None:
        """Note that something happened to the pod, or to the container at this path of it."""
        meta = pod["metadata"]
        stamp = now()
        self._queue.put_nowait(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": meta["namespace"],
                    "name": meta["name"],
                    "uid": meta["uid"],
                    **({"fieldPath": field} if field else {}),
                },
                "type": kind,
                "reason": reason,
                "message": message[:1024],
                "source": {"component": "kubelet", "host": pod["spec"]["nodeName"]},
                "reportingComponent": "kubelet",
                "reportingInstance": pod["spec"]["nodeName"],
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "count": 1,
            }
        )

    def discard(self, uid: str) -> None:
        """The pod is gone: its events are not counted up any more."""
        self._written = {key: value for key, value in self._written.items() if key[0] != uid}

    async def run(self) -> None:
        """Write events for ever; one that cannot be written is lost, as events may be."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                LOG.info("event %s of %s was lost: %s", event["reason"], event["involvedObject"]["name"], error)

    async def _write(self, event: Json) -> None:
        about = event["involvedObject"]
        key = (about["uid"], about.get("fieldPath", ""), event["reason"], event["message"])
        path = f"/api/v1/namespaces/{about['namespace']}/events"
        if key in self._written:
            name, count = self._written[key]
            again: dict[str, Any] = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            await self._api.request("PATCH", f"{path}/{name}", json=again, content_type="application/merge-patch+json")
            self._written[key] = (name, count + 1)
        else:
            made = await self._api.request("POST", path, json=event)
            self._written[key] = (made["metadata"]["name"], 1)
