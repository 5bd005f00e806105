"""Parity of a model that does not repeat itself: how often answers differ, instead of whether they do.

The test is Fisher's on the two rates of mismatch, one-sided (signoff.stats.proportions). Both pairs share their first
answer, and questions may differ in how often they are answered alike: both make the test more careful, not less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

from signoff.verdicts.verdict import Value

ALPHA = 0.01
WANTED_POWER = 0.8


@dataclass(frozen=True)
class Rates:
    """Mismatches among `n` pairs: vLLM with itself, and vLLM with LiteLLM.

    `p` is the chance of at least so many more mismatches if there were no difference; `detectable` the smallest rate
    of mismatch with LiteLLM that this many pairs would have shown with a power of 80 %, None if there is none.

    `alpha` is the p below which it failed: less than `ALPHA` where several questions share that. A test that could not
    have seen a rate `margin` above vLLM's own proves nothing; None asks only that it could have seen something.
    """

    n: int
    control: int
    proxied: int
    p: float
    detectable: float | None
    alpha: float = ALPHA
    margin: float | None = None

    @property
    def verdict(self) -> Value:
        """Failed when LiteLLM's answers differ more often than vLLM's own; inconclusive without the power wanted."""
        if self.p < self.alpha:
            return Value.FAILED
        return Value.PASSED if self.sees else Value.INCONCLUSIVE

    @property
    def sees(self) -> bool:
        """Whether a difference that matters would have shown."""
        if self.detectable is None:
            return False
        # Rates are told in whole percents.
        return self.margin is None or self.detectable - self.control / self.n <= self.margin + 1e-9

    @property
    def sentence(self) -> str:
        """Both rates, and what the test could have seen."""
        return self.told()

    def told(self, own: str = "vLLM", other: str = "LiteLLM") -> str:
        """The same where `own` is who was asked twice, and `other` whose answers are compared with that."""
        power = (
            f"nothing could have been seen: {own} hardly ever repeats itself"
            if self.detectable is None
            else f"a rate of {self.detectable:.0%} would have been seen with a power of {WANTED_POWER:.0%}"
        )
        if self.detectable is not None and self.margin is not None and not self.sees:
            power += f", and one {self.margin:.0%} above {own}'s own must be"
        return (
            f"of {self.n} pairs {self.control} differ within {own} and {self.proxied} between {own} and {other} "
            f"(p = {self.p:.2g}); {power}"
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Rates":
        """What `to_record` wrote."""
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    def to_record(self) -> dict[str, Any]:
        """In JSON types."""
        return {**asdict(self), "verdict": self.verdict.value, "sentence": self.sentence}


def compare(first: Sequence[str], second: Sequence[str], proxied: Sequence[str]) -> Rates:
    """The rates of mismatch of answers taken in pairs, and the test on them."""
    n = min(len(first), len(second), len(proxied))
    control = sum(one != other for one, other in zip(first, second, strict=False))
    through = sum(one != other for one, other in zip(first, proxied, strict=False))
    return of(n, control, through)


def of(n: int, control: int, proxied: int, *, alpha: float = ALPHA, margin: float | None = None) -> Rates:
    """The test on so many mismatches among n pairs of each kind."""
    from signoff.stats.proportions import more_often  # with numpy, for which a run without such a model should not wait

    p = more_often(control, proxied, n)
    return Rates(n, control, proxied, p, detectable(control, n, alpha), alpha, margin)


@cache
def detectable(control: int, n: int, alpha: float = ALPHA) -> float | None:
    """The smallest rate, in whole percents, that n pairs show with the wanted power, given the control's mismatches.

    None if there is none.
    """
    import numpy as np

    from signoff.stats.proportions import fewest_more_often, power

    needed = fewest_more_often(control, n, alpha)
    if needed is None:
        return None
    rates = np.arange(101) / 100
    return next((float(rate) for rate in rates[power(needed, n, rates) >= WANTED_POWER]), None)


def content_of(said: Any) -> dict[str, Any]:
    """What of a completion a model may say otherwise the next time, in all of its choices."""
    choices = said.get("choices") or [] if isinstance(said, dict) else []
    usage = (said.get("usage") or {}) if isinstance(said, dict) else {}
    messages = [choice.get("message") or {} for choice in choices]
    called = [[call.get("function") for call in message.get("tool_calls") or []] for message in messages]
    return {
        "text": [text_of(said), called],
        "finish_reason": ", ".join(str(choice.get("finish_reason")) for choice in choices),
        **{f"usage.{name}": usage.get(name) for name in ("completion_tokens", "total_tokens")},
    }


def text_of(said: Any) -> str:
    """What a completion said, in all of its choices."""
    choices = said.get("choices", []) if isinstance(said, dict) else []
    return "\n".join(str(choice.get("text") or (choice.get("message") or {}).get("content")) for choice in choices)
