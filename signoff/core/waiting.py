"""The one way to wait: look again until it holds, the deadline passes, or it has become hopeless."""

import time
from collections.abc import Callable
from typing import TypeVar

from signoff.core.console import progress
from signoff.core.timeouts import HOPELESS_GRACE, Timeout

T = TypeVar("T")

TELL_EVERY_SECONDS = 10.0
"""A person who waits hears of it this often, with what was seen last."""


class NotYet(Exception):
    """Raised by a look that does not hold yet; its text is the observation that a failed wait reports."""


class Hopeless(NotYet):
    """A `NotYet` that waiting does not mend; the wait ends once such states have lasted for `grace` seconds."""

    def __init__(self, observation: str, *, grace: float = HOPELESS_GRACE.seconds) -> None:
        super().__init__(observation)
        self.grace = grace


class WaitFailed(AssertionError):
    """The wait ended without its condition: what was awaited, for how long, and what was seen last."""

    def __init__(self, awaited: str, waited: float, observation: str, *, hopeless: bool) -> None:
        self.awaited, self.waited, self.observation, self.hopeless = awaited, waited, observation, hopeless
        why = "gave up early, since waiting does not mend this" if hopeless else "deadline passed"
        super().__init__(f"waited {waited:.1f} s for {awaited}: {why}\n  last seen: {observation}")


def eventually(awaited: str, timeout: Timeout, look: Callable[[], T]) -> T:
    """Call `look` until it returns, and return what it returned.

    `look` raises `NotYet` (or `Hopeless`) with what it saw when the condition does not hold. Other exceptions pass
    through: a broken look is not a reason to wait.

    Raises:
        WaitFailed: the deadline passed, or hopeless states lasted longer than their grace.
    """
    start = told = time.monotonic()
    hopeless_since: float | None = None
    while True:
        try:
            return look()
        except NotYet as seen:
            observation, now = seen, time.monotonic()
        if isinstance(observation, Hopeless):
            hopeless_since = now if hopeless_since is None else hopeless_since
            if now - hopeless_since >= observation.grace:
                raise WaitFailed(awaited, now - start, str(observation), hopeless=True)
        else:
            hopeless_since = None
        if now - start >= timeout.seconds:
            raise WaitFailed(awaited, now - start, str(observation), hopeless=False)
        if now - told >= TELL_EVERY_SECONDS:
            told = now
            progress("waiting", f"{now - start:.0f} s for {awaited}: {observation}")
        time.sleep(timeout.every)
