"""What kustomizations name, and copies of them without the files that are not there: those of Secrets often are not.

Only what is near is looked at: what is fetched is kustomize's own affair.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import SignoffError
from signoff.core.yaml_lines import Path as Place
from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube import documents

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_RESOURCES, _SECRETS = "resources", "secretGenerator"
_OF_FOLDERS = (_RESOURCES, "bases", "components")
_SOURCES = ("files", "envs", "env")
"""What a Secret is generated of."""
_NOT_COPIED = (".git", "node_modules", ".venv")


@dataclass(frozen=True)
class Absent:
    """A file that a kustomization lists, or makes a Secret of, and that is not there; `where` is the line of that."""

    path: Path
    listed_in: Path
    where: str


@dataclass(frozen=True)
class Copies:
    """Copies of kustomizations without what is absent, below `to` as they lie below `root`; none if all is there."""

    absent: tuple[Absent, ...]
    root: Path
    to: Path

    def of(self, folder: Path) -> Path:
        """What to build in place of a folder."""
        return self.to / folder.relative_to(self.root) if self.absent else folder

    def original(self, path: Path | None) -> Path | None:
        """The file of which this is a copy; the file itself if it is none."""
        return self.root / path.relative_to(self.to) if path and path.is_relative_to(self.to) else path


def of(folder: Path) -> Path | None:
    """The file that says what kustomize is to build of a folder.

    Raises:
        SignoffError: there are several.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise SignoffError(
            f"kustomize takes one of {' and '.join(path.name for path in found)}", where=str(folder), hint="remove one"
        )
    return next(iter(found), None)


def listed(resources: Any, file: Path) -> list[str]:
    """The names under `resources` of a kustomization.

    Raises:
        SignoffError: it is no list of names.
    """
    names = resources or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SignoffError("`resources` is not a list of files", where=str(file), hint="write `resources: [a.yaml]`")
    return names


def is_remote(name: str) -> bool:
    """Whether kustomize fetches it."""
    return "://" in name or "?ref=" in name or name.startswith(("github.com/", "git@"))


def absent_in(file: Path) -> list[Absent]:
    """What one kustomization names and is not there, in its order."""
    return [absent for _, absent in _absent(file)]


def without_absent(file: Path, to: Path) -> Copies:
    """Copy a kustomization, and those that it is made of, where a file is not there; what it names is left out.

    kustomize reads nothing from outside of a kustomization's folder but other kustomizations, so these are enough.
    """
    files = list(_reachable(file.resolve()))
    absent = tuple(each for one in files for each in absent_in(one))
    root = Path(os.path.commonpath([each.parent for each in files]))
    copies = Copies(absent, root, to)
    if absent:
        for folder in dict.fromkeys(each.parent for each in files):
            ignored = shutil.ignore_patterns(*_NOT_COPIED)
            shutil.copytree(
                folder, copies.of(folder), ignore=ignored, ignore_dangling_symlinks=True, dirs_exist_ok=True
            )
        for each in files:
            _leave_out(each, copies.of(each.parent) / each.name)
    return copies


def _reachable(file: Path) -> Iterator[Path]:
    """A kustomization and all that it is made of, each once."""
    seen, waiting = set[Path](), [file]
    while waiting:
        each = waiting.pop(0)
        if each in seen:
            continue
        seen.add(each)
        yield each
        for name in (name for key in _OF_FOLDERS for name in _texts(_content(each).get(key))):
            folder = (each.parent / name).resolve()
            if not is_remote(name) and folder.is_dir() and (found := of(folder)):
                waiting.append(found)


def _absent(file: Path) -> Iterator[tuple[Place, Absent]]:
    """What a kustomization names and is not there, each with the place of the entry that names it."""
    content, lines = _content(file), _lines(file)
    named = [
        *(((_RESOURCES, at), name) for at, name in enumerate(_texts(content.get(_RESOURCES))) if not is_remote(name)),
        *(((_SECRETS, at), name) for at, each in enumerate(_tables(content)) for name in _sources(each)),
    ]
    for place, name in named:
        path = file.parent / name
        if not os.path.lexists(path):
            yield place, Absent(path, file, f"{file}:{nearest_line(lines, place)}")


def _leave_out(file: Path, copy: Path) -> None:
    content = _content(file)
    for key, at in reversed(list(dict.fromkeys(place for place, _ in _absent(file)))):
        del content[str(key)][int(at)]
    copy.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _content(file: Path) -> dict[str, Any]:
    return next((document for document in documents.read(file) if document), {})


def _lines(file: Path) -> dict[Place, int]:
    return lines_of(next(iter(documents.nodes(file.read_text(encoding="utf-8-sig"))), None))


def _texts(value: Any) -> list[str]:
    return [each if isinstance(each, str) else "" for each in value] if isinstance(value, list) else []


def _tables(content: dict[str, Any]) -> list[dict[str, Any]]:
    generators = content.get(_SECRETS)
    return [each if isinstance(each, dict) else {} for each in generators] if isinstance(generators, list) else []


def _sources(generator: dict[str, Any]) -> Iterator[str]:
    """The files of which a Secret is generated: `files` may say under which key."""
    for field in _SOURCES:
        told = generator.get(field)
        for each in _texts([told] if isinstance(told, str) else told):
            yield each.partition("=")[2] or each
