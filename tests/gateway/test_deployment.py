"""Whose doing it is that LiteLLM does not start, and what disturbs a run that nobody ordered."""

import contextlib
import http.server
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff.cluster.base import TunnelBreak
from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.timeouts import Timeout
from signoff.core.waiting import WaitFailed
from signoff.evidence.causes import cause_of
from signoff.evidence.models import Applied, Subject
from signoff.gateway import deployment
from signoff.kube.hooks import LeftOut
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest

STORY = StoryManifests.read()
NODES = "0/4 nodes are available: 1 node(s) had untolerated taint(s), "


def pod(message: str, reason: str = "Unschedulable") -> Any:
    scheduled = SimpleNamespace(type="PodScheduled", status="False", reason=reason, message=message)
    nothing = {"container_statuses": None, "init_container_statuses": None}
    return SimpleNamespace(status=SimpleNamespace(conditions=[scheduled], **nothing))


class Answering(http.server.BaseHTTPRequestHandler):
    """Has no models."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def of_pods(**spec: Any) -> Any:
    """A workload whose pods have this spec."""
    return SimpleNamespace(spec=SimpleNamespace(template=SimpleNamespace(spec=SimpleNamespace(**spec))))


class Waiting:
    """A cluster on which LiteLLM does not become available."""

    lost = frozenset[str]()

    def __init__(self, pods: list[Any]) -> None:
        self._pods = pods

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Any]:
        return self._pods

    def lost_nodes(self, pods: list[Any]) -> frozenset[str]:
        return self.lost

    def workload(self, namespace: str, name: str, kind: str) -> Any:
        """One whose container has no probe."""
        container = SimpleNamespace(name="litellm", startup_probe=None, liveness_probe=None, readiness_probe=None)
        return of_pods(containers=[container], init_containers=None)

    def wait_until_available(self, namespace: str, name: str, timeout: object, kind: str) -> None:
        raise WaitFailed(f"Deployment {name} to be available", 60, "Pending", hopeless=True)


@pytest.mark.parametrize(
    ("pods", "subject"),
    [
        ([pod(NODES + "3 Insufficient memory.")], Subject.CLUSTER),
        ([pod(NODES + "1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.")], Subject.CLUSTER),
        ([pod(NODES + "3 Too many pods.")], Subject.CLUSTER),
        ([pod(NODES + "3 Insufficient nvidia.com/gpu.")], Subject.GATEWAY),
        ([pod(NODES + "3 node(s) didn't match Pod's node affinity/selector.")], Subject.GATEWAY),
        ([pod("Insufficient memory", reason="SchedulingGated")], Subject.GATEWAY),
        ([], Subject.GATEWAY),
    ],
)
def test_that_no_node_has_room_is_the_clusters_doing(
    pods: list[Any], subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "Kube", lambda *_: Waiting(pods))
    cluster: Any = SimpleNamespace(kubeconfig=Path("kubeconfig"), gate=None, capabilities=())
    unused: Any = None
    with pytest.raises(WaitFailed) as failed:
        deployment.Deployment(cluster, STORY, unused).wait_for_gateway()
    assert cause_of(failed.value).subject is subject


def test_that_a_node_has_gone_is_the_clusters_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Waiting, "lost", frozenset({"tower"}))
    test_that_no_node_has_room_is_the_clusters_doing([], Subject.CLUSTER, monkeypatch)


def killed(name: str, restarts: int) -> Any:
    """The status of a container that runs, and was killed before each of its restarts."""
    last = SimpleNamespace(reason="OOMKilled", exit_code=137)
    state, last_state = SimpleNamespace(terminated=None), SimpleNamespace(terminated=last)
    return SimpleNamespace(name=name, restart_count=restarts, state=state, last_state=last_state)


class Backend:
    """A cluster whose vLLM and its sidecar have been restarted this often; nodes' kubelets answer unless silent."""

    def __init__(self) -> None:
        self.restarts, self.silent = 0, list[str]()
        self.restarts_beside = 0

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Any]:
        if labels != STORY.roles.backend.selector:
            return []
        policies = {"model": None, "logs": "Always"}
        inits = [SimpleNamespace(name=name, restart_policy=policy) for name, policy in policies.items()]
        return [
            SimpleNamespace(
                metadata=SimpleNamespace(uid="1"),
                spec=SimpleNamespace(node_name="k3s-gpu-worker", init_containers=inits),
                status=SimpleNamespace(
                    container_statuses=[killed("vllm", self.restarts)],
                    init_container_statuses=[killed("model", 1), killed("logs", self.restarts_beside)],
                ),
            )
        ]

    def silent_nodes(self, nodes: set[str]) -> list[str]:
        return sorted(nodes & set(self.silent))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    made = Backend()
    monkeypatch.setattr(deployment, "Kube", lambda *_: made)
    monkeypatch.setattr(timeouts, "END_SHOWS", Timeout(0.02, every=0.01))
    return made


def disturbances(made: deployment.Deployment) -> list[str]:
    return [each.what for each in made.disturbances()]


def whole(*breaks: TunnelBreak) -> Any:
    """A cluster that lives, whose tunnel broke at these moments."""
    return SimpleNamespace(
        kubeconfig=Path("kubeconfig"),
        gate=None,
        failure=lambda: None,
        tunnel_breaks=lambda since: [each for each in breaks if each.moment >= since],
    )


def new(since: float = 0.0) -> Any:
    """Evidence of a scenario that began then."""
    return SimpleNamespace(scenario_since=lambda: since)


