"""The one rule by which a figure with an interval is judged against a limit."""

from collections.abc import Mapping

from signoff.stats.estimate import Estimate
from signoff.verdicts.verdict import Value


def below(figure: Estimate, limit: float) -> Value:
    """Whether the figure is below the limit with confidence: its whole interval decides.

    Passed: the upper end lies below the limit or on it. Failed: the lower end lies above it. Else the interval includes
    the limit, or there is none: inconclusive.

    On the limit is not above it. Of what is measured that never matters: no end falls on a round number. It does of
    what is counted, whose interval may be a single value: "at most 0" holds of 0, and "at least 20" of 20.

    "At least" is this rule turned around: `below(-figure, -limit)`.
    """
    if figure.low is None or figure.high is None:
        return Value.INCONCLUSIVE
    if figure.high <= limit:
        return Value.PASSED
    return Value.FAILED if figure.low > limit else Value.INCONCLUSIVE


def is_above(figure: Estimate, limit: float) -> bool:
    """Whether the figure is above the limit with confidence; one without an interval is not."""
    return below(figure, limit) is Value.FAILED


def sorted_out(figures: Mapping[str, Estimate], limit: float) -> dict[Value, list[str]]:
    """The names of the figures by their verdicts, each of which is a key."""
    found: dict[Value, list[str]] = {verdict: [] for verdict in Value}
    for name, figure in figures.items():
        found[below(figure, limit)].append(name)
    return found
