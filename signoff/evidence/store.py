"""The one store: what was observed, appended to one file before anyone judges it.

`evidence.jsonl` holds one JSON object a line. Each line names the SHA-256 of the line before it, so that a line which
was changed, dropped, repeated or moved shows (`signoff verify`); what is too much for a line lies in a file beside it,
which the line names with its SHA-256 and its number of rows.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from signoff.core.errors import SignoffError
from signoff.core.paths import writing
from signoff.core.redact import redacted
from signoff.evidence import chain
from signoff.evidence.chain import FILE, SCHEMA, Chain, digest
from signoff.evidence.legacy import VERSION_1, current, upgrade
from signoff.evidence.models import (
    Cause,
    Disturbance,
    Line,
    Observation,
    Phase,
    Record,
    Run,
    ScenarioEnd,
    SideFile,
    kinds,
)

__all__ = ["FILE", "Evidence", "Recorded", "digest", "parse", "read", "side_file"]

R = TypeVar("R", bound=Record)


class Evidence:
    """The evidence of one run in its folder `dir`, while it is being written."""

    def __init__(self, folder: Path, run: Run) -> None:
        """Make the folder if it is not there, and write how the run began.

        Raises:
            SignoffError: it cannot be made or written to, or holds the evidence of a run.
        """
        self.dir = folder
        self.scenario = ""
        """The id of the scenario that is running."""
        self.lines: list[Line] = []
        with writing("the report's folder", folder, "free some space, or name another folder with --reports"):
            folder.mkdir(parents=True, exist_ok=True)
            self._chain = Chain(folder / FILE)
        self._checks = run.story["checks"].keys() if run.story else None
        self.add(run)

    def add(self, record: Record) -> int:
        """Append one record, without secrets; gives its `seq`.

        Raises:
            SignoffError: it cannot be written, or is of a check that the story does not declare.
        """
        if isinstance(record, Observation) and self._checks is not None and record.check not in self._checks:
            undeclared = f"the story declares no check {record.check!r}"
            raise SignoffError(f"{undeclared}, so nobody would judge what was seen of it")
        clean = type(record).model_validate(redacted(record.model_dump(mode="json", by_alias=True)))
        with writing("evidence", self.dir / FILE, "free some space and run again; nothing more is judged without it"):
            told = self._chain.append(clean.model_dump(mode="json", by_alias=True), self.scenario)
        line = Line(**{key: told[key] for key in Line.HEAD}, record=clean)
        self.lines.append(line)
        return line.seq

    @contextmanager
    def phase(self, name: str, *, set_up: bool = False) -> Iterator[None]:
        """Record how long the block took, also when it failed."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(Phase(name=name, seconds=round(time.monotonic() - start, 3), set_up=set_up))

    def scenario_since(self) -> float:
        """When the running scenario began at the earliest, by `time.monotonic()`: as the one before it ended."""
        ends = (line.monotonic for line in reversed(self.lines) if isinstance(line.record, ScenarioEnd))
        return next(ends, self.lines[0].monotonic)

    def so_far(self) -> "Recorded":
        """What has been recorded until now."""
        return Recorded(self.dir, tuple(self.lines))

    def close(self) -> None:
        """Make sure that all of it is on the disk."""
        if not self._chain.closed:
            os.fsync(self._chain.fileno())
            self._chain.close()


