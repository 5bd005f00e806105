"""Invalid spans: when the load generator, not what it asked, was the limit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Self

LOOK_EVERY_SECONDS = 5.0
"""How often pods are sampled and a generator looks at itself: what a sample or an invalid span speaks of."""
MAX_SPANS = 200
"""The most invalid spans that a run holds."""
MAX_INVALID = 0.01
"""Share of a step's time that invalid spans may cover before the step is invalid: far below the 5 % that a p95 leaves.

So one busy moment of the machine ends no soak of hours; a step of minutes is invalid with its first span."""
RECORD_EVERY_SECONDS = 30.0
"""Between two records of the spans of one worker and kind, so that a soak has fewer of them than samples."""
_TOUCHING_SECONDS = 1.0
"""Looks follow one another at once, but for what a busy machine takes between them."""


class InvalidKind(StrEnum):
    """What the load generator ran short of."""

    CPU = "cpu"
    """Its own use of one core was too high."""
    LOOP_LAG = "loop-lag"
    """Its event loop woke up late."""
    SCHEDULE_LAG = "schedule-lag"
    """Requests were sent late."""
    BACKLOG = "backlog"
    """More requests were in flight than it may hold."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Earlier runs wrote them with spaces."""
        return next((each for each in cls if each.words == value), None)

    @property
    def words(self) -> str:
        """For a person."""
        return self.value.replace("-", " ")


@dataclass
class InvalidSpan:
    """A time in which the load generator, not what it asked, was the limit, so that its figures are invalid.

    A span stands for one or more `looks` that found so; `reason` is that of the worst, `worst` what it saw: a share of
    a core, milliseconds, or requests. `seconds` is the time that they looked at, less than from `began` to `ended`
    where spans were joined; left out, it is all of that.
    """

    began: float
    ended: float
    worker: str
    kind: InvalidKind
    reason: str
    worst: float = 0.0
    looks: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Fill in the time that was looked at, and read the kind of a text."""
        self.kind = InvalidKind(self.kind)
        self.seconds = self.seconds or self.ended - self.began

    def follows(self, earlier: "InvalidSpan") -> bool:
        """Whether no look that found nothing lies between the two."""
        return self.began - earlier.ended <= _TOUCHING_SECONDS

    def absorb(self, later: "InvalidSpan") -> None:
        """Speak of both; of the time between as well where the one follows the other."""
        self.seconds += later.seconds
        if later.follows(self):
            self.seconds += later.began - self.ended
        self.ended, self.looks = max(self.ended, later.ended), self.looks + later.looks
        if later.worst > self.worst:
            self.worst, self.reason = later.worst, later.reason


def add(spans: list[InvalidSpan], found: InvalidSpan) -> None:
    """Add a span; one that begins where the last of its worker and kind ended is joined with it.

    When there are more than `MAX_SPANS`, so are the two of a worker and kind with the least time between them: the
    span then holds clean time, which its `seconds` leave out.
    """
    source = _source(found)
    last = next((each for each in reversed(spans) if _source(each) == source), None)
    if last and found.follows(last):
        last.absorb(found)
        return
    spans.append(found)
    if len(spans) > MAX_SPANS and (pairs := list(_neighbours(spans))):
        earlier, later = min(pairs, key=lambda pair: pair[1].began - pair[0].ended)
        earlier.absorb(later)
        spans[:] = [each for each in spans if each is not later]


def invalidating(spans: Sequence[InvalidSpan], began: float, ended: float) -> tuple[InvalidSpan, ...]:
    """The spans that make this time invalid: those that touch it, if together they cover more of it than `MAX_INVALID`.

    Time that several cover counts once. A span that holds clean time covers a share of each moment, and may have all of
    its `seconds` in the part that touches: so the sum may be too high, never too low.
    """
    touching = sorted(
        (each for each in spans if began < each.ended and each.began < ended), key=lambda each: each.began
    )
    parts = [(max(each.began, began), min(each.ended, ended), each.seconds) for each in touching]
    shares = [(low, high, min(1.0, seconds / (high - low))) for low, high, seconds in parts if high > low]
    moments = sorted({end for low, high, _ in shares for end in (low, high)})
    covered = 0.0
    for now, then in pairwise(moments):
        covered += (then - now) * min(1.0, sum(share for low, high, share in shares if low <= now and then <= high))
    return tuple(touching) if covered > MAX_INVALID * (ended - began) else ()


def _source(span: InvalidSpan) -> tuple[str, str]:
    return span.worker, span.kind


def _neighbours(spans: list[InvalidSpan]) -> Iterator[tuple[InvalidSpan, InvalidSpan]]:
    """Spans of one worker and kind that follow one another."""
    before: dict[tuple[str, str], InvalidSpan] = {}
    for span in spans:
        source = _source(span)
        if source in before:
            yield before[source], span
        before[source] = span


class Unrecorded:
    """Spans until they are recorded: at once, or joined by worker and kind once the last record of those is old."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], InvalidSpan] = {}
        self._recorded: dict[tuple[str, str], float] = {}

    def add(self, found: InvalidSpan) -> None:
        """A look found this."""
        if earlier := self._waiting.get(_source(found)):
            earlier.absorb(found)
        else:
            self._waiting[_source(found)] = found

    def due(self, now: float) -> list[InvalidSpan]:
        """Those to record at this moment, in Unix seconds."""
        found = [key for key in self._waiting if now - self._recorded.get(key, 0.0) >= RECORD_EVERY_SECONDS]
        self._recorded |= dict.fromkeys(found, now)
        return [self._waiting.pop(key) for key in found]

    def rest(self) -> list[InvalidSpan]:
        """All that are not recorded yet, since a step or the load ends."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found
