"""A handshake shows what a server serves under a name, trusted or not, and says why there was none."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme
from OpenSSL import SSL

from signoff.way_in.handshake import handshake


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[tuple[str, int]]:
    """A server that ends each connection after its handshake, or before it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    taken, _ = server.accept()
                    with taken:
                        if context is not None:
                            with context.wrap_socket(taken, server_side=True) as wrapped:
                                wrapped.recv(1)
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def context() -> ssl.SSLContext:
    authority = trustme.CA()
    intermediate = authority.create_child_ca()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    intermediate.issue_cert("llm.example").configure_cert(made)
    return made


def test_the_chain_is_what_was_served_the_leaf_first(context: ssl.SSLContext) -> None:
    asked: list[str] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    with serving(context) as address:
        seen = handshake(address, "llm.example")
    assert (seen.error, seen.tls_version, len(seen.chain)) == ("", "TLSv1.3", 2)
    assert all(each.startswith("-----BEGIN CERTIFICATE-----") for each in seen.chain)
    assert asked == ["llm.example"]


@pytest.mark.parametrize(("newest", "agreed"), [(SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_1_VERSION, "")])
def test_an_older_version_is_agreed_on_or_refused(context: ssl.SSLContext, newest: int, agreed: str) -> None:
    with serving(context) as address:
        seen = handshake(address, "llm.example", newest)
    assert (seen.tls_version, bool(seen.error)) == (agreed, not agreed)


def test_a_server_that_hangs_up_and_none_at_all_are_told() -> None:
    with serving(None) as address:
        assert "closed the connection" in handshake(address, "llm.example").error
    assert "refused" in handshake(address, "llm.example").error.lower()
