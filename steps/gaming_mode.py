"""vLLM leaves the GPU and comes back; LiteLLM stays."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pytest_bdd import parsers, then, when

from signoff import story
from signoff.bdd.observing import observes
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.timeouts import Timeout
from signoff.core.waiting import HoldFailed, NotYet, WaitFailed, consistently, eventually
from signoff.evidence import Evidence, causes
from signoff.evidence.models import AnswersSeen, StayedReady, Subject
from signoff.gateway.deployment import BACKEND_APP, Deployment
from signoff.kube.client import Kube, describe_pod, is_ready
from steps.chat import PROMPT, Asked, ask


@pytest.fixture
def backend_comes_back(deployment: Deployment) -> Iterator[None]:
    """Whatever happens in the scenario, vLLM comes back; the next one that needs it, if any, waits for it."""
    kube = deployment.kube
    replicas = kube.deployment(story.NAMESPACE, BACKEND_APP).spec.replicas
    yield
    if kube.deployment(story.NAMESPACE, BACKEND_APP).spec.replicas != replicas:
        kube.scale(story.NAMESPACE, BACKEND_APP, replicas)


@when("vLLM is scaled to 0", target_fixture="away_since")
def scale_to_zero(kube: Kube, backend_comes_back: None) -> float:
    kube.scale(story.NAMESPACE, BACKEND_APP, 0)
    with causes.of(Subject.BACKEND):
        kube.wait_until_gone(story.NAMESPACE, BACKEND_APP)
    return time.monotonic()


@then(parsers.parse("LiteLLM stays Ready for {seconds:d} seconds"))
@observes("stays-ready")
def stays_ready(kube: Kube, evidence: Evidence, seconds: int) -> None:
    started, looks = time.monotonic(), list[list[Any]]()

    def every_pod_is_ready() -> None:
        looks.append(kube.pods(story.NAMESPACE, story.GATEWAY))
        if not_ready := _not_ready(looks[-1]):
            raise NotYet("; ".join(not_ready))

    with suppress(HoldFailed):  # what was seen is what is judged
        consistently("every LiteLLM pod is Ready", Timeout(seconds, every=1), every_pod_is_ready)
    evidence.add(
        StayedReady(
            check="stays-ready",
            seconds=round(time.monotonic() - started, 1),
            looks=len(looks),
            pods=len(looks[-1]),
            not_ready=_not_ready(looks[-1]),
            backend_pods=len(kube.pods(story.NAMESPACE, BACKEND_APP)),
        )
    )


def _not_ready(pods: list[Any]) -> list[str]:
    return [f"{pod.metadata.name}: {describe_pod(pod)}" for pod in pods if not is_ready(pod)]


@then(parsers.parse("LiteLLM answers a chat completion with an OpenAI error within {seconds:d} seconds"))
@observes("error-in-time")
def answers_with_error(gateway: str, evidence: Evidence, away_since: float, seconds: int) -> None:
    asked = ask(evidence, "proxied, vLLM away", gateway, PROMPT)
    evidence.add(AnswersSeen(check="error-in-time", exchanges=[asked.seq], asked={"seconds": seconds}))


@when("vLLM is scaled back", target_fixture="away_seconds")
def scale_back(kube: Kube, deployment: Deployment, evidence: Evidence, away_since: float) -> float:
    progress("vllm", "scaled back; it takes about half a minute to start")
    with evidence.phase("vLLM comes back after Gaming Mode"):
        kube.scale(story.NAMESPACE, BACKEND_APP, 1)
        deployment.wait_for_backend()
    return time.monotonic() - away_since


@then("LiteLLM serves chat completions again")
@observes("serves-again")
def serves_again(gateway: str, evidence: Evidence, away_seconds: float) -> None:
    tries: list[Asked] = []

    def look() -> None:
        tries.append(ask(evidence, "proxied, vLLM back", gateway, PROMPT))
        answer = tries[-1].answer
        if not answer.ok or not answer.text:
            raise NotYet(f"status {answer.status}: {answer.body[:200]}")

    with suppress(WaitFailed):  # the last answer is what is judged
        eventually("LiteLLM to serve again", timeouts.GATEWAY_NOTICES, look)
    asked = {"away_seconds": round(away_seconds, 1)}
    evidence.add(AnswersSeen(check="serves-again", exchanges=[each.seq for each in tries], asked=asked))
