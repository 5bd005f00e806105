"""How long the analysis of a million records takes, and what memory: reading, judging and drawing them.

    python -m scripts.measure_analysis                  # 1,000,000 records, four steps
    python -m scripts.measure_analysis --records 100000

The records are synthetic (as the tests' are), in four files as from four workers. The analysis runs in a process of its
own, `signoff load-report`, whose start and imports count; its memory is the most that was resident.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.synthetic_load import Behaviour, Synthetic, pod_memory

SECONDS, STEPS = 600.0, 4
PAIRS = 1200
WORKERS = 4
BAR_SECONDS, BAR_MIB = 10.0, 1024


def main() -> None:
    """Write the records, analyse them, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="how many (default: 1000000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), options.records)
        megabytes = sum(path.stat().st_size for path in Path(folder).glob("records-*.csv")) / 1e6
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "signoff.cli", "load-report", folder], stdout=subprocess.DEVNULL, check=False
        )
        seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode not in (0, 1):
        sys.exit(f"the analysis ended with status {ended.returncode}")
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}\n")
    print("| | measured | bar |")
    print("| --- | ---: | ---: |")
    print(f"| records | {written:,} ({megabytes:.0f} MB) | |")
    print(f"| wall clock | {seconds:.1f} s | {BAR_SECONDS:g} s |")
    print(f"| processor time | {used.ru_utime + used.ru_stime:.1f} s | |")
    print(f"| memory at most | {used.ru_maxrss / 1024:.0f} MiB | {BAR_MIB} MiB |")


def write(folder: Path, records: int) -> int:
    """A sweep of about so many records; gives how many they are."""
    rate = (records - 2 * PAIRS * STEPS) / (SECONDS * STEPS)
    run = Synthetic(
        loads=[rate * factor for factor in (0.4, 0.8, 1.2, 1.6)],
        behaviours=[Behaviour(pairs=PAIRS, error_share=0.001)],
        seconds=SECONDS,
        samples=pod_memory(2.0, hours=SECONDS * STEPS / 3600, every=5.0),
    )
    run.write(folder)
    whole = (folder / "records-local.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "records-local.csv").unlink()
    for number in range(WORKERS):
        own = (line.replace("local", f"worker-{number}", 1) for line in whole[1 + number :: WORKERS])
        (folder / f"records-worker-{number}.csv").write_text(whole[0] + "".join(own), encoding="utf-8")
    return len(whole) - 1


if __name__ == "__main__":
    main()
