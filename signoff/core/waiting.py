"""The ways to wait: until something holds (`eventually`), and for as long as it must hold (`consistently`).

`until` is for coroutines, whose deadline is kept by whoever awaits them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from signoff.core.console import progress
from signoff.core.timeouts import HOPELESS_GRACE, Timeout

T = TypeVar("T")

REPORT_EVERY_SECONDS = 10.0
"""How often the terminal says what is awaited and what was seen last."""


class NotYet(Exception):
    """Raised by a look that does not hold; its text is the observation that a failed wait reports."""


class Hopeless(NotYet):
    """A `NotYet` that waiting does not fix; the wait ends once such states have lasted for `grace` seconds."""

    def __init__(self, observation: str, *, grace: float = HOPELESS_GRACE.seconds) -> None:
        super().__init__(observation)
        self.grace = grace


class WaitFailed(AssertionError):
    """The wait ended without its condition: what was awaited, for how long, and what was seen last."""

    def __init__(self, awaited: str, waited: float, observation: str, *, hopeless: bool) -> None:
        self.awaited, self.waited, self.observation, self.hopeless = awaited, waited, observation, hopeless
        why = "gave up early, since waiting does not fix this" if hopeless else "deadline passed"
        super().__init__(f"waited {waited:.1f} s for {awaited}: {why}\n  last seen: {observation}")

    def with_more(self, told: str) -> "WaitFailed":
        """The same, with more of what was seen."""
        return WaitFailed(self.awaited, self.waited, f"{self.observation}; {told}", hopeless=self.hopeless)


class HoldFailed(AssertionError):
    """What had to hold all the time did not at one look: which of them, when, and what it saw."""

    def __init__(self, expected: str, timeout: Timeout, *, after: float, look: int, observation: str) -> None:
        self.expected, self.after, self.look, self.observation = expected, after, look, observation
        wanted = f"{expected} was to hold for {timeout.seconds:g} s"
        super().__init__(f"{wanted}: after {after:.1f} s, at look {look}, it did not\n  seen: {observation}")


def eventually(awaited: str, timeout: Timeout, look: Callable[[], T]) -> T:
    """Call `look` until it returns, and return what it returned.

    `look` raises `NotYet` (or `Hopeless`) with what it saw when the condition does not hold. Other exceptions pass
    through: a broken look is not a reason to wait.

    Raises:
        WaitFailed: the deadline passed, or hopeless states lasted longer than their grace.
    """
    start = reported = time.monotonic()
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
        if now - reported >= REPORT_EVERY_SECONDS:
            reported = now
            progress("waiting", f"{now - start:.0f} s for {awaited}: {observation}")
        time.sleep(timeout.every)


def consistently(expected: str, timeout: Timeout, look: Callable[[], T]) -> T:
    """Call `look` from now until `timeout` is over, and return what the last call, at the end of it, returned.

    `look` raises `NotYet` with what it saw when the condition does not hold, and that ends the wait. Other exceptions
    pass through.

    Raises:
        HoldFailed: the condition did not hold at one of the looks.
    """
    start, number = time.monotonic(), 0
    while True:
        number, last = number + 1, time.monotonic() - start >= timeout.seconds
        try:
            seen = look()
        except NotYet as not_held:
            after = time.monotonic() - start
            raise HoldFailed(expected, timeout, after=after, look=number, observation=str(not_held)) from None
        if last:
            return seen
        time.sleep(max(0.0, min(timeout.every, timeout.seconds - (time.monotonic() - start))))


async def until(look: Callable[[], Awaitable[bool]], *, every: float) -> None:
    """Call `look` every so many seconds until it holds; whoever awaits this keeps the deadline."""
    while not await look():  # noqa: ASYNC110  what is awaited is another process, which sets no event
        await asyncio.sleep(every)
