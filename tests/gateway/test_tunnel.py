"""A request that the tunnel broke is nobody's failure at the tunnel's ends."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.port_forward import ServiceForward
from signoff.evidence.causes import cause_of
from signoff.evidence.models import NoAnswer, Run, Subject
from signoff.evidence.recording import recording
from signoff.gateway.deployment import Deployment
from signoff.judges.run import of_cause
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.traffic import client as http
from signoff.traffic.endpoint import Endpoint
from signoff.verdicts.verdict import Value
from steps.chat import ask
from tests.cluster.forwarded import forward, relay
from tests.cluster.relay import Relay

pytestmark = pytest.mark.cluster
__all__ = ["forward", "relay"]


@pytest.mark.parametrize("who", ["the tunnel", "the pod"])
def test_what_the_tunnel_broke_is_inconclusive_by_its_name_and_what_the_pod_broke_is_failed(
    cluster: EmbeddedCluster,
    kube: Kube,
    namespace: str,
    forward: ServiceForward,
    relay: Relay,
    tmp_path: Path,
    who: str,
) -> None:
    tunnelled: Any = SimpleNamespace(
        kubeconfig=cluster.kubeconfig, gate=cluster.gate, failure=cluster.failure, tunnel_breaks=forward.breaks
    )
    with recording(tmp_path / "run", Run(tool="features", cluster="embedded")) as evidence:
        deployment = Deployment(tunnelled, StoryManifests.read(), evidence)
        assert deployment.disturbances() == []
        breaks = relay.cut if who == "the tunnel" else lambda: kube.core.delete_namespaced_pod("first", namespace)
        threading.Timer(0.5, breaks).start()
        with pytest.raises(http.NoAnswer) as unanswered:
            ask(evidence, "proxied", Endpoint(forward.url, "m"), "Hello?")
        (recorded,) = evidence.so_far().of(NoAnswer)
        assert recorded.arm == "proxied"
        cause, found = cause_of(unanswered.value), deployment.disturbances()
    assert cause.subject is Subject.GATEWAY
    if who == "the pod":
        assert found == []
        assert of_cause(cause).value is Value.FAILED
    else:
        verdict = of_cause(found[0])
        assert verdict.value is Value.INCONCLUSIVE
        assert f"the tunnel to the Service {namespace}/web (pod first) broke at" in verdict.reason
