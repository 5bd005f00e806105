"""The two waits: until something holds, which stops early when waiting is no use, and for as long as it must hold."""

import itertools
import time

import pytest

from signoff.core.timeouts import Timeout
from signoff.core.waiting import HoldFailed, Hopeless, NotYet, WaitFailed, consistently, eventually

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

    with pytest.raises(WaitFailed, match="waiting does not fix this") as raised:
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


def test_what_holds_is_looked_at_until_the_very_end_and_the_last_look_is_returned() -> None:
    begun, looks = time.monotonic(), list[float]()

    def look() -> int:
        looks.append(time.monotonic() - begun)
        return len(looks)

    assert consistently("the sky stays up", Timeout(0.1, every=0.03), look) == len(looks)
    assert looks[0] < 0.05
    assert looks[-2] < 0.1 <= looks[-1]


def test_what_ceases_to_hold_ends_the_wait_with_its_moment_and_what_was_seen() -> None:
    states = iter(["Ready", "Ready", "OOMKilled"])

    def look() -> None:
        if (state := next(states)) != "Ready":
            raise NotYet(state)

    with pytest.raises(
        HoldFailed, match=r"the pod stays Ready was to hold for 60 s: after 0\.\d s, at look 3, it did not\n  seen: OOM"
    ) as raised:
        consistently("the pod stays Ready", LONG, look)
    assert (raised.value.look, raised.value.observation) == (3, "OOMKilled")
    assert 0.02 <= raised.value.after < 1


def test_what_ceases_to_hold_at_the_very_end_has_not_held() -> None:
    deadline = time.monotonic() + SOON.seconds

    def look() -> None:
        if time.monotonic() >= deadline:
            raise NotYet("too late")

    with pytest.raises(HoldFailed, match="too late"):
        consistently("a last look", SOON, look)


def test_broken_look_is_no_lapse() -> None:
    def look() -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError):
        consistently("anything", LONG, look)
