"""Two models with a vLLM each in one configuration: which of them answers is told by their own counters."""

import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from signoff.core.paths import MANIFESTS
from signoff.evidence import read
from signoff.evidence.models import CounterSeen
from signoff.judges.run import Result
from signoff.verdicts import Value
from tests.embedded import run_features

SECOND = "vllm-second"


def with_a_second_vllm(folder: Path) -> Path:
    """A copy of the manifests in which another model has a vLLM of its own."""
    shutil.copytree(MANIFESTS, folder)
    file = folder / "vllm" / "deployment.yaml"
    objects = list(yaml.safe_load_all(file.read_text()))
    deployment, service = deepcopy([each for each in objects if each["kind"] in ("Deployment", "Service")])
    labels = {"app.kubernetes.io/name": SECOND}
    for each in (deployment, service):
        each["metadata"]["name"] = SECOND
    deployment["spec"]["selector"]["matchLabels"] = deployment["spec"]["template"]["metadata"]["labels"] = labels
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["args"] = [each.replace("Qwen/Qwen2.5-7B-Instruct-AWQ", "small") for each in container["args"]]
    service["spec"]["selector"] = labels
    file.write_text(yaml.safe_dump_all([*objects, deployment, service]))
    config = folder / "litellm" / "configmap.yaml"
    (told,) = yaml.safe_load_all(config.read_text())
    models = yaml.safe_load(told["data"]["config.yaml"])
    params = {"model": "hosted_vllm/small", "api_base": f"http://{SECOND}.ml.svc:8000/v1", "api_key": "none"}
    models["model_list"].append({"model_name": "second", "litellm_params": params})
    told["data"]["config.yaml"] = yaml.safe_dump(models)
    config.write_text(yaml.safe_dump(told))
    return folder


@pytest.mark.cluster
@pytest.mark.prove
def test_each_model_is_answered_by_its_own_vllm_alone(tmp_path: Path) -> None:
    manifests = with_a_second_vllm(tmp_path / "manifests")
    features = ("features/proxying.feature", "-k", "reaches_vllm_once", "--manifests", str(manifests))
    process = run_features(tmp_path / "reports", *features)
    output, _ = process.communicate(timeout=300)
    (run_dir,) = (tmp_path / "reports").iterdir()
    found = read(run_dir)
    counted = {each.model: (each.grown, each.elsewhere) for each in found.of(CounterSeen)}
    assert counted == {
        "Qwen/Qwen2.5-7B-Instruct-AWQ": (10, {SECOND: 0}),
        "second": (10, {"vllm-api": 0}),
    }, output
    assert Result(found).checks["each-request-once"].value is Value.PASSED
