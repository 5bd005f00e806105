"""The lines of evidence and their chain: how every tool writes them, with pydantic or, in a pod, without.

`signoff.evidence.store` gives the lines their types. Nothing is imported here beyond the standard library and what
keeps secrets out, since Locust's image, whose master writes evidence too, has no more.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff.core.redact import redacted

FILE = "evidence.jsonl"
SCHEMA = "signoff.evidence/2"
HEAD = ("seq", "prev", "at", "monotonic", "scenario")
"""What a line says beside its record."""
_BLOCK = 2**20


class Chain:
    """Appends lines to a new file, each with the SHA-256 of the line before it."""

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be made, or is there already.
        """
        self._file = path.open("xb", buffering=0)
        self._rows, self._size, self._last = 0, 0, ""

    def append(self, record: Mapping[str, Any], scenario: str = "") -> dict[str, Any]:
        """Append a record, without secrets; gives the line, which the operating system has then.

        Raises:
            OSError: it cannot be written; what was there before stays as it was.
        """
        line = {
            "seq": self._rows,
            "prev": self._last,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "monotonic": round(time.monotonic(), 6),
            "scenario": scenario,
            **redacted(dict(record)),
        }
        text = as_text(line).encode()
        self._write(text + b"\n")
        self._rows, self._last = self._rows + 1, digest(text)
        return line

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):  # a disk that takes no more lets go of what it took
                self._file.truncate(self._size)
                self._file.seek(self._size)
            raise
        self._size += len(data)

    def fileno(self) -> int:
        """Of the open file."""
        return self._file.fileno()

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._file.closed

    def close(self) -> None:
        """Append nothing more."""
        self._file.close()


def as_text(line: Mapping[str, Any]) -> str:
    """A line as it stands in the file; what is no Unicode, as in a path of another encoding, as JSON escapes it."""
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace").decode()


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def side_file(path: Path) -> dict[str, Any]:
    """How evidence names a file that is whole: with its SHA-256 and its rows, a CSV's heading not counted."""
    found, lines, last = hashlib.sha256(), 0, b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
            lines, last = lines + block.count(b"\n"), block[-1:]
    rows = lines + (last not in (b"", b"\n"))
    return {"name": path.name, "sha256": found.hexdigest(), "rows": max(0, rows - (path.suffix == ".csv"))}
