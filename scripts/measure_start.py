"""How long an embedded cluster takes to start and to end, and what it holds in memory, as a Markdown table.

    python -m scripts.measure_start --starts 5

Memory is the sum of PSS over the cluster's processes (proc_pid_smaps(5)): pages that several share count once.
"""

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.processes import marked


def main() -> None:
    """Start and end clusters one after the other and print the medians."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--starts", type=int, default=5, help="how many clusters to start (default: 5)")
    starts = parser.parse_args().starts
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(starts):
        for name, value in one_start().items():
            figures[name].append(value)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, medians of {starts} starts (lowest to highest)\n")
    print("| | median | |\n| --- | ---: | --- |")
    for name, values in figures.items():
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} |")


def one_start() -> dict[str, float]:
    """The figures of one cluster: seconds, and MB of memory."""
    begun = time.monotonic()
    cluster = EmbeddedCluster.start(lambda *_: None)
    ready = time.monotonic()
    megabytes = memory_of(cluster.dir)
    ending = time.monotonic()
    cluster.close()
    return {
        **{f"{phase}, s": seconds for phase, seconds in cluster.facts().start_seconds.items() if phase != "total"},
        "start to three Ready nodes, s": ready - begun,
        "memory (PSS), MB": megabytes,
        "end, s": time.monotonic() - ending,
    }


def memory_of(cluster: Path) -> float:
    """Megabytes of all processes that carry the cluster's mark."""
    pids = [pid for pid, folder in marked() if folder == cluster]
    return sum(_pss_kilobytes(pid) for pid in pids) * 1024 / 1e6


def _pss_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
