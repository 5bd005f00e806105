"""How far the verdict on overhead can be trusted, as Markdown tables.

    python -m scripts.measure_verdict                      # everything, on noise recorded against a double of vLLM
    python -m scripts.measure_verdict --csv reports/<run>/overhead.csv --runs 4000

Simulated runs: rounds of a recorded run are drawn in long blocks, the control stands for the proxied arm with a known
overhead on top, and each run is judged. Client: its requests beside those of a bare socket, in random order.
"""

import argparse
import json
import os
import platform
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from signoff import story
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.overhead.estimate import Rounds, Samples, estimates, verdict_of
from signoff.stats.arrays import Numbers
from signoff.traffic import timings_csv
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import measure
from signoff.verdicts.verdict import Value

RECORDED_ROUNDS = 600
LONG_BLOCK = 25
"""Rounds in a row that a simulated run takes from the recording, so that neighbours stay neighbours."""
CHUNK = 100
SOON = Timeout(10, every=0.1)


@dataclass(frozen=True)
class Case:
    """What is simulated: `noise` times the recorded scatter, and the arm whose scatter the proxied one has.

    With `plain_ms` plain answers have this overhead, so that the streams alone decide.
    """

    name: str
    pairs: int
    noise: float = 1.0
    proxied_column: int = 2
    plain_ms: float | None = None


CASES = (
    Case("400 pairs, vLLM's scatter on both arms", 400),
    Case("400 pairs, five times the scatter", 400, noise=5.0),
    Case("400 pairs, LiteLLM's own scatter", 400, proxied_column=1),
    Case("400 pairs, only streams so slow, plain 20 ms", 400, plain_ms=20.0),
    Case("100 pairs (p95 not judged)", 100),
    Case("100 pairs, only streams so slow, plain 20 ms", 100, plain_ms=20.0),
    Case("20 pairs, the fewest", 20),
    Case("20 pairs, only streams so slow, plain 20 ms", 20, plain_ms=20.0),
)
OVERHEADS_MS = (100.0, 80.0)


