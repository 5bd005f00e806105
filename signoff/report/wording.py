"""Sentences as the pages and the terminal share them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from signoff.report.formats import ends, milliseconds
from signoff.stats.estimate import Estimate

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.breakdown import Attribution
    from signoff.overhead.estimate import Ingress, Overhead

FIGURES = {
    "median": "median of the paired differences, mean of both kinds",
    "median_plain": "... of plain answers",
    "median_streamed": "... of streams",
    "p95_shift": "p95 proxied minus p95 direct",
    "p99_shift": "p99 proxied minus p99 direct",
    "ttft": "time to the first token",
    "itl": "time between two tokens",
    "control": "control: direct against direct",
}
"""What each of an overhead's figures is, in the order in which they are shown."""
INGRESS_FIGURES = FIGURES | {"p95_shift": "p95 through the ingress minus p95 of LiteLLM's Service"}
"""What each of an ingress' figures is, likewise."""

_IN_SHORT = {"p95_shift": "p95 shift", "ttft": "TTFT", "itl": "between tokens"}


def overhead_sentence(overhead: "Overhead") -> str:
    """The overhead in a sentence with its interval."""
    return f"{_in_short(overhead.figures)}, limit {overhead.limit_ms:g} ms, {overhead.pairs} pairs"


def ingress_sentence(ingress: "Ingress") -> str:
    """What the ingress adds, in a sentence with its interval, or why nobody knows."""
    if ingress.missing:
        return f"what the ingress adds is not known: {ingress.missing}"
    return f"the ingress adds {_in_short(ingress.figures)}, {ingress.pairs} pairs; it is no part of the overhead"


def _in_short(figures: Mapping[str, Estimate]) -> str:
    median = figures["median"]
    text = f"{milliseconds(median.value)} ms at the median (95 % interval {ends(median)})"
    for name, title in _IN_SHORT.items():
        if found := figures.get(name):
            text += f", {title} {milliseconds(found.value)} ms ({ends(found)})"
    return text


def attribution_sentence(attribution: "Attribution") -> str:
    """Where a proxied request's time goes, in a sentence."""
    parts = " + ".join(f"{name} {milliseconds(ms)}" for name, ms in attribution.parts())
    note = f" ({attribution.note})" if attribution.note else ""
    return f"{attribution.proxied_ms:.1f} ms of a proxied request on average = {parts}{note}"


def parity_sentence(matrix: dict[str, Any], unknown: int) -> str:
    """How the calls compared, in a sentence; a call with any defect that is not known is not one with known defects."""
    failed = len({failure["run"] for failure in matrix["gate"]["failures"]})
    told = {"with unknown defects": unknown, "with known defects": matrix["summary"].get("defect", 0) - unknown}
    parts = (told if name == "defect" else {name: count} for name, count in matrix["summary"].items())
    counted = ", ".join(f"{count} {name}" for part in parts for name, count in part.items() if count)
    gate = f"failed at {failed} call{'s' if failed > 1 else ''}" if failed else "passed"
    return f"{len(matrix['runs'])} calls, of which {counted}; gate {gate}"
