"""Void marks: when the load generator, not what it asked, was the limit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Self

LOOK_EVERY_SECONDS = 5.0
"""Between two looks at the pods, and between two of a generator at itself: what a sample or a void mark speaks of."""
MOST_VOIDS = 200
"""A run holds so many void marks at most."""
MOST_VOID = 0.01
"""Share of a step's time that marks may cover before the step is void. What is judged is p95 at most: 5 % of the time.

So one busy moment of the machine ends no soak of hours; a step of minutes is void with its first mark."""
TOLD_EVERY_SECONDS = 30.0
"""Between two records of the marks of one worker and kind, so that those of a soak are less than its samples."""
_TOUCHING_SECONDS = 1.0
"""Looks follow one another at once, but for what a busy machine takes between them."""


class VoidKind(StrEnum):
    """Of what the load generator had too little."""

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
        """Runs of before told them with spaces."""
        return next((each for each in cls if each.words == value), None)

    @property
    def words(self) -> str:
        """For a person."""
        return self.value.replace("-", " ")


@dataclass
class Void:
    """Why the load generator, not what it asked, was the limit in this time; the run's figures are then void.

    A mark stands for one or more `looks` that found so; `reason` is that of the worst, `worst` what it saw: a share of
    a core, milliseconds, or requests. `seconds` is the time that they looked at, less than from `began` to `ended`
    where marks were joined; where it is not told, all of that.
    """

    began: float
    ended: float
    worker: str
    kind: VoidKind
    reason: str
    worst: float = 0.0
    looks: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Fill in the time that was looked at, and read the kind of a text."""
        self.kind = VoidKind(self.kind)
        self.seconds = self.seconds or self.ended - self.began

    def follows(self, earlier: "Void") -> bool:
        """Whether no look that found nothing lies between the two."""
        return self.began - earlier.ended <= _TOUCHING_SECONDS

    def absorb(self, later: "Void") -> None:
        """Speak of both; of the time between as well where the one follows the other."""
        self.seconds += later.seconds
        if later.follows(self):
            self.seconds += later.began - self.ended
        self.ended, self.looks = max(self.ended, later.ended), self.looks + later.looks
        if later.worst > self.worst:
            self.worst, self.reason = later.worst, later.reason


def mark(voids: list[Void], found: Void) -> None:
    """Add a mark; one that goes on where the last of its worker and kind ended becomes one with it.

    So do the two of a worker and kind that have least time between them when there are more than `MOST_VOIDS`: a mark
    then holds clean time, which its `seconds` leave out.
    """
    last = next((each for each in reversed(voids) if _source(each) == _source(found)), None)
    if last and found.follows(last):
        last.absorb(found)
        return
    voids.append(found)
    if len(voids) > MOST_VOIDS and (pairs := list(_neighbours(voids))):
        earlier, later = min(pairs, key=lambda pair: pair[1].began - pair[0].ended)
        earlier.absorb(later)
        voids[:] = [each for each in voids if each is not later]


def hiding(voids: Sequence[Void], began: float, ended: float) -> tuple[Void, ...]:
    """The marks that make this time void: those that touch it, if together they cover more of it than `MOST_VOID`.

    Time that several cover counts once. A mark that holds clean time covers a share of each moment, and may have all of
    its `seconds` in the part that touches: so the sum may be too high, never too low.
    """
    touching = sorted(
        (each for each in voids if began < each.ended and each.began < ended), key=lambda each: each.began
    )
    parts = [(max(each.began, began), min(each.ended, ended), each.seconds) for each in touching]
    shares = [(low, high, min(1.0, seconds / (high - low))) for low, high, seconds in parts if high > low]
    moments = sorted({end for low, high, _ in shares for end in (low, high)})
    covered = 0.0
    for now, then in pairwise(moments):
        covered += (then - now) * min(1.0, sum(share for low, high, share in shares if low <= now and then <= high))
    return tuple(touching) if covered > MOST_VOID * (ended - began) else ()


def _source(void: Void) -> tuple[str, str]:
    return void.worker, void.kind


def _neighbours(voids: list[Void]) -> Iterator[tuple[Void, Void]]:
    """Marks of one worker and kind that follow one another."""
    before: dict[tuple[str, str], Void] = {}
    for void in voids:
        if _source(void) in before:
            yield before[_source(void)], void
        before[_source(void)] = void


class Untold:
    """Marks until they are told: at once, or all of a worker and kind as one once the last record of theirs is old."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Void] = {}
        self._told: dict[tuple[str, str], float] = {}

    def add(self, found: Void) -> None:
        """A look found this."""
        if earlier := self._waiting.get(_source(found)):
            earlier.absorb(found)
        else:
            self._waiting[_source(found)] = found

    def due(self, now: float) -> list[Void]:
        """Those to tell at this moment, in Unix seconds."""
        found = [key for key in self._waiting if now - self._told.get(key, 0.0) >= TOLD_EVERY_SECONDS]
        self._told |= dict.fromkeys(found, now)
        return [self._waiting.pop(key) for key in found]

    def rest(self) -> list[Void]:
        """All that were not told, since a step or the load ends."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found
