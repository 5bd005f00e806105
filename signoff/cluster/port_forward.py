"""A Service's port on this machine's loopback, through the API server, for clusters whose network is another one.

Each connection goes to a pod that is Ready at that moment, so no repair is due when pods come and go: the next
connection finds the new ones. Without a Ready pod a connection is reset, as a Service without endpoints refuses.
"""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on with no time: closing sends RST (socket(7))."""


class ServiceForward:
    """Listens at `url` until `close`; costs some milliseconds a connection and a fraction of one a request."""

    def __init__(self, kubeconfig: Path, namespace: str, service: str, port: int) -> None:
        self._namespace, self._service, self._port = namespace, service, port
        api = config.new_client_from_config(str(kubeconfig))
        self._core, self._discovery = client.CoreV1Api(api), client.DiscoveryV1Api(api)
        # Opening a tunnel swaps a method of its client for the time of the call, so that client is for tunnels alone.
        self._tunnels = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        self._opening = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name=f"forward to {service}", daemon=True).start()

    def close(self) -> None:
        """Stop listening; connections that are open end with their pods or their callers."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pod = self._connect()
        if pod is None:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            caller.close()
            return
        threading.Thread(target=_pump, args=(pod, caller), daemon=True).start()
        _pump(caller, pod)

    def _connect(self) -> Any:
        """The near end of a tunnel to a Ready pod, or None; each Ready pod is tried once."""
        with contextlib.suppress(ApiException, OSError):
            for pod, port in self._ready_pods():
                with contextlib.suppress(ApiException, OSError), self._opening:
                    method = self._tunnels.connect_get_namespaced_pod_portforward
                    return portforward(method, pod, self._namespace, ports=str(port)).socket(port)
        return None

    def _ready_pods(self) -> Iterator[tuple[str, int]]:
        """Names of the Ready pods behind the Service, in random order, and the port that each listens on."""
        offered = self._core.read_namespaced_service(self._service, self._namespace).spec.ports or []
        names = {each.name or "" for each in offered if each.port == self._port}
        slices = self._discovery.list_namespaced_endpoint_slice(
            self._namespace, label_selector=f"kubernetes.io/service-name={self._service}"
        ).items
        found = [
            (end.target_ref.name, port.port)
            for piece in slices
            for port in piece.ports or []
            if (port.name or "") in names
            for end in piece.endpoints or []
            if end.conditions.ready and end.target_ref is not None
        ]
        random.shuffle(found)
        yield from found


def _pump(source: Any, sink: Any) -> None:
    """Pass on what `source` sends until it ends, then end both: a tunnel cannot be half closed."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
