"""The deployment that the matrix asks: the story's manifests, with the recorder between LiteLLM and vLLM."""

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from signoff.kube.manifests import StoryManifests, transform
from signoff.kube.objects import Manifest, containers, text_in, write_text
from signoff.kube.roles import Workload
from signoff.parity.cases import PREFIXES
from signoff.parity.runner import KEY, embeddings_name, model_name

Url = Callable[[str], str]

BARE = "litellm-defaults"
"""LiteLLM beside the story's, without the settings that avoid its known faults, and with a master key."""
RECORDED = "litellm-recorded"
"""LiteLLM beside the story's and set as it is, with the recorder between it and vLLM."""
EMBEDDINGS = "vllm-embeddings"
"""The Deployment and Service of the second vLLM."""
NAMED = {"chat": model_name, "embeddings": embeddings_name}
"""How the models of each backend are called."""
_DEPLOYED = {"ConfigMap", "Deployment", "Secret", "Service", "StatefulSet"}
"""What the matrix needs of the gateway's manifests."""
AVOIDING = ("DISABLE_AIOHTTP_TRANSPORT", "DEFER_PYDANTIC_BUILD")
"""What the story's manifest sets in LiteLLM's environment to avoid known faults."""

STARTS_WITHOUT_KEY = {"name": "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "value": "true"}
"""Newer LiteLLMs (1.108.7 is one) refuse to start without a master key, which the story's has not; others ignore it."""

BACKEND_ARGUMENTS = (
    # Tool calls in the form that vLLM's parser reads, and reasoning where the request's chat template asks for it.
    "--enable-auto-tool-choice",
    "--tool-call-parser=hermes",
    "--reasoning-parser=deepseek_v3",
    # Answers name their request, as OpenAI's do.
    "--enable-request-id-headers",
    # A model of random weights fills JSON with spaces wherever it may.
    '--structured-outputs-config={"backend": "xgrammar", "disable_any_whitespace": true}',
)
BACKEND_ENVIRONMENT = (
    # Without it the first request for logprobs compiles a kernel, and everybody waits 20 to 60 s for it.
    {"name": "TORCHDYNAMO_DISABLE", "value": "1"},
)
SPECIAL_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""What the parsers of reasoning and of tool calls look for; the model's tokenizer needs to have them."""


def backend(manifests: StoryManifests) -> list[Manifest]:
    """The stand-in vLLM, able to call tools and to reason."""

    def change(body: dict[str, Any]) -> None:
        for container in containers(body):
            if container["name"] == "make-model":
                container["command"] += SPECIAL_TOKENS
            elif container["name"] == "vllm":
                container["args"] += BACKEND_ARGUMENTS
                container["env"] += BACKEND_ENVIRONMENT

    return transform(manifests.backend, change)


def embeddings_workload(manifests: StoryManifests) -> Workload:
    """The second vLLM."""
    return manifests.roles.backend.beside(EMBEDDINGS)


def embeddings_backend(manifests: StoryManifests) -> list[Manifest]:
    """A second vLLM from the same weights, which embeds instead of generating."""
    first, second = manifests.roles.backend, embeddings_workload(manifests)

    def change(body: dict[str, Any]) -> None:
        body["metadata"]["name"] = EMBEDDINGS
        if body["kind"] == "Service":
            body["spec"]["selector"] = dict(second.selector)
            return
        body["spec"]["selector"] = {"matchLabels": dict(second.selector)}
        labels = body["spec"]["template"]["metadata"]["labels"]
        body["spec"]["template"]["metadata"]["labels"] = {
            **{label: value for label, value in labels.items() if label not in first.selector},
            **second.selector,
        }
        (container,) = (each for each in containers(body) if each["name"] == "vllm")
        container["args"] += ["--runner=pooling", "--convert=embed"]
        container["env"] += BACKEND_ENVIRONMENT
        container["resources"]["requests"]["memory"] = "1Gi"

    wanted = (first.object, f"Service/{first.service}")
    return transform([each for each in manifests.backend if each.name in wanted], change)


def gateway(manifests: StoryManifests, urls: Mapping[str, Url], routes: int) -> list[Manifest]:
    """LiteLLM as the story sets it, but for its models; `urls` gives a route's base URL in each backend's recorder."""
    config = manifests.roles.config
    served = manifests.roles.model.model

    def change(body: dict[str, Any]) -> None:
        if f"{body['kind']}/{body['metadata']['name']}" == config.object:
            told = yaml.safe_load(text_in(body, config.key))
            told["model_list"] = _models(served, urls, routes)
            write_text(body, config.key, yaml.safe_dump(told, sort_keys=False))
        for container in containers(body):
            container["env"] = [*container.get("env", []), STARTS_WITHOUT_KEY]

    wanted = [m for m in manifests.gateway if m.body["kind"] in _DEPLOYED]
    return transform(wanted, change)


def bare_gateway(manifests: StoryManifests, urls: Mapping[str, Url], routes: int) -> tuple[Workload, list[Manifest]]:
    """A second LiteLLM without the settings that avoid known faults."""

    def edit(config: dict[str, Any]) -> None:
        config["model_list"] = _models(manifests.roles.model.model, urls, routes)
        router = config.get("router_settings") or {}
        config["router_settings"] = {name: value for name, value in router.items() if name != "disable_cooldowns"}
        config["general_settings"] = {**(config.get("general_settings") or {}), "master_key": KEY}

    def without_settings(body: dict[str, Any]) -> None:
        for container in containers(body):
            kept = [each for each in container.get("env", []) if each["name"] not in AVOIDING]
            container["env"] = [*kept, STARTS_WITHOUT_KEY]

    workload, found = manifests.second_gateway(BARE, edit)
    return workload, transform(found, without_settings)


def recorded_gateway(manifests: StoryManifests, url: Url, routes: int) -> tuple[Workload, list[Manifest]]:
    """A second LiteLLM as the story has it, each model of which speaks through a route of the recorder."""
    judged = manifests.roles.model

    def edit(config: dict[str, Any]) -> None:
        own = config["model_list"][judged.at]
        config["model_list"] = [
            {
                **own,
                "model_name": model_name(judged.prefix, route),
                "litellm_params": {**own["litellm_params"], "api_base": f"{url(f'route{route}')}/v1"},
            }
            for route in range(routes)
        ]

    return manifests.second_gateway(RECORDED, edit)


def _models(served: str, urls: Mapping[str, Url], routes: int) -> list[dict[str, Any]]:
    return [
        {
            "model_name": NAMED[backend](prefix, route),
            "litellm_params": {
                "model": f"{prefix}/{served}",
                "api_base": f"{url(f'route{route}')}/v1",
                "api_key": "none",
            },
            "model_info": {"mode": {"chat": "chat", "embeddings": "embedding"}[backend]},
        }
        for backend, url in urls.items()
        for prefix in PREFIXES
        for route in range(routes)
    ]
