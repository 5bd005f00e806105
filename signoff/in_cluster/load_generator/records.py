"""The raw records of a load: a line of CSV for each request, exact where Locust's own statistics are rounded.

A file that was cut off in the middle of a line, by `kill -9` or a full disk, is read up to its last whole line.
"""

import csv
import io
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from signoff.core.errors import SignoffError

if TYPE_CHECKING:  # Locust's image has neither of the two
    import pandas as pd

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
        self._file = path.open("w", newline="", buffering=1)
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, record: Record) -> None:
        """Append one record."""
        self._rows.writerow(_values(record))
        self.lines += 1

    def close(self) -> None:
        """End the file."""
        self._file.close()


_WORDS = ["worker", "user", "role", "arm", "step", "error"]


def read_records(folder: Path) -> "pd.DataFrame":
    """All records of a run, from the files `records-*.csv` of this folder, in the order of their sending.

    Of files that were folded (signoff.in_cluster.load_generator.rollup), the probes' records.

    What does not apply is NaN in the columns of numbers; words are categories, and "" where there is none.

    Raises:
        SignoffError: there are none, or a file is damaged elsewhere than at its end.
    """
    import pandas as pd

    from signoff.in_cluster.load_generator import rollup

    paths = [*sorted(folder.glob("records-*.csv")), *rollup.whole(folder, "probes")]
    tables = [table for path in paths if len(table := _read(path))]
    if not tables:
        raise SignoffError(
            "there are no records of requests", where=str(folder), hint="name the folder of a load: reports/load-..."
        )
    for word in _WORDS:
        names = sorted({name for table in tables for name in table[word].cat.categories})
        for table in tables:
            table[word] = table[word].cat.set_categories(names)
    return pd.concat(tables, ignore_index=True).sort_values("started", ignore_index=True, kind="stable")


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    types: dict[str, Any] = dict.fromkeys(_WORDS, "category") | {"streamed": "bool"}
    numbers = dict.fromkeys([name for name in COLUMNS if name not in types], "float64")
    empty = {name: ["nan", ""] if name in numbers else [] for name in COLUMNS}
    try:
        return pd.read_csv(_whole_lines(path), dtype=types | numbers, na_values=empty, keep_default_na=False)[COLUMNS]
    except (pd.errors.ParserError, ValueError, KeyError) as error:
        raise SignoffError(
            f"the records are damaged: {error}", where=str(path), hint="take the file out of the folder, or mend it"
        ) from error


def _whole_lines(path: Path) -> "Path | io.BytesIO":
    """The file, or its lines without the last one if that was cut off."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read() == b"\n":
            return path
        file.seek(0)
        data = file.read()
    lines = data[: data.rfind(b"\n") + 1]
    return io.BytesIO(lines or (",".join(COLUMNS) + "\n").encode())