def broken(moment: float, *, by_tunnel: bool = True) -> TunnelBreak:
    at = datetime(2026, 1, 1, 12, 30, 15, tzinfo=UTC)
    return TunnelBreak(moment, at, "ml/litellm", "litellm-1", "it ended without a word", by_tunnel=by_tunnel)


def test_a_tunnel_that_broke_under_the_scenario_disturbs_once_and_names_itself(backend: Backend) -> None:
    made = deployment.Deployment(whole(broken(4.0), broken(6.0), broken(7.0)), STORY, new(since=5.0))
    (told,) = made.disturbances()
    assert told.subject is Subject.CLUSTER
    broke = "the tunnel to the Service ml/litellm (pod litellm-1) broke at 12:30:15 UTC: it ended without a word"
    assert told.what == f"{broke}; so did 1 of its other connections"
    assert disturbances(made) == []


def test_a_connection_that_ended_with_its_pod_and_one_of_an_earlier_scenario_disturb_nothing(backend: Backend) -> None:
    cluster = whole(broken(4.0), broken(6.0, by_tunnel=False))
    assert disturbances(deployment.Deployment(cluster, STORY, new(since=5.0))) == []


def test_each_end_of_vllm_disturbs_once(backend: Backend) -> None:
    cluster, unused = whole(), new()
    made = deployment.Deployment(cluster, STORY, unused)
    assert disturbances(made) == []  # though an init container failed once
    backend.restarts = 1
    assert disturbances(made) == ["vLLM ended: vllm OOMKilled (exit code 137, signal 9)"]
    assert disturbances(made) == []


def test_the_end_of_a_sidecar_of_vllm_disturbs_and_that_of_an_init_container_does_not(backend: Backend) -> None:
    cluster, unused = whole(), new()
    made = deployment.Deployment(cluster, STORY, unused)
    assert disturbances(made) == []
    backend.restarts_beside = 1
    assert disturbances(made) == ["a sidecar of vLLM ended: logs OOMKilled (exit code 137, signal 9)"]
    assert disturbances(made) == []


def test_a_silent_kubelet_disturbs_where_the_deployment_runs(backend: Backend) -> None:
    cluster, unused = whole(), new()
    backend.silent = ["k3s-gpu-worker", "k3s-worker-02"]
    told = disturbances(deployment.Deployment(cluster, STORY, unused))
    assert told == ["the kubelet of the node k3s-gpu-worker does not answer"]


def test_a_cluster_that_has_ended_is_the_only_disturbance(backend: Backend) -> None:
    ended = SignoffError("etcd was killed by signal 9")
    cluster, unused = whole(), new()
    cluster.failure = lambda: ended
    backend.restarts, backend.silent = 1, ["k3s-gpu-worker"]
    assert disturbances(deployment.Deployment(cluster, STORY, unused)) == ["etcd was killed by signal 9"]


class Accepting:
    """A cluster that takes every object."""

    def knows(self, manifest: Manifest) -> bool:
        return True

    def apply(self, manifest: Manifest, namespace: str) -> None:
        pass

    def wait_for_namespace(self, name: str) -> None:
        pass

    def make_namespace(self, name: str) -> bool:
        return False


def test_what_is_left_out_is_recorded_as_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"containers": [{"name": "a", "image": "busybox"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try", "namespace": "ml"}, "spec": spec}
    hook = LeftOut(Manifest(Path("x.yaml"), "", body), "a hook for `test`")
    monkeypatch.setattr(deployment, "Kube", lambda *_: Accepting())
    cluster: Any = SimpleNamespace(kubeconfig=Path("kubeconfig"), gate=None, reused=False, capabilities=())
    records: list[Applied] = []
    evidence: Any = SimpleNamespace(add=records.append)
    deployment.Deployment(cluster, replace(STORY, left_out=[hook]), evidence).start_both()
    assert [(each.object, each.reason, each.images) for each in records if each.reason] == [
        ("Pod/try", "a hook for `test`", [])
    ]
    assert all(each.images for each in records if each.object.startswith("Deployment/"))


@pytest.mark.parametrize(("probe", "is_served"), [(None, True), (SimpleNamespace(), False)], ids=["none", "one"])
def test_a_gateway_without_a_readiness_probe_has_time_to_start(
    probe: Any, is_served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is Ready at once, and answers when it has started."""
    monkeypatch.setattr(timeouts, "SERVICE_ANSWERS", Timeout(0.2, every=0.05))
    server = http.server.HTTPServer(("127.0.0.1", 0), Answering, bind_and_activate=False)
    server.server_bind()
    server.timeout = 1

    def start() -> None:
        server.server_activate()
        server.handle_request()

    later = threading.Timer(0.6, start)
    container = SimpleNamespace(name="litellm", readiness_probe=probe)
    kube = SimpleNamespace(workload=lambda *_: of_pods(containers=[container]))
    monkeypatch.setattr(deployment, "Kube", lambda *_: kube)
    reached = f"http://127.0.0.1:{server.server_port}"
    cluster: Any = SimpleNamespace(kubeconfig=Path("kubeconfig"), gate=None, service_url=lambda *_: reached)
    unused: Any = None
    later.start()
    try:
        with contextlib.nullcontext() if is_served else pytest.raises(WaitFailed, match="to answer"):
            deployment.Deployment(cluster, STORY, unused).answering_gateway()
    finally:
        later.cancel()  # where nobody waited for it, it need not start
        later.join(5)
        server.server_close()
