"""Looking at the pods for hours: what cannot be seen is told once, and nothing grows with what was seen."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace as Of
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from signoff.core.errors import SignoffError
from signoff.kube.client import labels_text
from signoff.kube.roles import Workload
from signoff.load.resource_sampler import Note, PodSampler, Watched, check_kubeconfig


def workload(name: str, namespace: str, container: str = "") -> Workload:
    return Workload("Deployment", name, namespace, {"app": name}, name, 80, container)


THEIRS: Watched = {"gateway": workload("proxy", "ai", "proxy"), "backend": workload("model", "gpu")}
"""Neither is called, labelled or placed as the story's."""


def pod(name: str, workload: Workload = THEIRS["gateway"], **more: Any) -> Any:
    """One of a workload's, on a node."""
    status = Of(
        container_statuses=[Of(name="main", container_id="containerd://1", restart_count=2)],
        init_container_statuses=[Of(name="first", restart_count=7), Of(name="beside", restart_count=3)],
    )
    inits = [Of(name="first", restart_policy=None), Of(name="beside", restart_policy="Always")]
    about = Of(name=name, namespace=workload.namespace, labels=workload.selector, deletion_timestamp=None)
    return Of(metadata=about, spec=Of(node_name="a-node", init_containers=inits, **more), status=status)


def sampling(cluster: "Cluster", note: Note = lambda text: None, watched: Watched = THEIRS) -> PodSampler:
    """A sampler of these workloads' pods."""
    kube: Any = cluster
    return PodSampler(kube, watched, note)


class Cluster:
    """Stands in for a cluster's API whose answers a test sets."""

    def __init__(self) -> None:
        self.pods: list[Any] = []
        self.events: list[Any] = []
        self.looks = 0
        self.core = self

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        return Of(items=self.pods_of(namespace, label_selector))

    def pods_of(self, namespace: str, label_selector: str) -> list[Any]:
        mine = [each for each in self.pods if each.metadata.namespace == namespace]
        return [each for each in mine if labels_text(each.metadata.labels) == label_selector]

    def list_namespaced_event(self, namespace: str) -> Any:
        return Of(items=[each for each in self.events if each.metadata.namespace == namespace])

    def kubelet_summary(self, node: str) -> Any:
        self.looks += 1
        raise HTTPError(f"<connection object at 0x{self.looks:x}> broke")


def event(name: str, count: int, pod: str = "proxy-0", namespace: str = "ai") -> Any:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    of, about = Of(uid=name, namespace=namespace), Of(kind="Pod", name=pod)
    return Of(metadata=of, count=count, last_timestamp=moment, involved_object=about, reason=name, message="told")


def test_a_node_that_cannot_be_read_is_told_once_though_each_error_reads_otherwise() -> None:
    cluster, notes = Cluster(), list[str]()
    cluster.pods = [pod("proxy-0"), pod("model-0", THEIRS["backend"])]
    sampler = sampling(cluster, notes.append)
    for _ in range(100):
        assert [each.rss_mib for each in sampler.look()] == [None, None]
    assert cluster.looks == 100
    (note,) = notes
    assert "the pods on a-node cannot be read" in note


def test_events_are_told_once_and_forgotten_when_the_cluster_forgets_them() -> None:
    cluster = Cluster()
    cluster.pods = [pod("proxy-0")]
    sampler = sampling(cluster)
    told = []
    for number in range(300):
        cluster.events = [event(f"event-{at}", 1) for at in range(max(0, number - 2), number + 1)]
        told += [sample.event for sample in sampler.look() if sample.event]
    assert told == [f"event-{number}: told" for number in range(300)]
    assert len(sampler._seen) == 3
    cluster.events = [event("event-299", 2)]
    assert [each.event for each in sampler.look()] == ["", "event-299: told"], "it happened again"


def test_of_a_pod_that_has_gone_the_events_are_told_and_of_others_none() -> None:
    cluster = Cluster()
    cluster.pods = [pod("proxy-0")]
    sampler = sampling(cluster)
    sampler.look()
    cluster.pods = [pod("proxy-1")]
    cluster.events = [event("Killing", 1), event("Began", 1, "proxy-1"), event("Killing", 1, "database-0")]
    cluster.events += [event("Killing", 1, namespace="ml")]
    told = [(each.pod, each.event, each.role) for each in sampler.look() if each.event]
    assert told == [("proxy-0", "Killing: told", "gateway"), ("proxy-1", "Began: told", "gateway")]


def test_the_event_of_a_pod_that_is_seen_later_is_told_then() -> None:
    cluster = Cluster()
    cluster.events = [event("Scheduled", 1)]
    sampler = sampling(cluster)
    assert sampler.look() == []
    cluster.pods = [pod("proxy-0")]
    assert [each.event for each in sampler.look()] == ["", "Scheduled: told"]


def test_no_pod_of_a_workload_is_told_once_with_where_it_was_looked_for() -> None:
    cluster, notes = Cluster(), list[str]()
    cluster.pods = [pod("litellm-0", workload("litellm", "ml")), pod("vllm-0", workload("vllm", "ai"))]
    sampler = sampling(cluster, notes.append)
    assert [sampler.look() for _ in range(3)] == [[], [], []]
    assert [note.partition(":")[0] for note in notes] == [
        "at a look no pod was there of Deployment/proxy in the namespace ai (app=proxy)",
        "at a look no pod was there of Deployment/model in the namespace gpu (app=model)",
    ]


def test_the_images_are_those_of_the_containers_that_are_litellm_and_vllm() -> None:
    cluster: Any = Cluster()
    beside = [Of(name="helper", image="helper:1"), Of(name="proxy", image="litellm:2")]
    cluster.pods = lambda namespace, labels: [
        each
        for each in (
            pod("proxy-0", containers=beside),
            pod("model-0", THEIRS["backend"], containers=[Of(name="x", image="vllm:3")]),
        )
        if each.metadata.namespace == namespace
    ]
    assert sampling(cluster).versions() == {"litellm_image": "litellm:2", "vllm_image": "vllm:3"}


def test_what_a_kubelet_tells_is_a_sample_of_each_pod_of_the_gateway_and_its_backend() -> None:
    cluster = Cluster()
    cluster.pods = [pod("proxy-0"), pod("new-0"), pod("same-0", THEIRS["backend"]), pod("x", workload("x", "ai"))]
    used = {"cpu": {"usageCoreNanoSeconds": 1_500_000_000}, "memory": {"workingSetBytes": 2**21}}
    summary = {
        "pods": [
            {"podRef": {"name": "proxy-0", "namespace": "ai"}, **used},
            {"podRef": {"name": "new-0", "namespace": "other"}, **used},
            {"podRef": {"name": "same-0", "namespace": "ai"}, "memory": {"workingSetBytes": 2**20}},
            {"podRef": {"name": "same-0", "namespace": "gpu"}, "memory": {"workingSetBytes": 2**30}},
        ]
    }
    cluster.kubelet_summary = lambda node: summary  # type: ignore[method-assign]
    told = [(each.role, each.pod, each.cpu_seconds, each.rss_mib, each.restarts) for each in sampling(cluster).look()]
    assert told == [
        ("gateway", "proxy-0", 1.5, 2.0, 5),
        ("gateway", "new-0", None, None, 5),
        ("backend", "same-0", None, 1024.0, 5),
    ]


def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(SignoffError, match="there is no such kubeconfig"):
        check_kubeconfig(tmp_path / "none", THEIRS.values())
    with pytest.raises(SignoffError, match=f"it is no kubeconfig: Invalid kube-config. {empty} file is empty"):
        check_kubeconfig(empty, THEIRS.values())
