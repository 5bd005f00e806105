"""What a recorder is told and what it tells: the fault that a route plays, and the requests that it received.

Apart from the recorder itself, so that who speaks of these need not load a server.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from signoff.core.errors import SignoffError
from signoff.core.redact import redacted

CONTROL = "/-/routes/"
"""Where the recorder is told what to do, and asked what it saw, followed by the route."""


@dataclass(frozen=True)
class Fault:
    """What a route does instead of passing the answer on, for its first `times` requests (0: for all).

    `status` answers with an error of its own; `headers` are added to whatever is answered. `die_after` breaks the
    connection off once so many events (of a stream) or bytes (of another answer) have been passed. `delay` waits so
    many seconds before vLLM is asked, `pause` between two events, and `hold` before an answer that is no stream is
    passed on.
    """

    status: int = 0
    die_after: int | None = None
    delay: float = 0.0
    pause: float = 0.0
    hold: float = 0.0
    times: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Received:
    """One request as the backend got it, and what became of its answer.

    `left` says that the asking side closed the connection before the answer was whole; `bytes` were passed on by then.
    `whole` says that all of it was passed on, `failed` why the backend had no answer for the recorder, which then
    answers by itself: empty if it had one.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    status: int = 0
    left: bool = False
    whole: bool = False
    bytes: int = 0
    events: int = 0
    """Of a stream, how many events were passed on."""
    failed: str = ""

    def to_record(self) -> dict[str, Any]:
        """In JSON types, without credentials. The body is one of the cases', and holds none."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": redacted(self.headers),
            "body": self.body,
            "status": self.status,
            "left": self.left,
            "whole": self.whole,
            "bytes": self.bytes,
            "events": self.events,
        }


Seen = Callable[[], Sequence[Received]]
"""Gives what a route has received so far."""


class RecorderFailed(SignoffError):
    """The recorder did not do what it was told, did not say what it saw, or had no answer from the backend."""


class Records(Protocol):
    """A recorder, wherever it runs."""

    def url(self, route: str) -> str:
        """The base URL of a route, for this process."""
        ...

    def recording(self, route: str, fault: Fault | None = None) -> AbstractContextManager[Seen]:
        """What the route receives inside this block; it plays `fault` meanwhile."""
        ...
