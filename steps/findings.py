"""The two mistakes of the first deployment, each in a LiteLLM of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_bdd import given, parsers, when

from signoff import story
from signoff.evidence import Evidence
from signoff.gateway.deployment import Deployment
from signoff.kube import manifests
from steps.chat import PROMPT, Asked, ask

EditConfig = Callable[[dict[str, Any]], None]
Start = Callable[[str, EditConfig], str]


@pytest.fixture
def gateway_of_its_own(deployment: Deployment) -> Iterator[Start]:
    """Starts a LiteLLM beside the one under test, with an edited config.yaml, and gives its base URL."""
    applied: list[manifests.Manifest] = []

    def start(name: str, edit: EditConfig) -> str:
        variant = manifests.with_gateway_config(deployment.manifests.gateway, name, edit)
        applied.extend(variant)
        deployment.apply(variant)
        deployment.wait_for_gateway(name)
        return deployment.answering_gateway(name)

    yield start
    for manifest in reversed(applied):
        deployment.kube.delete(manifest, story.NAMESPACE)


@given(parsers.parse("a LiteLLM whose backend model is {model}"), target_fixture="other_gateway")
def with_backend_model(gateway_of_its_own: Start, model: str) -> str:
    def edit(config: dict[str, Any]) -> None:
        for entry in config["model_list"]:
            prefix = entry["litellm_params"]["model"].split("/")[0]
            entry["litellm_params"]["model"] = f"{prefix}/{model}"

    return gateway_of_its_own("litellm-wrong-model", edit)


@given(parsers.parse("a LiteLLM with the {prefix}/ prefix and no api_key"), target_fixture="other_gateway")
def without_api_key(gateway_of_its_own: Start, prefix: str) -> str:
    def edit(config: dict[str, Any]) -> None:
        for entry in config["model_list"]:
            entry["litellm_params"]["model"] = f"{prefix}/{story.MODEL}"
            entry["litellm_params"].pop("api_key", None)

    return gateway_of_its_own("litellm-no-key", edit)


@when("I send a chat completion to that LiteLLM", target_fixture="asked")
def send_to_other(other_gateway: str, requests_before: int, evidence: Evidence) -> Asked:
    return ask(evidence, "a LiteLLM of its own", other_gateway, PROMPT)
