"""A matrix of real vLLM and real LiteLLM, as recorded: it holds no news, and each of its runs is able to fail."""

import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from signoff import story
from signoff.parity import cases
from signoff.parity.exchange import Exchange
from signoff.parity.judge import Class, Result, fixed, gate, judge
from signoff.parity.known_issues import KnownIssues
from signoff.parity.runner import KEY, Observation
from tests.sampling import sampled

VERSION = "1.80.16"
RECORDED = Path(__file__).parent / "recorded" / f"litellm-{VERSION}.json.xz"
"""What was exchanged in a whole matrix, of the stand-in model, without what is not judged."""
KNOWN_ISSUES = KnownIssues.read()
TEXTS = ("content", "text", "arguments", "reasoning", "message", "detail", "embedding", "id")
"""Fields of which one letter or digit is changed, in the first that is there."""

PARTS = 10

# Tampering: each gives what a run would be with it, None where it cannot be told.


def another_letter_in_the_middle(seen: Observation) -> Observation | None:
    return with_another_letter(seen, lambda several: len(several) // 2)


def another_last_letter(seen: Observation) -> Observation | None:
    return with_another_letter(seen, lambda several: len(several) - 1)


def with_another_letter(seen: Observation, where: Callable[[Sequence[Any]], int]) -> Observation | None:
    """Of the first of `TEXTS` that is there; of a stream in one of the events that have it."""
    answer = seen.proxied
    bodies = answer.events if answer.streamed else (answer.body,)
    for name in TEXTS:
        told = {index: json.dumps(body) for index, body in enumerate(map(parsed, bodies)) if change(body, name, where)}
        if told:
            index = list(told)[where(list(told))]
            return replace(seen, proxied=with_body(answer, index, told[index]))
    return None


def change(body: Any, name: str, where: Callable[[Sequence[Any]], int]) -> bool:
    """Change one letter or number of the first value of that name which says something; whether there is one."""
    if isinstance(body, list):
        return any(change(each, name, where) for each in body)
    if not isinstance(body, dict):
        return False
    value = body.get(name)
    if isinstance(value, str) and value:
        index = where(value)
        body[name] = value[:index] + ("~" if value[index] != "~" else "-") + value[index + 1 :]
    elif isinstance(value, list) and value and isinstance(value[0], float):
        value[where(value)] += 0.5
    else:
        return any(change(each, name, where) for each in body.values())
    return True


def largest_field_left_out(seen: Observation) -> Observation | None:
    """The one that holds most; of a stream from all its events."""
    answer = seen.proxied
    texts = answer.events if answer.streamed else (answer.body,)
    bodies = [parsed(text) for text in texts]
    sizes: Counter[str] = Counter()
    for name, part in chain.from_iterable(map(fields, bodies)):
        sizes[name] += len(json.dumps(part[name]))
    if not sizes:
        return None
    largest = max(sizes, key=lambda name: sizes[name])
    for name, part in chain.from_iterable(map(fields, bodies)):
        if name == largest:
            del part[name]
    told = tuple(text if body is None else json.dumps(body) for text, body in zip(texts, bodies, strict=True))
    return replace(seen, proxied=replace(answer, events=told) if answer.streamed else replace(answer, body=told[0]))


def fields(body: Any) -> list[tuple[str, dict[str, Any]]]:
    """The fields of the first choice and of its message, of the first vector or model, or of the error; and whose."""
    if not isinstance(body, dict):
        return []
    (first, *_) = body.get("choices") or body.get("data") or [body.get("error") or body]
    if not isinstance(first, dict):
        return []
    said: dict[str, Any] = next((first[n] for n in ("message", "delta") if isinstance(first.get(n), dict)), {})
    return [(name, part) for part in (first, said) for name, value in part.items() if value is not said]


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def with_body(answer: Exchange, index: int, told: str) -> Exchange:
    if not answer.streamed:
        return replace(answer, body=told)
    return replace(answer, events=(*answer.events[:index], told, *answer.events[index + 1 :]))


def unavailable(seen: Observation) -> Observation | None:
    return with_status(seen, 503)


def bad_request(seen: Observation) -> Observation | None:
    return with_status(seen, 400)


def with_status(seen: Observation, status: int) -> Observation | None:
    if seen.proxied.status in (0, status):
        return None
    return replace(seen, proxied=replace(seen.proxied, status=status))


def cut_short(seen: Observation) -> Observation | None:
    answer = seen.proxied
    if not answer.status:
        return None
    if answer.streamed:
        return replace(seen, proxied=replace(answer, events=answer.events[: len(answer.events) // 2]))
    return replace(seen, proxied=replace(answer, body=answer.body[: len(answer.body) // 2]))


def asked_nine_times(seen: Observation) -> Observation | None:
    return replace(seen, received=list(seen.received[:1]) * 9) if seen.received else None


def a_parameter_more(seen: Observation) -> Observation | None:
    if not seen.received or not isinstance(seen.received[0].body, dict):
        return None
    first = replace(seen.received[0], body={**seen.received[0].body, "logit_scale": 2})
    return replace(seen, received=[first, *seen.received[1:]])


def the_clients_key(seen: Observation) -> Observation | None:
    if not seen.received:
        return None
    return replace(seen, received=[replace(each, headers={"authorization": KEY}) for each in seen.received])


def the_next_is_refused(seen: Observation) -> Observation | None:
    if not seen.follow_up:
        return None
    return replace(seen, follow_up=(seen.follow_up[0], replace(seen.follow_up[1], status=503)))


ABOUT_REQUESTS = (asked_nine_times, a_parameter_more, the_clients_key)

LEFT = {"disconnect.*": "its client has left, and only whether vLLM stops is judged"}
ONLY_STATUS = {
    **LEFT,
    "errors.*-key/*": "vLLM has no keys; only the status and the code that are due are known",
    "faults.dies-once/*": "vLLM's direct answer is the error",
    "headers.not-json/*": "vLLM's direct answer is the error",
}
"""Runs of which the answer itself is not compared."""
UNREAD = {
    **ONLY_STATUS,
    "completions.several-prompts/streamed/*": "the texts are mixed into one already",
    "completions.n/streamed/*": "the texts are mixed into one already",
    "faults.die-in-tool-stream/*/hosted_vllm": "the arguments vary already, since `strict` does not arrive",
    "reasoning.*/plain/*": "the reasoning is moved to a field that vLLM has not",
    "sampled.one-token/*": "vLLM does not repeat itself: rates are compared, not letters",
}
OWN_ERROR = "an error of LiteLLM's own, of which only the beginning is known"
OWN_WORDS = "the last words are LiteLLM's own"
UNSEEN = {
    another_letter_in_the_middle: {
        **UNREAD,
        "tools.*/hosted_vllm": "the arguments vary already, since `strict` does not arrive, and may be JSON with it",
        "completions.token-ids/*/hosted_vllm": OWN_ERROR,
        "embeddings.*/plain/openai": OWN_ERROR,
        "embeddings.truncated/*": OWN_ERROR,
        "embeddings.bad-type/*": OWN_ERROR,
        "errors.bad-json/*": OWN_ERROR,
        "faults.die-at-once/*": OWN_ERROR,
        "faults.die-in-body/*": OWN_ERROR,
        "reasoning.effort/*/openai": OWN_ERROR,
        "responses.text/*/hosted_vllm": OWN_ERROR,
    },
    another_last_letter: {
        **UNREAD,
        "completions.token-ids/*/hosted_vllm": OWN_ERROR,
        "completions.empty-prompt/*": OWN_WORDS,
        "embeddings.*": OWN_WORDS,
        "errors.*": OWN_WORDS,
        "faults.die-at-once/*": OWN_ERROR,
        "faults.die-in-body/*": OWN_ERROR,
        "faults.status-*": OWN_WORDS,
        "headers.retry-*": OWN_WORDS,
        "models.list/*": "names of models are LiteLLM's own",
        "models.unknown/*": OWN_WORDS,
        "reasoning.effort/*/openai": OWN_ERROR,
        "responses.text/*/hosted_vllm": OWN_ERROR,
    },
    largest_field_left_out: {
        **LEFT,
        "faults.dies-once/*": "vLLM's direct answer is the error",
        "chat.stop/plain/*": "LiteLLM's own provider_specific_fields",
        "chat.token-ids/*": "token_ids is vLLM's own, and may be lost",
        "errors.wrong-*": "`detail` is no field of OpenAI's, and may be lost",
        "models.*": "LiteLLM's own 404, which has a `detail` that vLLM's answer has not",
        "reasoning.*/plain/*": "the reasoning is moved to a field that vLLM has not",
    },
    unavailable: {**LEFT, "faults.die-in-body/*": "500 and 503 are both known of a connection that breaks"},
    bad_request: {
        **LEFT,
        "embeddings.no-input/*": "400 is vLLM's status, and the truth",
        "errors.no-messages/*": "400 is vLLM's status, and the truth",
        "headers.not-json/*": "400 is vLLM's status, and the truth",
    },
    cut_short: {**LEFT, "faults.die-in-*": "it is cut short already, sooner or later"},
}
"""Where a tampering is not seen, and why: all there is to be said against the matrix of this version."""


def observed() -> list[Observation]:
    every = {run.id: run for run in cases.runs(cases.load())}
    recorded = json.loads(lzma.decompress(RECORDED.read_bytes()))["runs"]
    return [Observation.from_record(every[each["id"]], each, story.MODEL) for each in recorded]


def by_kind(runs: Iterable[Observation]) -> list[list[Observation]]:
    """Those of one family of cases, plain or streamed."""
    kinds: dict[tuple[str, bool], list[Observation]] = {}
    for seen in runs:
        kinds.setdefault((seen.run.case.family, "/streamed/" in seen.run.id), []).append(seen)
    return list(kinds.values())


def news(result: Result) -> list[str]:
    return [each.difference.path for each in result.differences if each.verdict is Class.DEFECT and not each.known]


def test_a_recorded_matrix_holds_no_news_and_passes_the_gate() -> None:
    results = judge(observed(), KNOWN_ISSUES, VERSION)
    assert len(results) > 350
    assert {result.observation.run.id: paths for result in results if (paths := news(result))} == {}
    assert gate(results, KNOWN_ISSUES) == []
    assert fixed(results, KNOWN_ISSUES, VERSION) == []


@pytest.mark.parametrize("part", sampled(range(PARTS), every=PARTS))
def test_each_run_of_a_recorded_matrix_is_able_to_fail(part: int) -> None:
    """Each answer is tampered with in all ways and, in turn, its request in one; what is not seen is listed above.

    Each kind of run is dealt out over the parts, from the first on, which so has all kinds.
    """
    seen_in: dict[str, int] = {}
    unseen: list[str] = []
    runs = [seen for of_kind in by_kind(observed()) for seen in of_kind[part::PARTS]]
    for number, seen in enumerate(runs):
        run = seen.run.id
        for told in (*UNSEEN, ABOUT_REQUESTS[number % 3], the_next_is_refused):
            tampered = told(seen)
            if tampered is None:
                continue
            (result,) = judge([tampered], KNOWN_ISSUES, VERSION)
            if news(result):
                seen_in[run] = seen_in.get(run, 0) + 1
            elif not any(fnmatchcase(run, pattern) for pattern in UNSEEN.get(told, {})):
                unseen.append(f"{told.__name__} in {run}")
    assert unseen == []
    assert [each.run.id for each in runs if each.run.id not in seen_in] == []
