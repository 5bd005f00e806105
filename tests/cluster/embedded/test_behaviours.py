"""The embedded cluster behaves as Kubernetes does; `scripts/compare_behaviours.py` asks a real one the same."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import pytest

from signoff.cluster.conformance import BEHAVIOURS, Behaviour, Cluster, Observations
from signoff.cluster.embedded import namespaces
from signoff.cluster.embedded.address_range import first_port
from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.kube.client import Kube
from tests.embedded import IMAGE

MOVED = "WEB_SERVICE_HOST WEB_SERVICE_PORT=30080 WEB_PORT=tcp://HOST:30080 WEB_PORT_80_TCP_PROTO=tcp"
KNOWN_DIFFERENCES = (
    {
        "A program without a handler for SIGTERM": "ended at once: Error 143",
        "A Service whose Ready pod does not listen": "ConnectionResetError",
    }
    | ({"Writing to a mounted ConfigMap": "written"} if namespaces.why_not() else {})
    | ({"Variables of Services": MOVED} if first_port() > 80 else {})
)
"""What no process of the host can do as a container does; each is in the table of docs/embedded.md."""


@pytest.fixture(scope="module")
def observations(kube: Kube) -> Iterator[Observations]:
    @contextmanager
    def lose(node: str) -> Iterator[None]:
        pid = int(kube.core.read_node(node).metadata.annotations[AGENT_PID])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    nodes = ("k3s-worker-01", "k3s-worker-02")
    cluster = Cluster(kube, IMAGE, ("python3", "-u", "-c"), nodes, lose, Lock())
    observing = Observations(cluster, "behaviour", BEHAVIOURS)
    yield observing
    observing.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.name)
def test_behaviour(observations: Observations, behaviour: Behaviour) -> None:
    assert observations.of(behaviour) == KNOWN_DIFFERENCES.get(behaviour.name, behaviour.expected)
