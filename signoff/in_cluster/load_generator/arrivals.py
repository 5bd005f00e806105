"""Open-loop arrivals: requests are sent when a schedule says so, however long the earlier ones take.

A closed loop sends its next request once the last was answered, so that a slow server is asked less often just when it
is slow, and the slow moments are under-counted ("coordinated omission"; G. Tene, "How NOT to Measure Latency",
https://github.com/giltene/wrk2#acknowledgements-and-thanks). Here each request has an intended moment that no answer
moves; a late sending shows as `started` - `intended`, and a user's wait is that plus the answer's own time.
"""

import random
import time
from collections.abc import Callable

import gevent
from gevent.event import Event
from gevent.pool import Group

MAX_IN_FLIGHT = 2000
"""In one process; an arrival beyond it is not sent, and the run is invalid."""


class Arrivals:
    """Calls `send(intended)` in a greenlet of its own for each arrival; `overflow(intended)` where too many wait.

    `rate` is in arrivals per second and may be changed at any time. Poisson arrivals have exponential gaps; constant
    ones have equal gaps, shifted by `phase` (0 to 1) of a gap, so that several processes do not send together.
    """

    def __init__(
        self,
        send: Callable[[float], None],
        overflow: Callable[[float], None],
        *,
        rng: random.Random,
        poisson: bool,
        phase: float = 0.0,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._send, self._overflow = send, overflow
        self._rng, self._poisson, self._phase, self._max_in_flight = rng, poisson, phase, max_in_flight
        self._rate = 0.0
        self._changed = Event()
        self._in_flight = Group()
        self._clock = gevent.spawn(self._run)

    @property
    def rate(self) -> float:
        """Arrivals per second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        self._changed.set()

    def stop(self, patience: float) -> None:
        """Send no more, and wait this many seconds for what is in flight; what is left then gets GreenletExit."""
        self._clock.kill()
        self._in_flight.join(timeout=patience)
        self._in_flight.kill()

    def _run(self) -> None:
        due, share = time.time(), self._phase  # the share of a gap until the first of the constant arrivals
        while True:
            if self._rate <= 0:
                self._changed.wait()
                due, share = time.time(), self._phase
            self._changed.clear()
            if self._rate <= 0:
                continue
            gap = (self._rng.expovariate(1.0) if self._poisson else share) / self._rate
            if self._changed.wait(max(0.0, due + gap - time.time())):
                due, share = time.time(), 1.0  # a new rate holds from now on
            else:
                due, share = due + gap, 1.0
                self._arrive(due)

    def _arrive(self, intended: float) -> None:
        if len(self._in_flight) >= self._max_in_flight:
            self._overflow(intended)
        else:
            self._in_flight.start(gevent.Greenlet(self._send, intended))
