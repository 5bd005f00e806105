"""Servers behind a name that no DNS knows, with a certificate of an authority that nobody trusts unasked."""

import ssl
from dataclasses import dataclass, field

from signoff.cluster.embedded.pki import Authority

NAME = "litellm.home.jetzinger.com"


@dataclass
class Names:
    """What a server is asked as: the name of each handshake (SNI)."""

    of_handshakes: list[str | None] = field(default_factory=list)


def context(authority: Authority, *hosts: str, names: Names | None = None) -> ssl.SSLContext:
    """What a server needs whose certificate is for these hosts; it notes the `names` that clients ask for."""
    pair = authority.issue("server", user="server", hosts=hosts)
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(pair.cert, pair.key)
    noted = names or Names()

    def note(_: object, name: str | None, __: object) -> None:
        noted.of_handshakes.append(name)

    made.sni_callback = note
    return made
