"""A node's kubelet is asked through the API server, and itself only where the node says that it is on loopback."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.dynamic.exceptions import BadRequestError, NotFoundError
from urllib3.exceptions import HTTPError

from signoff.core import timeouts
from signoff.core.timeouts import Timeout
from signoff.core.waiting import WaitFailed
from signoff.kube.client import Kube
from signoff.kube.gate import Request, Response, Send

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


def test_a_silent_server_ends_no_run_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing, as behind a proxy that has lost it; with a gate or without."""
    monkeypatch.setattr(timeouts, "REQUEST", Timeout(0.2))

    class Open:
        def passed(self, request: Request, send: Send) -> Response:
            return send(request)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client_of(url, tmp_path)
        for kube in (Kube(tmp_path / "kubeconfig"), Kube(tmp_path / "kubeconfig", Open())):
            with pytest.raises(HTTPError):
                kube.core.list_node()
            with pytest.raises(HTTPError):
                kube.core.create_namespace({})


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


class Deleting:
    """Takes deletions, and remembers which pods were told to go at once."""

    def __init__(self, selector: dict[str, Any]) -> None:
        self._body: dict[str, Any] = {"spec": {"selector": selector, "template": {}}}
        self.gone: list[str] = []

    def get(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(to_dict=lambda: self._body)

    def delete(self, *_: object, **__: object) -> None:
        pass

    def delete_collection_namespaced_pod(self, _: str, *, label_selector: str, grace_period_seconds: int) -> None:
        self.gone.append(label_selector)


@pytest.mark.parametrize(
    ("selector", "gone"),
    [
        ({"matchLabels": {"app": "web"}}, ["app=web"]),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, ["app in (a,b)"]),
        ({}, []),
    ],
)
def test_pods_of_others_stay_whatever_selects_a_workloads_own(
    selector: dict[str, Any], gone: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty selector means every pod of the namespace."""
    api = Deleting(selector)
    kube = client_of("http://127.0.0.1:9", tmp_path)
    monkeypatch.setattr(kube, "_resource", lambda *_: None)
    monkeypatch.setattr(Kube, "dynamic", api)
    monkeypatch.setattr(kube, "core", api)
    kube.delete("apps/v1", "Deployment", "ml", "web")
    assert api.gone == gone


class Replacing(Deleting):
    """A Deployment whose ReplicaSet makes one more pod after the first were told to end; it goes when that one does."""

    def __init__(self, *, deleted: bool) -> None:
        super().__init__({"matchLabels": {"app": "web"}})
        self._body["metadata"] = {"deletionTimestamp": "2026-11-30T02:05:35Z"} if deleted else {}

    def get(self, *_: object, **__: object) -> Any:
        if self.gone:
            raise NotFoundError(SimpleNamespace(status=404, reason="", body="", headers={}))
        return super().get()


@pytest.mark.parametrize("deleted", [True, False])
def test_a_pod_that_was_made_while_its_workload_was_deleted_is_not_waited_for(
    deleted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its grace period may be as long as the wait. The pods of a workload that stays are nobody's to end."""
    api = Replacing(deleted=deleted)
    kube = client_of("http://127.0.0.1:9", tmp_path)
    monkeypatch.setattr(kube, "_resource", lambda *_: None)
    monkeypatch.setattr(Kube, "dynamic", api)
    monkeypatch.setattr(kube, "core", api)
    monkeypatch.setattr(timeouts, "SCALED_DOWN", timeouts.Timeout(0.5, every=0.1))
    with nullcontext() if deleted else pytest.raises(WaitFailed, match="it is still there"):
        kube.wait_until_deleted("apps/v1", "Deployment", "ml", "web")
    assert api.gone == ["app=web"] * deleted
