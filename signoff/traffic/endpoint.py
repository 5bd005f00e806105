"""Where a client asks: the gateway, or the backend itself."""

from dataclasses import dataclass, field

from signoff import story
from signoff.traffic.keys import NO_KEY

ROOTS = "SIGNOFF_INGRESS_ROOTS"
"""The variable that names the file with an endpoint's own roots for another process.

All public ones are more than an argument or a variable can hold (128 KiB: MAX_ARG_STRLEN, execve(2)).
"""


@dataclass(frozen=True)
class Endpoint:
    """A server's base URL, what it calls the model that is judged, and the key that it is asked with, if with any.

    Where the URL holds an address and the server goes by a name that no DNS has to know, `host` is that name: it is
    sent as Host header and as TLS' server name (SNI), and it is what the certificate must be valid for.
    `authorities` are the roots that are trusted instead of the usual ones, as PEM; empty for the usual ones.
    """

    url: str
    model: str = story.MODEL
    api_key: str = field(default=NO_KEY, repr=False)
    host: str = ""
    authorities: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host} at {self.url}" if self.host else self.url
