"""The nodes of a person's manifests, as settings."""

from pathlib import Path
from typing import Any

import pytest

from signoff.gateway.node_settings import proposals
from signoff.kube.objects import Manifest
from signoff.kube.placement import HOSTNAME
from signoff.settings import Settings
from tests.kube.test_nodes import body, on, preferred, required


def proposed(gateway: dict[str, Any], backend: dict[str, Any] | None = None) -> dict[str, Any]:
    own = Manifest(Path("gateway"), "", body(gateway))
    other = Manifest(Path("backend"), "", body(backend)) if backend is not None else None
    found = {each.name: each.value for each in proposals(own, other)}
    Settings(**found)  # a run takes them
    return found


ON_TOWER = {"nodeSelector": {HOSTNAME: "tower"}}


@pytest.mark.parametrize(
    ("gateway", "backend", "settings"),
    [
        ({}, None, {}),
        (required(on("In", "k3s-worker-02")), None, {}),
        (required(on("In", "nuc-1", "nuc-2")), None, {"allowed_nodes": ["nuc-1", "nuc-2"]}),
        (preferred(on("In", "nuc-1")), None, {"allowed_nodes": ["nuc-1"]}),
        (required(on("NotIn", "k3s-gpu-worker")), {}, {}),
        (required(on("NotIn", "tower")), None, {"forbidden_nodes": ["tower"], "backend_nodes": ["tower"]}),
        ({}, ON_TOWER, {"forbidden_nodes": ["tower"], "backend_nodes": ["tower"]}),
        (required(on("NotIn", "tower")), {"nodeName": "big"}, {"forbidden_nodes": ["tower"], "backend_nodes": ["big"]}),
        (required(on("In", "tower")), ON_TOWER, {"allowed_nodes": ["tower"], "backend_nodes": ["tower"]}),
        ({}, preferred(on("In", "tower")), {}),
        ({}, {"nodeSelector": {HOSTNAME: "k3s-worker-01"}}, {"backend_nodes": ["k3s-worker-01"]}),
        (
            required(on("NotIn", "k3s-worker-01")),
            None,
            {
                "allowed_nodes": ["k3s-worker-02"],
                "forbidden_nodes": ["k3s-worker-01"],
                "backend_nodes": ["k3s-worker-01"],
            },
        ),
        (required(on("In", "k3s-gpu-worker")), None, {}),
        (required(on("In", "a"), on("NotIn", "a")), None, {}),
    ],
)
def test_nodes_that_are_named_and_not_the_storys(
    gateway: dict[str, Any], backend: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    assert proposed(gateway, backend) == settings


@pytest.mark.parametrize(
    ("gateway", "backend", "settings"),
    [
        (required(on("DoesNotExist", key="gpu")), None, {"forbidden_labels": {"gpu": "true"}}),
        (
            required(on("DoesNotExist", key="gpu")),
            {"nodeSelector": {"gpu": "a100"}},
            {"forbidden_labels": {"gpu": "a100"}},
        ),
        (required(on("NotIn", "big", key="size")), None, {"forbidden_labels": {"size": "big"}}),
        ({}, required(on("Exists", key="gpu")), {"forbidden_labels": {"gpu": "true"}}),
        ({}, {"nodeSelector": {"kubernetes.io/os": "linux", "role/gpu": ""}}, {}),
        ({"nodeSelector": {"role": "worker"}}, None, {}),
        ({}, {"tolerations": [{"key": "gpu", "value": "yes"}]}, {"forbidden_taints": ["gpu=yes:NoSchedule"]}),
        ({"tolerations": [{"key": "gpu", "value": "yes"}]}, {}, {}),
    ],
)
def test_a_gpus_node_that_is_known_by_label_or_taint(
    gateway: dict[str, Any], backend: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    assert proposed(gateway, backend) == settings


def test_each_has_its_reason_and_place() -> None:
    gateway, backend = (Manifest(Path(name), "", body(spec)) for name, spec in (("g", {}), ("b", ON_TOWER)))
    for each in proposals(gateway, backend):
        assert (each.why, each.manifest, each.place[-2:]) == ("vLLM's own", backend, ("nodeSelector", HOSTNAME))
