"""How the suite finds its programs: in a folder that the user names, the cache, the official release, a build with Go.

A caller to whom a program on PATH is as good, such as `kustomize.command`, looks there first.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signoff.core.errors import SignoffError
from signoff.core.paths import cache_dir, writing

Progress = Callable[[str], None]
LARGER_DISK = "free some space, or set SIGNOFF_CACHE to a folder on a larger disk"


class Unavailable(Exception):
    """This way to the programs is closed; the next is tried."""


@dataclass(frozen=True)
class Recipe:
    """How to get some programs that belong together.

    `download` and `build` put them into the folder that they are given, or raise `Unavailable`. Sizes are bytes:
    `space` of the programs with what is fetched for them, `build_space` of Go's caches after a build as well.
    """

    name: str
    """For a person: "Kubernetes v1.35.4"."""
    folder: str
    """Below the cache, with the version in it."""
    programs: tuple[str, ...]
    variable: str
    """The environment variable with which a user names a folder that has them."""
    contents: str
    """What such a folder should have: "Kubernetes v1.35.4 and etcd v3.6.6"."""
    go: tuple[int, int]
    """The Go that builds them."""
    space: float
    build_space: float
    download: Callable[[Path, Progress], None]
    build: Callable[[Path, Progress], None]
    executable: bool = True
    """Whether they are programs; what comes with one, a file of definitions say, is found by the same ways."""


def find(recipe: Recipe, progress: Progress) -> dict[str, Path]:
    """Return the path of each program, making them first if need be.

    Raises:
        SignoffError: the folder that the user named lacks one, a download has the wrong checksum, or there is neither
            a download nor Go.
    """
    if named := os.environ.get(recipe.variable):
        return _in_named_folder(recipe, Path(named))
    kept = cache_dir() / recipe.folder
    if not _complete(recipe, kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _locked(kept.with_name(f"{kept.name}.lock"), recipe, progress):
            if not _complete(recipe, kept):
                _make(recipe, kept, progress)
    return _paths(recipe, kept)


def check_named_folder(recipe: Recipe) -> None:
    """See that the folder that the user names, if any, has all programs.

    Raises:
        SignoffError: it lacks one.
    """
    if named := os.environ.get(recipe.variable):
        _in_named_folder(recipe, Path(named))


def check_space(what: str, needed: float, folder: Path) -> None:
    """See that the disk of this folder of the cache, which need not be there yet, has room for this many bytes.

    Raises:
        SignoffError: it has not.
    """
    place = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise SignoffError(
            f"{what} needs {needed / 1e9:.2g} GB of disk, and {free / 1e9:.2g} GB are free",
            where=str(place),
            hint=LARGER_DISK,
        )


def _paths(recipe: Recipe, folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in recipe.programs}


def _missing(recipe: Recipe, folder: Path) -> list[str]:
    wanted = os.X_OK if recipe.executable else os.R_OK
    return [name for name, path in _paths(recipe, folder).items() if not os.access(path, wanted)]


def _complete(recipe: Recipe, folder: Path) -> bool:
    return not _missing(recipe, folder)


def _in_named_folder(recipe: Recipe, folder: Path) -> dict[str, Path]:
    if missing := _missing(recipe, folder):
        raise SignoffError(
            f"the folder that {recipe.variable} names lacks {', '.join(missing)}",
            where=str(folder),
            hint=f"put {recipe.contents} there, or unset {recipe.variable}",
        )
    return _paths(recipe, folder.absolute())


@contextmanager
def _locked(path: Path, recipe: Recipe, progress: Progress) -> Iterator[None]:
    """Hold the file's lock, which the kernel frees when this process ends."""
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process is making {recipe.name}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(recipe: Recipe, kept: Path, progress: Progress) -> None:
    """Make the programs in a folder beside `kept` and move it there when all are complete.

    Raises:
        SignoffError: they cannot be had, or there is no room for them.
    """
    check_space(recipe.name, recipe.space, kept.parent)
    partial = kept.with_name(f"{kept.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with writing(recipe.name, partial, LARGER_DISK):
            _download_or_build(recipe, partial, progress)
            shutil.rmtree(kept, ignore_errors=True)
            partial.rename(kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download_or_build(recipe: Recipe, folder: Path, progress: Progress) -> None:
    try:
        recipe.download(folder, progress)
        return
    except Unavailable as closed:
        no_download = str(closed)
        progress(f"no download ({no_download}): building with Go")
    check_space(f"building {recipe.name}", recipe.build_space, folder)
    try:
        recipe.build(folder, progress)
    except Unavailable as closed:
        what = "programs" if recipe.executable else "files"
        raise SignoffError(
            f"{recipe.name} can be neither downloaded nor built",
            where=f"download: {no_download}; build: {closed}",
            hint=f"connect to the internet, or install Go {'.'.join(map(str, recipe.go))} or newer, or put the "
            f"{what} {', '.join(recipe.programs)} into a folder and name it in {recipe.variable}",
        ) from None
