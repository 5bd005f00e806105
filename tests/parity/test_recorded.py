"""A matrix of real vLLM and real LiteLLM, as recorded: it holds no news, and each of its runs is able to fail."""

import json
import lzma
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from signoff.parity import cases
from signoff.parity.exchange import Exchange
from signoff.parity.judge import Class, Result, fixed, gate, judge
from signoff.parity.knowledge import Knowledge
from signoff.parity.runner import KEY, Observation

VERSION = "1.80.16"
RECORDED = Path(__file__).parent / "recorded" / f"litellm-{VERSION}.json.xz"
"""What was exchanged in a whole matrix, of the stand-in model, without what is not judged."""
KNOWLEDGE = Knowledge.read()
TEXTS = ("content", "text", "arguments", "reasoning", "message", "detail", "embedding", "id")
"""Fields of which one letter or digit is changed, the first that is there."""

# Lies: each gives what a run would be with it, None where it cannot be told.


def another_letter(seen: Observation) -> Observation | None:
    answer = seen.proxied
    bodies = answer.events if answer.streamed else (answer.body,)
    for name in TEXTS:
        for index, text in enumerate(bodies):
            body = parsed(text)
            if change(body, name):
                told = json.dumps(body)
                return replace(seen, proxied=with_body(answer, index, told))
    return None


def change(body: Any, name: str) -> bool:
    """Change the first value of that name which says something; whether there is one."""
    if isinstance(body, list):
        return any(change(each, name) for each in body)
    if not isinstance(body, dict):
        return False
    value = body.get(name)
    if isinstance(value, str) and value:
        body[name] = "~" + value
    elif isinstance(value, list) and value and isinstance(value[0], float):
        value[0] += 0.5
    else:
        return any(change(each, name) for each in body.values())
    return True


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def with_body(answer: Exchange, index: int, told: str) -> Exchange:
    if not answer.streamed:
        return replace(answer, body=told)
    return replace(answer, events=(*answer.events[:index], told, *answer.events[index + 1 :]))


def another_status(seen: Observation) -> Observation | None:
    return replace(seen, proxied=replace(seen.proxied, status=418)) if seen.proxied.status else None


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

UNSEEN = {
    another_letter: {
        "disconnect.*": "its client has left, and only whether vLLM stops is judged",
        "completions.several-prompts/streamed/*": "the texts are mixed into one already",
        "completions.n/streamed/*": "the texts are mixed into one already",
        "errors.*-key/*": "vLLM has no keys; only the status and the code that are due are known",
        "tools.*/hosted_vllm": "the arguments vary already, since `strict` does not arrive",
        "faults.die-in-tool-stream/*/hosted_vllm": "the arguments vary already, since `strict` does not arrive",
        "faults.dies-once/*": "vLLM's direct answer is the error",
        "headers.not-json/*": "vLLM's direct answer is the error",
        "reasoning.*/plain/*": "the reasoning is moved to a field that vLLM has not",
        "sampled.one-token/*": "vLLM does not repeat itself: rates are compared, not letters",
    },
    another_status: {"disconnect.*": "its client has left, and only whether vLLM stops is judged"},
    cut_short: {
        "disconnect.*": "its client has left, and only whether vLLM stops is judged",
        "faults.die-in-*": "it is cut short already, sooner or later",
    },
}
"""Where a lie is not seen, and why: all there is to be said against the matrix of this version."""


def observed() -> list[Observation]:
    every = {run.id: run for run in cases.runs(cases.load())}
    recorded = json.loads(lzma.decompress(RECORDED.read_bytes()))["runs"]
    return [Observation.from_record(every[each["id"]], each) for each in recorded]


def news(result: Result) -> list[str]:
    return [each.difference.path for each in result.differences if each.verdict is Class.DEFECT and not each.known]


def test_a_recorded_matrix_holds_no_news_and_passes_the_gate() -> None:
    results = judge(observed(), KNOWLEDGE, VERSION)
    assert len(results) > 350
    assert {result.observation.run.id: paths for result in results if (paths := news(result))} == {}
    assert gate(results, KNOWLEDGE) == []
    assert fixed(results, KNOWLEDGE, VERSION) == []


def test_each_run_of_a_recorded_matrix_is_able_to_fail() -> None:
    """Each is told lies about its answer and, in turn, one about its request; what is not seen is listed above."""
    seen_in: dict[str, int] = {}
    unseen: list[str] = []
    runs = observed()
    for number, seen in enumerate(runs):
        run = seen.run.id
        for told in (another_letter, another_status, cut_short, ABOUT_REQUESTS[number % 3], the_next_is_refused):
            lying = told(seen)
            if lying is None:
                continue
            (result,) = judge([lying], KNOWLEDGE, VERSION)
            if news(result):
                seen_in[run] = seen_in.get(run, 0) + 1
            elif not any(fnmatchcase(run, pattern) for pattern in UNSEEN.get(told, {})):
                unseen.append(f"{told.__name__} in {run}")
    assert unseen == []
    assert [each.run.id for each in runs if each.run.id not in seen_in] == []
