"""Which kind clusters are ours, so that what a killed run left is cleared away, and nothing else ever is.

A cluster of ours has a folder in the cache with the process that owns it. That folder's `mark` is mounted into each of
its nodes, so Docker itself says which cluster was made for which folder: one that merely has the same name is not ours.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from signoff.cluster.kind.tools import containers_of, run_kind
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.paths import cache_dir
from signoff.core.timeouts import PROCESS_EXIT

_OWNER = "owner.json"
IMAGE_VARIABLE = "SIGNOFF_KIND_IMAGE"


@dataclass(frozen=True)
class Owner:
    """The process that started a cluster, by PID and start time, and whether the cluster is to outlive it."""

    pid: int
    started: float
    kept: bool
    image: str | None = None
    """The node image that was asked for; empty for kind's own, None where an older version did not note it."""
    nodes: tuple[str, ...] = ()
    """Its nodes, as texts; none where an older version did not note them."""

    @property
    def lives(self) -> bool:
        """Whether that process still runs."""
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except psutil.NoSuchProcess:
            return False


def node_image() -> str:
    """The node image that is asked for now; empty for kind's own."""
    return os.environ.get(IMAGE_VARIABLE, "")


def folders() -> Path:
    """The folder that holds one folder for each kind cluster of ours, named as the cluster is."""
    return cache_dir() / "kind" / "clusters"


def mark(folder: Path) -> Path:
    """What is mounted into each node of the cluster."""
    return folder / "mark"


def find(named: Path) -> Path:
    """The folder of a cluster that is named by that or by its name."""
    return named.absolute() if named.is_dir() else folders() / named


def open_folder(name: str, nodes: Sequence[Node], *, kept: bool) -> Path:
    """Make the folder of a cluster of these nodes that this process owns.

    Raises:
        SignoffError: there is one already.
    """
    folder = folders() / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise SignoffError(
            f"the kind cluster {name} is in use by another run, or was kept by one",
            where=str(folder),
            hint="choose another name (in SIGNOFF_KIND_NAME), or none for one of its own; "
            f"`signoff cluster down {name}` ends one that was kept",
        ) from None
    me = psutil.Process(os.getpid())
    mark(folder).mkdir()
    owner = Owner(me.pid, me.create_time(), kept, node_image(), tuple(map(str, nodes)))
    (folder / _OWNER).write_text(json.dumps(asdict(owner)), encoding="utf-8")
    return folder


def owner_of(folder: Path) -> Owner | None:
    """Who owns the cluster of this folder; None if the folder is no cluster's."""
    try:
        return Owner(**json.loads((folder / _OWNER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_ours(folder: Path) -> bool:
    """Whether the kind cluster named as this folder was made for it, by the folder's mark in each of its nodes."""
    nodes = containers_of(folder.name)
    return bool(nodes) and all(str(mark(folder)) in mounts for mounts in nodes.values())


def delete(kind: Path, folder: Path) -> None:
    """Delete the cluster that was made for this folder, even half made, and the folder.

    Whoever is still making it is ended first: a kind that outlived its killed run, and docker commands that outlived
    theirs, would add nodes behind our back.

    Raises:
        SignoffError: kind cannot delete it.
    """
    _end_makers(folder)
    if is_ours(folder):
        run_kind(kind, "delete", "cluster", "--name", folder.name, "--kubeconfig", str(folder / "kubeconfig"))
    shutil.rmtree(folder, ignore_errors=True)


def _end_makers(folder: Path) -> None:
    """Kill the kind commands that work for this folder, and let their docker commands come to their end."""
    kubeconfig, label = f"--kubeconfig={folder / 'kubeconfig'}", f"io.x-k8s.kind.cluster={folder.name}"
    commands = {process: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    for process, command in commands.items():
        if kubeconfig in command:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    docker = [process for process, command in commands.items() if label in command]
    psutil.wait_procs(docker, timeout=PROCESS_EXIT.seconds)


def sweep(kind: Path, progress: Callable[[str], None]) -> None:
    """Clear away the clusters whose run has died and that were not to be kept; says so for each."""
    for folder in _abandoned():
        _end_makers(folder)  # before the look: nodes that are just being made have no mark yet
        if is_ours(folder):
            progress(f"removing the kind cluster {folder.name}, which a killed run had left")
        elif containers_of(folder.name):
            progress(
                f"leaving the kind cluster {folder.name} alone: it has the name of a killed run's, but is not that"
            )
        delete(kind, folder)


def _abandoned() -> Iterator[Path]:
    """Folders of clusters whose owner is dead, or that were kept and have been deleted since."""
    for folder in sorted(folders().glob("*")):
        owner = owner_of(folder)
        if owner and not owner.lives and not (owner.kept and is_ours(folder)):
            yield folder
