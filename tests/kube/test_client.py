"""A node's kubelet is asked through the API server, and itself only where the node says that it is on loopback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from kubernetes.dynamic.exceptions import BadRequestError

from signoff.kube.client import Kube

NODE = "k3s-worker-01"
REFUSAL = {"kind": "Status", "message": "address not allowed", "code": 400}


@contextmanager
def api_server(status: dict[str, Any]) -> Iterator[str]:
    """Stands for one that refuses to pass a question on, and whose node has this status."""

    node = {"kind": "Node", "metadata": {"name": NODE}, "status": status, "groups": []}  # no groups: of its discovery

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            passed_on = "/proxy/" in self.path
            body = json.dumps(REFUSAL if passed_on else node).encode()
            self.send_response(400 if passed_on else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client_of(server: str, folder: Path) -> Kube:
    kubeconfig = {
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    return Kube(folder / "kubeconfig")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"addresses": [{"type": "Hostname", "address": NODE}]},
        {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
        {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    ],
    ids=["says nothing", "has no address", "has no port", "is another machine"],
)
def test_a_refusal_stays_one_where_the_node_is_not_on_loopback(tmp_path: Path, status: dict[str, Any]) -> None:
    with api_server(status) as server, pytest.raises(BadRequestError, match="address not allowed"):
        client_of(server, tmp_path).kubelet_summary(NODE)
