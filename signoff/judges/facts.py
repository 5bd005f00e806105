"""Judges for whatever a story of one's own observes."""

from collections.abc import Iterator, Sequence

from signoff.evidence import Recorded
from signoff.evidence.models import Fact
from signoff.judges.registry import Judgement, judge
from signoff.story.declaration import Check
from signoff.verdicts.verdict import Code, failed, not_judged, passed


@judge("equals", Fact, wants=object)
def equals(seen: Sequence[Fact], check: Check, _: Recorded) -> Iterator[Judgement]:
    """What was seen is what the story wants."""
    for each in seen:
        if each.seen == check.wants and type(each.seen) is type(check.wants):
            yield each.case, passed()
        else:
            yield each.case, failed(f"expected {check.wants!r}, got {each.seen!r}")


@judge("at-most", Fact, wants=int | float)
def at_most(seen: Sequence[Fact], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The number that was seen is not above the one that the story wants."""
    for each in seen:
        if isinstance(each.seen, bool) or not isinstance(each.seen, int | float):
            yield each.case, not_judged(f"{each.seen!r} is no number", Code.NO_OBSERVATION)
        elif each.seen <= check.wants:
            yield each.case, passed()
        else:
            yield each.case, failed(f"expected at most {check.wants:g}, got {each.seen:g}", Code.LIMIT_EXCEEDED)
