"""The memory limit of a container, looked at from outside once a second.

Counted is what a cgroup cannot give back: anonymous and shared memory, of the main process and all below it. A program
that grows beyond its limit and shrinks again within a second is not noticed.
"""

from collections.abc import Iterator
from pathlib import Path

_COUNTED = ("RssAnon:", "RssShmem:")


def held_by(pid: int) -> int:
    """Bytes that the process and all below it hold; 0 when it has gone."""
    return sum(_own(each) for each in (pid, *below(pid)))


def below(pid: int) -> Iterator[int]:
    """The processes that it has started, those that these have started, and so on."""
    for child in _children(pid):
        yield child
        yield from below(child)


def _own(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))


def _children(pid: int) -> list[int]:
    """Its children (proc_pid_task(5)), whichever of its threads started them."""
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return []
