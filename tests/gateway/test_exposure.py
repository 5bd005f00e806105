"""What leads to the gateway's pods beside the one port of its Service."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes import client

from signoff.gateway import exposure
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests

LABELS = {"app.kubernetes.io/name": "litellm"}


def service(name: str, *ports: int, selector: dict[str, str] | None = LABELS, **spec: Any) -> client.V1Service:
    opened = spec.pop("node_port", None)
    numbered = [client.V1ServicePort(name=f"p{port}", port=port, node_port=opened) for port in ports]
    told = client.V1ServiceSpec(ports=numbered or None, selector=selector, **{"type": "ClusterIP", **spec})
    return client.V1Service(metadata=client.V1ObjectMeta(name=name), spec=told)


def deployed(
    *services: client.V1Service, host_network: bool = False, containers: Any = (), first: Any = ()
) -> Deployment:
    """The story's deployment, on a cluster that has these Services."""
    manifests = StoryManifests.read()
    pods = SimpleNamespace(host_network=host_network, containers=list(containers), init_containers=list(first))
    template = SimpleNamespace(metadata=SimpleNamespace(labels=LABELS), spec=pods)
    kube = SimpleNamespace(
        core=SimpleNamespace(list_namespaced_service=lambda _: SimpleNamespace(items=list(services))),
        workload=lambda *_: SimpleNamespace(spec=SimpleNamespace(template=template)),
    )
    own = SimpleNamespace(kube=kube, manifests=manifests, gateway=manifests.roles.gateway, settings=manifests.settings)
    return cast("Deployment", own)


@pytest.mark.parametrize(
    ("services", "found"),
    [
        ([service("litellm", 4000)], []),
        ([service("litellm")], []),
        ([service("litellm", 4000, 9090)], [("port", "9090")]),
        ([service("litellm", 8080, 4000)], [("port", "8080")]),
        ([service("litellm", 4000, external_ips=["192.0.2.7"])], [("externalIPs", "192.0.2.7")]),
        ([service("litellm", 4000), service("beside", 80)], []),
        ([service("litellm", 4000), service("beside", 80, type="NodePort", node_port=30080)], [("NodePort", "30080")]),
        ([service("litellm", 4000), service("beside", 80, type="LoadBalancer")], [("LoadBalancer", "80")]),
        ([service("litellm", 4000), service("beside", type="LoadBalancer")], [("LoadBalancer", "")]),
        ([service("litellm", 4000), service("other", 80, type="NodePort", selector={"app": "x"})], []),
        ([service("litellm", 4000), service("by hand", 80, type="NodePort", selector=None)], []),
    ],
)
def test_what_opens_a_way_past_the_port(services: list[client.V1Service], found: list[tuple[str, str]]) -> None:
    assert [(each.what, each.value) for each in exposure.openings(deployed(*services))] == found


def test_the_network_of_the_node_is_a_way_too() -> None:
    (found,) = exposure.openings(deployed(service("litellm", 4000), host_network=True))
    assert (found.what, found.object) == ("hostNetwork", "Deployment/litellm")


def test_a_port_of_the_node_counts_in_a_sidecar_as_well() -> None:
    taking = SimpleNamespace(ports=[SimpleNamespace(host_port=4000), SimpleNamespace(host_port=None)])
    idle = SimpleNamespace(ports=None)
    assert list(exposure.host_ports(deployed(containers=[idle, taking], first=[idle]))) == [4000]
    assert list(exposure.host_ports(deployed(containers=[idle], first=[taking]))) == [4000]
