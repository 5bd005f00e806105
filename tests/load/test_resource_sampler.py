"""Looking at the pods for hours: what cannot be seen is told once, and nothing grows with what was seen."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace as Of
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from signoff.core.errors import SignoffError
from signoff.load.resource_sampler import PodSampler, check_kubeconfig


class Cluster:
    """Stands in for a cluster's API whose answers a test sets."""

    def __init__(self) -> None:
        self.pods: list[Any] = []
        self.events: list[Any] = []
        self.looks = 0
        self.core = self

    def list_namespaced_pod(self, namespace: str) -> Any:
        return Of(items=self.pods)

    def list_namespaced_event(self, namespace: str) -> Any:
        return Of(items=self.events)

    def kubelet_summary(self, node: str) -> Any:
        self.looks += 1
        raise HTTPError(f"<connection object at 0x{self.looks:x}> broke")


def event(name: str, count: int) -> Any:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    about = Of(kind="Pod", name="litellm-0")
    return Of(
        metadata=Of(uid=name), count=count, last_timestamp=moment, involved_object=about, reason=name, message="told"
    )


def test_a_node_that_cannot_be_read_is_told_once_though_each_error_reads_otherwise() -> None:
    cluster, notes = Cluster(), list[str]()
    status = Of(container_statuses=[Of(container_id="containerd://1", restart_count=0)])
    cluster.pods = [Of(metadata=Of(name="litellm-0"), spec=Of(node_name="k3s-worker-01"), status=status)]
    sampler = PodSampler(cluster, "ml", notes.append)  # type: ignore[arg-type]
    for _ in range(100):
        (sample,) = sampler.look()
        assert sample.rss_mib is None
    assert cluster.looks == 100
    (note,) = notes
    assert "the pods on k3s-worker-01 cannot be read" in note


def test_events_are_told_once_and_forgotten_when_the_cluster_forgets_them() -> None:
    cluster = Cluster()
    sampler = PodSampler(cluster, "ml", lambda note: None)  # type: ignore[arg-type]
    told = []
    for number in range(300):
        cluster.events = [event(f"event-{at}", 1) for at in range(max(0, number - 2), number + 1)]
        told += [sample.event for sample in sampler.look()]
    assert told == [f"event-{number}: told" for number in range(300)]
    assert len(sampler._seen) == 3
    cluster.events = [event("event-299", 2)]
    assert len(sampler.look()) == 1, "it happened again"


def test_what_a_kubelet_tells_is_a_sample_of_each_pod_of_the_namespace() -> None:
    cluster = Cluster()
    status = Of(container_statuses=[Of(container_id="containerd://1", restart_count=2)])
    cluster.pods = [
        Of(metadata=Of(name=name), spec=Of(node_name="k3s-worker-01"), status=status) for name in ("litellm-0", "new-0")
    ]
    used = {"cpu": {"usageCoreNanoSeconds": 1_500_000_000}, "memory": {"workingSetBytes": 2**21}}
    summary = {
        "pods": [
            {"podRef": {"name": "litellm-0", "namespace": "ml"}, **used},
            {"podRef": {"name": "new-0", "namespace": "other"}, **used},
        ]
    }
    cluster.kubelet_summary = lambda node: summary  # type: ignore[method-assign]
    known, unknown = PodSampler(cluster, "ml", lambda note: None).look()  # type: ignore[arg-type]
    assert (known.pod, known.cpu_seconds, known.rss_mib, known.restarts) == ("litellm-0", 1.5, 2.0, 2)
    assert (unknown.pod, unknown.cpu_seconds, unknown.rss_mib) == ("new-0", None, None)


def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(SignoffError, match="there is no such kubeconfig"):
        check_kubeconfig(tmp_path / "none")
    with pytest.raises(SignoffError, match=f"it is no kubeconfig: Invalid kube-config. {empty} file is empty"):
        check_kubeconfig(empty)
