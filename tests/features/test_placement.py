"""Which nodes count as cordoned: a scenario's verdict must not hang on a node that has nothing to do with the story."""

import pytest

from signoff import story
from signoff.kube.client import Kube
from signoff.kube.undo import Cordon, Undo
from steps.placement import cordoned_nodes

pytestmark = pytest.mark.cluster
OTHER = "lab-01"
KNOWN = (*story.ALLOWED_NODES, story.GPU_NODE)


def test_only_the_storys_nodes_count_as_cordoned(kube: Kube) -> None:
    kube.core.create_node({"metadata": {"name": OTHER}, "spec": {"unschedulable": True}})
    try:
        assert cordoned_nodes(kube, KNOWN) == []
        with Undo(kube) as undo:
            undo.make(Cordon("k3s-worker-02"))
            undo.make(
                Cordon(story.GPU_NODE)
            )  # then the scheduler's refusal proves nothing, and the judge has to see it
            assert cordoned_nodes(kube, KNOWN) == ["k3s-worker-02", story.GPU_NODE]
    finally:
        kube.core.delete_node(OTHER)
