"""vLLM leaves the GPU and comes back; LiteLLM stays."""

import time
from collections.abc import Iterator

import pytest
from pytest_bdd import parsers, then, when

from signoff import limits, story
from signoff.console import progress
from signoff.deployment import Deployment
from signoff.evidence import Evidence
from signoff.kube import Kube, describe_pod
from signoff.waiting import NotYet, eventually
from steps.chat import PROMPT, ask, assert_openai_error

BACKEND_DEPLOYMENT = "vllm"


@pytest.fixture
def backend_comes_back(deployment: Deployment) -> Iterator[None]:
    """Whatever happens in the scenario, vLLM comes back; the next one that needs it, if any, waits for it."""
    kube = deployment.kube
    replicas = kube.deployment(story.NAMESPACE, BACKEND_DEPLOYMENT).spec.replicas
    yield
    if kube.deployment(story.NAMESPACE, BACKEND_DEPLOYMENT).spec.replicas != replicas:
        kube.scale(story.NAMESPACE, BACKEND_DEPLOYMENT, replicas)


@when("vLLM is scaled to 0")
def scale_to_zero(kube: Kube, backend_comes_back: None) -> None:
    kube.scale(story.NAMESPACE, BACKEND_DEPLOYMENT, 0)
    kube.wait_until_gone(story.NAMESPACE, "vllm")


@then(parsers.parse("LiteLLM stays Ready for {seconds:d} seconds"))
def stays_ready(kube: Kube, deployment: Deployment, evidence: Evidence, seconds: int) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pods = kube.pods(story.NAMESPACE, story.GATEWAY)
        states = {pod.metadata.name: describe_pod(pod) for pod in pods}
        ready = len(deployment.ready_gateway_pods())
        if ready < len(pods) or not pods:
            evidence.record("gaming-mode", ready=ready, pods=states)
            pytest.fail(f"{ready} of {len(pods)} LiteLLM pods are Ready while vLLM is away: {states}")
        time.sleep(1)
    evidence.record("gaming-mode", ready=ready, pods=states, seconds=seconds)


@then(parsers.parse("LiteLLM answers a chat completion with an OpenAI error within {seconds:d} seconds"))
def answers_with_error(gateway: str, evidence: Evidence, seconds: int) -> None:
    answer = ask(evidence, "proxied, vLLM away", gateway, PROMPT)
    assert_openai_error(answer)
    assert answer.e2e_ms < seconds * 1000, f"the caller waited {answer.e2e_ms / 1000:.1f} s"


@when("vLLM is scaled back")
def scale_back(kube: Kube, deployment: Deployment, evidence: Evidence) -> None:
    progress("vllm", "scaled back; it takes about half a minute to start")
    with evidence.phase("vLLM comes back after Gaming Mode"):
        kube.scale(story.NAMESPACE, BACKEND_DEPLOYMENT, 1)
        deployment.wait_for_backend()


@then("LiteLLM serves chat completions again")
def serves_again(gateway: str, evidence: Evidence) -> None:
    def look() -> None:
        answer = ask(evidence, "proxied, vLLM back", gateway, PROMPT)
        if not answer.ok or not answer.text:
            raise NotYet(f"status {answer.status}: {answer.body[:200]}")

    eventually("LiteLLM to serve again", limits.GATEWAY_NOTICES, look)
