"""Services are reached at their own address, by whoever of their pods is ready."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from signoff.cluster.embedded import EmbeddedCluster, address_range
from signoff.cluster.embedded.address_range import served_port, to_loopback
from signoff.cluster.embedded.kubeapi import KubeApi
from signoff.cluster.embedded.network import Endpoint, Network, endpoints_of
from signoff.cluster.embedded.serviceproxy import ServiceProxy
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.core.waiting import until
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
    with pytest.raises(SignoffError, match="no Service default/nothing"):
        cluster.address_in_pods("default", "nothing", 80)


def test_a_program_in_a_pod_reaches_a_service_at_an_address(
    cluster: EmbeddedCluster, kube: Kube, namespace: str
) -> None:
    kube.core.create_namespaced_service(namespace, service(80))
    kube.core.create_namespaced_pod(namespace, pod(container(SERVE, ports=[{"name": "web", "containerPort": 8080}])))
    host, port = cluster.address_in_pods(namespace, "web", 80)
    wait_for("an answer", lambda: answers(f"http://{host}:{port}"))
    body = pod(container(f"import urllib.request as u; print(u.urlopen('http://{host}:{port}').status)"))
    body["metadata"] = {"name": "caller"}
    body["spec"]["restartPolicy"] = "Never"
    kube.core.create_namespaced_pod(namespace, body)
    wait_for("the call", lambda: kube.core.read_namespaced_pod("caller", namespace).status.phase == "Succeeded")
    assert kube.core.read_namespaced_pod_log("caller", namespace).strip() == "200"


# The lowest ports, on which not everybody may listen

ORDINARY = """
import os, socket
from signoff.cluster.embedded.address_range import first_port
if os.geteuid() == 0:
    os.setuid(65534)
print(first_port())
for port in (first_port() - 1, first_port()):
    with socket.socket() as tried:
        try:
            tried.bind(("127.199.255.9", port))
            print("may")
        except PermissionError:
            print("may not")
"""


def test_the_first_port_that_a_user_may_have_is_known() -> None:
    done = subprocess.run([sys.executable, "-c", ORDINARY], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *may = done.stdout.splitlines()
    assert (int(first) > 1, may) == (True, ["may not", "may"])


def test_a_port_that_is_not_for_everybody_is_served_30000_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an ordinary user, whoever runs this; the range is one that no cluster has while others are free."""
    meta = {"namespace": "ml", "name": "web"}
    about = {"metadata": meta, "spec": {"clusterIP": "10.199.0.7", "ports": [{"port": 80}]}}
    endpoints = {"endpoints": [{"addresses": ["10.198.0.9"]}], "ports": [{"port": 8080}]}
    slices = {"metadata": {**meta, "labels": {"kubernetes.io/service-name": "web"}}, **endpoints}

    class Api:
        async def watch(self, path: str) -> AsyncIterator[tuple[str, Any]]:
            yield "SYNC", {"items": [slices if "slices" in path else about]}
            await asyncio.Event().wait()

    async def said() -> bytes:
        def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"the pod")
            writer.close()

        async def is_served() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.199.0.7", 30080)
            except ConnectionRefusedError:
                return False
            writer.close()
            return True

        proxy = asyncio.create_task(ServiceProxy(cast("KubeApi", Api()), Network("10.198", "10.199")).run())
        async with await asyncio.start_server(answer, "127.198.0.9", 8080), asyncio.timeout(20):
            await until(is_served, every=0.01)
            reader, writer = await asyncio.open_connection("127.199.0.7", 30080)
            heard = await reader.read()
            writer.close()
        proxy.cancel()
        return heard

    monkeypatch.setattr(address_range, "first_port", lambda: 1024)
    assert asyncio.run(said()) == b"the pod"


def test_who_asks_for_such_a_port_is_told_where_it_is(
    cluster: EmbeddedCluster, kube: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.core.create_namespaced_service(namespace, service(443))
    address = to_loopback(kube.core.read_namespaced_service("web", namespace).spec.cluster_ip)
    monkeypatch.setattr(address_range, "first_port", lambda: 1024)
    assert served_port(443) == 30443
    assert cluster.service_url(namespace, "web", 443) == f"http://{address}:30443"
    assert cluster.address_in_pods(namespace, "web", 443) == (address, 30443)
