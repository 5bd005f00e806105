"""Bounds what a soak keeps: old records of the load become counts and sums for each minute, probes stay for longer.

Each worker's records go to files of their own, `records-<worker>.csv`, `records-<worker>-0002.csv` and so on. Once more
than `FILES` of all workers together are full, the oldest are rolled up, by a process of their own so that the load
never waits: `minutes-<worker>.csv` holds a line for each minute, step, arm and kind of error, `probes-<worker>.csv` the
probes' records as they were, and the file itself goes. Of such probes half as many are kept as of records; the oldest
go. So a run keeps at most `KEEP` records (150 MB), as many as `signoff load-report` reads in about ten seconds, one
more growing file of each worker, and 500,000 such probes: those of a day and a half at two pairs a second. What grows
without a bound is small: a line for each minute, and the samples (1.3 MB a day for each pod and worker).

Trends and rates use the minutes, so that they see the whole soak; percentiles are those of the records that are still
there, the overhead is that of the probes. Whoever copies a folder that grows calls `follow_rollup`.

Imports nothing beyond the standard library, since Locust's image has no more.
"""

import csv
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from signoff.in_cluster.load_generator.records import COLUMNS, Record, RecordsFile

KEEP = 1_000_000
FILES = 20

MINUTE_COLUMNS = ["minute", "step", "arm", "error", "count", "waited_ms"]
"""`minute` is its first Unix second, by the intended moment; `waited_ms` the sum of what users waited."""


class RotatingRecords:
    """Appends the records of all workers, each worker's to files of its own, and rolls up the oldest full ones."""

    def __init__(self, folder: Path, keep: int = KEEP, files: int = FILES) -> None:
        self._folder, self._keep, self._files = folder, keep, files
        self._growing: dict[str, RecordsFile] = {}
        self._numbers: Counter[str] = Counter()
        self._full: list[Path] = []
        self._rollup: subprocess.Popen[bytes] | None = None

    def write(self, record: Record) -> None:
        """Append one record."""
        file = self._growing.get(record.worker)
        if file is None or file.lines >= self._keep // self._files:
            file = self._next(record.worker)
        file.write(record)

    def _next(self, worker: str) -> RecordsFile:
        if before := self._growing.get(worker):
            before.close()
            self._full.append(before.path)
            self._roll_up_oldest()
        self._numbers[worker] += 1
        number = self._numbers[worker]
        path = self._folder / f"records-{worker}{f'-{number:04}' if number > 1 else ''}.csv"
        file = self._growing[worker] = RecordsFile(path)
        return file

    def _roll_up_oldest(self) -> None:
        if self._rollup and self._rollup.poll() is None:
            return  # the next full file has another try, as after a failed one
        self._full = [path for path in self._full if path.exists()]
        if oldest := self._full[: -self._files]:
            command = [sys.executable, "-m", __name__, str(self._keep // 2), *map(str, oldest)]
            self._rollup = subprocess.Popen(command)

    def close(self) -> None:
        """End the files, and wait until what is being rolled up is."""
        for file in self._growing.values():
            file.close()
        if self._rollup:
            self._rollup.wait()


def roll_up(path: Path) -> None:
    """Put a minutes and a probes file in the place of a file of records.

    A kill at any moment loses and doubles nothing: until the records are gone, readers ignore what stands beside them.
    """
    minutes, probes = rolled_up_from(path)
    drafts = minutes.with_name(f".{minutes.name}"), probes.with_name(f".{probes.name}")
    sums: dict[tuple[int, str, str, str], list[float]] = {}
    with path.open(newline="", encoding="utf-8") as source, drafts[1].open("w", newline="", encoding="utf-8") as kept:
        probe_lines = csv.DictWriter(kept, COLUMNS)
        probe_lines.writeheader()
        for row in csv.DictReader(source):
            if row["role"] == "probe":
                probe_lines.writerow(row)
                continue
            intended, started = float(row["intended"]), float(row["started"])
            key = int(intended // 60 * 60), row["step"], row["arm"], row["error"]
            total = sums.setdefault(key, [0, 0.0])
            total[0] += 1
            total[1] += (started - intended) * 1000 + float(row["e2e_ms"])
    with drafts[0].open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(MINUTE_COLUMNS)
        lines.writerows([*key, count, round(waited, 3)] for key, (count, waited) in sorted(sums.items()))
    drafts[0].replace(minutes)
    drafts[1].replace(probes)
    path.unlink()


def drop_oldest_probes(folder: Path, most: int) -> None:
    """Remove the oldest of the probes' files, as long as those that stay hold `most` lines or more."""
    kept = 0
    for path in sorted(whole(folder, "probes"), key=lambda path: path.stat().st_mtime, reverse=True):
        if kept >= most:
            path.unlink()
        else:
            kept += path.read_bytes().count(b"\n") - 1


def rolled_up_from(path: Path) -> tuple[Path, Path]:
    """Where the minutes and the probes of a file of records are once it is rolled up."""
    rest = path.name.removeprefix("records-")
    return path.with_name(f"minutes-{rest}"), path.with_name(f"probes-{rest}")


def worker_of(rest: str) -> str:
    """Whose file it is, by its name without the kind: "worker-1-0002.csv" is of "worker-1"."""
    return re.sub(r"(-\d{4,})?\.csv$", "", rest)


def whole(folder: Path, kind: str) -> Iterator[Path]:
    """The files of this kind ("minutes" or "probes") whose records are gone, so that they count."""
    for path in sorted(folder.glob(f"{kind}-*.csv")):
        if not path.with_name(f"records-{path.name.removeprefix(f'{kind}-')}").exists():
            yield path


def follow_rollup(folder: Path, there: Collection[str]) -> None:
    """Remove from a copy what was rolled up or dropped where it was copied from; `there` names the files of now.

    Records only where the copy has the minutes that they became, so that a copy that was broken off loses nothing.
    """
    for path in folder.glob("minutes-*.csv"):
        rest = path.name.removeprefix("minutes-")
        records, probes = f"records-{rest}", f"probes-{rest}"
        if path.name in there and records not in there and (probes not in there or (folder / probes).exists()):
            (folder / records).unlink(missing_ok=True)
            if probes not in there:
                (folder / probes).unlink(missing_ok=True)


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[2:]]
    for path in paths:
        roll_up(path)
    drop_oldest_probes(paths[0].parent, int(sys.argv[1]))
