"""Asking LiteLLM and vLLM, and what an answer must look like."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import pytest
from pytest_bdd import parsers, then, when

from signoff.bdd.observing import observes
from signoff.core import timeouts
from signoff.core.timeouts import Timeout
from signoff.core.waiting import HoldFailed, Hopeless, NotYet, WaitFailed, consistently, eventually
from signoff.evidence import Evidence, causes
from signoff.evidence.models import (
    AnswersSeen,
    ClientRead,
    CounterSeen,
    Exchange,
    ModesSeen,
    NoAnswer,
    Subject,
    ThreeRead,
    Trio,
)
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.kube.roles import Served
from signoff.parity.answers import said
from signoff.parity.repeated import Three, in_rounds
from signoff.traffic import client as http
from signoff.traffic import metrics
from signoff.traffic.client import Answer, OpenAIClient
from signoff.traffic.endpoint import Endpoint

PROMPT = "Say something about gateways."
TOKENS = 16
QUIET = Timeout(2.5, every=0.5)
"""Requests that nobody sent (a retry, a probe that asks the model) show within this after the expected count."""


@dataclass
class Asked:
    """The answer that this scenario talks about, and where it stands in the evidence."""

    answer: Answer
    seq: int


def ask(evidence: Evidence, arm: str, endpoint: Endpoint, prompt: str, *, stream: bool = False, **params: Any) -> Asked:
    """Ask for a short greedy completion and record the exchange."""
    asked = {"temperature": 0, "max_tokens": TOKENS, **params}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    with OpenAIClient(endpoint) as client:
        return recorded(evidence, arm, lambda: client.chat(prompt, stream=stream, **asked))


def trios_of(prompts: Sequence[str], ask_side: Callable[[str, int], Asked], subject: str) -> list[Trio]:
    """The answers to each prompt of who is asked twice and of the other, in as many rounds as it takes to compare."""
    found = in_rounds(prompts, ask_side, lambda asked: said(asked.answer), subject)
    return [
        Trio(prompt=each.question, direct=each.first.seq, again=each.again.seq, proxied=each.other.seq)
        for each in found
    ]


def recorded(evidence: Evidence, arm: str, send: Any) -> Asked:
    """Send a request, and record its answer or that there was none, which is the doing of whoever was asked.

    Raises:
        NoAnswer: the server could not be reached.
    """
    try:
        with causes.of(Subject.BACKEND if arm.startswith("direct") else Subject.GATEWAY):
            answer: Answer = send()
    except http.NoAnswer as error:
        evidence.add(NoAnswer(arm=arm, request={}, error=str(error)))
        raise
    return Asked(answer, evidence.add(Exchange(arm=arm, **answer.to_record())))


@pytest.fixture
def requests_before(backend: Endpoint) -> int:
    """What vLLM's own request counter said before the scenario sent anything."""
    with causes.of(Subject.BACKEND):
        return metrics.request_count(backend.url)


@when("I ask LiteLLM for its models", target_fixture="asked")
def ask_for_models(gateway: Endpoint, evidence: Evidence) -> Asked:
    with OpenAIClient(gateway) as client:
        return recorded(evidence, "proxied", client.models)


@then("the answer is an OpenAI model list with the model of the story")
@observes("model-list")
def is_model_list(asked: Asked, evidence: Evidence) -> None:
    evidence.add(AnswersSeen(check="model-list", exchanges=[asked.seq]))


@then("LiteLLM says that the mode of the story's model is chat")
@observes("mode-chat")
def says_mode(gateway: Endpoint, manifests: StoryManifests, evidence: Evidence) -> None:
    with OpenAIClient(gateway) as client:
        answer = recorded(evidence, "proxied", lambda: client.get("/model/info")).answer
    models = answer.json.get("data", []) if isinstance(answer.json, dict) else []
    modes = {each["model_name"]: each.get("model_info", {}).get("mode") for each in models}
    roles = manifests.roles
    file = manifests.shown(roles.configuration.where(*roles.model.place, "model_info", "mode"))
    evidence.add(ModesSeen(check="mode-chat", status=answer.status, modes=modes, file=file))


@when("I send a chat completion to LiteLLM", target_fixture="asked")
def send_chat(gateway: Endpoint, evidence: Evidence) -> Asked:
    return ask(evidence, "proxied", gateway, PROMPT)


@then("the answer has status 200 and some text")
@observes("chat-answer")
def has_text(asked: Asked, evidence: Evidence) -> None:
    evidence.add(AnswersSeen(check="chat-answer", exchanges=[asked.seq]))


@when(parsers.parse("I send {count:d} chat completions to LiteLLM for each of its models"), target_fixture="counted")
def send_several(deployment: Deployment, backend: Endpoint, evidence: Evidence, count: int) -> list[CounterSeen]:
    roles = deployment.manifests.roles
    served = [Served(roles.model, roles.backend), *roles.others]
    return [count_answers(deployment, evidence, each, served, count) for each in served]


def count_answers(
    deployment: Deployment, evidence: Evidence, asked: Served, served: Sequence[Served], count: int
) -> CounterSeen:
    """Ask LiteLLM for a model so often, and see how much the counter of each vLLM grows."""
    urls = {each.backend.service: deployment.answering(each.backend) for each in served}
    endpoint = replace(deployment.answering_gateway(), model=asked.model.asked)
    with causes.of(Subject.BACKEND):
        before = {service: metrics.request_count(url) for service, url in urls.items()}
    for number in range(count):
        ask(evidence, "proxied", endpoint, f"Count to {number}.")
    own = asked.backend.service
    seen = _growth("each-request-once", urls[own], before[own], count, expected=count)
    with causes.of(Subject.BACKEND):
        grown = {service: metrics.request_count(url) - before[service] for service, url in urls.items()}
    elsewhere = {service: amount for service, amount in grown.items() if service != own}
    return seen.model_copy(update={"model": asked.model.asked, "elsewhere": elsewhere} if elsewhere else {})


