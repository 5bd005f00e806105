"""What is asked from inside the cluster comes back as it was answered, and a pod that cannot ask is reported early."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.core import timeouts
from signoff.core.timeouts import Timeout
from signoff.core.waiting import WaitFailed
from signoff.gateway import inside
from signoff.kube.manifests import StoryManifests


class Gateway(BaseHTTPRequestHandler):
    """Has models, and refuses to chat."""

    def do_GET(self) -> None:
        self._answer(200, f"the models at {self.path} for {self.headers['Authorization']}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(418, f"not for {asked['model']}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""


@pytest.fixture
def gateway() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def asked(base: str) -> dict[str, Any]:
    """What the pod's program prints."""
    command = [sys.executable, "-c", inside.SCRIPT, base, "qwen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return dict(json.loads(done.stdout))


def test_an_answer_comes_back_with_its_status_a_refusal_too(gateway: str) -> None:
    assert asked(gateway) == {
        "models": {"status": 200, "body": "the models at /v1/models for Bearer sk-none"},
        "chat": {"status": 418, "body": "not for qwen"},
    }


def test_a_name_that_is_not_resolved_is_told_from_a_server_that_does_not_answer() -> None:
    unresolved, refused = asked("http://litellm.invalid/v1")["models"], asked("http://127.0.0.1:9/v1")["models"]
    assert unresolved["unresolved"] is True
    assert refused["unresolved"] is False
    assert "Connection refused" in refused["error"]


# The pod


def pod(phase: str, *, waits_for: str = "") -> Any:
    waiting = SimpleNamespace(reason=waits_for, message="")
    container = SimpleNamespace(name="asks", restart_count=0, state=SimpleNamespace(waiting=waiting))
    statuses = [container] if waits_for else []
    status = SimpleNamespace(phase=phase, conditions=[], init_container_statuses=[], container_statuses=statuses)
    return SimpleNamespace(status=status, spec=SimpleNamespace(node_name="k3s-worker-01"))


class Cluster:
    """Its pod goes through these states; what is changed on it is noted."""

    def __init__(self, *states: Any) -> None:
        self._states = list(states)
        self.done: list[str] = []
        self.core = SimpleNamespace(
            read_namespaced_pod=lambda *_: self._state(),
            read_namespaced_pod_log=lambda *_: 'a warning\n{"models": {"status": 200, "body": ""}}\n',
        )

    def _state(self) -> Any:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if isinstance(state, Exception):
            raise state
        return state

    def apply(self, *_: object) -> None:
        self.done.append("apply")

    def delete(self, *_: object) -> None:
        self.done.append("delete")

    def wait_until_deleted(self, *_: object) -> None:
        self.done.append("gone")


def ask(cluster: Any) -> inside.Inside:
    return inside.ask(cluster, StoryManifests.read())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "INSIDE_ASKED", Timeout(5, every=0.01))


def test_what_the_pod_says_last_is_its_result_and_the_pod_is_removed() -> None:
    cluster = Cluster(ApiException(status=404, reason="Not Found"), pod("Pending"), pod("Running"), pod("Succeeded"))
    assert ask(cluster) == inside.Inside(inside.NAME, "k3s-worker-01", {"models": {"status": 200, "body": ""}})
    left_by_a_killed_run = ["delete", "gone"]
    assert cluster.done == [*left_by_a_killed_run, "apply", "delete", "gone"]


@pytest.mark.parametrize(
    ("state", "why"), [(pod("Failed"), "it failed: Failed"), (pod("Pending", waits_for="ErrImagePull"), "ErrImagePull")]
)
def test_a_pod_that_cannot_ask_is_told_and_removed(state: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "INSIDE_ASKED", Timeout(0.3, every=0.01))
    cluster = Cluster(state)
    with pytest.raises(WaitFailed, match=why):
        ask(cluster)
    assert cluster.done[-2:] == ["delete", "gone"]
