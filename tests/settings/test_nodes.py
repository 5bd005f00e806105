"""A node that the settings name and the cluster lacks is refused: no pod would ever break a rule about it."""

from pathlib import Path

import pytest

from signoff import story
from signoff.core.errors import SignoffError
from signoff.settings import nodes, read


def test_the_storys_nodes_are_those_of_the_suites_own_clusters() -> None:
    nodes.check(read({}), [node.name for node in story.NODES])


@pytest.mark.parametrize("name", ["allowed_nodes", "forbidden_nodes", "backend_nodes"])
def test_a_node_that_the_cluster_lacks_is_refused_with_the_nearest_one(name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(SignoffError) as refused:
        nodes.check(read({name: ["k3s-gpu-wroker"]}), [*story.ALLOWED_NODES, story.GPU_NODE, "nuc"])
    assert refused.value.what == (
        "the cluster has no node k3s-gpu-wroker; "
        "it has k3s-gpu-worker, k3s-worker-01, k3s-worker-02 and nuc; did you mean 'k3s-gpu-worker'?"
    )
    assert refused.value.where == f"{option} k3s-gpu-wroker"
    assert option in refused.value.hint


def test_the_place_is_the_files_or_the_storys(here: Path) -> None:
    (here / "signoff.toml").write_text("allowed_nodes = ['nuc']\nforbidden_nodes = ['tower']\n")
    with pytest.raises(SignoffError, match="no node tower; it has nuc") as refused:
        nodes.check(read({}), ["nuc"])
    assert refused.value.where == "signoff.toml:2"
    with pytest.raises(SignoffError, match="no node k3s-gpu-worker; it has nuc and tower") as refused:
        nodes.check(read({}), ["nuc", "tower"])
    assert refused.value.where == "backend_nodes, which is the story's"
