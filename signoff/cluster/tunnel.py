"""One connection to a pod's port by port-forward: a WebSocket through the API server to the kubelet.

How it ends is what matters here, and the kubernetes library's own `portforward` does not tell that: a kubelet whose pod
has ended the connection says so (a close frame), and so does one that could not reach the port (the error channel);
whatever ends without a word was cut on the way.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from aiohttp import WSMsgType

from signoff.core.timeouts import TUNNEL_ALIVE, TUNNEL_CLOSES

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
"""The channels of the one port (k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go)."""
_ORDERLY = (None, aiohttp.WSCloseCode.OK)
_BY_THE_POD = ("refused", "reset by peer", "broken pipe")
"""What a kubelet tells of a port on which nobody listens, and of a process that ended with its connections open."""


class Cut(Exception):
    """What broke a tunnel, or kept it from being opened."""


class EndedByPod(Exception):
    """The pod itself ended the connection, or never accepted it."""


class Dialler:
    """Opens tunnels by a kubernetes client's configuration."""

    def __init__(self, configuration: Any) -> None:
        self._host = configuration.host.rstrip("/")
        self._ssl = _ssl_of(configuration)
        self._name = configuration.tls_server_name or None
        host = str(urlsplit(self._host).hostname)
        bypassed = configuration.no_proxy and proxy_bypass_environment(host, {"no": configuration.no_proxy})
        self._proxy = None if bypassed else configuration.proxy or None

    async def dial(
        self, session: aiohttp.ClientSession, headers: Mapping[str, str], namespace: str, pod: str, port: int
    ) -> "Tunnel":
        """A tunnel of which the kubelet has told that it knows the port.

        Raises:
            Cut, EndedByPod: there is none.
        """
        url = f"{self._host}/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
        try:
            socket = await session.ws_connect(
                url,
                protocols=(_PROTOCOL,),
                headers=headers,
                ssl=self._ssl,
                server_hostname=self._name,
                proxy=self._proxy,
                max_msg_size=0,
                heartbeat=TUNNEL_ALIVE.seconds,
                timeout=aiohttp.ClientWSTimeout(ws_close=TUNNEL_CLOSES.seconds),
            )
        except aiohttp.WSServerHandshakeError as refused:
            raise Cut(f"the API server refused it: {refused.status} {refused.message}") from refused
        except (aiohttp.ClientError, OSError) as error:
            raise Cut(f"the API server was not reached: {error or type(error).__name__}") from error
        tunnel = Tunnel(socket)
        try:
            for _ in (_DATA, _ERROR):
                await tunnel.receive()  # the port's number, on each
        except BaseException:
            await tunnel.close()
            raise
        return tunnel


class Tunnel:
    """An open one."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse") -> None:
        self._socket = socket

    async def send(self, piece: bytes) -> None:
        """Send this to the pod.

        Raises:
            OSError: it is broken; `receive` tells by what.
        """
        await self._socket.send_bytes(bytes([_DATA]) + piece)

    async def receive(self) -> bytes:
        """What the pod sends next; nothing when it has ended the connection in order.

        Raises:
            Cut, EndedByPod: it has ended otherwise.
        """
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY and message.data:
            if message.data[0] == _ERROR and len(message.data) > 3:
                told = message.data[1:].decode(errors="replace").strip()
                raise (EndedByPod if any(each in told.lower() for each in _BY_THE_POD) else Cut)(told)
            return bytes(message.data[1:])
        if message.type is WSMsgType.CLOSE and message.data in _ORDERLY:
            return b""
        if message.type is WSMsgType.CLOSE:
            raise Cut(f"it was closed with code {message.data} {message.extra or ''}".strip())
        raise Cut(f"it ended without a word: {self._socket.exception() or 'the connection to the API server was lost'}")

    async def close(self) -> None:
        """End it."""
        await self._socket.close()


def _ssl_of(configuration: Any) -> ssl.SSLContext | bool:
    if not configuration.host.startswith("https"):
        return True
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl or configuration.assert_hostname is False:
        context.check_hostname = False
    if not configuration.verify_ssl:
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
