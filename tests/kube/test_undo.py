"""What was changed on a cluster is put back: in reverse order, all of it, and waited for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.core.errors import SignoffError, told
from signoff.evidence.causes import cause_of
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.kube.placement import own_taints
from signoff.kube.undo import Apply, Cordon, Delete, Scale, Undo, UndoFailed
from tests.embedded import container, pod

NOWHERE: Any = None
"""The cluster of changes that only note what is done."""
NODE = "k3s-worker-02"


@dataclass(frozen=True)
class Step:
    """Notes in `log` what is done with it; making it fails where its name is in `failing`."""

    name: str
    log: list[str]
    failing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def inverse(self, _: Kube) -> "Step":
        self.log.append(f"inverse of {self.name}")
        return Step(f"un{self.name}", self.log, self.failing)

    def make(self, _: Kube) -> None:
        self.log.append(self.name)
        if self.name in self.failing:
            raise SignoffError(f"{self.name} is refused", where="API server")

    def wait(self, _: Kube) -> None:
        self.log.append(f"wait for {self.name}")


def test_changes_are_undone_in_reverse_order_each_waited_for_and_once() -> None:
    log: list[str] = []
    with Undo(NOWHERE) as undo:
        undo.make(Step("do", log))
        undo.make(Step("fold", log))
    assert log == [
        "inverse of do",
        "do",
        "inverse of fold",
        "fold",
        "unfold",
        "wait for unfold",
        "undo",
        "wait for undo",
    ]
    undo.all()
    assert log[-1] == "wait for undo"
    assert len(log) == 8


def test_who_is_in_a_hurry_waits_for_none_of_it() -> None:
    log: list[str] = []
    undo = Undo(NOWHERE)
    undo.make(Step("do", log))
    undo.all(wait=False)
    assert log == ["inverse of do", "do", "undo"]


class Interrupted(Step):
    """Its inverse is interrupted by Ctrl-C, the first time."""

    def inverse(self, kube: Kube) -> Step:
        super().inverse(kube)
        return InterruptedOnce(f"un{self.name}", self.log)


class InterruptedOnce(Step):
    def make(self, kube: Kube) -> None:
        super().make(kube)
        if self.log.count(self.name) == 1:
            raise KeyboardInterrupt


def test_an_undo_that_ctrl_c_interrupts_is_made_again() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt), Undo(NOWHERE) as undo:
        undo.make(Step("do", log))
        undo.make(Interrupted("fold", log))
    assert log[4:] == ["unfold", "unfold", "undo"]


def test_half_a_change_is_undone_too() -> None:
    log: list[str] = []
    with pytest.raises(SignoffError, match="fold is refused"), Undo(NOWHERE) as undo:
        undo.make(Step("fold", log, failing=("fold",)))
    assert log == ["inverse of fold", "fold", "unfold", "wait for unfold"]


def test_an_undo_that_fails_does_not_keep_the_others_from_being_tried_and_all_failures_are_one_error() -> None:
    log: list[str] = []
    undo = Undo(NOWHERE)
    for name in ("do", "fold", "pack"):
        undo.make(Step(name, log, failing=("unfold", "unpack")))
    with pytest.raises(UndoFailed) as raised:
        undo.all()
    assert log[6:] == ["unpack", "unfold", "undo", "wait for undo"]
    told = "unpack: unpack is refused where: API server; unfold: unfold is refused where: API server"
    assert told in raised.value.what


def test_the_error_that_ended_the_block_stays_the_headline() -> None:
    with pytest.raises(SignoffError) as raised, Undo(NOWHERE) as undo:
        undo.make(Step("do", [], failing=("undo",)))
        undo.make(Step("fold", [], failing=("unfold",)))
        raise SignoffError("vLLM does not answer", where="http://vllm")
    assert raised.value.what == "vLLM does not answer"
    headline, noted = told(raised.value).split("\n  where: http://vllm\n")
    assert headline == "vLLM does not answer"
    assert "could not all be undone: unfold: unfold is refused where: API server; undo: undo is refused" in noted
    assert noted in cause_of(raised.value).what


def test_two_changes_of_the_same_kind_that_cannot_be_undone_are_both_listed() -> None:
    undo = Undo(NOWHERE)
    for _ in range(2):
        undo.make(Step("do", [], failing=("undo",)))
    with pytest.raises(UndoFailed) as raised:
        undo.all()
    assert raised.value.what.count("undo is refused") == 2


def test_ctrl_c_stays_ctrl_c_whatever_cannot_be_undone() -> None:
    log: list[str] = []
    undo = Undo(NOWHERE)
    undo.make(Step("do", log, failing=("undo",)))
    undo.make(Interrupted("fold", log))
    undo.make(Step("pack", log, failing=("unpack",)))
    with pytest.raises(KeyboardInterrupt) as raised:
        undo.all()
    (noted,) = raised.value.__notes__
    assert "unpack: unpack is refused" in noted
    assert "undo: undo is refused" in noted


def deployment(namespace: str) -> Manifest:
    labels = {"app.kubernetes.io/name": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": pod(container("import time; time.sleep(600)"))["spec"] | {"terminationGracePeriodSeconds": 30},
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    return Manifest(Path("web.yaml"), "", body)


def unschedulable(kube: Kube) -> bool:
    return bool(kube.core.read_node(NODE).spec.unschedulable)


def test_a_cluster_is_as_before_once_its_changes_are_undone(kube: Kube, namespace: str) -> None:
    with Undo(kube) as around:
        around.make(Apply(deployment(namespace), namespace))
        Scale(namespace, "web", 1).wait(kube)
        with Undo(kube) as undo:
            for change in (Cordon(NODE), Scale(namespace, "web", 0)):
                undo.make(change)
                change.wait(kube)
            assert unschedulable(kube)
            assert kube.pods(namespace, {"app": "web"}) == []
        assert not unschedulable(kube)
        assert kube.workload(namespace, "web").status.available_replicas == 1
    assert kube.apps.list_namespaced_deployment(namespace).items == []
    assert kube.core.list_namespaced_pod(namespace).items == []


def test_a_node_that_a_person_has_cordoned_stays_cordoned(kube: Kube) -> None:
    kube.core.patch_node(NODE, {"spec": {"unschedulable": True}})
    try:
        with Undo(kube) as undo:
            undo.make(Cordon(NODE))
        assert unschedulable(kube)
    finally:
        kube.core.patch_node(NODE, {"spec": {"unschedulable": False}})


def test_a_marked_node_keeps_what_it_has_beside_and_offers_what_it_is_told_to(kube: Kube) -> None:
    def marks() -> tuple[dict[str, str], list[str]]:
        node = kube.core.read_node(NODE)
        return node.metadata.labels, sorted(map(str, own_taints(node)))

    before = marks()
    kube.mark(NODE, {"disk": "ssd"}, {("own", "NoSchedule"): "1", ("gpu", "NoSchedule"): "false"})
    kube.mark(NODE, {"disk": "hdd", "gpu": "true"}, {("gpu", "NoSchedule"): "true", ("gpu", "PreferNoSchedule"): ""})
    labels, taints = marks()
    assert labels == before[0] | {"gpu": "true", "disk": "hdd"}
    assert taints == ["gpu:PreferNoSchedule", "gpu=true:NoSchedule", "own=1:NoSchedule"]
    none = {("own", "NoSchedule"): None, ("gpu", "NoSchedule"): None, ("gpu", "PreferNoSchedule"): None}
    kube.mark(NODE, {"disk": None, "gpu": None}, none)
    assert marks() == before
    kube.advertise(NODE, {"example.com/dongle": 2})
    status = kube.core.read_node(NODE).status
    assert status.capacity["example.com/dongle"] == status.allocatable["example.com/dongle"] == "2"


def test_what_somebody_has_deleted_meanwhile_is_told_and_the_rest_undone(kube: Kube, namespace: str) -> None:
    kube.apply(deployment(namespace), namespace)
    undo = Undo(kube)
    undo.make(Cordon(NODE))
    undo.make(Scale(namespace, "web", 0))
    gone = Delete("apps/v1", "Deployment", namespace, "web")
    gone.make(kube)
    gone.wait(kube)
    with pytest.raises(UndoFailed) as raised:
        undo.all()
    assert raised.value.what.endswith(
        'could not all be undone: scale Deployment/web to 1: deployments.apps "web" not found'
    )
    assert isinstance(raised.value.__cause__, ApiException)
    assert not unschedulable(kube)


def test_what_is_not_there_is_deleted_already(kube: Kube, namespace: str) -> None:
    for kind, api_version in (("ConfigMap", "v1"), ("IngressRoute", "traefik.io/v1alpha1")):
        nothing = Delete(api_version, kind, namespace, "nothing")
        nothing.make(kube)
        nothing.wait(kube)
