"""A relay on loopback that puts a known delay before each request; answers pass at once, streams piece by piece.

A process of its own, so that it takes no turns with the client at Python's lock, and a thread for each direction of a
connection: an event loop's timers are up to 1 ms late.

    python -m signoff.traffic.delay_proxy --upstream 127.0.0.1:8000 --delay-ms 18
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

_PIECE = 65536
_GOLDEN = 0.6180339887498949
_AWAKE_SECONDS = 0.002


class Delays:
    """The delay of each request, in seconds: evenly spread over `delay_ms` plus and minus `jitter_ms`.

    Multiples of the golden ratio, modulo one, fill that range evenly from the first ones on (Knuth, The Art of
    Computer Programming 3, 6.4, theorem S), so that the median of what was put in is known however few requests come.
    """

    def __init__(self, delay_ms: float, jitter_ms: float) -> None:
        self._delay, self._jitter = delay_ms / 1000, jitter_ms / 1000
        self._count = 0
        self._lock = threading.Lock()

    def next(self) -> float:
        """The delay of the next request."""
        with self._lock:
            self._count += 1
            return self._delay + self._jitter * (2 * (self._count * _GOLDEN % 1) - 1)


class Relay:
    """Listens at `port` of loopback, and passes everything to `upstream` (host, port)."""

    def __init__(self, upstream: tuple[str, int], delays: Delays) -> None:
        self._upstream, self._delays = upstream, delays
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Accept until the process ends."""
        while True:
            caller, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(caller,), daemon=True).start()

    def _connect(self, caller: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream)
        except OSError:
            caller.close()
            return
        for end in (caller, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answered = threading.Event()
        answered.set()
        threading.Thread(target=self._pass_answers, args=(server, caller, answered), daemon=True).start()
        self._pass_requests(caller, server, answered)

    def _pass_requests(self, caller: socket.socket, server: socket.socket, answered: threading.Event) -> None:
        """The first piece after an answer begins a request, and waits; those behind it have come meanwhile."""
        with contextlib.suppress(OSError):
            while piece := caller.recv(_PIECE):
                if answered.is_set():
                    answered.clear()
                    _wait(self._delays.next())
                server.sendall(piece)
        _end(server)

    def _pass_answers(self, server: socket.socket, caller: socket.socket, answered: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE):
                answered.set()
                caller.sendall(piece)
        _end(caller)


def _wait(seconds: float) -> None:
    """Wait exactly so long: a sleep wakes late, so that the end of it is spent awake."""
    until = time.monotonic() + seconds
    if seconds > _AWAKE_SECONDS:
        time.sleep(seconds - _AWAKE_SECONDS)
    while time.monotonic() < until:
        pass


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running(url: str, delay_ms: float = 0.0, jitter_ms: float = 0.0) -> Iterator[str]:
    """A relay to this http:// URL in a process of its own, which ends with the block; gives the relay's URL."""
    parts = urlsplit(url)
    command = [
        sys.executable,
        "-m",
        "signoff.traffic.delay_proxy",
        "--upstream",
        f"{parts.hostname}:{parts.port or 80}",
    ]
    command += ["--delay-ms", str(delay_ms), "--jitter-ms", str(jitter_ms)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}{parts.path.rstrip('/')}"
        finally:
            process.stdin.close()  # it ends by that


def main() -> None:
    """Relay until standard input closes; the port that was chosen is written to standard output."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    options = parser.parse_args()
    host, _, port = options.upstream.rpartition(":")
    relay = Relay((host, int(port)), Delays(options.delay_ms, options.jitter_ms))
    threading.Thread(target=relay.serve, daemon=True).start()
    print(relay.port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()


if __name__ == "__main__":
    main()
