"""A Service of a small pod on the embedded cluster, reached by a forward through a relay that can be cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.port_forward import ServiceForward
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube
from tests.cluster.relay import Relay
from tests.embedded import container, pod, wait_for

SERVER = """
import http.server as h, os, threading, time
class Named(h.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(60)
        if self.path == "/end":
            os._exit(1)
        if self.path == "/end-soon":
            threading.Timer(0.3, os._exit, (1,)).start()
        body = os.environ["NAME"].encode() * (1 << 20 if self.path == "/much" else 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        time.sleep(60)
h.ThreadingHTTPServer(("0.0.0.0", 8080), Named).serve_forever()
"""
PATIENT = Timeout(40, every=0.1)


def start_pod(kube: Kube, namespace: str, name: str) -> None:
    """A pod of the Service, once it is Ready."""
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    body = pod(container(SERVER, env=[{"name": "NAME", "value": name}], readinessProbe=probe))
    body["metadata"]["name"] = name
    kube.core.create_namespaced_pod(namespace, body)
    until_ready(kube, namespace, name)


def until_ready(kube: Kube, namespace: str, name: str) -> None:
    def endpoints() -> list[str]:
        slices = kube.discovery.list_namespaced_endpoint_slice(namespace).items
        ends = [end for each in slices for end in each.endpoints or [] if end.conditions.ready]
        return [name for end in ends if end.target_ref.name == name]

    wait_for("the endpoint", endpoints, PATIENT)


@pytest.fixture
def relay(cluster: EmbeddedCluster) -> Iterator[Relay]:
    """Between this process and the API server."""
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    with Relay(server) as opened:
        yield opened


@pytest.fixture
def forward(
    cluster: EmbeddedCluster, kube: Kube, namespace: str, relay: Relay, tmp_path: Path
) -> Iterator[ServiceForward]:
    """A forward to the Service of a Ready pod, by the relay."""
    spec = {"selector": {"app": "pod"}, "ports": [{"port": 80, "targetPort": 8080}]}
    kube.core.create_namespaced_service(namespace, {"metadata": {"name": "web"}, "spec": spec})
    start_pod(kube, namespace, "first")
    opened = ServiceForward(relay.kubeconfig(cluster.kubeconfig, tmp_path), namespace, "web", 80)
    yield opened
    opened.close()
