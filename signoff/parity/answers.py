"""Whether LiteLLM's answer is vLLM's own.

vLLM is asked twice: only where it agrees with itself is equality asked of LiteLLM. Compared are the status, the text,
the finish_reason and the three token counts; further fields of `usage` are details that each server has its own of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from signoff.parity.differ import Difference
from signoff.traffic.client import Answer
from signoff.verdicts.verdict import Value

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True)
class Comparison:
    """Failed with differences; inconclusive without any when vLLM does not repeat itself, did not answer well, or left
    out what is compared."""

    value: Value
    differences: tuple[Difference, ...]


def compare(first: Answer, second: Answer, proxied: Answer) -> Comparison:
    """Compare LiteLLM's answer with the two that vLLM gave to the same request."""
    once, again, through = said(first), said(second), said(proxied)
    repeated = {path: value for path, value in once.items() if again[path] == value}
    differences = tuple(
        Difference(path, "changed", value, through[path]) for path, value in repeated.items() if through[path] != value
    )
    if not (first.ok and second.ok):
        return Comparison(Value.INCONCLUSIVE, ())
    if differences:
        return Comparison(Value.FAILED, differences)
    if len(repeated) < len(once) or None in once.values():
        return Comparison(Value.INCONCLUSIVE, ())
    return Comparison(Value.PASSED, ())


def said(answer: Answer) -> dict[str, Any]:
    """What of an answer is compared, by its path; a stream's deltas are put together."""
    usage = answer.usage or {}
    return {
        "status": answer.status,
        "complete": not answer.broken,
        "streamed": answer.streamed,
        "choices[0].text": answer.text,
        "choices[0].finish_reason": answer.finish_reason,
        **{f"usage.{count}": usage.get(count) for count in COUNTS},
    }


def distinct(answers: Sequence[Answer]) -> bool:
    """Whether each prompt got a text of its own; if not, equality would prove nothing."""
    texts = [answer.text for answer in answers]
    return all(texts) and len(set(texts)) == len(texts)
