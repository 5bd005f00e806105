"""Which deprecated versions of TLS a server still takes."""

import socket
import ssl
import warnings
from urllib.parse import urlsplit

from signoff.core.timeouts import HANDSHAKE
from signoff.traffic.endpoint import Endpoint

_OLDER = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1}
"""Deprecated by RFC 8996."""
_OF_THIS_MACHINE = ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE")
"""OpenSSL's reasons where it is not the server that refuses a version, but the client that does not know it."""


def older_versions(endpoint: Endpoint) -> dict[str, bool]:
    """Each deprecated version of TLS, and whether the server takes it; left out are those that can't be tried here."""
    parts = urlsplit(endpoint.url)
    address = (parts.hostname or "", parts.port or 443)
    found = {name: _takes(address, endpoint.host or address[0], version) for name, version in _OLDER.items()}
    return {name: taken for name, taken in found.items() if taken is not None}


def _takes(address: tuple[str, int], host: str, version: ssl.TLSVersion) -> bool | None:
    """Whether the server shakes hands in this version; None if nobody can tell."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL's own level takes no signature that these versions know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    try:
        plain = socket.create_connection(address, timeout=HANDSHAKE.seconds)
        with plain, context.wrap_socket(plain, server_hostname=host):
            return True
    except ssl.SSLError as error:
        return None if error.reason in _OF_THIS_MACHINE else False
    except ConnectionResetError:
        return False
    except OSError:
        return None
