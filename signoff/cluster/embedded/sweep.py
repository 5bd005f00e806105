"""Clear away what clusters left behind whose supervisor was killed."""

import hashlib
import os
import shutil
import time
from pathlib import Path

from signoff.cluster.embedded.processes import descendants, kill, marked, start_time
from signoff.errors import SignoffError
from signoff.limits import CLUSTER_DOWN

PID_FILE = "supervisor.pid"
_UNBORN = ".new-"


def make_cluster_dir(cluster: Path) -> None:
    """Make the folder of a cluster that this process supervises.

    It appears under its name together with its PID file: a sweep never meets one without.

    Raises:
        SignoffError: there is a cluster of this name already.
    """
    me = f"{os.getpid()} {start_time(os.getpid())}"
    unborn = cluster.with_name(f"{_UNBORN}{cluster.name}-{me.replace(' ', '-')}")
    cluster.parent.mkdir(parents=True, exist_ok=True)
    unborn.mkdir(mode=0o700)
    (unborn / PID_FILE).write_text(me)
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
    return Path("/tmp") / f"signoff-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:8]}"


def supervisor_of(cluster: Path) -> int | None:
    """The PID of the living supervisor of the cluster at this folder, or None."""
    try:
        pid, started = (int(word) for word in (cluster / PID_FILE).read_text().split())
    except (OSError, ValueError):
        return None
    return pid if start_time(pid) == started else None


def sweep(clusters: Path) -> list[Path]:
    """Kill the processes and remove the folders of all clusters below `clusters` that nobody supervises any more.

    Touches only processes of this user that carry the mark of such a cluster. Returns the clusters that were swept.
    """
    dead = {cluster for cluster in _folders(clusters) if supervisor_of(cluster) is None}
    deadline = time.monotonic() + CLUSTER_DOWN.seconds
    while orphans := _orphans(clusters):  # again and again: one that is about to be killed may still start another
        dead |= set(orphans.values())
        for pid in orphans:
            for each in (pid, *descendants(pid)):
                kill(each)
        if time.monotonic() > deadline:
            break
        time.sleep(CLUSTER_DOWN.every)
    for cluster in dead:
        remove(cluster)
    return sorted(dead)


def _orphans(clusters: Path) -> dict[int, Path]:
    """The living processes of clusters below `clusters` that nobody supervises, each with its cluster."""
    spared = {os.getpid(), *_ancestors()}
    return {
        pid: cluster
        for pid, cluster in marked()
        if cluster.parent == clusters and pid not in spared and supervisor_of(cluster) is None
    }


def remove(cluster: Path) -> None:
    """Remove a cluster's folder.

    Raises:
        SignoffError: something in it cannot be removed.
    """
    short = short_path(cluster)
    if short.is_symlink() and short.readlink() == cluster:
        short.unlink()
    try:
        shutil.rmtree(cluster)
    except FileNotFoundError:
        if cluster.exists():  # a dying process removed a file of its own meanwhile
            shutil.rmtree(cluster, ignore_errors=True)
    except OSError as error:
        raise SignoffError(
            f"a cluster's folder cannot be removed: {error.strerror}",
            where=str(error.filename),
            hint="remove it by hand",
        ) from error


def _folders(clusters: Path) -> list[Path]:
    """The clusters' folders, and the unborn ones whose maker has died."""
    if not clusters.is_dir():
        return []
    return [folder for folder in clusters.iterdir() if folder.is_dir() and not _being_born(folder)]


def _being_born(folder: Path) -> bool:
    if not folder.name.startswith(_UNBORN):
        return False
    pid, started = folder.name.split("-")[-2:]
    return start_time(int(pid)) == int(started)


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found