def main() -> None:
    """Simulate runs, and measure the client's own cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="overhead.csv of a run (default: record one against doubles)")
    parser.add_argument("--runs", type=int, default=4000, help="simulated runs of each case (default: 4000)")
    parser.add_argument("--requests", type=int, default=2000, help="requests of each client (default: 2000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that simulate (default: all CPUs)")
    parser.add_argument("--case", help="only the cases whose name contains this")
    parser.add_argument("--only", choices=("simulate", "client"))
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}\n")
    if options.only != "client":
        rounds = Samples(timings_csv.read(options.csv)).rounds() if options.csv else record()
        show_simulated(
            rounds, [case for case in CASES if (options.case or "") in case.name], options.runs, options.jobs
        )
    if options.only != "simulate":
        with double() as url:
            show_client(url, options.requests)


# Simulated runs


def record() -> Rounds:
    """Rounds against doubles of vLLM and of a gateway."""
    with double("--delay-ms", "8", "--jitter-ms", "2") as direct, gateway(direct) as proxied:
        timed = measure(Endpoint(direct), Endpoint(proxied), pairs=RECORDED_ROUNDS, seed=1)
        return Samples(tuple(timed)).rounds()


def show_simulated(rounds: Rounds, cases: Sequence[Case], runs: int, jobs: int) -> None:
    """Print how often each case passes, fails, or is inconclusive."""
    spread = np.subtract(*np.quantile(rounds.ms[:, 2] - rounds.ms[:, 0], [0.75, 0.25]))
    print(f"{runs} simulated runs of each case, from {len(rounds)} recorded rounds; ", end="")
    print(f"direct against direct scatters by {spread:.2f} ms between its quartiles\n")
    print("| case | true overhead | passed | inconclusive | failed |\n| --- | ---: | ---: | ---: | ---: |")
    with ProcessPoolExecutor(jobs) as pool:
        for case in cases:
            for overhead_ms in OVERHEADS_MS:
                simulate = partial(verdicts, rounds, case, overhead_ms)
                seeds = [(seed, min(CHUNK, runs - seed)) for seed in range(0, runs, CHUNK)]
                found = sum(pool.map(simulate, seeds), Counter[Value]())
                shares = [found[verdict] / runs for verdict in (Value.PASSED, Value.INCONCLUSIVE, Value.FAILED)]
                cells = " | ".join(f"{share:.1%}" for share in shares)
                print(f"| {case.name} | {overhead_ms:g} ms | {cells} |", flush=True)
    print()


def verdicts(recorded: Rounds, case: Case, overhead_ms: float, chunk: tuple[int, int]) -> Counter[Value]:
    """The verdicts of some runs; `chunk` is the seed of the first, and how many."""
    first, count = chunk
    return Counter(one(recorded, case, overhead_ms, seed) for seed in range(first, first + count))


def one(recorded: Rounds, case: Case, overhead_ms: float, seed: int) -> Value:
    """The verdict of one simulated run."""
    population = with_overhead(recorded, case, overhead_ms)
    rng = np.random.default_rng(seed)
    starts = rng.integers(len(recorded), size=-(-case.pairs // LONG_BLOCK))
    rows = ((starts[:, None] + np.arange(LONG_BLOCK)) % len(recorded)).ravel()[: case.pairs]
    nothing = np.full((case.pairs, 3), np.nan)
    drawn = Rounds(population[rows], nothing, nothing, recorded.streamed[rows])
    return verdict_of(estimates(drawn, seed=seed), story.OVERHEAD_LIMIT_MS).value


def with_overhead(recorded: Rounds, case: Case, overhead_ms: float) -> Numbers:
    """The recorded rounds with a proxied arm whose median overhead is exactly this, streamed and not."""
    direct, proxied, control = (recorded.ms[:, column].copy() for column in (0, case.proxied_column, 2))
    for kind in (False, True):
        mine = recorded.streamed == kind
        base = np.median(direct[mine])
        direct[mine], control[mine] = (base + case.noise * (each[mine] - base) for each in (direct, control))
        proxied[mine] = base + case.noise * (proxied[mine] - base)
        wanted = overhead_ms if kind or case.plain_ms is None else case.plain_ms
        proxied[mine] += wanted - np.median(proxied[mine] - direct[mine])
    return np.stack([direct, proxied, control], axis=1)


# The client


def show_client(url: str, requests: int) -> None:
    """Print the time of a request by the client and by a bare socket, streamed and not."""
    print("| ms a request, median | bare socket | client | client's own |\n| --- | ---: | ---: | ---: |")
    with OpenAIClient(Endpoint(url)) as client:
        for stream in (False, True):
            body: dict[str, Any] = {"messages": [{"role": "user", "content": "echo " + "word " * 7}], "max_tokens": 8}
            bare = BareSocket(url, {"model": story.MODEL, **body, **({"stream": True} if stream else {})})

            def ask_ms(body: dict[str, Any] = body, stream: bool = stream) -> float:
                return client.chat(**body, stream=stream).e2e_ms

            ways = {"bare": bare.ask_ms, "client": ask_ms}
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(-50, requests):
                for name in random.sample(list(ways), len(ways)):
                    ms = ways[name]()
                    if number >= 0:
                        taken[name].append(ms)
            bare_ms, client_ms = np.median(taken["bare"]), np.median(taken["client"])
            own = np.median(np.subtract(taken["client"], taken["bare"]))
            print(f"| {'streamed' if stream else 'plain'} | {bare_ms:.2f} | {client_ms:.2f} | {own:+.2f} |")


class BareSocket:
    """The cheapest client there is: bytes made beforehand, and a look for the end of the answer."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((str(parts.hostname), int(parts.port or 80)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent

    def ask_ms(self) -> float:
        """Send the request and read the whole answer; the milliseconds it took."""
        start = time.monotonic()
        self._socket.sendall(self._request)
        answer = self._socket.recv(65536)
        while not _whole(answer):
            answer += self._socket.recv(65536)
        return (time.monotonic() - start) * 1000


def _whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(length) and len(body) >= int(length)


@contextmanager
def double(*arguments: str) -> Iterator[str]:
    """The double of vLLM as a process of its own."""
    with _program("doubles.backend", *arguments) as url:
        yield url


@contextmanager
def gateway(upstream: str) -> Iterator[str]:
    """The honest double of a gateway as a process of its own."""
    with _program("doubles.gateway", "--upstream", upstream) as url:
        yield url


def _connect(port: int) -> None:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError as error:
        raise NotYet(str(error)) from None


@contextmanager
def _program(module: str, *arguments: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", module, "--port", str(port), *arguments]) as process:
        try:
            eventually(f"{module} to listen", SOON, lambda: _connect(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
