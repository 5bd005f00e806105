"""How long to wait between tries, as a kubelet does."""

import time
from dataclasses import dataclass, field

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0
FORGIVEN_AFTER_SECONDS = 600.0
"""A container that ran for this long starts again at once."""


@dataclass
class BackOff:
    """10 s, doubled with each try up to 5 minutes."""

    first: float = FIRST_SECONDS
    longest: float = LONGEST_SECONDS
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first

    def next(self) -> float:
        """Seconds to wait before the next try."""
        seconds, self._next = self._next, min(self._next * 2, self.longest)
        return seconds


@dataclass
class Restarts:
    """The waits before restarts: none before the first, nor after a long run."""

    _back_off: BackOff | None = None
    _started: float = 0.0

    def started(self) -> None:
        """The container runs from now on."""
        self._started = time.monotonic()

    def wait(self) -> float:
        """Seconds to wait before it starts again."""
        long_run = time.monotonic() - self._started >= FORGIVEN_AFTER_SECONDS
        if self._back_off is None or long_run:
            self._back_off = BackOff()
            return 0.0
        return self._back_off.next()
