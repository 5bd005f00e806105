"""A server that still takes a deprecated version of TLS is noticed."""

import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from signoff.traffic import tls
from signoff.traffic.endpoint import Endpoint
from tests.judges.authority import HOST, key, leaf


@contextmanager
def server(folder: Path, oldest: ssl.TLSVersion) -> Iterator[Endpoint]:
    """A TLS server that takes this version and newer ones."""
    own = key("P-256", "leaf").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (folder / "both.pem").write_text(own + leaf())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = oldest
    listening = create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # that the listening socket was closed ends it
            while True:
                plain, _ = listening.accept()
                with suppress(OSError), plain, context.wrap_socket(plain, server_side=True):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Endpoint(f"https://127.0.0.1:{listening.getsockname()[1]}", host=HOST)
    listening.close()


@pytest.mark.parametrize(
    ("oldest", "taken"),
    [
        (ssl.TLSVersion.TLSv1_1, {"TLSv1": False, "TLSv1.1": True}),
        (ssl.TLSVersion.TLSv1_2, {"TLSv1": False, "TLSv1.1": False}),
    ],
)
def test_each_deprecated_version_is_tried(tmp_path: Path, oldest: ssl.TLSVersion, taken: dict[str, bool]) -> None:
    with server(tmp_path, oldest) as endpoint:
        assert tls.older_versions(endpoint) == taken


def test_where_nobody_listens_nothing_is_told() -> None:
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert tls.older_versions(Endpoint(f"https://127.0.0.1:{port}", host=HOST)) == {}
