"""TLS as a client meets it: what a server shows under a name, whether or not anybody trusts it."""

import socket
import struct
from dataclasses import dataclass, field

from OpenSSL import SSL, crypto

from signoff.core.timeouts import HANDSHAKE


@dataclass(frozen=True)
class Handshake:
    """The version and cipher that were agreed on, and the certificates that were served, the leaf first, as PEM.

    `error` says why there was none.
    """

    tls_version: str = ""
    cipher: str = ""
    chain: list[str] = field(default_factory=list)
    error: str = ""


def handshake(address: tuple[str, int], name: str, newest: int = 0) -> Handshake:
    """Ask the server at this address for its certificate under a name (SNI), with a TLS version at most `newest`.

    That is one of `OpenSSL.SSL`, and the newest that is known if it is 0. Nothing is verified: that is for a judge.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if newest:
        context.set_min_proto_version(newest)
        context.set_max_proto_version(newest)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")  # OpenSSL's own rule would not even ask for an old version
    try:
        with socket.create_connection(address, HANDSHAKE.seconds) as raw:
            raw.settimeout(None)  # pyOpenSSL reads a socket with a time limit as one that never blocks
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(HANDSHAKE.seconds))
            connection = SSL.Connection(context, raw)
            connection.set_tlsext_host_name(name.encode("idna"))
            connection.set_connect_state()
            connection.do_handshake()
            chain = connection.get_peer_cert_chain() or []
            return Handshake(
                connection.get_protocol_version_name(),
                connection.get_cipher_name() or "",
                [crypto.dump_certificate(crypto.FILETYPE_PEM, each).decode() for each in chain],
            )
    except (OSError, SSL.Error) as error:
        return Handshake(error=_reason(error))


def _timeval(seconds: float) -> bytes:
    """A C `struct timeval`."""
    return struct.pack("ll", int(seconds), 0)


def _reason(error: Exception) -> str:
    """OpenSSL's own words, of which it gives a stack, else the system's."""
    if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
        return "the server closed the connection in the handshake"
    if isinstance(error, SSL.WantReadError):
        return "the server did not answer in time"
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error) or type(error).__name__
