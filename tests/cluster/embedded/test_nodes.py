"""The nodes of an embedded cluster are those that were declared, with their labels, taints and resources."""

from collections.abc import Iterator
from typing import Any

import pytest

from signoff import story
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.node import Node
from signoff.kube.client import Kube, condition
from signoff.kube.placement import own_taints
from tests.embedded import IMAGE, container, pod, wait_for

pytestmark = pytest.mark.cluster
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
GPU = "nvidia.com/gpu"
DECLARED = (
    Node("k3s-master", {CONTROL_PLANE: ""}),
    Node("nuc", {"disk": "ssd"}),
    Node("box", {"disk": "hdd"}, ("disk=slow:PreferNoSchedule", "disk:NoExecute")),
    Node("tower", {"card": "rtx3090"}, ("gpu=true:NoSchedule",), {GPU: 2, "example.com/dongle": 1}),
)
SLEEP = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def lab(recipes: None) -> Iterator[Kube]:
    """A cluster of four nodes, one of which is a control plane that takes pods."""
    started = EmbeddedCluster.start(images=[IMAGE], nodes=DECLARED)
    kube = Kube(started.kubeconfig)
    kube.wait_for_namespace("default")
    for each in DECLARED:
        wait_until_ready(kube, each.name)
    yield kube
    started.close()


def wait_until_ready(kube: Kube, node: str) -> None:
    """Wait until the control plane, too, takes it for Ready."""

    def look() -> bool:
        found = kube.core.read_node(node)
        return len(found.spec.taints or []) == len(own_taints(found))

    wait_for(f"{node} to have no taint of the cluster's", look)


def placed(kube: Kube, name: str, namespace: str = "default", **more: Any) -> tuple[str, str]:
    """Where the scheduler puts a pod with this spec, and what it says if that is nowhere."""
    resources, body = more.pop("resources", {}), pod(**more)
    body["metadata"]["name"] = name
    body["spec"]["containers"] = [container(SLEEP, resources=resources)]
    kube.core.create_namespaced_pod(namespace, body)

    def look() -> Any:
        found = kube.core.read_namespaced_pod(name, namespace)
        said = condition(found, "PodScheduled")
        return said and (found.spec.node_name or "", said.message or "")

    return tuple(wait_for("the scheduler's word", look))


def test_each_has_what_was_declared_of_it(lab: Kube) -> None:
    found = {node.metadata.name: node for node in lab.core.list_node().items}
    assert set(found) == {each.name for each in DECLARED}
    for each in DECLARED:
        node = found[each.name]
        assert each.labels.items() <= node.metadata.labels.items()
        assert tuple(map(str, own_taints(node))) == each.taints
        for name, amount in each.resources.items():
            assert node.status.capacity[name] == node.status.allocatable[name] == str(amount)


def test_a_control_plane_without_a_taint_takes_pods(lab: Kube) -> None:
    assert placed(lab, "on-the-master", nodeSelector={CONTROL_PLANE: ""})[0] == "k3s-master"


def test_a_gpu_is_given_until_none_is_left(lab: Kube) -> None:
    wants: dict[str, Any] = {"tolerations": [{"key": "gpu", "operator": "Exists"}], "resources": {"limits": {GPU: "2"}}}
    assert placed(lab, "first", **wants)[0] == "tower"
    node, said = placed(lab, "second", **wants)
    assert node == ""
    assert f"Insufficient {GPU}" in said


def test_the_storys_gpu_worker_is_kept_from_others_and_has_a_gpu(kube: Kube, namespace: str) -> None:
    there = {"kubernetes.io/hostname": story.GPU_NODE}
    node, said = placed(kube, "plain", namespace, nodeSelector=there)
    assert node == ""
    assert "untolerated taint" in said
    tolerant = [{"key": GPU, "operator": "Exists"}]
    wants: dict[str, Any] = {"tolerations": tolerant, "resources": {"limits": {GPU: "1"}}}
    assert placed(kube, "vllm", namespace, nodeSelector=there, **wants)[0] == story.GPU_NODE
    kube.core.delete_namespaced_pod("vllm", namespace, grace_period_seconds=0)  # others want the GPU
