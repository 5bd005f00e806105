"""Evidence: what was observed, appended to one file before anyone judges it."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff.errors import SignoffError
from signoff.redact import redacted

FILE = "evidence.jsonl"

Record = dict[str, Any]


def forget(kind: str, **data: Any) -> None:
    """Takes the place of `Evidence.record` where nothing is judged."""


class Evidence:
    """The evidence of one run in its folder `dir`: one JSON object a line, flushed as soon as it is written."""

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            SignoffError: it cannot be made or written to.
        """
        self.dir = folder
        try:
            folder.mkdir(parents=True)
            self._file = (folder / FILE).open("a", encoding="utf-8")
        except OSError as error:
            raise SignoffError(
                f"the report's folder cannot be written: {error.strerror}",
                where=str(folder),
                hint="free some space, or name another folder with --reports",
            ) from error

    def record(self, kind: str, **data: Any) -> Record:
        """Append one observation, without secrets, and give it as it was written.

        Raises:
            SignoffError: it cannot be written.
        """
        head = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "monotonic": time.monotonic()}
        record: Record = {**head, "kind": kind, **redacted(data)}
        try:
            self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False, default=str) + "\n")
            self._file.flush()
        except OSError as error:
            raise SignoffError(
                f"evidence cannot be written, so nothing more can be judged: {error.strerror}",
                where=str(self.dir / FILE),
                hint="free some space and run again",
            ) from error
        return record

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record how long the block took, also when it failed."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.record("phase", name=name, seconds=round(time.monotonic() - start, 3))

    def close(self) -> None:
        """Make sure that all of it is on the disk."""
        os.fsync(self._file.fileno())
        self._file.close()


def read(folder: Path) -> tuple[list[Record], bool]:
    """The records of a run, and whether the last line was cut off (the run was killed while it wrote).

    Raises:
        SignoffError: there is no evidence, or a line other than the last is damaged.
    """
    path = folder / FILE
    try:
        # Not splitlines(), which also splits at U+2028 and other characters that JSON strings may hold.
        lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    except OSError as error:
        raise SignoffError("there is no evidence", where=str(path), hint="name the folder of a run") from error
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                return records, True
            raise SignoffError(f"line {number} of the evidence is damaged: {error}", where=str(path)) from error
    return records, False
