"""Bounds what a soak keeps: old records of the load become counts and sums for each minute; probes stay as they are.

Each worker's records go to files of `LINES` lines, `records-<worker>.csv`, `records-<worker>-0002.csv` and so on. Once
there are more than `MOST_FILES` of a worker, the oldest is folded, by a process of its own so that the load never
waits: `minutes-<worker>.csv` holds a line for each minute, step, arm and kind of error, `probes-<worker>.csv` the
probes' records as they were, and the file itself goes. So a worker keeps at most about 2,000,000 records (300 MB) and
what its probes add (2 a second: 26 MB a day), and reading them stays within the memory that 2,000,000 take. Trends and
rates use the minutes, so that they see the whole soak; percentiles are those of the records that are still there.

Imports nothing beyond the standard library, since Locust's image has no more.
"""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from signoff.load.records import COLUMNS, Record, RecordsFile

LINES = 100_000
MOST_FILES = 20

MINUTE_COLUMNS = ["minute", "step", "arm", "error", "count", "waited_ms"]
"""`minute` is its first Unix second, by the intended moment; `waited_ms` the sum of what users waited."""


class RotatingRecords:
    """Appends a worker's records as `RecordsFile` does, and folds the oldest of its files."""

    def __init__(self, folder: Path, worker: str, lines: int = LINES, most_files: int = MOST_FILES) -> None:
        self._folder, self._worker, self._most, self._most_files = folder, worker, lines, most_files
        self._number, self._lines = 1, 0
        self._file = RecordsFile(self._path(1))
        self._unfolded = [self._path(1)]
        self._folding: subprocess.Popen[bytes] | None = None

    def _path(self, number: int) -> Path:
        return self._folder / f"records-{self._worker}{f'-{number:04}' if number > 1 else ''}.csv"

    def write(self, record: Record) -> None:
        """Append one record."""
        if self._lines == self._most:
            self._next()
        self._file.write(record)
        self._lines += 1

    def _next(self) -> None:
        self._file.close()
        self._number, self._lines = self._number + 1, 0
        self._file = RecordsFile(self._path(self._number))
        self._unfolded.append(self._path(self._number))
        done = self._folding is None or self._folding.poll() is not None  # else the next turn folds it
        if done and len(self._unfolded) > self._most_files:
            oldest = self._unfolded.pop(0)
            self._folding = subprocess.Popen([sys.executable, "-m", __name__, str(oldest)])

    def close(self) -> None:
        """End the file, and wait until what is being folded is folded."""
        self._file.close()
        if self._folding:
            self._folding.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fold(path: Path) -> None:
    """Put a minutes and a probes file in the place of a file of records.

    A kill at any moment loses and doubles nothing: until the records are gone, readers ignore what stands beside them.
    """
    minutes, probes = folded_from(path)
    drafts = minutes.with_name(f".{minutes.name}"), probes.with_name(f".{probes.name}")
    sums: dict[tuple[int, str, str, str], list[float]] = {}
    with path.open(newline="") as source, drafts[1].open("w", newline="") as kept:
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
    with drafts[0].open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(MINUTE_COLUMNS)
        lines.writerows([*key, count, round(waited, 3)] for key, (count, waited) in sorted(sums.items()))
    drafts[0].replace(minutes)
    drafts[1].replace(probes)
    path.unlink()


def folded_from(path: Path) -> tuple[Path, Path]:
    """Where the minutes and the probes of a file of records are once it is folded."""
    rest = path.name.removeprefix("records-")
    return path.with_name(f"minutes-{rest}"), path.with_name(f"probes-{rest}")


def whole(folder: Path, kind: str) -> Iterator[Path]:
    """The files of this kind ("minutes" or "probes") whose records are gone, so that they count."""
    for path in sorted(folder.glob(f"{kind}-*.csv")):
        if not path.with_name(f"records-{path.name.removeprefix(f'{kind}-')}").exists():
            yield path


if __name__ == "__main__":
    fold(Path(sys.argv[1]))
