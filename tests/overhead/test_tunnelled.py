"""Pairs that are timed from here through a tunnel: what breaks in it is left out and counted, and too much ends it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff.cluster.base import TunnelBreak
from signoff.core.errors import SignoffError
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.evidence.causes import cause_of
from signoff.evidence.models import Subject
from signoff.overhead import measure as measuring
from signoff.overhead.estimate import Samples, judge
from signoff.traffic import timings_csv
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import ARMS
from signoff.verdicts.verdict import Code, Value
from tests.cluster.relay import Relay
from tests.pair import Pair

pytestmark = pytest.mark.usefixtures("brisk", "never_invalid")
PAIRS = 60


class Tunnel:
    """A relay before each of both arms, as a cluster that allows no Job; it tells what was cut, and by whom."""

    tunnelled = True
    own_namespace = ""
    capabilities: frozenset[str] = frozenset()

    def __init__(self, direct: Relay, proxied: Relay) -> None:
        self._relays = direct, proxied
        self.direct, self.proxied = (f"http://127.0.0.1:{each.port}" for each in self._relays)
        self.told: list[TunnelBreak] = []

    def tunnel_breaks(self, since: float) -> list[TunnelBreak]:
        return [each for each in self.told if each.moment >= since]

    def cut(self, *, by_tunnel: bool = True) -> None:
        told = TunnelBreak(time.monotonic(), datetime.now(UTC), "ml/litellm", "litellm-1", "cut", by_tunnel=by_tunnel)
        self.told.append(told)
        for each in self._relays:
            each.cut()


@pytest.fixture
def tunnel(pair: Pair) -> Iterator[Tunnel]:
    with Relay(pair.direct) as direct, Relay(pair.proxied) as proxied:
        yield Tunnel(direct, proxied)


def deployment(tunnel: Tunnel) -> Any:
    """As much of one as is asked from this machine."""
    return SimpleNamespace(
        cluster=tunnel,
        is_timed_inside=False,
        direct=Endpoint(tunnel.direct),
        answering_gateway=lambda: Endpoint(tunnel.proxied),
    )


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do this again and again meanwhile."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=again)
    thread.start()
    yield
    over.set()
    thread.join()


@contextmanager
def in_the_middle(file: Path, act: Callable[[], None]) -> Iterator[None]:
    """Do this once meanwhile, when a third of the rounds are in the file."""

    def look() -> None:
        written = timings_csv.read(file) if file.exists() else ()
        if max((each.round for each in written), default=-1) < PAIRS // 3:
            raise NotYet("too few rounds are timed")

    def once() -> None:
        eventually("a third of the rounds to be timed", Timeout(60, every=0.01), look)
        act()

    thread = threading.Thread(target=once)
    thread.start()
    yield
    thread.join()


def test_rounds_that_the_tunnel_broke_are_left_out_and_counted_and_the_others_are_whole(
    tunnel: Tunnel, tmp_path: Path
) -> None:
    file = tmp_path / "overhead.csv"
    with in_the_middle(file, tunnel.cut):
        taken = measuring.time_pairs(deployment(tunnel), PAIRS, 1, file)
    assert taken.place == measuring.THROUGH_FORWARD
    assert 1 <= taken.left_out <= 2
    timed = Samples(timings_csv.read(file))
    assert len(timed.rounds()) == PAIRS
    assert not timed.errors(*ARMS)
    code = judge(timed, limit_ms=100.0, seed=1).verdict.code
    assert code in (Code.AS_WANTED, Code.GENERATOR_BOUND)  # these doubles answer at once, and others use the machine


def test_a_tunnel_that_breaks_again_and_again_ends_it_and_that_is_the_clusters_doing(
    tunnel: Tunnel, tmp_path: Path
) -> None:
    with every(0.05, tunnel.cut), pytest.raises(SignoffError, match="the tunnel broke under") as ended:
        measuring.time_pairs(deployment(tunnel), PAIRS, 1, tmp_path / "overhead.csv")
    assert cause_of(ended.value).subject is Subject.CLUSTER
    assert "the tunnel to the Service ml/litellm (pod litellm-1) broke at" in str(ended.value)


def test_a_connection_that_ended_with_its_pod_counts_against_whoever_was_asked(tunnel: Tunnel, tmp_path: Path) -> None:
    file = tmp_path / "overhead.csv"
    with every(0.01, lambda: tunnel.cut(by_tunnel=False)):
        taken = measuring.time_pairs(deployment(tunnel), PAIRS, 1, file)
    assert taken.left_out == 0
    assert judge(Samples(timings_csv.read(file)), limit_ms=100.0, seed=1).verdict.value is not Value.PASSED
