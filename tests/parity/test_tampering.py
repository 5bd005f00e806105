"""Tampering is caught, under its class and at its path; honesty is not."""

import json
from collections.abc import Hashable
from dataclasses import fields, replace
from typing import NamedTuple

import pytest

from doubles.faulty_gateway import DONE, Events, Tampering, add_to, chunk, drop, each_chunk, put, rename
from signoff.parity.judge import Class, gate, judge
from signoff.parity.known_issues import KnownIssues, matches, shape
from tests.parity_bench import Bench
from tests.sampling import sampled

PLAIN, STREAMED = "chat.plain/plain/*", "chat.plain/streamed/*"
ERROR, MODELS = "chat.unknown-model/*", "models.list/*"
CONTENT, FINISH = "body.choices[].message.content", "body.choices[].finish_reason"
TOOL, TOOL_STREAMED = "tools.named/plain/*", "tools.named/streamed/*"
LOGPROBS, LOGPROBS_STREAMED = "logprobs.two/plain/*", "logprobs.two/streamed/*"
COMPLETION, COMPLETION_STREAMED = "completions.text/plain/*", "completions.text/streamed/*"
EMBEDDINGS, REQUEST_ID, RETRY_AFTER = "embeddings.several/*", "headers.request-id/*", "headers.again/*"
CALL, CALLS = "choices.0.message.tool_calls.0", "body.choices[].message.tool_calls[]"
PROBABILITY, PROBABILITIES = "choices.0.logprobs.content", "body.choices[].logprobs.content[]"
DEFECT, RELOCATED, NORMALISED = Class.DEFECT, Class.RELOCATED, Class.NORMALISED


class Told(NamedTuple):
    """A tampering, the run that it happens in, and the path and class at which it has to show."""

    tampering: Tampering
    run: str
    path: str
    verdict: Class = DEFECT


def swapped(events: Events) -> Events:
    return [events[0], events[2], events[1], *events[3:]]


def merged_wrongly(events: Events) -> Events:
    """Two deltas in one, the later one first."""
    first, second = json.loads(events[1]), json.loads(events[2])
    first["choices"][0]["delta"]["content"] = (
        second["choices"][0]["delta"]["content"] + first["choices"][0]["delta"]["content"]
    )
    return [events[0], json.dumps(first), *events[3:]]


def buffered(events: Events) -> Events:
    """All the text in the last chunk that has any."""
    parsed = [json.loads(data) for data in events if data != DONE]
    said = [each for each in parsed if each["choices"]]
    said[-1]["choices"][0]["delta"]["content"] = "".join(each["choices"][0]["delta"]["content"] for each in said)
    return [json.dumps(each) for each in (said[0], said[-1], *(each for each in parsed if not each["choices"]))] + [
        DONE
    ]


def usage_first(events: Events) -> Events:
    usage = next(data for data in events if '"usage"' in data)
    return [usage, *(data for data in events if data != usage)]


def truncated_as_success(events: Events) -> Events:
    last = json.loads(events[2])
    last["choices"][0]["finish_reason"] = "stop"
    return [*events[:2], json.dumps(last), DONE]


def content_after_finish(events: Events) -> Events:
    late = json.loads(events[1])
    return [*events[:-2], json.dumps(late), *events[-2:]]


