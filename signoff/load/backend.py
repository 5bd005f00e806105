"""What vLLM itself says of a step: how long it took for a request, and whether more reached it than were sent.

"The backend is saturated" excuses LiteLLM, so that it needs vLLM's own word: a gateway that sends each call twice, or
again and again, makes the direct probes slow as well.

Received are the requests that vLLM ended between the first and the last look of a step, and what it held at the last
one more than at the first. Sent are those that were sent to either arm meanwhile. A request that was in flight at the
first look may have been in LiteLLM still, so that as many more may be received; fewer may be, where LiteLLM holds them.
"""

from dataclasses import dataclass

import pandas as pd

from signoff.in_cluster.load_generator.run import BACKEND_CLOCK

MAX_EXTRA = 0.1
"""Of what was sent, the share that may be received beside it: health checks, and others who ask this vLLM."""
MIN_EXTRA = 5
_COLUMNS = ["finished", "held", "timed", "timed_seconds"]
_NEVER_LEFT = ("not sent", "connect")


@dataclass(frozen=True)
class BackendSeen:
    """vLLM's own word of one step."""

    sent: int
    in_flight: int
    """At the first look, through LiteLLM."""
    received: float
    seconds: float | None
    """The mean time of a request in vLLM, its queue included; None where none ended."""

    @property
    def is_multiplied(self) -> bool:
        """Whether more requests reached vLLM than were sent."""
        return self.received > self.sent + self.in_flight + max(MIN_EXTRA, MAX_EXTRA * self.sent)


def seen(samples: pd.DataFrame, records: pd.DataFrame, began: float, ended: float) -> BackendSeen | None:
    """What vLLM said between these moments, from which on there are all records.

    None where it said it less than twice, or not as one process does that was there all the time.
    """
    looks = samples[(samples["pod"] == BACKEND_CLOCK) & samples["at"].between(began, ended)]
    looks = looks.dropna(subset=_COLUMNS)
    counted = looks[["finished", "timed", "timed_seconds"]].astype(float)
    if len(looks) < 2 or (counted.diff().iloc[1:] < 0).any(axis=None):
        return None
    first, last = looks.iloc[0], looks.iloc[-1]
    started, done = records["started"], records["started"] + records["e2e_ms"].fillna(0.0) / 1000
    left = ~records["error"].isin(_NEVER_LEFT)
    timed = last["timed"] - first["timed"]
    return BackendSeen(
        sent=int((left & (started > first["at"]) & (started <= last["at"])).sum()),
        in_flight=int((left & (records["arm"] == "proxied") & (started <= first["at"]) & (done > first["at"])).sum()),
        received=float(last["finished"] + last["held"] - first["finished"] - first["held"]),
        seconds=float((last["timed_seconds"] - first["timed_seconds"]) / timed) if timed > 0 else None,
    )
