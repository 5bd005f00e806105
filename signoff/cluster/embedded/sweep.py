"""Clear away what clusters left behind whose supervisor was killed."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from signoff.cluster.embedded.processes import descendants, kill, marked, start_time
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.timeouts import CLUSTER_DOWN, Timeout
from signoff.core.waiting import HoldFailed, NotYet, WaitFailed, consistently, eventually

CLUSTERS = "clusters"
"""The folder of a cache that holds one folder for each running cluster."""
PID_FILE = "supervisor.pid"
_SHORT_PATHS = Path("/var/tmp")
"""Not /tmp, of which each container has its own."""
_UNBORN, _GOING = ".new-", ".old-"
"""A folder that is not a cluster's yet, or no longer; the PID and start time of the process that works on it follow."""

_QUIET = Timeout(0.05, every=0.01)
"""So long nobody must be found: a process that is just being executed shows an empty environment."""


def make_cluster_dir(cluster: Path) -> None:
    """Make the folder of a cluster that this process supervises.

    It appears under its name together with its PID file: a sweep never meets one without.

    Raises:
        SignoffError: there is a cluster of this name already.
    """
    unborn = _own_folder(_UNBORN, cluster)
    cluster.parent.mkdir(parents=True, exist_ok=True)
    unborn.mkdir(mode=0o700)
    (unborn / PID_FILE).write_text(f"{os.getpid()} {start_time(os.getpid())}", encoding="utf-8")
    try:
        unborn.rename(cluster)
    except OSError as error:
        shutil.rmtree(unborn)
        raise SignoffError(
            f"there is a cluster called {cluster.name} already",
            where=str(cluster),
            hint=f"choose another name, or end that one: signoff cluster down {cluster.name}",
        ) from error
    short_path(cluster).symlink_to(cluster)


def short_path(cluster: Path) -> Path:
    """A short name of the cluster's folder, since a socket's path has at most 107 bytes (unix(7))."""
    return _SHORT_PATHS / f"signoff-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:8]}"


def supervisor_of(cluster: Path) -> int | None:
    """The PID of the living supervisor of the cluster at this folder, or None."""
    try:
        pid, started = (int(word) for word in (cluster / PID_FILE).read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        return None
    return pid if start_time(pid) == started else None


def sweep(clusters: Path) -> list[Path]:
    """Kill the processes and remove the folders of all clusters below `clusters` that nobody supervises any more.

    Touches only processes of this user that carry the mark of such a cluster; says which of them do not end in time.
    Returns the clusters whose folders this call removed.
    """
    dead = {cluster for cluster in _folders(clusters) if supervisor_of(cluster) is None}
    dead |= _kill_orphans(clusters)
    _remove_loose_links()
    # Meanwhile another process may have swept one, and made a new cluster of the same name.
    return sorted(cluster for cluster in dead if supervisor_of(cluster) is None and remove(cluster))


def _remove_loose_links() -> None:
    """Remove this user's short names of folders that are gone: someone has removed the cache of a killed run whole."""
    for link in _SHORT_PATHS.glob(f"signoff-{'[0-9a-f]' * 8}"):
        with suppress(OSError):  # another sweep was quicker, or what it leads to is nobody's business but its owner's
            ours = link.lstat().st_uid == os.getuid() and link.is_symlink()
            if ours and link.readlink().parent.name == CLUSTERS and not link.exists():
                link.unlink()


def _kill_orphans(clusters: Path) -> set[Path]:
    """Again and again, since one that is about to be killed may still start another; gives whose they were."""
    found: set[Path] = set()

    def kill_all() -> None:
        orphans = _orphans(clusters)
        found.update(orphans.values())
        for pid in orphans:
            for each in (pid, *descendants(pid)):
                kill(each)
        if orphans:
            raise NotYet(f"PID {', '.join(map(str, sorted(orphans)))}")

    def nobody_is_left() -> None:
        try:
            consistently("no process of a killed run", _QUIET, kill_all)
        except HoldFailed as failed:
            raise NotYet(failed.observation) from None

    try:
        eventually("what a killed run left to end", CLUSTER_DOWN, nobody_is_left)
    except WaitFailed as failed:
        left = f"what a killed run left does not end within {CLUSTER_DOWN.seconds:g} s: {failed.observation}"
        progress("cluster", left)
    return found


def _orphans(clusters: Path) -> dict[int, Path]:
    """The living processes of clusters below `clusters` that nobody supervises, each with its cluster."""
    spared = {os.getpid(), *_ancestors()}
    return {
        pid: cluster
        for pid, cluster in marked()
        if cluster.parent == clusters and pid not in spared and supervisor_of(cluster) is None
    }


def remove(cluster: Path) -> bool:
    """Remove a cluster's folder; False when there is none (any more).

    It leaves its name as a whole, as it came: a sweep never meets one that is half removed.

    Raises:
        SignoffError: something in it cannot be removed.
    """
    short = short_path(cluster)
    if short.is_symlink() and short.readlink() == cluster:
        short.unlink()
    going = _own_folder(_GOING, cluster)
    try:
        cluster.rename(going)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _cannot_be_removed(error) from error
    try:
        shutil.rmtree(going)
    except FileNotFoundError:
        if going.exists():  # a dying process removed a file of its own meanwhile
            shutil.rmtree(going, ignore_errors=True)
    except OSError as error:
        raise _cannot_be_removed(error) from error
    return True


def _cannot_be_removed(error: OSError) -> SignoffError:
    return SignoffError(
        f"a cluster's folder cannot be removed: {error.strerror}",
        where=str(error.filename),
        hint="remove it by hand",
    )


def _folders(clusters: Path) -> list[Path]:
    """The clusters' folders, and those that a process which has died was making or removing."""
    if not clusters.is_dir():
        return []
    return [folder for folder in clusters.iterdir() if folder.is_dir() and not _is_worked_on(folder)]


def _own_folder(stage: str, cluster: Path) -> Path:
    """The name of a folder beside the cluster's that is this process's affair."""
    return cluster.with_name(f"{stage}{cluster.name}-{os.getpid()}-{start_time(os.getpid())}")


def _is_worked_on(folder: Path) -> bool:
    if not folder.name.startswith((_UNBORN, _GOING)):
        return False
    pid, started = folder.name.split("-")[-2:]
    return start_time(int(pid)) == int(started)


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found
