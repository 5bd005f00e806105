"""Processes that never outlive their cluster: the parent-death signal, the subreaper, the mark and the last sweep.

A parent-death signal reaches only direct children, so the supervisor is also the subreaper of its whole tree: orphaned
grandchildren come to it, and `kill_descendants` finds them. The mark in the environment lets a later start find what
a supervisor killed with SIGKILL left behind.
"""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from signoff.core.processes import dying_with
from signoff.core.timeouts import CLUSTER_DOWN
from signoff.core.waiting import NotYet, WaitFailed, eventually

MARK = "SIGNOFF_PROCESS_OF"
"""The environment variable that every process of a cluster carries; its value is the cluster's folder."""
_OLD_MARK = "SIGNOFF_CLUSTER"
"""What it was before; a person sets it to the kind of cluster that is wanted, which is no absolute path."""


async def spawn(
    argv: Sequence[str | Path], *, cluster: Path, log: Path, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a marked child that dies with this process and writes both its outputs to `log`.

    Call it from the main thread: the parent-death signal follows the spawning thread.
    """
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**(os.environ if env is None else env), MARK: str(cluster)},
            preexec_fn=dying_with(os.getpid()),
            start_new_session=True,
        )


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot, or None when there is none (or only its zombie)."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command name, that is from `state` on (proc_pid_stat(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None


def pids() -> Iterator[int]:
    """Every process that /proc shows."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def descendants(root: int) -> list[int]:
    """All processes below `root`, zombies included."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        if fields := _stat(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def kill_descendants(pid: int) -> bool:
    """SIGKILL everything below `pid` until nothing is left; False if something outlasted `CLUSTER_DOWN`.

    When `pid` is this process, dead children are reaped as well.
    """

    def kill_the_living() -> None:
        living = [each for each in descendants(pid) if not _reaped(each, parent=pid)]
        for each in living:
            kill(each)
        if living:
            raise NotYet(f"PID {', '.join(map(str, living))}")

    try:
        eventually(f"all below PID {pid} to end", CLUSTER_DOWN, kill_the_living)
    except WaitFailed:
        return False
    return True


def _reaped(pid: int, *, parent: int) -> bool:
    if parent != os.getpid():
        return start_time(pid) is None
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return start_time(pid) is None


def dead_children() -> list[int]:
    """The zombies that wait to be reaped by this process."""
    me = str(os.getpid())
    return [pid for pid in pids() if (fields := _stat(pid)) and fields[0] == "Z" and fields[1] == me]


def reap(pid: int) -> None:
    """Free a dead child's entry in the process table, if it is still there."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_that(pid: int, started: int | None, cluster: Path) -> bool:
    """Whether a PID that was noted is that process still; a version that noted no start is content with its mark."""
    if started is not None:
        return start_time(pid) == started
    return any(each == pid and folder == cluster for each, folder in marked())


def marked() -> Iterator[tuple[int, Path]]:
    """Every living process of this user that carries the mark, with the folder that the mark names."""
    for pid in pids():
        try:
            if Path(f"/proc/{pid}").stat().st_uid != os.getuid():
                continue
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if folder := _folder_in(environment):
            yield pid, folder


def _folder_in(environment: bytes) -> Path | None:
    """What the mark names, in a process's environment as /proc shows it."""
    variables = dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0"))
    named = variables.get(MARK.encode()) or variables.get(_OLD_MARK.encode(), b"")
    return Path(os.fsdecode(named)) if named.startswith(b"/") else None


def memory_of(root: int) -> float:
    """Megabytes of a process and all below it: the sum of PSS, so that pages which several share count once."""
    return sum(_pss_kilobytes(pid) for pid in (root, *descendants(root))) * 1024 / 1e6


def _pss_kilobytes(pid: int) -> int:
    """Proportional set size (proc_pid_smaps(5)); 0 for a process that has ended meanwhile."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