TAMPERINGS = {
    # a plain answer
    "a letter more": Told(Tampering(body=add_to("choices.0.message.content", "!")), PLAIN, CONTENT),
    "text left out": Told(Tampering(body=put("choices.0.message.content", "")), PLAIN, CONTENT),
    "text is null": Told(Tampering(body=put("choices.0.message.content", None)), PLAIN, CONTENT),
    "text is a list": Told(Tampering(body=put("choices.0.message.content", ["a"])), PLAIN, CONTENT),
    "text dropped": Told(Tampering(body=drop("choices.0.message.content")), PLAIN, CONTENT),
    "text renamed": Told(Tampering(body=rename("choices.0.message.content", "text")), PLAIN, CONTENT),
    "role dropped": Told(Tampering(body=drop("choices.0.message.role")), PLAIN, "body.choices[].message.role"),
    "role changed": Told(Tampering(body=put("choices.0.message.role", "user")), PLAIN, "body.choices[].message.role"),
    "finish_reason swapped": Told(Tampering(body=put("choices.0.finish_reason", "content_filter")), PLAIN, FINISH),
    "finish_reason is null": Told(Tampering(body=put("choices.0.finish_reason", None)), PLAIN, FINISH),
    "finish_reason dropped": Told(Tampering(body=drop("choices.0.finish_reason")), PLAIN, FINISH),
    "finish_reason unknown": Told(
        Tampering(body=put("choices.0.finish_reason", "abort")), PLAIN, "schema.$.choices[].finish_reason"
    ),
    "another digit of usage": Told(Tampering(body=add_to("usage.prompt_tokens", 1)), PLAIN, "body.usage.prompt_tokens"),
    "another total": Told(Tampering(body=add_to("usage.total_tokens", -1)), PLAIN, "body.usage.total_tokens"),
    "usage as text": Told(Tampering(body=put("usage.completion_tokens", "8")), PLAIN, "body.usage.completion_tokens"),
    "usage dropped": Told(Tampering(body=drop("usage")), PLAIN, "body.usage"),
    "id dropped": Told(Tampering(body=drop("id")), PLAIN, "body.id"),
    "id empty": Told(Tampering(body=put("id", "")), PLAIN, "body.id"),
    "id a number": Told(Tampering(body=put("id", 7)), PLAIN, "body.id"),
    "another object": Told(Tampering(body=put("object", "text_completion")), PLAIN, "body.object"),
    "created as text": Told(Tampering(body=put("created", "now")), PLAIN, "body.created"),
    "created dropped": Told(Tampering(body=drop("created")), PLAIN, "body.created"),
    "another model": Told(Tampering(body=put("model", "gpt-4")), PLAIN, "body.model"),
    "no choices": Told(Tampering(body=drop("choices")), PLAIN, "body.choices"),
    "choices empty": Told(Tampering(body=put("choices", [])), PLAIN, "body.choices[]"),
    "a choice twice": Told(
        Tampering(body=lambda body: body["choices"].append(body["choices"][0])), PLAIN, "body.choices[]"
    ),
    "another index": Told(Tampering(body=put("choices.0.index", 1)), PLAIN, "body.choices[].index"),
    "a tool call invented": Told(
        Tampering(
            body=put("choices.0.message.tool_calls", [{"id": "x", "type": "function", "function": {"name": "rm"}}])
        ),
        PLAIN,
        "body.choices[].message.tool_calls",
    ),
    "another status": Told(Tampering(status=201), PLAIN, "status"),
    "an error instead": Told(Tampering(status=500), PLAIN, "client.outcome"),
    "another content type": Told(Tampering(headers={"Content-Type": "text/plain"}), PLAIN, "headers.content-type"),
    "a page instead": Told(Tampering(raw=lambda text: "<html></html>"), PLAIN, "body"),
    "half a body": Told(Tampering(raw=lambda text: text[: len(text) // 2]), PLAIN, "complete"),
    "broken off": Told(Tampering(cuts=True), PLAIN, "complete"),
    # what other classes are for
    "a null left out": Told(
        Tampering(body=drop("choices.0.message.annotations")), PLAIN, "body.choices[].message.annotations", NORMALISED
    ),
    "a field of its own": Told(Tampering(body=put("gateway", "me")), PLAIN, "body.gateway", NORMALISED),
    "an extension lost": Told(
        Tampering(body=drop("data.0.max_model_len")), MODELS, "body.data[].max_model_len", RELOCATED
    ),
    "an extension moved": Told(
        Tampering(body=rename("data.0.max_model_len", "context")), MODELS, "body.data[].max_model_len", RELOCATED
    ),
    "a model renamed": Told(Tampering(body=put("data.0.id", "other")), MODELS, "body.data[].id"),
    # the request
    "a parameter dropped": Told(Tampering(request=drop("temperature")), PLAIN, "request.body.temperature"),
    "a parameter renamed": Told(Tampering(request=rename("seed", "random_seed")), PLAIN, "request.body.seed"),
    "a parameter added": Told(Tampering(request=put("top_k", 1)), PLAIN, "request.body.top_k"),
    "a parameter changed": Told(Tampering(request=put("max_tokens", 11)), PLAIN, "request.body.max_tokens"),
    "a parameter retyped": Told(Tampering(request=put("seed", "7")), PLAIN, "request.body.seed"),
    "a message edited": Told(
        Tampering(request=put("messages.0.content", "Name a bird")), PLAIN, "request.body.messages[].content"
    ),
    "asked twice": Told(Tampering(calls=2), PLAIN, "request.calls"),
    "the client's key": Told(Tampering(leaks_key=True), PLAIN, "request.headers.authorization"),
    # an error
    "another error status": Told(Tampering(status=400), ERROR, "status"),
    "an error as success": Told(Tampering(status=200), ERROR, "status"),
    "another message": Told(Tampering(body=put("error.message", "no")), ERROR, "body.error.message"),
    "type lost": Told(Tampering(body=drop("error.type")), ERROR, "body.error.type"),
    "type null": Told(Tampering(body=put("error.type", None)), ERROR, "schema.$.error.type"),
    "code changed": Told(Tampering(body=put("error.code", 500)), ERROR, "body.error.code"),
    "an error as text": Told(Tampering(body=put("error", "not found")), ERROR, "body.error"),
    # a stream
    "a letter more, streamed": Told(
        Tampering(events=chunk(1, add_to("choices.0.delta.content", "!"))), STREAMED, CONTENT
    ),
    "a chunk twice": Told(Tampering(events=lambda events: [*events[:2], *events[1:]]), STREAMED, CONTENT),
    "a chunk lost": Told(Tampering(events=lambda events: [events[0], *events[2:]]), STREAMED, CONTENT),
    "two chunks swapped": Told(Tampering(events=swapped), STREAMED, CONTENT),
    "two chunks merged wrongly": Told(Tampering(events=merged_wrongly), STREAMED, CONTENT),
    "all in one chunk": Told(Tampering(events=buffered), STREAMED, "stream.buffered"),
    "no [DONE]": Told(Tampering(events=lambda events: events[:-1]), STREAMED, "complete"),
    "[DONE] twice": Told(Tampering(events=lambda events: [*events, DONE]), STREAMED, "schema.$[]"),
    "finish_reason swapped, streamed": Told(
        Tampering(events=chunk(-3, put("choices.0.finish_reason", "content_filter"))), STREAMED, FINISH
    ),
    "no finish_reason": Told(Tampering(events=chunk(-3, put("choices.0.finish_reason", None))), STREAMED, "complete"),
    "finish_reason left out": Told(
        Tampering(events=chunk(1, drop("choices.0.finish_reason"))), STREAMED, "chunks[].choices[].finish_reason"
    ),
    "text after the end": Told(Tampering(events=content_after_finish), STREAMED, "schema.$[].choices[]"),
    "truncated": Told(Tampering(events=lambda events: events[:3]), STREAMED, "complete"),
    "truncated as success": Told(Tampering(events=truncated_as_success), STREAMED, CONTENT),
    "usage lost": Told(Tampering(events=lambda events: [*events[:-2], DONE]), STREAMED, "body.usage"),
    "another digit, streamed": Told(
        Tampering(events=chunk(-2, add_to("usage.completion_tokens", 1))), STREAMED, "body.usage.completion_tokens"
    ),
    "usage first": Told(Tampering(events=usage_first), STREAMED, "schema.$[]"),
    "the id changes": Told(Tampering(events=chunk(2, put("id", "chatcmpl-x"))), STREAMED, "schema.$[].id"),
    "the model changes": Told(Tampering(events=chunk(2, put("model", "other"))), STREAMED, "chunks[].model"),
    "another object, streamed": Told(
        Tampering(events=each_chunk(put("object", "chat.completion"))), STREAMED, "chunks[].object"
    ),
    "no role": Told(Tampering(events=chunk(0, drop("choices.0.delta.role"))), STREAMED, "body.choices[].message.role"),
    "half a chunk": Told(Tampering(events=lambda events: [events[0], events[1][:40], *events[2:]]), STREAMED, CONTENT),
    "an error in mid-stream": Told(
        Tampering(events=lambda events: [*events[:2], '{"error": {"message": "gone"}}', DONE]), STREAMED, "complete"
    ),
    "created left out of a chunk": Told(Tampering(events=chunk(1, drop("created"))), STREAMED, "chunks[].created"),
    "another index, streamed": Told(
        Tampering(events=each_chunk(put("choices.0.index", 1))), STREAMED, "body.choices[].index"
    ),
    # a tool call
    "another function": Told(Tampering(body=put(f"{CALL}.function.name", "rm")), TOOL, f"{CALLS}.function.name"),
    "another argument": Told(
        Tampering(body=put(f"{CALL}.function.arguments", '{"city": "Oslo"}')), TOOL, f"{CALLS}.function.arguments"
    ),
    "arguments as an object": Told(
        Tampering(body=put(f"{CALL}.function.arguments", {"city": "Oslo"})), TOOL, f"{CALLS}.function.arguments"
    ),
    "the call's id lost": Told(Tampering(body=drop(f"{CALL}.id")), TOOL, f"{CALLS}.id"),
    "the call lost": Told(Tampering(body=drop("choices.0.message.tool_calls")), TOOL, CALLS.removesuffix("[]")),
    "the call twice": Told(
        Tampering(
            body=lambda body: body["choices"][0]["message"]["tool_calls"].append({"id": "x", "type": "function"})
        ),
        TOOL,
        CALLS,
    ),
    "a call that ends as a text": Told(Tampering(body=put("choices.0.finish_reason", "stop")), TOOL, FINISH),
    "strict dropped": Told(
        Tampering(request=drop("tools.0.function.strict")), TOOL, "request.body.tools[].function.strict"
    ),
    "the choice of the tool changed": Told(
        Tampering(request=put("tool_choice.type", "custom")), TOOL, "request.body.tool_choice.type"
    ),
    "a piece of the arguments lost": Told(
        Tampering(events=lambda events: [*events[:3], *events[4:]]), TOOL_STREAMED, f"{CALLS}.function.arguments"
    ),
    "a piece of the arguments twice": Told(
        Tampering(events=lambda events: [*events[:3], *events[2:]]), TOOL_STREAMED, f"{CALLS}.function.arguments"
    ),
    "two pieces of the arguments swapped": Told(
        Tampering(events=lambda events: [*events[:2], events[3], events[2], *events[4:]]),
        TOOL_STREAMED,
        f"{CALLS}.function.arguments",
    ),
    "the name of the call lost": Told(
        Tampering(events=chunk(1, drop("choices.0.delta.tool_calls.0.function.name"))),
        TOOL_STREAMED,
        f"{CALLS}.function.name",
    ),
    "the call at another index": Told(
        Tampering(events=each_chunk(put("choices.0.delta.tool_calls.0.index", 1))), TOOL_STREAMED, CALLS
    ),
    # probabilities
    "another probability": Told(
        Tampering(body=add_to(f"{PROBABILITY}.0.logprob", 0.5)), LOGPROBS, f"{PROBABILITIES}.logprob"
    ),
    "another token": Told(Tampering(body=put(f"{PROBABILITY}.0.token", "x")), LOGPROBS, f"{PROBABILITIES}.token"),
    "a nearest token lost": Told(
        Tampering(body=lambda body: body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].pop()),
        LOGPROBS,
        f"{PROBABILITIES}.top_logprobs[]",
    ),
    "the first probability lost": Told(
        Tampering(body=lambda body: body["choices"][0]["logprobs"]["content"].pop(0)),
        LOGPROBS,
        f"{PROBABILITIES}.token",
    ),
    "probabilities lost": Told(Tampering(body=put("choices.0.logprobs", None)), LOGPROBS, "body.choices[].logprobs"),
    "the probabilities of a chunk lost": Told(
        Tampering(events=chunk(1, put("choices.0.logprobs", None))), LOGPROBS_STREAMED, f"{PROBABILITIES}.token"
    ),
    "probabilities of another chunk": Told(
        Tampering(events=chunk(2, put("choices.0.logprobs.content.0.logprob", -9.0))),
        LOGPROBS_STREAMED,
        f"{PROBABILITIES}.logprob",
    ),
    # an older completion
    "another text": Told(Tampering(body=add_to("choices.0.text", "!")), COMPLETION, "body.choices[].text"),
    "a completion as a chat": Told(
        Tampering(body=rename("choices.0.text", "message")), COMPLETION, "body.choices[].text"
    ),
    "the object of a chat": Told(Tampering(body=put("object", "chat.completion")), COMPLETION, "body.object"),
    "tokens lost": Told(
        Tampering(body=drop("choices.0.logprobs.tokens")), COMPLETION, "body.choices[].logprobs.tokens"
    ),
    "usage of a completion lost": Told(Tampering(body=drop("usage")), COMPLETION, "body.usage"),
    "the prompt changed": Told(Tampering(request=add_to("prompt", " ")), COMPLETION, "request.body.prompt"),
    "a piece of text lost": Told(
        Tampering(events=lambda events: events[1:]), COMPLETION_STREAMED, "body.choices[].text"
    ),
    "the end in a chunk without text": Told(
        Tampering(events=chunk(-3, drop("choices.0.text"))), COMPLETION_STREAMED, "client.outcome"
    ),
    "a completion without its end": Told(
        Tampering(events=chunk(-3, put("choices.0.finish_reason", None))), COMPLETION_STREAMED, "complete"
    ),
    # embeddings
    "another number": Told(Tampering(body=add_to("data.0.embedding.2", 0.01)), EMBEDDINGS, "body.data[].embedding[]"),
    "a number lost": Told(
        Tampering(body=lambda body: body["data"][1]["embedding"].pop()), EMBEDDINGS, "client.vectors[]"
    ),
    "vectors swapped": Told(Tampering(body=lambda body: body["data"].reverse()), EMBEDDINGS, "body.data[].index"),
    "a vector lost": Told(Tampering(body=lambda body: body["data"].pop()), EMBEDDINGS, "body.data[]"),
    "encoding_format null": Told(
        Tampering(request=put("encoding_format", None)), EMBEDDINGS, "request.body.encoding_format"
    ),
    # headers
    "the request's id lost": Told(Tampering(headers={"X-Request-Id": ""}), REQUEST_ID, "headers.x-request-id"),
    "another request's id": Told(Tampering(headers={"X-Request-Id": "other"}), REQUEST_ID, "headers.x-request-id"),
    "a trace of its own": Told(
        Tampering(sends={"traceparent": "00-1-1-01"}), REQUEST_ID, "request.headers.traceparent"
    ),
    "a header of its own": Told(Tampering(headers={"X-Gateway": "me"}), REQUEST_ID, "headers.x-gateway"),
    "Retry-After lost": Told(Tampering(headers={"Retry-After": ""}), RETRY_AFTER, "headers.retry-after"),
    "Retry-After halved": Told(Tampering(headers={"Retry-After": "3"}), RETRY_AFTER, "headers.retry-after"),
    "not streamed": Told(Tampering(headers={"Content-Type": "application/json"}), STREAMED, "headers.content-type"),
}


def kind(name: str) -> Hashable:
    """What is tampered with, in which run, and as what it shows: a fifth of those that have the same is tried daily."""
    tampering, run, _, verdict = TAMPERINGS[name]
    touched = frozenset(each.name for each in fields(tampering) if getattr(tampering, each.name) != each.default)
    return run, touched - {"headers", "sends"} or tuple(tampering.headers | tampering.sends), verdict


@pytest.mark.parametrize("name", sampled(TAMPERINGS, kind))
def test_tampering_is_caught(bench: Bench, name: str) -> None:
    told = TAMPERINGS[name]
    (result,) = bench.ask(told.run, tampering=told.tampering)
    classes = {each.verdict for each in result.differences if matches(each.difference.path, (told.path,))}
    assert classes == {told.verdict}, [each.to_record() for each in result.differences]
    assert result.verdict is told.verdict, result.reason


def test_a_hundred_ways_to_tamper_and_more_are_tried() -> None:
    assert len(TAMPERINGS) >= 100


@pytest.mark.parametrize("_", sampled(range(10)))
def test_honesty_is_no_defect(bench: Bench, _: int) -> None:
    families = ("tools.*", "logprobs.*", "completions.*", "embeddings.*", "headers.*")
    results = bench.ask(PLAIN, STREAMED, ERROR, MODELS, "chat.dies/*", *families)
    assert {result.observation.run.id: result.verdict for result in results if result.differences} == {}
    assert {result.verdict for result in results} == {Class.EQUAL}


UNDER_REAL_KNOWLEDGE = {
    "nothing": (Tampering(), PLAIN, None),
    "a letter more": (Tampering(body=add_to("choices.0.message.content", "!")), PLAIN, "The text of a plain answer"),
    "half a body": (Tampering(raw=lambda text: text[: len(text) // 2]), PLAIN, "Errors keep their status"),
    "no JSON": (Tampering(raw=lambda _text: "<html></html>"), PLAIN, "Nothing else differs"),
    "usage lost": (Tampering(body=drop("usage")), PLAIN, "Usage is vLLM's"),
    "another object": (Tampering(body=put("object", "text")), PLAIN, "Nothing else differs"),
    "no id": (Tampering(body=drop("id")), PLAIN, "Nothing else differs"),
    "no time": (Tampering(body=put("created", "today")), PLAIN, "Nothing else differs"),
    "another digit in a vector": (Tampering(body=add_to("data.0.embedding.2", 0.01)), EMBEDDINGS, "Vectors are vLLM's"),
    "a number lost": (
        Tampering(body=lambda body: body["data"][1]["embedding"].pop()),
        EMBEDDINGS,
        "Vectors are vLLM's",
    ),
    "another error code": (Tampering(body=put("error.code", 500)), ERROR, "Nothing else differs"),
    "an error as success": (Tampering(status=200), ERROR, "Errors keep their status"),
    "the client's key": (Tampering(leaks_key=True), PLAIN, "A client's key never reaches the backend"),
    "a parameter dropped": (Tampering(request=drop("temperature")), PLAIN, "Requests arrive as they were sent"),
    "text after the end": (Tampering(events=content_after_finish), STREAMED, "The text of a plain answer"),
    "the id changes": (Tampering(events=chunk(2, put("id", "x"))), STREAMED, "Streams keep their order"),
    "truncated as success": (Tampering(events=truncated_as_success), STREAMED, "The text of a plain answer"),
    "the call lost": (Tampering(body=drop("choices.0.message.tool_calls")), TOOL, "Text, tool calls and finish_reason"),
    "another request's id": (Tampering(headers={"X-Request-Id": "other"}), REQUEST_ID, "An answer names its request"),
}


@pytest.mark.parametrize("name", UNDER_REAL_KNOWLEDGE)
def test_the_suites_own_gate_refuses_tampering(bench: Bench, name: str) -> None:
    tampering, runs, rule = UNDER_REAL_KNOWLEDGE[name]
    known_issues = KnownIssues.read()
    failures = gate(bench.ask(runs, tampering=tampering, known_issues=known_issues), known_issues)
    refused_by = {failure.rule for failure in failures}
    assert any(each.startswith(rule) for each in refused_by) if rule else not refused_by, refused_by


HIDDEN = {
    # the path and the run are those of an entry of known.yaml, the value is not
    "another model behind the prefix": (Tampering(body=put("model", "hosted_vllm/gpt-4")), PLAIN, "body.model"),
    "another model in one chunk": (Tampering(events=chunk(2, put("model", "gpt-4"))), STREAMED, "chunks[].model"),
    "five calls for the known three": (Tampering(calls=5), ERROR, "request.calls"),
    "500 for the known 400": (Tampering(status=500), ERROR, "status"),
    "an error of another code": (Tampering(body=put("error.code", "402")), ERROR, "body.error.code"),
    "an error of another type": (Tampering(body=put("error.type", "card_declined")), ERROR, "body.error.type"),
    "an error in other words": (Tampering(body=put("error.message", "pay first")), ERROR, "body.error.message"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_tampering_does_not_hide_behind_a_known_path(bench: Bench, name: str) -> None:
    tampering, run, path = HIDDEN[name]
    known_issues = KnownIssues.read()
    (told,) = bench.ask(run, tampering=tampering)
    family = "errors" if run == ERROR else "chat"
    case = replace(told.observation.run.case, family=family)
    seen = replace(told.observation, run=replace(told.observation.run, case=case))
    (result,) = judge([seen], known_issues, "1.80.16")
    found = [each for each in result.differences if shape(each.difference.path) == path]
    assert found, result.differences
    assert {(each.verdict, each.known) for each in found} == {(DEFECT, None)}
    assert gate([result], known_issues)
