"""Whether a stream is passed on as it was sent: one piece at a time, by the times at which its pieces arrive."""

import itertools
from collections.abc import Sequence
from statistics import median

from signoff.verdicts.verdict import Code, Verdict, failed, inconclusive, passed

TOGETHER = 0.5
"""Of the pause between two pieces: what follows sooner has come together with the one before."""
TOLERATED = 0.25
"""Of the pieces: so many come together where nothing holds them back, since a busy client reads some late."""


def held_back(through: Sequence[float], own: Sequence[float], pause: float, who: str, by: str) -> Verdict:
    """Whether `who` (what the pieces came `through`) holds a stream back whose sender paused between two pieces.

    Both are moments of arrival in seconds, `own` those of the sender itself, which was asked as well: where its pieces
    arrive together too, it was the client that was late. `by` says how a piece comes that comes through it.
    """
    count, together, own_together = len(through), come_together(through, pause), come_together(own, pause)
    if together <= TOLERATED * count:
        return passed(f"{count} events, {median(_gaps(through)) * 1000:.0f} ms apart")
    if own_together > TOLERATED * len(own):
        told = f"the client read {own_together} of {len(own)} events late that did not come {by}"
        return inconclusive(told, Code.PROVES_NOTHING)
    return failed(
        f"{who} holds a stream back: {together} of {count} events arrived together with the one before, though "
        f"{pause * 1000:.0f} ms lay between them"
    )


def come_together(moments: Sequence[float], pause: float) -> int:
    """How many pieces came right after the one before, though so many seconds lay between them."""
    return sum(gap < TOGETHER * pause for gap in _gaps(moments))


def _gaps(moments: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(moments)]
