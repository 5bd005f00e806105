"""What vLLM itself counts while it and LiteLLM are asked: whether each answer came from it, and by a single call.

Its counter does not tell one caller from another. Imports nothing beyond httpx, as `signoff.traffic.pairs` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from signoff.core.errors import SignoffError
from signoff.core.timeouts import COUNTER_GROWS, COUNTER_SETTLES
from signoff.core.waiting import Hopeless, NotYet, WaitFailed, consistently, eventually
from signoff.traffic import metrics
from signoff.traffic.exposition import Sample

HTTP_REQUESTS = "http_requests_total"
"""Of vLLM's web server, by `status` ("2xx", "5xx")."""
PROCESS_STARTED = "process_start_time_seconds"
"""Tells one process from another; a vLLM of several processes does not have it."""


@dataclass(frozen=True)
class Counted:
    """How many requests vLLM `answered` by its own counter, where so many that were `sent` had an answer.

    `uncertain` more may have been counted: those of rounds that were left out. `failures` are requests that vLLM's web
    server answered with a status from 500 on, None where it does not tell. `restarted` says that another vLLM counted
    at the end. Where `answered` is None, `note` says why.
    """

    sent: int
    answered: int | None = None
    uncertain: int = 0
    failures: int | None = None
    restarted: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Look:
    answered: float
    failures: float | None
    process: float | None


class Counting:
    """Reads vLLM's counters now, to tell later by how much they have grown."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._before: _Look | None = None
        self._note = ""
        try:
            self._before = consistently("vLLM's counter is read", COUNTER_SETTLES, lambda: _look(backend))
        except SignoffError as error:
            self._note = error.what

    def over(self, sent: int) -> Counted:
        """What was counted since, once it is as many as were answered, or no longer grows to that."""
        if self._before is None:
            return Counted(sent, note=self._note)
        before, last = self._before, Counted(sent)

        def as_many() -> Counted:
            nonlocal last
            try:
                now = _look(self._backend)
            except SignoffError as error:
                last = Counted(sent, note=error.what)
                raise Hopeless(error.what, grace=0) from None
            last = _grown(before, now, sent)
            if not last.restarted and last.answered is not None and last.answered < sent:
                raise NotYet(f"it has counted {last.answered}")
            return last

        try:
            return eventually(f"vLLM to count {sent} requests", COUNTER_GROWS, as_many)
        except WaitFailed:
            return last


def _grown(before: _Look, now: _Look, sent: int) -> Counted:
    answered = int(now.answered - before.answered)
    known = now.failures is not None and before.failures is not None
    return Counted(
        sent,
        answered,
        failures=int((now.failures or 0) - (before.failures or 0)) if known else None,
        restarted=now.process != before.process or answered < 0,
    )


def _look(backend: str) -> _Look:
    samples = metrics.samples(backend)
    answered = _sum(samples, metrics.REQUESTS)
    if answered is None:
        raise SignoffError(f"vLLM's metrics have no {metrics.REQUESTS}", where=f"{backend}/metrics")
    failures = [each for each in samples if each.labels.get("status", "").startswith("5")]
    has_failures = _sum(samples, HTTP_REQUESTS) is not None
    return _Look(
        answered, (_sum(failures, HTTP_REQUESTS) or 0.0) if has_failures else None, _sum(samples, PROCESS_STARTED)
    )


def _sum(samples: Sequence[Sample], name: str) -> float | None:
    values = [each.value for each in samples if each.name == name]
    return math.fsum(values) if values else None