class Recorded:
    """The evidence of a run as judges read it."""

    def __init__(self, folder: Path, lines: Sequence[Line], *, cut_off: bool = False, sha256: str = "") -> None:
        self.folder, self.lines, self.cut_off, self.sha256 = folder, tuple(lines), cut_off, sha256

    @property
    def run(self) -> Run:
        """How the run began."""
        record = self.lines[0].record
        assert isinstance(record, Run)
        return record

    def of(self, kind: type[R]) -> list[R]:
        """The records of a kind, in their order."""
        found = self._of_kinds.get(kind)
        if found is None:
            found = self._of_kinds[kind] = [line.record for line in self.lines if isinstance(line.record, kind)]
        return list(cast("list[R]", found))

    @cached_property
    def _of_kinds(self) -> dict[type[Record], list[Record]]:
        """What has been looked for: each judge asks again for each observation."""
        return {}

    def first(self, kind: type[R]) -> R | None:
        """The first record of a kind."""
        return next(iter(self.of(kind)), None)

    def disturbance(self, scenario: str) -> Cause | None:
        """What nobody ordered happened first while a scenario ran, if anything did."""
        return self._disturbances.get(scenario)

    @cached_property
    def _disturbances(self) -> dict[str, Cause]:
        found = [(line.scenario, line.record) for line in self.lines]
        return {scenario: each.cause for scenario, each in reversed(found) if isinstance(each, Disturbance)}

    def last(self, kind: type[R]) -> R | None:
        """The last record of a kind."""
        return next(reversed(self.of(kind)), None)

    def by_seq(self, seq: int, kind: type[R]) -> R:
        """The record with this number.

        Raises:
            SignoffError: there is none of this kind.
        """
        record = self._numbered.get(seq)
        if not isinstance(record, kind):
            raise SignoffError(
                f"the evidence speaks of line {seq} as of kind {kind.kind_name()!r}, which it is not",
                where=str(self.folder / FILE),
            )
        return record

    @cached_property
    def _numbered(self) -> dict[int, Record]:
        return {line.seq: line.record for line in self.lines}

    def path(self, file: SideFile) -> Path:
        """Where a file lies beside the evidence, which is the one that was recorded.

        Raises:
            SignoffError: it is not there, or another one.
        """
        path = self.folder / file.name
        try:
            found = side_file(path)
        except OSError as error:
            raise SignoffError(
                f"{file.name}, which the evidence names, cannot be read: {error.strerror}", where=str(path)
            ) from None
        if found != file:
            differs = f"{found.rows} rows instead of {file.rows}" if found.rows != file.rows else "another SHA-256"
            raise SignoffError(
                f"{file.name} is not the file that the evidence names: it has {differs}", where=str(path)
            )
        return path


def side_file(path: Path) -> SideFile:
    """Name a file that is whole, with its SHA-256 and its rows."""
    return SideFile(**chain.side_file(path))


def read(folder: Path) -> Recorded:
    """The evidence of a run; that of a killed one may end in mid-line, which is told.

    Raises:
        SignoffError: there is no evidence, it is of a version that is not read here, or a line other than the last is
            damaged.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SignoffError("there is no evidence", where=str(path), hint="name the folder of a run") from error
    # Not splitlines(), which also splits at U+2028 and other characters that JSON strings may hold.
    texts = data.decode("utf-8", errors="replace").split("\n")
    whole, cut = texts[:-1], texts[-1]
    if not whole:
        raise SignoffError("the evidence is empty", where=str(path), hint="name the folder of a run")
    objects = [_object(text, number, path) for number, text in enumerate(whole, start=1)]
    if "schema" not in objects[0] and "prev" not in objects[0]:
        objects = upgrade(objects, folder)
    elif objects[0].get("schema") == VERSION_1:
        objects = [current(each) for each in objects]
    elif objects[0].get("schema") != SCHEMA:
        version = objects[0].get("schema")
        raise SignoffError(
            f"the evidence is of version {version!r}; this signoff reads {SCHEMA!r} and what came before",
            where=str(path),
            hint="read it with the signoff that wrote it",
        )
    lines = [_line(each, number, path) for number, each in enumerate(objects, start=1)]
    return Recorded(folder, lines, cut_off=bool(cut), sha256=digest(data))


def _object(text: str, number: int, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SignoffError(f"line {number} of the evidence is damaged: {error}", where=f"{path}:{number}") from None
    if not isinstance(found, dict):
        raise SignoffError(f"line {number} of the evidence is no JSON object", where=f"{path}:{number}")
    return found


def parse(text: str, number: int, path: Path) -> Line:
    """A line of evidence of this version by itself, with its number from 1 on and where it was read.

    Raises:
        SignoffError: it is damaged.
    """
    return _line(_object(text, number, path), number, path)


_KINDS = kinds()


def _line(told: dict[str, Any], number: int, path: Path) -> Line:
    where = f"{path}:{number}"
    head = {key: told.get(key) for key in Line.HEAD if key in told}
    body = {key: value for key, value in told.items() if key not in Line.HEAD}
    model = _KINDS.get(str(body.get("kind")))
    if model is None:
        raise SignoffError(f"line {number} of the evidence is of no known kind: {body.get('kind')!r}", where=where)
    if (number == 1) != (model is Run):
        raise SignoffError(
            f"line {number} of the evidence is of kind {body['kind']!r}; the first line, and no other, is 'run'",
            where=where,
        )
    try:
        return Line(**head, record=model.model_validate(body))  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SignoffError(
            f"line {number} of the evidence ({body['kind']}) is damaged at {name}: {first['msg']}", where=where
        ) from None
