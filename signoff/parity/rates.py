"""Parity of a model that does not repeat itself: how often answers differ, instead of whether they do.

The test is Fisher's on the two rates of mismatch, one-sided (signoff.stats.proportions).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from signoff.verdicts.verdict import Value

ALPHA = 0.01
WANTED_POWER = 0.8


@dataclass(frozen=True)
class Rates:
    """Mismatches among `n` pairs: vLLM with itself, and vLLM with LiteLLM.

    `p` is the chance of at least so many more mismatches if there were no difference; `detectable` the smallest rate
    of mismatch with LiteLLM that this many pairs would have shown with a power of 80 %, None if there is none.
    """

    n: int
    control: int
    proxied: int
    p: float
    detectable: float | None

    @property
    def verdict(self) -> Value:
        """Failed when LiteLLM's answers differ more often than vLLM's own; inconclusive without any power."""
        if self.p < ALPHA:
            return Value.FAILED
        return Value.INCONCLUSIVE if self.detectable is None else Value.PASSED

    @property
    def sentence(self) -> str:
        """Both rates, and what the test could have seen."""
        power = (
            "nothing could have been seen: vLLM hardly ever repeats itself"
            if self.detectable is None
            else f"a rate of {self.detectable:.0%} would have been seen with a power of {WANTED_POWER:.0%}"
        )
        return (
            f"of {self.n} pairs {self.control} differ within vLLM and {self.proxied} between vLLM and LiteLLM "
            f"(p = {self.p:.2g}); {power}"
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Rates":
        """What `to_record` wrote."""
        return cls(*(record[name] for name in ("n", "control", "proxied", "p", "detectable")))

    def to_record(self) -> dict[str, Any]:
        """In JSON types."""
        return {**asdict(self), "verdict": self.verdict.value, "sentence": self.sentence}


def compare(first: Sequence[str], second: Sequence[str], proxied: Sequence[str]) -> Rates:
    """The rates of mismatch of answers taken in pairs, and the test on them."""
    from signoff.stats.proportions import more_often  # with numpy, for which a run without such a model should not wait

    n = min(len(first), len(second), len(proxied))
    control = sum(one != other for one, other in zip(first, second, strict=False))
    through = sum(one != other for one, other in zip(first, proxied, strict=False))
    return Rates(n, control, through, more_often(control, through, n), detectable(control, n))


def detectable(control: int, n: int) -> float | None:
    """The smallest rate, in whole percents, that n pairs show with the wanted power, given the control's mismatches.

    None if there is none.
    """
    import numpy as np

    from signoff.stats.proportions import fewest_more_often, power

    needed = fewest_more_often(control, n, ALPHA)
    if needed is None:
        return None
    rates = np.arange(101) / 100
    return next((float(rate) for rate in rates[power(needed, n, rates) >= WANTED_POWER]), None)


def text_of(said: Any) -> str:
    """What a completion said, in all of its choices."""
    choices = said.get("choices", []) if isinstance(said, dict) else []
    return "\n".join(str(choice.get("text") or (choice.get("message") or {}).get("content")) for choice in choices)
