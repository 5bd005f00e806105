"""The way of programs that dial addresses into the cluster's network: a relay that speaks SOCKS 5.

A pod listens on the loopback twin of the address that Kubernetes knows, and nobody resolves a Service's name. Programs
whose texts can be translated need neither; a controller that reads addresses from the API does. Go's programs dial by a
proxy that HTTP_PROXY names, and never dial loopback addresses by it.

Of RFC 1928 it has CONNECT, with the user name and password of RFC 1929: loopback is every user's of this machine, who
would else reach by it what its owner reaches. For the same reason it leads nowhere but into the cluster.
"""

import asyncio
import errno
import hmac
import socket
from ipaddress import ip_address

from signoff.cluster.embedded.network import Endpoint, Network, Outside, UnknownHost
from signoff.cluster.embedded.splicing import DIAL_SECONDS, Caller, Half

_VERSION = 5
_USER = "signoff"
_PASSWORD, _NONE_OF_THESE = 2, 0xFF
_PASSWORD_VERSION = 1
_WELCOME, _WRONG = 0, 1
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_GRANTED, _FAILED, _NOT_ALLOWED, _NETWORK_UNREACHABLE, _HOST_UNREACHABLE, _REFUSED = 0, 1, 2, 3, 4, 5
_NO_SUCH_COMMAND, _NO_SUCH_ADDRESS = 7, 8
_BY_NUMBER = {
    errno.ECONNREFUSED: _REFUSED,
    errno.ENETUNREACH: _NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: _HOST_UNREACHABLE,
    errno.ETIMEDOUT: _HOST_UNREACHABLE,
}
_DIAL_AFAR_SECONDS = 10.0
"""An endpoint that is no pod: a manifest names a place beyond this machine."""


class Refused(Exception):
    """The relay does not go on; `answer` is the last that it says."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__(f"SOCKS answer {answer.hex()}")


def url(host: str, port: int, password: str) -> str:
    """How a program finds the relay and what it says to be let in.

    >>> url("127.100.255.252", 1080, "hush")
    'socks5://signoff:hush@127.100.255.252:1080'
    """
    return f"socks5://{_USER}:{password}@{host}:{port}"


async def listen(network: Network, host: str, port: int, password: str) -> asyncio.Server:
    """Serve the network at this place, to whoever knows the password, until the server is closed.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Client(network, password), host, port, backlog=1024)


class _Client(Caller):
    """The side that dials: it says hello, the password and where to, and is spliced from then on."""

    def __init__(self, network: Network, password: str) -> None:
        super().__init__()
        self._network = network
        self._credentials = f"{_USER}:{password}".encode()
        self._said = bytearray()
        self._greeted = self._let_in = False
        self._dialling: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            super().data_received(data)
            return
        self._said += data
        try:
            self._heed()
        except Refused as refused:
            self._end(refused.answer)

    def eof_received(self) -> bool:
        """Whoever ends before it is connected wants nothing more."""
        return super().eof_received() if self.peer is not None else False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._dialling is not None:
            self._dialling.cancel()

    def _heed(self) -> None:
        """Do what has been said so far in full."""
        assert self.transport is not None
        if not self._greeted and self._is_greeting_whole():
            self._greeted = True
            self.transport.write(bytes([_VERSION, _PASSWORD]))
        if self._greeted and not self._let_in and self._is_password_whole():
            self._let_in = True
            self.transport.write(bytes([_PASSWORD_VERSION, _WELCOME]))
        if self._let_in and self._dialling is None and (asked := self._request()) is not None:
            self.transport.pause_reading()
            self._dialling = asyncio.get_running_loop().create_task(self._connect(*asked))

    def _is_greeting_whole(self) -> bool:
        """Take the greeting, which offers ways to authenticate.

        Raises:
            Refused: it is none, or does not offer to tell a password.
        """
        said = self._said
        refused = Refused(bytes([_VERSION, _NONE_OF_THESE]))
        if said and said[0] != _VERSION:
            raise refused
        if len(said) < 2 or len(said) < 2 + said[1]:
            return False
        if _PASSWORD not in said[2 : 2 + said[1]]:
            raise refused
        del said[: 2 + said[1]]
        return True

    def _is_password_whole(self) -> bool:
        """Take user name and password, each behind its length.

        Raises:
            Refused: they are others, or said in an unknown way.
        """
        said = self._said
        refused = Refused(bytes([_PASSWORD_VERSION, _WRONG]))
        if said and said[0] != _PASSWORD_VERSION:
            raise refused
        if len(said) < 2 or len(said) < 3 + said[1]:
            return False
        begin = 3 + said[1]
        end = begin + said[begin - 1]
        if len(said) < end:
            return False
        if not hmac.compare_digest(said[2 : begin - 1] + b":" + said[begin:end], self._credentials):
            raise refused
        del said[:end]
        return True

    def _request(self) -> tuple[str, int] | None:
        """Take the request: the host and port that it asks for, or None while it is not whole.

        Raises:
            Refused: it asks for something else than a connection, or its address has no known form.
        """
        said = self._said
        if len(said) < 5:
            return None
        version, command, _, kind, length = said[:5]
        if version != _VERSION:
            raise Refused(_answer(_FAILED))
        if command != _CONNECT:
            raise Refused(_answer(_NO_SUCH_COMMAND))
        if kind not in (_IPV4, _NAME, _IPV6):
            raise Refused(_answer(_NO_SUCH_ADDRESS))
        begin, size = {_IPV4: (4, 4), _NAME: (5, length), _IPV6: (4, 16)}[kind]
        end = begin + size
        if len(said) < end + 2:
            return None
        address, port = bytes(said[begin:end]), int.from_bytes(said[end : end + 2])
        del said[: end + 2]
        return (address.decode("ascii", "replace") if kind == _NAME else str(ip_address(address))), port

    async def _connect(self, host: str, port: int) -> None:
        try:
            backend = await self._backend(host, port)
        except Refused as refused:
            self._end(refused.answer)
            return
        if self.transport is not None:
            self.transport.write(_answer(_GRANTED))
            if backend.transport is not None:
                backend.transport.write(bytes(self._said))  # what it said without waiting for the answer
        self.splice(backend)

    async def _backend(self, host: str, port: int) -> Half:
        """Connect to where the network says that the host is.

        Raises:
            Refused: it does not accept, there is no such host, or it is none of the cluster's.
        """
        try:
            way = self._network.way_to(host, port)
            if way is None:
                raise Refused(_answer(_REFUSED))
            return await self.dial(way, DIAL_SECONDS if _is_near(way) else _DIAL_AFAR_SECONDS)
        except Outside as error:
            raise Refused(_answer(_NOT_ALLOWED)) from error
        except (UnknownHost, socket.gaierror, UnicodeError, TimeoutError) as error:
            raise Refused(_answer(_HOST_UNREACHABLE)) from error
        except OSError as error:
            raise Refused(_answer(_BY_NUMBER.get(error.errno or 0, _FAILED))) from error

    def _end(self, last: bytes) -> None:
        if self.transport is not None:
            self.transport.write(last)
            self.transport.close()


def _is_near(way: Endpoint) -> bool:
    return way.host.startswith("127.")


def _answer(reply: int) -> bytes:
    """A reply; which address the connection is made from is nobody's concern."""
    return bytes([_VERSION, reply, 0, _IPV4]) + bytes(6)
