"""What a run has written to a person's cluster, and what was there before: on disk before the write goes out.

A file for each run, outside its report, since what was there before may be a Secret. A line is an entry. A run that was
killed in mid-line has not sent what that line was to announce. Once all is undone the file is written anew: it says so,
and nothing of what was there is left in it.
"""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from signoff.changes.process import Process
from signoff.changes.target import Named
from signoff.core.errors import SignoffError
from signoff.core.paths import state_dir, writing

SCHEMA = 1
_SUFFIX = ".jsonl"
_HINT = "nothing more is written to the cluster; free some space there, then `signoff restore`"


def _now() -> datetime:
    return datetime.now(UTC)


class Header(BaseModel):
    """Which run it is, on which cluster."""

    type: Literal["header"] = "header"
    at: datetime = Field(default_factory=_now)
    schema_version: int = SCHEMA
    run: str
    folder: str
    """Its report."""
    context: str
    kubeconfigs: list[str]
    cluster: str
    """The UID of the cluster, which is that of its namespace kube-system."""
    rights: list[str]
    namespaces: list[str]
    named: list[Named] = []
    salt: str = Field(default_factory=lambda: token_hex(16))
    """Of the digests that stand for what Secrets held before."""
    process: Process


class Before(BaseModel):
    """What of the cluster is compared at the end."""

    type: Literal["before"] = "before"
    at: datetime = Field(default_factory=_now)
    objects: dict[str, dict[str, Any]]
    unread: list[str]


class Intent(BaseModel):
    """What is about to be written; without `before`, an object is made."""

    type: Literal["intent"] = "intent"
    at: datetime = Field(default_factory=_now)
    number: int
    path: str
    """Where the object itself lies."""
    name: Named
    subresource: str = ""
    before: dict[str, Any] | None = None
    expected: dict[str, Any] | None = None
    """What the API server's own dry run has made of it."""


class Answer(BaseModel):
    """What the API server has answered."""

    type: Literal["answer"] = "answer"
    at: datetime = Field(default_factory=_now)
    number: int
    status: int
    after: dict[str, Any] | None = None
    """The object as it was left."""


class Restoring(BaseModel):
    """A program puts things back."""

    type: Literal["restoring"] = "restoring"
    at: datetime = Field(default_factory=_now)
    process: Process


class Closed(BaseModel):
    """All that the run has written is undone."""

    type: Literal["closed"] = "closed"
    at: datetime = Field(default_factory=_now)
    left: list[str] = []
    """What a person has accepted as it is."""


Entry = Header | Before | Intent | Answer | Restoring | Closed
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="type")])


