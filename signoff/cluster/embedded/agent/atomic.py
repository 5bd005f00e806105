"""A folder whose files change all at once, as a kubelet's atomic writer makes it.

`..data` links to a folder with a time in its name that holds the files, and each name links into `..data`; a rename of
that one link swaps all of them. A program that watches its configuration sees the events that it knows from Kubernetes.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_DATA = "..data"


@dataclass(frozen=True)
class File:
    """One file of a volume, at its path in it."""

    path: str
    content: bytes
    mode: int


def swap_in(folder: Path, files: Sequence[File]) -> None:
    """Have the folder show exactly these files. Nothing happens when it does already."""
    data = folder / _DATA
    old = data.resolve() if data.is_symlink() else None
    if old and _read(old) == {file.path: (file.content, file.mode) for file in files}:
        return
    new = folder / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S.%f}"
    new.mkdir(parents=True)
    for file in files:
        path = new / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    link = folder / "..data_tmp"
    link.symlink_to(new.name)
    link.rename(data)
    names = {file.path.split("/", 1)[0] for file in files}
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in {*names, _DATA}:
            entry.unlink()
    if old:
        shutil.rmtree(old)


def _read(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for root, _, names in os.walk(folder)
        for path in (Path(root) / name for name in names)
    }