@then("the counter of each model's own vLLM has grown by exactly as many requests")
@observes("each-request-once")
def counters_have_grown(counted: list[CounterSeen], evidence: Evidence) -> None:
    for each in counted:
        evidence.add(each)


@then("nothing has reached vLLM")
@observes("no-key-stops-here")
def counter_stands_still(backend: Endpoint, evidence: Evidence, requests_before: int, asked: Asked) -> None:
    evidence.add(_growth("no-key-stops-here", backend.url, requests_before, 1, expected=0))


def _growth(check: str, backend: str, before: int, requests: int, *, expected: int) -> CounterSeen:
    """How much vLLM's counter has grown, once it has counted what is expected, and what comes in late."""

    def grown() -> int:
        return metrics.request_count(backend) - before

    def as_expected() -> None:
        now = grown()
        if now < expected:
            raise NotYet(f"it has grown by {now}")
        if now > expected:
            raise Hopeless(f"it has grown by {now}", grace=0)

    with causes.of(Subject.BACKEND):
        with suppress(WaitFailed, HoldFailed):  # how far it came is what is judged
            eventually(f"vLLM's request counter to grow by {expected}", timeouts.COUNTER_GROWS, as_expected)
            consistently("vLLM's request counter stands still", QUIET, as_expected)
        return CounterSeen(check=check, metric=metrics.REQUESTS, requests=requests, grown=grown())


@when(parsers.parse("I send a {kind} chat completion to LiteLLM"), target_fixture="asked")
def send_chat_of_kind(gateway: Endpoint, evidence: Evidence, kind: str) -> Asked:
    return ask(evidence, "proxied", gateway, PROMPT, stream=is_streamed(kind))


def is_streamed(kind: str) -> bool:
    """Whether the word of the feature means a stream; a misspelt word is an error."""
    return {"plain": False, "streamed": True}[kind]


@then("the answer is in OpenAI API format")
@observes("openai-format")
def is_in_openai_format(asked: Asked, evidence: Evidence) -> None:
    kind = "streamed" if asked.answer.request["body"].get("stream") else "plain"
    evidence.add(AnswersSeen(check="openai-format", case=kind, exchanges=[asked.seq]))


@dataclass(frozen=True)
class BothRead:
    """What the official client made of both answers to a question, "plain" or "streamed"."""

    kind: str
    rounds: list[Three[str, dict[str, Any]]]


@when(
    parsers.parse("the official OpenAI client asks vLLM and LiteLLM for a {kind} chat completion"),
    target_fixture="both_read",
)
def official_client_asks(backend: Endpoint, gateway: Endpoint, kind: str) -> BothRead:
    sides = (backend, backend, gateway)
    stream = is_streamed(kind)
    rounds = in_rounds([PROMPT], lambda _, side: read_by_openai(sides[side], stream=stream), dict, f"{kind} reading")
    return BothRead(kind, rounds)


@then("it reads the same from both")
@observes("openai-client")
def reads_the_same(both_read: BothRead, evidence: Evidence) -> None:
    evidence.add(
        ClientRead(
            check="openai-client",
            case=both_read.kind,
            client=f"openai {version('openai')}",
            direct=both_read.rounds[0].first,
            proxied=both_read.rounds[0].other,
            rounds=[ThreeRead(direct=each.first, again=each.again, proxied=each.other) for each in both_read.rounds],
        )
    )


def read_by_openai(endpoint: Endpoint, *, stream: bool) -> dict[str, Any]:
    """What the official client makes of an answer: text, finish_reason and usage, or the name of its error."""
    import openai  # takes a second, which no other step should wait for

    asked: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0,
        "max_tokens": TOKENS,
    }
    with openai.OpenAI(
        base_url=f"{endpoint.url}/v1",
        api_key=endpoint.api_key,
        max_retries=0,
        timeout=timeouts.REQUEST.seconds,
        # Each client would read the roots again, which is most of its time where one is asked for many rounds.
        http_client=openai.DefaultHttpxClient(verify=http.authorities(endpoint.authorities)),
    ) as client:
        try:
            if not stream:
                return _read_whole(client.chat.completions.create(**asked))
            return _read_stream(
                client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
            )
        except Exception as error:  # whatever the client stumbles over is what is observed
            return {"error": type(error).__name__, "message": str(error)[:300]}


def _read_whole(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish_reason": choice.finish_reason, **_tokens(answer.usage)}


def _read_stream(chunks: Any) -> dict[str, Any]:
    text, finish_reason, usage = "", None, None
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish_reason = choice.finish_reason or finish_reason
        usage = chunk.usage or usage
    return {"text": text, "finish_reason": finish_reason, **_tokens(usage)}


def _tokens(usage: Any) -> dict[str, Any]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: getattr(usage, name, None) for name in names}


@then(parsers.parse("the answer is an OpenAI error that names {name}"))
@observes("mistakes-told")
def is_error_naming(asked: Asked, evidence: Evidence, name: str) -> None:
    evidence.add(AnswersSeen(check="mistakes-told", case=name, exchanges=[asked.seq]))
