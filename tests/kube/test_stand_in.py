"""For which backends the suite's own vLLM has to stand in."""

from pathlib import Path
from typing import Any

import pytest

from signoff.kube.objects import Manifest
from signoff.kube.stand_in import needed_for


def backend(spec: dict[str, Any], **container: Any) -> Manifest:
    spec = {"containers": [{"name": "a", "image": "side"}, {"name": "v", "image": "vllm", **container}], **spec}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": spec}},
    }
    return Manifest(Path("x"), "", body)


@pytest.mark.parametrize(
    "resource", ["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb", "gpu.intel.com/i915", "google.com/tpu"]
)
@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_a_gpu_is_wanted_by_each_of_its_names(resource: str, kind: str) -> None:
    found = needed_for(backend({}, resources={kind: {"memory": "1Gi", resource: 1}}))
    assert found == (resource, ("spec", "template", "spec", "containers", 1, "resources", kind, resource))


def test_a_runtime_class_is_wanted_too() -> None:
    found = needed_for(backend({"runtimeClassName": "nvidia"}))
    assert found == ("the runtime class nvidia", ("spec", "template", "spec", "runtimeClassName"))


@pytest.mark.parametrize(
    "resources", [{}, {"limits": {"memory": "1Gi", "cpu": 2, "example.com/disk": 1}}, [], {"limits": 1}]
)
def test_nothing_else_needs_it(resources: Any) -> None:
    assert needed_for(backend({}, resources=resources)) is None
