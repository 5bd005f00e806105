"""What kustomizations name, and stand-ins for them without what is not there: files of Secrets often are not.

Only what is near is looked at: what is fetched is kustomize's own affair.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import SignoffError
from signoff.core.redact import hide, is_credential
from signoff.core.yaml_lines import Path as Place
from signoff.core.yaml_lines import lines_of, nearest_line
from signoff.kube import documents

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_RESOURCES, _SECRETS = "resources", "secretGenerator"
_OF_FOLDERS = (_RESOURCES, "bases", "components")
_OF_LINES, _OF_FILES, _OF_TEXTS = ("envs", "env"), ("files",), "literals"
"""What a Secret is generated of."""
_HTTP = ("https://", "http://")
_HOSTS = ("git::", "gh:", "ssh://", *_HTTP, "file://", "git@", "github.com:", "github.com/")
_OF_AZURE = "_git/"


@dataclass(frozen=True)
class Absent:
    """A file that a kustomization lists, or makes a Secret of, and that is not there; `where` is the line of that.

    `secret` is what a generator calls the Secret; it is empty for what is listed.
    """

    path: Path
    listed_in: Path
    where: str
    secret: str = ""


@dataclass(frozen=True)
class StandIns:
    """Kustomizations without what is absent, below `to` as the true ones lie below `root`; none if all is there."""

    absent: tuple[Absent, ...]
    root: Path
    to: Path

    def of(self, path: Path) -> Path:
        """What to build, or to read, in place of a folder or a file."""
        return self.to / path.relative_to(self.root) if self.absent else path

    def original(self, path: Path | None) -> Path | None:
        """The path in whose place this one stands; the path itself if it stands for none."""
        return self.root / path.relative_to(self.to) if path and path.is_relative_to(self.to) else path


def of(folder: Path) -> Path | None:
    """The file that says what kustomize is to build of a folder.

    Raises:
        SignoffError: there are several, or the folder may not be looked into.
    """
    found = [folder / name for name in NAMES if documents.is_file(folder / name)]
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
    """Whether kustomize fetches it, by its own rule (api/internal/git/repospec.go; loader/fileloader.go for http).

    >>> is_remote("github.com/a/b?ref=main"), is_remote("git@gitlab.com:a/b"), is_remote("https://example.com/a.yaml")
    (True, True, True)
    >>> is_remote("gitlab.com/a/b"), is_remote("github.com/a"), is_remote("a.yaml?ref=main")
    (False, False, False)
    """
    url = name.partition("?")[0]
    if Path(name).is_absolute() or not url:
        return False
    if url.lower().startswith(_HTTP):
        return True
    if _OF_AZURE in url:
        return not url.partition(_OF_AZURE)[2].startswith("/") and not url.endswith(_OF_AZURE)
    host, path = _host_and_path(url)
    names_repository = path.find("/") > 0 or path.find(".git") > 0 or (host.endswith("file://") and bool(path))
    return bool(host) and names_repository


def _host_and_path(url: str) -> tuple[str, str]:
    host = ""
    for prefix in _HOSTS:
        if len(prefix) < len(url) and url.lower().startswith(prefix):
            host, url = host + prefix, url[len(prefix) :]
    if host.endswith(("git@", "ssh://")):
        separator = re.search("[:/]" if host == "git@" else "/", url)
        return (host + url[: separator.start()], url[separator.end() :]) if separator else (host, url)
    return host, url


def absent_in(file: Path) -> list[Absent]:
    """What one kustomization names and is not there, in its order; a link that leads nowhere is not there."""
    return [absent for _, absent in _absent(file)]


def parts_of(file: Path) -> list[Path]:
    """A kustomization and all those that it is made of, each once.

    Raises:
        SignoffError: one is made of itself, or cannot be read.
    """
    found: dict[Path, None] = {}

    def visit(each: Path, above: tuple[Path, ...]) -> None:
        found[each] = None
        for place, part in _included(each):
            if part in above:
                raise SignoffError(
                    f"the kustomization {part} includes itself",
                    where=f"{each}:{nearest_line(_lines(each), place)}",
                    hint="take the line out",
                )
            if part not in found:
                visit(part, (*above, part))

    own = _real(file)
    visit(own, (own,))
    return list(found)


def hide_secrets(files: list[Path]) -> None:
    """Show nothing of what generators make Secrets of: kustomize repeats what it does not understand."""
    for file in files:
        for _, generator in _tables(_content(file)):
            for text in _below(generator.get(_OF_TEXTS)):
                _hide_pair(text)
            for name in _sources(generator, _OF_LINES):
                for line in _text_of(file.parent / name).splitlines():
                    _hide_pair(line)
            for name in _sources(generator, _OF_FILES):
                hide(_text_of(file.parent / name), surely=False)


def _hide_pair(text: str) -> None:
    key, equals, value = text.partition("=")
    secret = value if equals else text
    for each in (secret, secret.strip("'\"")):
        hide(each, surely=not equals or is_credential(key))


def _text_of(file: Path) -> str:
    """As what kustomize says is decoded. Of what is no file, or may not be read, it says so itself."""
    readable = os.access(file, os.R_OK) and documents.is_file(file)
    return documents.content(file).decode(errors="replace") if readable else ""


def without_absent(files: list[Path], to: Path) -> StandIns:
    """Stand-ins for kustomizations of which a file is not there, which leave out what names it.

    They are links to all that lies beside the true ones, so that no file of a key is copied. kustomize takes a link
    that leads out of its folder only where it is told to, and then all the rest from outside too: `_check_within` sees
    to that.
    """
    absent = tuple(each for one in files for each in absent_in(one))
    root = Path(os.path.commonpath([each.parent for each in files]))
    made = StandIns(absent, root, to)
    if absent:
        _check_within(files)
        folders = {each.parent for each in files}
        # Also the folders on the way from one to another, for a link would lead to the true one.
        between = {above for folder in folders for above in folder.parents if folders & {above, *above.parents}}
        for folder in sorted(folders | between):
            made.of(folder).mkdir(parents=True, exist_ok=True)
        for folder in folders | between:
            with documents.reading(folder):
                beside = list(folder.iterdir())
            for path in beside:
                if path not in files and path not in folders | between:
                    made.of(path).symlink_to(path)
        for each in files:
            _leave_out(each, made.of(each))
    return made


def _check_within(files: list[Path]) -> None:
    """See that each names files of its own folder only, as kustomize does (api/internal/loader/loadrestrictions.go).

    Raises:
        SignoffError: one does not.
    """
    for file in files:
        for text in _below(_content(file)):
            path = file.parent / (text.partition("=")[2] or text)
            if os.path.isfile(path) and not _real(path).is_relative_to(file.parent):  # noqa: PTH113  any text at all
                raise SignoffError(
                    f"kustomize takes no file from outside of a kustomization's folder: {path}",
                    where=str(file),
                    hint="name the other folder, with a kustomization of its own, under `resources:`",
                )


def _included(file: Path) -> Iterator[tuple[Place, Path]]:
    """The kustomizations that one is made of, each with the place of the entry that names it."""
    content = _content(file)
    for key in _OF_FOLDERS:
        for at, name in _texts(content.get(key)):
            folder = _real(file.parent / name)
            if not is_remote(name) and documents.is_folder(folder) and (found := of(folder)):
                yield (key, at), _real(found)


def _absent(file: Path) -> Iterator[tuple[Place, Absent]]:
    """What a kustomization names and is not there, each with the place of the entry that names it."""
    content, lines = _content(file), _lines(file)
    named = [((_RESOURCES, at), name, "") for at, name in _texts(content.get(_RESOURCES))]
    for at, generator in _tables(content):
        sources = _sources(generator, (*_OF_LINES, *_OF_FILES))
        named += [((_SECRETS, at), name, str(generator.get("name"))) for name in sources]
    for place, name, secret in named:
        path = file.parent / name
        if not is_remote(name) and not documents.is_there(path):
            yield place, Absent(path, file, f"{file}:{nearest_line(lines, place)}", secret)


def _leave_out(file: Path, stand_in: Path) -> None:
    content = _content(file)
    for key, at in reversed(list(dict.fromkeys(place for place, _ in _absent(file)))):
        del content[str(key)][int(at)]
    stand_in.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _content(file: Path) -> dict[str, Any]:
    return next((document for document in documents.read(file) if document), {})


def _lines(file: Path) -> dict[Place, int]:
    return lines_of(next(iter(documents.nodes(file.read_text(encoding="utf-8-sig"))), None))


def _real(path: Path) -> Path:
    """Without links; where they lead in a circle, as far as they go (Path.resolve fails there)."""
    return Path(os.path.realpath(path))


def _texts(value: Any) -> list[tuple[int, str]]:
    """Those of a list, with their numbers."""
    return [(at, each) for at, each in enumerate(value) if isinstance(each, str)] if isinstance(value, list) else []


def _tables(content: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The generators of Secrets, with their numbers."""
    generators = content.get(_SECRETS)
    several = enumerate(generators if isinstance(generators, list) else ())
    return [(at, each) for at, each in several if isinstance(each, dict)]


def _sources(generator: dict[str, Any], fields: tuple[str, ...]) -> Iterator[str]:
    """The files of which a Secret is generated: `files` may say under which key."""
    for field in fields:
        told = generator.get(field)
        for _, each in _texts([told] if isinstance(told, str) else told):
            yield each.partition("=")[2] or each


def _below(value: Any) -> Iterator[str]:
    """Every text in a value but those that a generator takes as they stand."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _below(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key != _OF_TEXTS:
                yield from _below(each)
