"""Where a client asks: the gateway, or the backend itself."""

from dataclasses import dataclass, field

from signoff import story
from signoff.traffic.keys import NO_KEY


@dataclass(frozen=True)
class Endpoint:
    """A server's base URL, what it calls the model that is judged, and the key that it is asked with, if with any."""

    url: str
    model: str = story.MODEL
    api_key: str = field(default=NO_KEY, repr=False)
