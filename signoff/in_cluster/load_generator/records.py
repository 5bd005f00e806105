"""The raw records of a load: a line of CSV for each request, exact where Locust's own statistics are rounded.

A file that was cut off in the middle of a line, by `kill -9` or a full disk, is read up to its last whole line.
"""

import csv
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # Locust's image has neither of the two
    from signoff.traffic.pairs import Arm

Role = Literal["load", "probe"]


@dataclass(frozen=True)
class Record:
    """One request. Moments are Unix seconds, durations milliseconds; what does not apply is None or empty.

    `intended` is when the schedule of open-loop arrivals wanted it sent; a closed loop intends what it does. `step`
    names the stage of a sweep ("rate=20", "users=8"). A probe's requests share a `pair`: a number for each round of
    both arms. `ttft_ms` and `e2e_ms` count from the sending, so that what a client waited is theirs plus
    (`started` - `intended`). `itl_ms` is the mean time between two tokens. `error` is empty or the kind of failure.
    """

    worker: str
    user: str
    role: Role
    arm: "Arm"
    streamed: bool
    step: str
    pair: int | None
    intended: float
    started: float
    e2e_ms: float
    ttft_ms: float | None
    itl_ms: float | None
    tokens: int | None
    prompt_chars: int
    status: int | None
    error: str


COLUMNS = [field.name for field in fields(Record)]
_values = attrgetter(*COLUMNS)
"""`dataclasses.asdict`, which copies deeply, takes fifty times as long: a fifth of all that a request costs."""


class RecordsFile:
    """Appends records to a file of its own; each line is with the operating system when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, 0
        self._file = path.open("w", newline="", buffering=1, encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, record: Record) -> None:
        """Append one record."""
        self._rows.writerow(_values(record))
        self.lines += 1

    def close(self) -> None:
        """End the file."""
        self._file.close()
