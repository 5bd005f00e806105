"""Services are reached at their own address, by whoever of their pods is ready."""

import socket

import httpx
import pytest

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.network import Endpoint, endpoints_of
from signoff.core.errors import SignoffError
from signoff.kube.client import Kube
from tests.embedded import container, ended, event, pod, wait_for

SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='0.0.0.0')"


def service(port: int, target: int | str = "web") -> dict[str, object]:
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "pod"}, "ports": [{"port": port, "targetPort": target}]},
    }


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("target", ["web", 8080])
def test_a_service_answers_while_it_has_a_ready_pod(
    cluster: EmbeddedCluster, kube: Kube, namespace: str, target: int | str
) -> None:
    kube.core.create_namespaced_service(namespace, service(80, target))
    url = cluster.service_url(namespace, "web", 80)
    assert not answers(url)
    kube.core.create_namespaced_pod(namespace, pod(container(SERVE, ports=[{"name": "web", "containerPort": 8080}])))
    wait_for("an answer", lambda: answers(url))
    kube.core.delete_namespaced_pod("pod", namespace)
    wait_for("silence", lambda: not answers(url))


def test_pods_find_services_by_their_names(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_service(namespace, service(80))
    kube.core.create_namespaced_pod(namespace, pod(container(SERVE, ports=[{"name": "web", "containerPort": 8080}])))
    wait_for("an answer", lambda: answers(cluster.service_url(namespace, "web", 80)))
    urls = [f"http://{host}/" for host in (f"web.{namespace}.svc.cluster.local", f"web.{namespace}", "web")]
    code = f"import urllib.request as u; print(*(u.urlopen(url).status for url in {urls}))"
    body = pod(container(code), restartPolicy="Never")
    body["metadata"] = {"name": "caller"}
    kube.core.create_namespaced_pod(namespace, body)
    wait_for("the call", lambda: kube.core.read_namespaced_pod("caller", namespace).status.phase == "Succeeded")
    assert kube.core.read_namespaced_pod_log("caller", namespace).strip() == "200 200 200"


def test_endpoints_that_are_no_pods_keep_their_addresses() -> None:
    endpoints = [{"addresses": ["10.100.0.7"]}, {"addresses": ["192.0.2.9"]}]
    found = endpoints_of([{"endpoints": endpoints, "ports": [{"port": 80}]}], "", "10.100")
    assert found.usable == [Endpoint("127.100.0.7", 80), Endpoint("192.0.2.9", 80)]


def test_an_external_name_takes_the_place_of_its_service(kube: Kube, namespace: str) -> None:
    body = {"metadata": {"name": "far"}, "spec": {"type": "ExternalName", "externalName": "far.example.org"}}
    kube.core.create_namespaced_service(namespace, body)
    code = f"print('http://far.{namespace}.svc:80/')"
    kube.core.create_namespaced_pod(namespace, pod(container(code), restartPolicy="Never"))
    assert ended(kube, namespace) == "Succeeded"
    assert kube.core.read_namespaced_pod_log("pod", namespace).strip() == "http://far.example.org:80/"


def test_a_port_that_another_program_has_is_an_event(kube: Kube, namespace: str) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        kube.core.create_namespaced_service(namespace, service(other.getsockname()[1]))
        kube.core.create_namespaced_pod(
            namespace, pod(container(SERVE, ports=[{"name": "web", "containerPort": 8080}]))
        )
        assert "has it" in event(kube, namespace, "PortTaken").message


def test_an_unknown_service_is_an_error(cluster: EmbeddedCluster) -> None:
    with pytest.raises(SignoffError, match="no Service default/nothing"):
        cluster.service_url("default", "nothing", 80)
