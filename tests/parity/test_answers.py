"""LiteLLM's answer is compared only where vLLM repeats itself, and each tampering with what was said is seen."""

from dataclasses import replace
from typing import Any

import pytest

from signoff.parity.answers import Comparison, distinct
from signoff.parity.answers import compare as compare_answers
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.verdicts.verdict import Value
from tests.pair import Pair


def compare(pair: Pair, *, stream: bool, prompt: str = "Name a bird.") -> Comparison:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    with OpenAIClient(Endpoint(pair.direct)) as direct, OpenAIClient(Endpoint(pair.proxied)) as proxied:
        answers = [client.chat(prompt, stream=stream, **options) for client in (direct, direct, proxied)]
    return compare_answers(*answers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tampering", "path"),
    [
        ("changed_text", "choices[0].text"),
        ("swapped_finish_reason", "choices[0].finish_reason"),
        ("changed_usage", "usage.completion_tokens"),
        ("dropped_usage", "usage.total_tokens"),
        ("server_error", "status"),
        ("cut", "complete"),
    ],
)
def test_tampering_is_a_difference(pair: Pair, tampering: str, path: str, stream: bool) -> None:
    pair.gateway.tampering = tampering
    found = compare(pair, stream=stream)
    assert found.value is Value.FAILED
    assert path in {difference.path for difference in found.differences}


@pytest.mark.parametrize("tampering", ["duplicate_chunk", "truncated_as_success"])
def test_a_stream_that_says_more_or_less_is_a_difference(pair: Pair, tampering: str) -> None:
    pair.gateway.tampering = tampering
    assert compare(pair, stream=True).value is Value.FAILED


@pytest.mark.parametrize("stream", [False, True])
def test_an_honest_gateway_passes(pair: Pair, stream: bool) -> None:
    assert compare(pair, stream=stream) == Comparison(Value.PASSED, ())


def test_a_backend_that_does_not_repeat_itself_cannot_be_judged(pair: Pair) -> None:
    pair.backend.moody = True
    assert compare(pair, stream=False).value is Value.INCONCLUSIVE


def test_a_backend_that_fails_cannot_be_judged(pair: Pair) -> None:
    pair.backend.model = "another"
    assert compare(pair, stream=False).value is Value.INCONCLUSIVE


def test_what_vllm_itself_leaves_out_cannot_be_compared(pair: Pair) -> None:
    with OpenAIClient(Endpoint(pair.direct)) as direct:
        answer = direct.chat("Name a bird.")
    silent = replace(answer, body=answer.body.replace('"usage"', '"use"'))
    assert compare_answers(silent, silent, silent).value is Value.INCONCLUSIVE


def test_prompts_must_have_answers_of_their_own(pair: Pair) -> None:
    with OpenAIClient(Endpoint(pair.direct)) as client:
        birds, trees, nothing = client.chat("birds"), client.chat("trees"), client.chat("echo ")
    assert distinct([birds, trees])
    assert not distinct([birds, birds])
    assert not distinct([birds, nothing])