class Journal:
    """The journal of one run, to read and to go on with."""

    def __init__(self, path: Path, header: Header, entries: list[Entry], length: int = 0) -> None:
        self.path, self.header, self.entries = path, header, entries
        self._length = length
        """Up to where the file holds whole lines."""

    @classmethod
    def begun(cls, header: Header) -> Self:
        """A new one, on disk.

        Raises:
            SignoffError: it cannot be written, or there is one of this run.
        """
        folder = state_dir() / "changes" / header.cluster
        journal = cls(folder / f"{header.run}{_SUFFIX}", header, [])
        with writing("the journal of changes", folder, _HINT):
            state_dir().mkdir(parents=True, exist_ok=True)
            for each in (folder.parent, folder):
                each.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(journal.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        journal.add(header)
        with writing("the journal of changes", folder, _HINT):
            for each in (folder, *folder.parents[:2]):
                _sync_folder(each)
        return journal

    @classmethod
    def at(cls, path: Path) -> Self:
        """The one in this file, as far as it was written.

        Raises:
            SignoffError: it cannot be read, or is damaged.
        """
        try:
            text = path.read_bytes()
        except OSError as error:
            raise SignoffError(f"the journal cannot be read: {error.strerror}", where=str(path)) from None
        whole = text[: text.rfind(b"\n") + 1]  # what has no end was not written whole
        entries = [_read(line, f"{path}:{number}") for number, line in enumerate(whole.splitlines(), 1)]
        header = entries[0] if entries else None
        if not isinstance(header, Header):
            raise _damaged(str(path), "it does not begin with a header")
        if header.schema_version != SCHEMA:
            hint = "take the signoff that wrote it"
            raise SignoffError(
                f"the journal is of another version: {header.schema_version}", where=str(path), hint=hint
            )
        return cls(path, header, entries, len(whole))

    def add(self, entry: Entry) -> None:
        """Write an entry; when this returns, it outlives a power cut.

        Raises:
            SignoffError: it cannot be written; the journal is as before.
        """
        line = entry.model_dump_json().encode() + b"\n"
        with writing("the journal of changes", self.path, _HINT), self.path.open("r+b", buffering=0) as file:
            file.seek(self._length)
            file.truncate()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(self._length)
                raise
        self._length += len(line)
        self.entries.append(entry)

    def close(self, left: list[str]) -> None:
        """Say that all is undone but what is `left`, and keep none of what was there; at once, or not at all.

        Raises:
            SignoffError: it cannot be written; the journal is as before.
        """
        kept = [each for each in self.entries if isinstance(each, Header | Restoring)]
        entries: list[Entry] = [*kept, Closed(left=left)]
        lines = b"".join(each.model_dump_json().encode() + b"\n" for each in entries)
        beside = self.path.with_suffix(".closing")
        with writing("the journal of changes", self.path, _HINT):
            beside.touch(mode=0o600)
            with beside.open("wb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            _sync_folder(self.path.parent)
        self.entries, self._length = entries, len(lines)

    def forget(self) -> None:
        """Remove the file of a run that has written nothing."""
        self.path.unlink(missing_ok=True)

    @property
    def run(self) -> str:
        """The run's name."""
        return self.header.run

    @property
    def is_closed(self) -> bool:
        """Whether all that the run has written is undone."""
        return any(isinstance(each, Closed) for each in self.entries)

    @property
    def before(self) -> Before | None:
        """How the cluster was before the first change."""
        return next((each for each in self.entries if isinstance(each, Before)), None)

    @property
    def intents(self) -> list[Intent]:
        """What was to be written, in order."""
        return [each for each in self.entries if isinstance(each, Intent)]

    @property
    def answers(self) -> dict[int, Answer]:
        """The API server's answers by the number of what was asked; one lacks where the run was killed meanwhile."""
        return {each.number: each for each in self.entries if isinstance(each, Answer)}

    @property
    def processes(self) -> list[Process]:
        """The run itself, and those that put things back after it."""
        return [each.process for each in self.entries if isinstance(each, Header | Restoring)]


def of_cluster(uid: str) -> list[Journal]:
    """All journals of a cluster on this machine, the oldest first; one that is damaged is an error.

    Raises:
        SignoffError: one cannot be read.
    """
    files = sorted((state_dir() / "changes" / uid).glob(f"*{_SUFFIX}"))
    return sorted((each for path in files for each in _at(path)), key=lambda each: each.header.at)


def unclosed(uid: str) -> list[Journal]:
    """Those of runs that live, or have left something on the cluster.

    Raises:
        SignoffError: one cannot be read.
    """
    return [each for each in of_cluster(uid) if not each.is_closed]


def everywhere() -> tuple[list[Journal], list[SignoffError]]:
    """All journals on this machine, the oldest first, and what is wrong with those that cannot be read."""
    found: list[Journal] = []
    errors: list[SignoffError] = []
    folder = state_dir() / "changes"
    for path in sorted(folder.glob(f"*/*{_SUFFIX}")):
        try:
            found += _at(path)
        except SignoffError as error:
            errors.append(error)
    return sorted(found, key=lambda each: each.header.at), errors


def _at(path: Path) -> list[Journal]:
    """The journal there; none if its run was killed before it wrote a line, and so before it wrote anything else."""
    try:
        is_begun = b"\n" in path.read_bytes()
    except OSError:
        is_begun = True  # and told below
    return [Journal.at(path)] if is_begun else []


def _read(line: bytes, where: str) -> Entry:
    try:
        return _ENTRY.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _damaged(where, f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()) from None


def _damaged(where: str, why: str) -> SignoffError:
    hint = "put back by hand what its lines with `before` show, then remove the file"
    return SignoffError(f"the journal of changes is damaged: {why}", where=where, hint=hint)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
