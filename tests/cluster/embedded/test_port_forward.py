"""A pod's port through the API server, as client libraries ask for it."""

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config
from kubernetes.stream import portforward

from signoff.cluster.embedded import EmbeddedCluster
from signoff.kube.client import Kube
from tests.embedded import container, pod, status, wait_for

HASH = """
import hashlib, http.server as h
class Hashing(h.BaseHTTPRequestHandler):
    def do_POST(self):
        wanted = int(self.headers["Content-Length"])
        body = self.rfile.read(wanted)
        print("whole" if len(body) == wanted else "cut off", flush=True)
        said = hashlib.sha256(body).hexdigest().encode() + body[::-1]
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
h.ThreadingHTTPServer(("0.0.0.0", 8080), Hashing).serve_forever()
"""
MEGABYTES = 8 << 20


@pytest.fixture
def forwarded(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> Any:
    """A pod that hashes at port 8080, and what opens its ports."""
    kube.core.create_namespaced_pod(namespace, pod(container(HASH, readinessProbe={"tcpSocket": {"port": 8080}})))
    wait_for("readiness", lambda: any(each.ready for each in status(kube, namespace).container_statuses or []))
    return opener(cluster.kubeconfig, namespace)


def opener(kubeconfig: Path, namespace: str) -> Any:
    def opened(*ports: int, name: str = "pod") -> Any:
        method = client.CoreV1Api(new_client_from_config(str(kubeconfig))).connect_get_namespaced_pod_portforward
        return portforward(method, name, namespace, ports=",".join(map(str, ports)))

    return opened


def ask(end: Any, body: bytes) -> bytes:
    """The answer to a POST that closes its connection."""
    head = f"POST / HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    threading.Thread(target=end.sendall, args=(head + body,), daemon=True).start()
    said = b""
    while piece := end.recv(1 << 20):
        said += piece
        if b"\r\n\r\n" in said and len(said.partition(b"\r\n\r\n")[2]) == 64 + len(body):
            break
    return said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("length", [0, 1, MEGABYTES])
def test_a_port_leads_to_the_pod_whole_in_both_directions(forwarded: Any, length: int) -> None:
    body = os.urandom(length)
    assert ask(forwarded(8080).socket(8080), body) == hashlib.sha256(body).hexdigest().encode() + body[::-1]


def test_several_ports_lead_there_side_by_side(forwarded: Any) -> None:
    opened = forwarded(8081, 8080)
    assert ask(opened.socket(8080), b"x")[64:] == b"x"
    wait_for("what is wrong with the other", lambda: opened.error(8081))


def test_a_port_without_a_listener_is_told_as_refused(forwarded: Any) -> None:
    opened = forwarded(8081)
    assert opened.socket(8081).recv(1) == b""
    assert "error forwarding port 8081 to pod: connection refused" in wait_for("why", lambda: opened.error(8081))


def test_it_ends_with_the_pod(forwarded: Any, kube: Kube, namespace: str) -> None:
    end = forwarded(8080).socket(8080)
    end.sendall(b"POST / HTTP/1.0\r\n")
    kube.core.delete_namespaced_pod("pod", namespace)
    end.settimeout(20)
    assert end.recv(1) == b""


def test_a_pod_that_is_not_there_is_told(forwarded: Any) -> None:
    with pytest.raises(ApiException, match="404"):
        forwarded(8080, name="other")


@pytest.mark.usefixtures("forwarded")
def test_what_is_asked_for_by_spdy_is_told(kube: Kube, namespace: str) -> None:
    api = kube.core.api_client
    url = f"{api.configuration.host}/api/v1/namespaces/{namespace}/pods/pod/portforward"
    answer = api.call_api("POST", url, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"})
    assert answer.status >= 400
    assert b"by WebSocket alone" in answer.read()


def test_a_caller_that_leaves_is_gone_for_the_pod_as_well(forwarded: Any, kube: Kube, namespace: str) -> None:
    end = forwarded(8080).socket(8080)
    end.sendall(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n")
    end.close()
    wait_for("its end", lambda: "cut off" in kube.core.read_namespaced_pod_log("pod", namespace))
