"""The nodes of a person's manifests, as settings."""

from pathlib import Path
from typing import Any

import pytest

from signoff import story
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


TOLERANT = {"tolerations": [{"operator": "Exists"}]}
ON_TOWER = {"nodeSelector": {HOSTNAME: "tower"}, **TOLERANT}
PRESENT, TAINT = "nvidia.com/gpu.present=true", "nvidia.com/gpu=true:NoSchedule"


@pytest.mark.parametrize(
    ("gateway", "backend", "settings"),
    [
        ({}, None, {}),
        (required(on("In", "k3s-worker-02")), None, {}),
        (required(on("In", "nuc-1", "nuc-2")), None, {"allowed_nodes": ["nuc-1", "nuc-2"]}),
        (preferred(on("In", "nuc-1")), None, {"allowed_nodes": ["nuc-1"]}),
        (required(on("NotIn", "k3s-gpu-worker")), TOLERANT, {}),
        (required(on("NotIn", "tower")), None, {"forbidden_nodes": ["tower"], "backend_nodes": ["tower"]}),
        ({}, ON_TOWER, {"forbidden_nodes": ["tower"], "backend_nodes": ["tower"]}),
        (
            required(on("NotIn", "tower")),
            {"nodeName": "big", **TOLERANT},
            {"forbidden_nodes": ["tower"], "backend_nodes": ["big"]},
        ),
        (required(on("In", "tower")), ON_TOWER, {"allowed_nodes": ["tower"], "backend_nodes": ["tower"]}),
        ({}, preferred(on("In", "tower")) | TOLERANT, {}),
        ({}, {"nodeSelector": {HOSTNAME: "k3s-worker-01"}, **TOLERANT}, {"backend_nodes": ["k3s-worker-01"]}),
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
    found = proposed(gateway, backend)
    found.pop("forbidden_by", None)
    assert found == settings


@pytest.mark.parametrize(
    ("gateway", "backend", "marks"),
    [
        (required(on("DoesNotExist", key="gpu")), None, f"gpu=true {TAINT}"),
        (required(on("DoesNotExist", key="gpu")), {"nodeSelector": {"gpu": "a100"}}, "gpu=a100"),
        (required(on("NotIn", "big", key="size")), None, f"size=big {TAINT}"),
        ({}, required(on("Exists", key="gpu")), "gpu=true"),
        ({}, {"nodeSelector": {"kubernetes.io/os": "linux", "role/gpu": ""}}, "role/gpu="),
        ({"nodeSelector": {"role": "worker"}}, None, ""),
        ({}, {"tolerations": [{"key": "gpu", "value": "yes"}]}, f"{PRESENT} gpu=yes:NoSchedule"),
        ({}, {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}, ""),
        ({}, {"tolerations": [{"operator": "Exists"}]}, ""),
        ({}, {}, PRESENT),  # a vLLM without tolerations runs on no node with a taint
        ({}, {"runtimeClassName": "nvidia"}, ""),  # which the suite's own stands in for
        ({"tolerations": [{"key": "gpu", "value": "yes"}]}, TOLERANT, ""),
    ],
)
def test_a_gpus_node_that_is_known_by_label_or_taint(
    gateway: dict[str, Any], backend: dict[str, Any] | None, marks: str
) -> None:
    of_the_gpu = f"{story.GPU_NODE} {marks} nvidia.com/gpu:1"
    assert proposed(gateway, backend).get("nodes") == ([*story.ALLOWED_NODES, of_the_gpu] if marks else None)


GPU_TAINT = {"tolerations": [{"key": "gpu", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("gateway", "backend", "rule"),
    [
        (required(on("In", "k3s-worker-02")), GPU_TAINT, None),
        (required(on("In", "nuc"), on("DoesNotExist", key="gpu")), None, None),
        (required(on("NotIn", "k3s-gpu-worker")), None, "forbidden-names"),
        (required(on("DoesNotExist", key="gpu")), GPU_TAINT, "labels"),
        (required(on("NotIn", "true", key="gpu")), None, "labels"),
        (required(on("DoesNotExist", key="node-role.kubernetes.io/control-plane")), None, None),
        (preferred(on("NotIn", "k3s-gpu-worker")), None, None),
        ({"nodeSelector": {"role": "worker"}}, GPU_TAINT, None),
        ({}, GPU_TAINT, "taints"),
        (preferred(on("In", "nuc")), GPU_TAINT, "taints"),
        (GPU_TAINT, GPU_TAINT, None),
        ({}, TOLERANT, None),
        ({}, None, None),
    ],
)
def test_by_what_a_node_is_forbidden(gateway: dict[str, Any], backend: dict[str, Any] | None, rule: str | None) -> None:
    assert proposed(gateway, backend).get("forbidden_by") == rule


def test_a_node_is_declared_by_its_own_name() -> None:
    found = proposed(required(on("NotIn", "tower")), ON_TOWER | {"tolerations": [{"key": "gpu"}]})
    assert found["nodes"] == [*story.ALLOWED_NODES, f"tower {PRESENT} gpu:NoSchedule nvidia.com/gpu:1"]


def test_each_has_its_reason_and_place() -> None:
    gateway, backend = (Manifest(Path(name), "", body(spec)) for name, spec in (("g", {}), ("b", ON_TOWER)))
    for each in proposals(gateway, backend):
        assert (each.why, each.manifest, each.place[-2:]) == ("vLLM's own", backend, ("nodeSelector", HOSTNAME))
