"""The one wait: it returns what holds, says what it saw last, and stops early when waiting is no use."""

import itertools

import pytest

from signoff.core.timeouts import Timeout
from signoff.core.waiting import Hopeless, NotYet, WaitFailed, eventually

SOON = Timeout(0.2, every=0.01)
LONG = Timeout(60, every=0.01)


def test_returns_what_the_look_returned() -> None:
    tries = itertools.count()

    def look() -> int:
        number = next(tries)
        if number < 3:
            raise NotYet("too few")
        return number

    assert eventually("three tries", SOON, look) == 3


def test_deadline_says_what_was_awaited_and_seen_last() -> None:
    tries = itertools.count()

    def look() -> None:
        raise NotYet(f"look {next(tries)}")

    with pytest.raises(WaitFailed, match=r"for the moon: deadline passed\n  last seen: look [1-9]") as raised:
        eventually("the moon", SOON, look)
    assert not raised.value.hopeless


def test_hopeless_state_ends_the_wait_after_its_grace() -> None:
    def look() -> None:
        raise Hopeless("ErrImagePull", grace=0.05)

    with pytest.raises(WaitFailed, match="waiting does not mend this") as raised:
        eventually("a pod", LONG, look)
    assert raised.value.hopeless


def test_state_that_mends_within_its_grace_is_forgiven() -> None:
    states = iter([Hopeless("no", grace=0.05), NotYet("starting"), Hopeless("no", grace=0.05)])

    def look() -> str:
        if (state := next(states, None)) is not None:
            raise state
        return "Ready"

    assert eventually("a pod", LONG, look) == "Ready"


def test_broken_look_is_not_waited_for() -> None:
    def look() -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError):
        eventually("anything", LONG, look)
