"""Who is asked before anything is written to a cluster, and tells whether, and in which form, it goes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

READS = ("GET", "HEAD")


class Response(Protocol):
    """What the API server answers."""

    status: int

    def read(self) -> bytes:
        """Its body; the same each time."""
        ...


@dataclass(frozen=True)
class Request:
    """What is asked of the API server. `path` begins with /api or /apis, wherever the server lies."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = ""


Send = Callable[[Request], Response]
"""Sends a request as the client would have, with the client's credentials, past the gate."""


class Gate(Protocol):
    """Is handed every request of a client that is no mere reading."""

    def passed(self, request: Request, send: Send, /) -> Response:
        """Send the request, or what is let through of it, and return the answer.

        Raises:
            SignoffError: it is not allowed; nothing was written.
        """
        ...
