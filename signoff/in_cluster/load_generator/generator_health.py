"""Whether the load generator itself keeps up: a load that it could not keep up with says nothing of the gateway.

Each process that sends requests looks at its own use of the processor, at how late its event loop wakes up and how late
it sends. One late moment is no harm; a share of them is.
"""

import time
from collections.abc import Callable, Sequence

import gevent
import psutil

from signoff.evidence.invalid import LOOK_EVERY_SECONDS, InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator.run import Sample

SHORTEST_SECONDS = 1.0
"""The last look's use of the processor is told from so much time on: less is noise."""
MAX_CPU = 0.85
"""Of one core, since Python uses one: from there on queues form inside the generator."""
LATE_MS = 20.0
"""The control of the paired verdict may be this far from zero as well (issue: overhead that one can believe)."""
MAX_LATE = 0.05
"""Share of wake-ups or sendings that may be late, since what is judged is p95 at most..."""
FEW = 3
"""... but so many are always forgiven, as a pause of the whole machine makes several late at once."""

_WAKE_EVERY_SECONDS = 0.02


class GeneratorHealth:
    """Reports a sample every few seconds, and each reason for which the load is invalid as it is found."""

    def __init__(self, worker: str, sample: Callable[[Sample], None], span: Callable[[InvalidSpan], None]) -> None:
        self._worker, self._sample, self._invalid = worker, sample, span
        self._process = psutil.Process()
        self._sent_late: list[float] = []
        self._overflows = 0
        self._began, self._used_then = time.monotonic(), self._used()
        self._woke_late: list[float] = []
        self._greenlet = gevent.spawn(self._run)

    def sent(self, late_ms: float) -> None:
        """Note how late a request was sent."""
        self._sent_late.append(late_ms)

    def overflowed(self) -> None:
        """Note a request that was not sent, since too many were in flight."""
        self._overflows += 1

    def stop(self) -> None:
        """Look once more, at the time since the last look."""
        self._greenlet.kill()
        self._look()

    def _run(self) -> None:
        while True:
            while time.monotonic() - self._began < LOOK_EVERY_SECONDS:
                slept = time.perf_counter()
                gevent.sleep(_WAKE_EVERY_SECONDS)
                self._woke_late.append((time.perf_counter() - slept - _WAKE_EVERY_SECONDS) * 1000)
            self._look()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _look(self) -> None:
        seconds, used = time.monotonic() - self._began, self._used()
        share = (used - self._used_then) / seconds if seconds >= SHORTEST_SECONDS else 0.0
        self._began, self._used_then = time.monotonic(), used
        woke_late, self._woke_late = self._woke_late, []
        sent_late, self._sent_late = self._sent_late, []
        overflows, self._overflows = self._overflows, 0
        now = time.time()
        for kind, worst, reason in reasons(share, woke_late, sent_late, overflows):
            self._invalid(InvalidSpan(now - seconds, now, self._worker, kind, reason, worst))
        self._sample(
            Sample(
                now,
                f"generator {self._worker}",
                cpu_seconds=used,
                rss_mib=self._process.memory_info().rss / 2**20,
                cpu_share=round(share, 3),
                loop_lag_ms=round(max(woke_late, default=0.0), 2),
                schedule_lag_ms=round(max(sent_late), 2) if sent_late else None,
                role="generator",
            )
        )


def reasons(
    share: float, woke_late: Sequence[float], sent_late: Sequence[float], overflows: int
) -> list[tuple[InvalidKind, float, str]]:
    """Kind, worst value and text of each reason for which the time that was looked at is invalid; durations in ms."""
    found: list[tuple[InvalidKind, float, str]] = []
    if share > MAX_CPU:
        found.append((InvalidKind.CPU, share, f"the generator used {share:.0%} of a core, more than {MAX_CPU:.0%}"))
    if too := _too_late(woke_late):
        woken = f"the event loop woke up more than {LATE_MS:.0f} ms late {too}"
        found.append((InvalidKind.LOOP_LAG, max(woke_late), woken))
    if too := _too_late(sent_late):
        sent = f"requests were sent more than {LATE_MS:.0f} ms late {too}"
        found.append((InvalidKind.SCHEDULE_LAG, max(sent_late), sent))
    if overflows:
        unsent = f"{overflows} requests were not sent, since too many were in flight"
        found.append((InvalidKind.BACKLOG, overflows, unsent))
    return found


def _too_late(lags: Sequence[float]) -> str:
    late = sum(lag > LATE_MS for lag in lags)
    if late <= max(FEW, MAX_LATE * len(lags)):
        return ""
    return f"{late} times of {len(lags)}, at worst by {max(lags):.0f} ms"
