"""The tokens of a pod's service account, which its projected volumes ask for, each renewed as a kubelet does.

Source: k8s.io/kubernetes/pkg/kubelet/token/token_manager.go (requiresRefresh); its jitter is left out.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from signoff.cluster.embedded.agent.downward import PodFacts
from signoff.cluster.embedded.agent.sources import TOKEN, Reference, Sources, token
from signoff.cluster.embedded.kubeapi import ApiError, Json, KubeApi

LOG = logging.getLogger(__name__)

_DAY_SECONDS = 24 * 3600.0
_LEFT_AT_RENEWAL = 0.2
"""The share of its life that a token still has then."""


def renewal(expires: float, lifetime: float) -> float:
    """When a token is to be renewed that lives for `lifetime` seconds until `expires`, in seconds since the epoch.

    >>> renewal(expires=1600.0, lifetime=600.0)
    1480.0
    >>> renewal(expires=1_000_000.0, lifetime=1_000_000.0)
    86400.0
    """
    return min(expires - _LEFT_AT_RENEWAL * lifetime, expires - lifetime + _DAY_SECONDS)


@dataclass(frozen=True)
class Token:
    """A token, and until when it is good, in seconds since the epoch."""

    text: str
    expires: float
    renewal: float


class Tokens:
    """The tokens of one pod; each is bound to it, so that it ends with the pod."""

    def __init__(self, api: KubeApi, facts: PodFacts, clock: Callable[[], float] = time.time) -> None:
        self._api, self._facts, self._clock = api, facts, clock
        self._held: dict[Reference, Token] = {}

    @property
    def due(self) -> bool:
        """Whether one is to be renewed."""
        return any(held.renewal <= self._clock() for held in self._held.values())

    async def sources(self) -> Sources:
        """What the pod's volumes ask for; what is due is asked for anew.

        Raises:
            ApiError, aiohttp.ClientError, TimeoutError: one cannot be had, and the pod has none that is still good.
        """
        for asked in _asked(self._facts.pod["spec"]):
            held = self._held.get(token(asked))
            if held and self._clock() < held.renewal:
                continue
            try:
                self._held[token(asked)] = await self._request(asked)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                if not held or held.expires <= self._clock():
                    raise
                LOG.info("a token of %s is not renewed: %s", self._facts.pod["metadata"]["name"], error)
        return {reference: {TOKEN: held.text.encode()} for reference, held in self._held.items()}

    async def _request(self, asked: Json) -> Token:
        meta, account = self._facts.pod["metadata"], self._facts.field("spec.serviceAccountName")
        spec: Json = {
            "audiences": [asked["audience"]] if asked.get("audience") else [],
            "expirationSeconds": asked["expirationSeconds"],
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        }
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        given = await self._api.request("POST", path, json=wanted)
        expires = datetime.fromisoformat(given["status"]["expirationTimestamp"]).timestamp()
        return Token(given["status"]["token"], expires, renewal(expires, given["spec"]["expirationSeconds"]))


def _asked(spec: Json) -> Iterator[Json]:
    """What the pod's projected volumes say of the tokens that they hold."""
    for volume in spec.get("volumes") or []:
        for source in volume.get("projected", {}).get("sources") or []:
            if "serviceAccountToken" in source:
                yield source["serviceAccountToken"]
