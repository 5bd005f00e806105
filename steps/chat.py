"""Asking LiteLLM and vLLM, and what an answer must look like."""

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_bdd import parsers, then, when

from signoff import limits, openai_format, story
from signoff.evidence import Evidence
from signoff.traffic import metrics
from signoff.traffic.client import Answer, NoAnswer, OpenAIClient
from signoff.waiting import NotYet, eventually

PROMPT = "Say something about gateways."
TOKENS = 16
QUIET_SECONDS = 2.5
"""Requests that nobody sent (a retry, a probe that asks the model) show within this after the expected count."""


@dataclass
class Exchange:
    """The answer that this scenario talks about."""

    answer: Answer


def ask(evidence: Evidence, arm: str, base_url: str, prompt: str, *, stream: bool = False, **params: Any) -> Answer:
    """Ask for a short greedy completion and record the exchange."""
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    try:
        with OpenAIClient(base_url) as client:
            answer = client.chat(prompt, stream=stream, temperature=0, max_tokens=TOKENS, **options, **params)
    except NoAnswer as error:
        evidence.record("no-answer", arm=arm, prompt=prompt, stream=stream, error=str(error))
        raise
    evidence.record("exchange", arm=arm, **answer.to_record())
    return answer


@pytest.fixture
def requests_before(backend: str) -> int:
    """What vLLM's own request counter said before the scenario sent anything."""
    return metrics.request_count(backend)


@when("I ask LiteLLM for its models", target_fixture="exchange")
def ask_for_models(gateway: str, evidence: Evidence) -> Exchange:
    with OpenAIClient(gateway) as client:
        answer = client.models()
    evidence.record("exchange", arm="proxied", **answer.to_record())
    return Exchange(answer)


@then("the answer is an OpenAI model list with the model of the story")
def is_model_list(exchange: Exchange) -> None:
    answer = exchange.answer
    assert answer.status == 200, answer.body
    assert openai_format.violations(answer.json) == []
    assert story.MODEL in [model["id"] for model in answer.json["data"]], answer.body


@when("I send a chat completion to LiteLLM", target_fixture="exchange")
def send_chat(gateway: str, evidence: Evidence) -> Exchange:
    return Exchange(ask(evidence, "proxied", gateway, PROMPT))


@then("the answer has status 200 and some text")
def has_text(exchange: Exchange) -> None:
    assert exchange.answer.status == 200, exchange.answer.body
    assert exchange.answer.text


@when(parsers.parse("I send {count:d} chat completions to LiteLLM"))
def send_several(gateway: str, evidence: Evidence, requests_before: int, count: int) -> None:
    for number in range(count):
        answer = ask(evidence, "proxied", gateway, f"Count to {number}.")
        assert answer.ok, answer.body


@then(parsers.parse("vLLM's own counter has grown by exactly {count:d} requests"))
def counter_has_grown(backend: str, evidence: Evidence, requests_before: int, count: int) -> None:
    def look() -> None:
        grown = metrics.request_count(backend) - requests_before
        if grown < count:
            raise NotYet(f"it has grown by {grown}")

    try:
        eventually(f"vLLM's request counter to grow by {count}", limits.COUNTER_GROWS, look)
        time.sleep(QUIET_SECONDS)
    finally:
        grown = metrics.request_count(backend) - requests_before
        evidence.record("counter", metric=metrics.REQUESTS, expected=count, grown=grown)
    assert grown == count, f"vLLM finished {grown} requests where {count} were sent"


@when(parsers.parse("I send a {kind} chat completion to LiteLLM"), target_fixture="exchange")
def send_chat_of_kind(gateway: str, evidence: Evidence, kind: str) -> Exchange:
    return Exchange(ask(evidence, "proxied", gateway, PROMPT, stream=is_streamed(kind)))


def is_streamed(kind: str) -> bool:
    """Whether the word of the feature means a stream; a misspelt word is an error."""
    return {"plain": False, "streamed": True}[kind]


@then("the answer is in OpenAI API format")
def is_in_openai_format(exchange: Exchange, evidence: Evidence) -> None:
    answer = exchange.answer
    assert answer.status == 200, answer.body
    found = openai_format.stream_violations(answer.events) if answer.streamed else openai_format.violations(answer.json)
    evidence.record("format", streamed=answer.streamed, violations=[str(violation) for violation in found])
    assert answer.streamed == bool(answer.request["body"].get("stream")), (
        "streamed though not asked, or not though asked"
    )
    assert not answer.broken, answer.broken
    assert not found, "\n".join(str(violation) for violation in found)


@then(parsers.parse("the answer is an OpenAI error that names {name}"))
def is_error_naming(exchange: Exchange, name: str) -> None:
    assert_openai_error(exchange.answer)
    message = json.dumps(exchange.answer.json["error"], ensure_ascii=False)
    assert name in message, message


def assert_openai_error(answer: Answer) -> None:
    """A client error or server error whose body is OpenAI's error object with something to read in it."""
    assert 400 <= answer.status < 600, f"status {answer.status}: {answer.body}"
    assert openai_format.violations(answer.json) == []
    assert "error" in answer.json, answer.body
    assert answer.json["error"]["message"].strip()
