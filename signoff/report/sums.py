"""SHA256SUMS: the last file of a run, which names every other with its SHA-256, as `sha256sum -c` reads it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from signoff.core.whole import put
from signoff.evidence.store import digest

FILE = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Name every file below the folder."""
    put(folder / FILE, as_text({name: digest((folder / name).read_bytes()) for name in files(folder)}))


def drawn_again(folder: Path, names: Iterable[str]) -> None:
    """Hash these files again, and leave what is said of all others: who draws pages vouches for nothing else."""
    if (folder / FILE).is_file():
        put(folder / FILE, as_text(named(folder) | {name: digest((folder / name).read_bytes()) for name in names}))


def named(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file as SHA256SUMS says; a line that says nothing of the kind is left out."""
    text = (folder / FILE).read_text(encoding="utf-8", errors="replace")
    parts = (line.split("  ", 1) for line in text.split("\n"))
    return {name: sha256 for sha256, name in (part for part in parts if len(part) == 2)}


def files(folder: Path) -> Iterator[str]:
    """The names of all files below the folder but that of the sums, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return iter(sorted(name for name in found if name != FILE))


def as_text(sums: dict[str, str]) -> str:
    """The file's text, sorted by name."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
