"""What was judged is told by its names and by the lines of the manifests that have them."""

from signoff.evidence.models import Found, UnderTest
from signoff.gateway.under_test import under_test
from signoff.kube.manifests import StoryManifests
from tests.labs.lab import HERE, chosen, line_of

LAB = HERE / "home_lab"


def at(file: str, text: str) -> str:
    """The place of the first line with this text, below the folder of manifests."""
    return line_of(LAB / file, text).removeprefix(f"{LAB}/")


def test_the_gateway_of_a_home_is_told_with_file_and_line() -> None:
    found = under_test(chosen(LAB).manifests)
    deployment, config = "gateway/deployment.yaml", "gateway/configmap.yaml"
    assert (found.gateway.name, found.gateway.namespace) == ("Deployment/llm-proxy", "attic")
    assert found.gateway.where == at(deployment, "apiVersion: apps/v1")
    assert found.gateway_service.url == "http://proxy.attic.svc.cluster.local:4000"
    assert found.asked_model == Found(name="house-model", where=at(config, "model_name: house-model"))
    served = "Qwen/Qwen2.5-7B-Instruct-AWQ"
    assert found.served_model == Found(name=served, where=at(config, f"model: openai/{served}"))
    assert "manifests/vllm/" in found.backend.where, "the suite's own stands in"


def test_the_storys_own_is_told_likewise() -> None:
    found = under_test(StoryManifests.read()).found
    assert found.keys() == UnderTest.model_fields.keys() - {"kind"}
    assert [each["where"].partition(":")[0] for each in found.values()] == [
        *("litellm/deployment.yaml", "litellm/deployment.yaml", "vllm/deployment.yaml", "vllm/deployment.yaml"),
        *("litellm/configmap.yaml", "litellm/configmap.yaml"),
    ]
    assert found["backend_service"]["url"] == "http://vllm-api.ml.svc.cluster.local:8000"
