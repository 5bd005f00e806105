"""The two mistakes of the first deployment, each in a LiteLLM of its own."""

from collections.abc import Callable
from typing import Any

from pytest_bdd import given, parsers, when

from signoff.evidence import Evidence
from signoff.gateway.deployment import NO_KEY, WRONG_MODEL, Deployment
from signoff.kube.undo import Undo
from signoff.traffic.endpoint import Endpoint
from steps.chat import PROMPT, Asked, ask

Params = dict[str, Any]
"""The `litellm_params` of a model."""


@given(parsers.parse("a LiteLLM whose backend model is {model}"), target_fixture="other_gateway")
def with_backend_model(deployment: Deployment, undo: Undo, model: str) -> Endpoint:
    def edit(params: Params) -> None:
        prefix, _, _ = params["model"].partition("/")
        params["model"] = f"{prefix}/{model}"

    return started_beside(deployment, undo, WRONG_MODEL, edit)


@given(parsers.parse("a LiteLLM with the {prefix}/ prefix and no api_key"), target_fixture="other_gateway")
def without_api_key(deployment: Deployment, undo: Undo, prefix: str) -> Endpoint:
    def edit(params: Params) -> None:
        _, _, model = params["model"].partition("/")
        params["model"] = f"{prefix}/{model}"
        params.pop("api_key", None)

    return started_beside(deployment, undo, NO_KEY, edit)


def started_beside(deployment: Deployment, undo: Undo, name: str, edit: Callable[[Params], None]) -> Endpoint:
    """Start a LiteLLM beside the one under test, with `edit` applied to the judged model."""

    def edit_models(config: dict[str, Any]) -> None:
        edit(config["model_list"][deployment.manifests.roles.model.at]["litellm_params"])

    second, wanted = deployment.manifests.second_gateway(name, edit_models)
    deployment.apply(wanted, undo)
    deployment.wait_for_gateway(second)
    return deployment.answering_gateway(second)


@when("I send a chat completion to that LiteLLM", target_fixture="asked")
def send_to_other(other_gateway: Endpoint, requests_before: int, evidence: Evidence) -> Asked:
    return ask(evidence, "a LiteLLM of its own", other_gateway, PROMPT)
