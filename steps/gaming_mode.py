"""vLLM leaves the GPU and comes back; LiteLLM stays."""

import time
from contextlib import suppress
from typing import Any

from pytest_bdd import parsers, then, when

from signoff.bdd.observing import observes
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.timeouts import Timeout
from signoff.core.waiting import HoldFailed, NotYet, WaitFailed, consistently, eventually
from signoff.evidence import Evidence, causes
from signoff.evidence.models import AnswersSeen, StayedReady, Subject
from signoff.gateway.deployment import Deployment
from signoff.kube.client import describe_pod, is_ready
from signoff.kube.undo import Undo
from signoff.traffic.endpoint import Endpoint
from steps.chat import PROMPT, Asked, ask


@then(parsers.parse("LiteLLM stays Ready for {seconds:d} seconds"))
@observes("stays-ready")
def stays_ready(deployment: Deployment, evidence: Evidence, seconds: int) -> None:
    started, looks = time.monotonic(), list[list[Any]]()

    def every_pod_is_ready() -> None:
        looks.append(deployment.pods(deployment.gateway))
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
            backend_pods=len(deployment.pods(deployment.backend)),
        )
    )


def _not_ready(pods: list[Any]) -> list[str]:
    return [f"{pod.metadata.name}: {describe_pod(pod)}" for pod in pods if not is_ready(pod)]


@then(parsers.parse("LiteLLM answers a chat completion with an OpenAI error within {seconds:d} seconds"))
@observes("error-in-time")
def answers_with_error(gateway: Endpoint, evidence: Evidence, seconds: int) -> None:
    asked = ask(evidence, "proxied, vLLM away", gateway, PROMPT)
    evidence.add(AnswersSeen(check="error-in-time", exchanges=[asked.seq], asked={"seconds": seconds}))


@when("vLLM is scaled back", target_fixture="away_seconds")
def scale_back(undo: Undo, deployment: Deployment, evidence: Evidence, faulty_since: float) -> float:
    progress("vllm", "is scaled back; it takes about half a minute to start")
    with evidence.phase("vLLM comes back after Gaming Mode"), causes.of(Subject.BACKEND):
        undo.all()
        deployment.wait_for_backend()
    return time.monotonic() - faulty_since


@then("LiteLLM serves chat completions again")
@observes("serves-again")
def serves_again(gateway: Endpoint, evidence: Evidence, away_seconds: float) -> None:
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
