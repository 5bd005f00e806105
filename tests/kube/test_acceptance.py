"""The scheduler is asked by copies of a pod, and its answers tell a rule from what happens to hold today."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kubernetes.client import ApiClient

from signoff import story
from signoff.core.node import Node
from signoff.kube.acceptance import Copies, Join, joined, marks_of, pinned, plain
from signoff.kube.client import Kube
from signoff.kube.undo import Undo
from tests.embedded import container, pod, status, wait_for

WORKERS, GPU = story.ALLOWED_NODES, story.GPU_NODE
PLAIN, OTHER = "new-worker", "new-gpu"
HOSTNAME = "kubernetes.io/hostname"
PRESENT = "nvidia.com/gpu.present"
LABELS = {"app": "proxy"}
EVERY = {*WORKERS, GPU, PLAIN, OTHER}
TOLERATES = {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}


def on(operator: str, *values: str, key: str = HOSTNAME) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": node_terms([{"matchExpressions": list(expressions)}])}}


def node_terms(terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def beside(kind: str, app: str) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": HOSTNAME}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "x"}], **spec}}


def new_nodes(kube: Kube) -> tuple[Node, Node]:
    worker, gpu = (kube.core.read_node(name) for name in (WORKERS[0], GPU))
    return plain(PLAIN, worker), plain(OTHER, gpu, marks_of(gpu, [worker]))


@pytest.fixture(scope="module")
def lab(kube: Kube) -> Iterator[Kube]:
    """The story's nodes, a plain worker and another GPU node; something runs on the GPU's."""
    kube.core.create_namespace({"metadata": {"name": "acceptance"}})
    kube.wait_for_namespace("acceptance")
    engine = pod(container("import time; time.sleep(600)"), nodeSelector={HOSTNAME: GPU}, **TOLERATES)
    engine["metadata"]["labels"] = {"app": "engine"}
    kube.core.create_namespaced_pod("acceptance", engine)
    wait_for("vLLM's place to be taken", lambda: status(kube, "acceptance").phase == "Running")
    with Undo(kube) as undo:
        for node in new_nodes(kube):
            undo.make(Join(node))
            Join(node).wait(kube)
        yield kube
    assert {node.metadata.name for node in kube.core.list_node().items} == {*WORKERS, GPU}


def accepting(kube: Kube, template: dict[str, Any], *, tolerant: bool) -> set[str]:
    copies = Copies("acceptance", template, sorted(EVERY), tolerant)
    with Undo(kube) as asking:
        asking.make(copies)
        answers = copies.answers(kube)
    assert set(answers) == EVERY
    assert all(answer.accepted or answer.message for answer in answers.values())
    assert [each.metadata.name for each in kube.core.list_namespaced_pod("acceptance").items] == ["pod"]
    return {name for name, answer in answers.items() if answer.accepted}


PREFERRED = {"weight": 1, "preference": {"matchExpressions": [on("In", *WORKERS)]}}


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({}, EVERY),
        (required(on("In", *WORKERS)), {*WORKERS}),
        (required(on("In", WORKERS[1])), {WORKERS[1]}),
        ({"nodeSelector": {HOSTNAME: WORKERS[0]}}, {WORKERS[0]}),
        ({"nodeName": WORKERS[0]}, {WORKERS[0]}),
        (required(on("NotIn", GPU)), EVERY - {GPU}),
        (required(on("DoesNotExist", key=PRESENT)), {*WORKERS, PLAIN}),
        (required(on("In", *WORKERS), on("DoesNotExist", key=PRESENT)), {*WORKERS}),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, EVERY),
        ({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [PREFERRED]}}}, EVERY),
        (beside("podAntiAffinity", "engine"), EVERY - {GPU}),
        (beside("podAffinity", "engine"), {GPU}),
        ({"affinity": {"nodeAffinity": node_terms([{}, {"matchExpressions": [on("In", *WORKERS)]}])}}, {*WORKERS}),
        ({"affinity": {"nodeAffinity": node_terms([{"matchFields": [on("In", GPU, key="metadata.name")]}])}}, {GPU}),
    ],
)
def test_each_node_is_asked_whatever_its_taints(lab: Kube, spec: dict[str, Any], nodes: set[str]) -> None:
    assert accepting(lab, template(**spec), tolerant=True) == nodes


@pytest.mark.cluster
@pytest.mark.parametrize(("spec", "nodes"), [({}, {*WORKERS, PLAIN}), (TOLERATES, EVERY)])
def test_a_copy_tolerates_what_its_pod_does(lab: Kube, spec: dict[str, Any], nodes: set[str]) -> None:
    for node in new_nodes(lab):
        lab.core.delete_node(node.name)  # the fixture's may have missed its heartbeat by now
        Join(node).make(lab)
        Join(node).wait(lab)
    assert accepting(lab, template(**spec), tolerant=False) == nodes


@pytest.mark.cluster
def test_the_room_that_a_pod_takes_is_left_aside_and_a_gpu_is_not(lab: Kube) -> None:
    def asks(**amounts: str) -> dict[str, Any]:
        return template(containers=[{"name": "main", "image": "x", "resources": {"limits": amounts}}])

    assert accepting(lab, asks(cpu="1000", memory="9Ti"), tolerant=True) == EVERY
    assert accepting(lab, asks(**{"nvidia.com/gpu": "1"}), tolerant=True) == {GPU, OTHER}


@pytest.mark.cluster
def test_no_other_pod_gets_onto_a_node_that_was_made_to_ask_about(lab: Kube, namespace: str) -> None:
    lab.core.create_namespaced_pod(namespace, pod(container("pass"), nodeSelector={HOSTNAME: PLAIN}))
    (said,) = wait_for("the scheduler's word", lambda: status(lab, namespace).conditions)
    assert said.reason == "Unschedulable"
    assert "untolerated taint" in said.message


def test_a_copy_keeps_what_rules_go_by_and_can_never_run() -> None:
    spread = [{"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}]
    spec = template(
        topologySpreadConstraints=spread,
        initContainers=[{"name": "init", "image": "x"}, {"name": "beside", "image": "x", "restartPolicy": "Always"}],
        volumes=[{"name": "c", "configMap": {"name": "c"}}, {"name": "d", "persistentVolumeClaim": {"claimName": "d"}}],
        priorityClassName="high",
    )
    copy = pinned(spec, "copy", "w1", tolerant=False)
    assert LABELS.items() <= copy["metadata"]["labels"].items()
    assert copy["spec"]["topologySpreadConstraints"] == spread
    assert [each["name"] for each in copy["spec"]["volumes"]] == ["d"]
    assert [each["imagePullPolicy"] for each in copy["spec"]["containers"]] == ["Never", "Never"]
    assert copy["spec"]["containers"][1]["name"] == "beside", "a sidecar takes its room beside the others"
    assert not {"initContainers", "priorityClassName"} & set(copy["spec"])
    assert "affinity" not in spec["spec"], "the template is left as it is"


def as_the_api_has_it(node: Node) -> Any:
    return ApiClient().deserialize(json.dumps(joined(node)), "V1Node", "application/json")


def marks(node: Node, others: Sequence[Node]) -> Node:
    return marks_of(as_the_api_has_it(node), [as_the_api_has_it(each) for each in others])


def test_what_tells_a_node_is_what_the_others_have_not() -> None:
    other = Node("w1", {"disk": "ssd", "rack": "1"})
    own = Node("gpu", {"disk": "ssd", "rack": "2"}, ("gpu=true:NoSchedule",), {"nvidia.com/gpu": 1})
    assert marks(own, [other]) == Node("gpu", {"rack": "2"}, own.taints, own.resources)
    assert marks(own, []).labels == own.labels
    assert marks(other, [other]) == Node("w1")


def test_a_new_node_is_of_the_system_of_another_and_has_no_more() -> None:
    machine = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    like = as_the_api_has_it(Node("w1", {"disk": "ssd", **machine}))
    assert plain("new", like) == Node("new", machine)
    gpu = story.gpu_node("gpu")
    assert plain("new", like, gpu) == Node("new", {**machine, **gpu.labels}, gpu.taints, gpu.resources)
