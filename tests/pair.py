"""A double of vLLM and, before it, a gateway that can be told to tamper."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from doubles.backend import Backend
from doubles.gateway import Gateway
from doubles.serving import running
from signoff.overhead import estimate
from signoff.traffic import blocks, pairs


@dataclass
class Pair:
    """Both arms: the doubles, to be told what to do, and their base URLs."""

    backend: Backend
    gateway: Gateway
    direct: str
    proxied: str


@pytest.fixture
def pair() -> Iterator[Pair]:
    backend = Backend()
    with running(backend.app()) as direct:
        gateway = Gateway(direct)
        with running(gateway.app()) as proxied:
            yield Pair(backend, gateway, direct, proxied)


@pytest.fixture
def never_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the client has to wait for a processor, the run is judged: the test is about something else."""
    monkeypatch.setattr(estimate, "WAIT_BOUND", float("inf"))


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests and warm-up are for real servers: a double is as quick after a short one, and warm after two rounds."""
    for module in (pairs, blocks):
        monkeypatch.setattr(module, "REST_SECONDS", 0.002)
    monkeypatch.setattr(pairs, "WARM_UP_WINDOWS", 1)
    monkeypatch.setattr(pairs, "WINDOW_ROUNDS", 2)
