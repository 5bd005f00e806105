"""Which program uses a cluster."""

from pathlib import Path

_LONGEST = 60


def program(pid: int) -> str:
    """The process as a person knows it, such as "pid 12 (pytest features/)"; without the words where it has gone."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"pid {pid}"
    words = [Path(word).name if "/" in word and index < 2 else word for index, word in enumerate(command) if word]
    return f"pid {pid} ({' '.join(words)[:_LONGEST]})"
