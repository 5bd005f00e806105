"""Who is asked before anything is written to a cluster, and tells whether, and in which form, it goes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

_READS = ("GET", "HEAD")
_REACHES_IN = ("exec", "attach", "portforward", "proxy")
"""What leads into a pod, or through a Service or a kubelet, where a GET may do anything: by WebSocket, or by itself."""
_OF_A_KUBELET = ("stats/summary", "healthz")
"""What is only read there."""


def reads(method: str, path: str) -> bool:
    """Whether a request only reads, by its form alone. `path` begins with /api or /apis.

    >>> reads("GET", "/api/v1/namespaces/ml/pods/litellm-0/log")
    True
    >>> reads("GET", "/api/v1/namespaces/ml/pods/litellm-0/exec")
    False
    """
    return method.upper() in _READS and not reaches_in(path)


def reaches_in(path: str) -> bool:
    """Whether the API server hands on what is asked here, to whatever answers it; it takes nothing for a dry run."""
    root, *parts = [unquote(each) for each in path.strip("/").split("/")]
    within = parts[3:] if parts[1:2] == ["namespaces"] else parts[1:]  # of KIND, NAME, SUBRESOURCE and what follows
    kind, subresource, rest = "".join(within[:1]), "".join(within[2:3]), "/".join(within[3:])
    if root != "api" or subresource not in _REACHES_IN:
        return False
    return (kind, subresource) != ("nodes", "proxy") or rest not in _OF_A_KUBELET


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
