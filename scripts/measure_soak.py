"""Whether a soak's own memory and disk are bounded: hours' worth of records at a modest rate, in minutes.

    python -m scripts.measure_soak                                     # 8 minutes, 50,000 records kept
    python -m scripts.measure_soak --minutes 30 --keep-records 1000000

Locust's master and a worker ask the double of vLLM as quickly as they can, probes included, and this process collects
the master's folder meanwhile, as `signoff load` does. Memory is the resident one of both processes, disk what stands in
the run's folder and in the copy: each the highest at about a quarter of the run (20 to 30 %) and in its last quarter.
What grows with time, not with records, is not hurried by this: a line for each minute, samples (1.3 MB a day for each
pod and worker), and Locust's own statistics, which signoff.in_cluster.load_generator.session trims.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import httpx
import psutil

from signoff.core.paths import ROOT
from signoff.core.timeouts import LOCUST_READY, Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.evidence import FILE, Evidence
from signoff.evidence.models import Run
from signoff.in_cluster.load_generator import files
from signoff.load.distributed import Collector

MODEST_RATE = 10
"""Requests per second that the hours are told for."""
IN_FLIGHT = 8
LOOK_EVERY_SECONDS = 2.0
ROLLED_UP = Timeout(120, every=1)
"""Rolling up goes on for a while after the load's end."""

_DOUBLE = """
import sys
from collections import deque
from doubles.backend import Backend
from doubles.serving import serve
double = Backend()
double.seen = deque(maxlen=1)
serve(double.app(), "127.0.0.1", int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Look:
    """What was held at one moment: MiB of memory and disk."""

    records: int
    master: float
    worker: float
    disk: float
    copy: float


def main() -> None:
    """Load, collect and watch; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--keep-records", type=int, default=50_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        loaded(Path(name), options.minutes, options.keep_records) as (looks, collector),
    ):
        tell(looks, options.keep_records)
        compare(collector, next((Path(name) / "there").iterdir()))


def tell(looks: list[Look], keep: int) -> None:
    """Print the table."""
    count = len(looks)
    early, late = _most(looks[count // 5 : count * 3 // 10]), _most(looks[count * 3 // 4 :])
    print(f"| {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, {keep:,} records kept | "
          "about 25 % | last quarter |\n| --- | ---: | ---: |")  # fmt: skip
    print(f"| records written | {early.records:,} | {late.records:,} |")
    print(f"| hours at {MODEST_RATE} a second | {_hours(early):.1f} | {_hours(late):.1f} |")
    for what in ("master", "worker"):
        print(f"| memory of the {what}, MiB | {getattr(early, what):.0f} | {getattr(late, what):.0f} |")
    print(f"| disk of the run's folder, MiB | {early.disk:.1f} | {late.disk:.1f} |")
    print(f"| disk of the collected copy, MiB | {early.copy:.1f} | {late.copy:.1f} |")


def _most(looks: list[Look]) -> Look:
    return Look(*(max(values) for values in zip(*map(astuple, looks), strict=True)))


def _hours(look: Look) -> float:
    return look.records / MODEST_RATE / 3600


def compare(collector: Collector, there: Path) -> None:
    """Collect until the copy is what it is copied from.

    Raises:
        WaitFailed: it never was.
    """

    def look() -> None:
        collector.copy()
        original, copied = _samples(there), _samples(collector.evidence.dir)
        if original != copied:
            raise NotYet(f"{original} there, {copied} here")

    eventually("the copy to be what it was copied from", ROLLED_UP, look)


def _samples(folder: Path) -> dict[str, int]:
    """Of the files but the evidence, of which each has its own."""
    return {name: size for name, size in files.sizes(folder).items() if name != FILE}


@contextmanager
def loaded(folder: Path, minutes: float, keep: int) -> Iterator[tuple[list[Look], Collector]]:
    """Run a load of so many minutes and look at it all the while; afterwards its page is there inside this block."""
    lengths = folder / "lengths.csv"
    lengths.write_text("prompt_tokens,answer_tokens\n20,1\n", encoding="utf-8")
    double, page = _free_port(), _free_port()
    arguments = ["--proxied", f"http://127.0.0.1:{double}", "--direct", f"http://127.0.0.1:{double}"]
    arguments += ["--reports", str(folder / "there"), "--lengths", str(lengths), "--keep-records", str(keep)]
    arguments += ["--think", "0", "--probe-every", "0.02", "-u", str(IN_FLIGHT), "-r", "100", "--processes", "1"]
    arguments += ["--web-host", "127.0.0.1", "--web-port", str(page), "--autostart", "-t", f"{round(minutes * 60)}s"]
    with (
        _running([sys.executable, "-c", _DOUBLE, str(double)]),
        _running([sys.executable, "-m", "locust", "-f", "bench/", *arguments, "Whole", "Probe"]) as master,
        httpx.Client(base_url=f"http://127.0.0.1:{page}", trust_env=False) as client,
    ):
        eventually("Locust's master to answer", LOCUST_READY, lambda: _listens(page))
        collector = Collector(client, Evidence(folder / "here", Run(tool="load")))
        processes = psutil.Process(master), eventually("Locust's worker", LOCUST_READY, lambda: worker_of(master))
        with watched(processes, client, folder) as looks:
            collector.until_ended()
        yield looks, collector


@contextmanager
def watched(processes: tuple[psutil.Process, psutil.Process], page: httpx.Client, folder: Path) -> Iterator[list[Look]]:
    """Look at master and worker inside this block; what goes wrong with that is raised at its end."""
    looks: list[Look] = []
    over = threading.Event()
    master, worker = processes

    def follow() -> None:
        while not over.wait(LOOK_EVERY_SECONDS):
            told = page.get("/stats/requests").json()["stats"]
            records = sum(each["num_requests"] for each in told if each["name"] == "Aggregated")
            looks.append(Look(records, _mib(master), _mib(worker), _disk(folder / "there"), _disk(folder / "here")))

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        try:
            yield looks
        finally:
            over.set()
        following.result()


def worker_of(master: int) -> psutil.Process:
    """The process that the master has forked before it folds anything: each later fork looks the same for a moment."""
    process = psutil.Process(master)
    forked = [each for each in process.children() if each.cmdline() == process.cmdline()]
    if len(forked) != 1:
        raise NotYet(f"{len(forked)} processes that Locust has forked")
    return forked[0]


def _mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 2**20)


def _disk(folder: Path) -> float:
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size
    return found / 2**20


@contextmanager
def _running(command: list[str]) -> Iterator[int]:
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _listens(port: int) -> None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError as error:
        raise NotYet(str(error)) from None


if __name__ == "__main__":
    main()
