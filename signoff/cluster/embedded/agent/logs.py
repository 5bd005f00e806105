"""Containers' logs: a file for each start, of which the current and the previous one are kept."""

from dataclasses import dataclass
from pathlib import Path

_TAIL_BYTES = 2048
_TAIL_LINES = 80
"""What a kubelet takes from a log as a termination message."""
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class LogFiles:
    """The logs of one container in `folder`."""

    folder: Path
    container: str

    def of(self, restart: int) -> Path:
        """The log of the start after `restart` restarts."""
        return self.folder / f"{self.container}.{restart}.log"

    def begin(self, restart: int) -> Path:
        """The log for a new start; the one before the previous is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.of(restart - 2).unlink(missing_ok=True)
        self.of(restart).touch()
        return self.of(restart)


def excerpt(log: bytes, *, tail_lines: int | None, limit_bytes: int | None) -> bytes:
    """The part of a log that was asked for: the last lines, and of these the first bytes."""
    if tail_lines is not None:
        lines = log.splitlines(keepends=True)
        log = b"".join(lines[len(lines) - min(tail_lines, len(lines)) :])
    return log if limit_bytes is None else log[:limit_bytes]


def last_words(said: Path, log: Path | None) -> str:
    """The termination message: what the container wrote to its file, or else the end of this log."""
    text = said.read_bytes()[:_MESSAGE_BYTES] if said.exists() else b""
    if not text and log:
        text = excerpt(log.read_bytes(), tail_lines=_TAIL_LINES, limit_bytes=None)[-_TAIL_BYTES:]
    return text.decode(errors="replace")
