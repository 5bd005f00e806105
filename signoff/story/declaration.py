"""The story's declaration: what must be judged before anybody may say "signed off".

It is data, `story.yaml` beside the features, and the only place that says which checks a criterion needs, of which
cases, and how much of each is enough. Features and steps can observe less than it wants, and then the rest is
`not judged`; they cannot want less.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from signoff.core.errors import UsageError
from signoff.core.yaml_lines import nearest_line, parse
from signoff.story import placeholders

FILE = "story.yaml"
SCHEMA = "signoff.story/1"

Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Model):
    """One thing that has to be true.

    `judge` names the function that judges it, `wants` is what that compares with, `arms` are the sides that have to be
    asked, `cases` the parts that each have to be judged, `min` how much of each is enough. Only clusters named in
    `reach` can tell, if any are named; where `applies` is false or empty there is nothing to tell; `pending` says why
    nothing observes it yet. Who waives the check that this is `part_of` leaves this one out with it.
    """

    text: Text
    judge: Text
    wants: Any = None
    arms: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    min: Annotated[dict[str, float], Field(validation_alias=AliasChoices("min", "least"))] = {}
    reach: tuple[str, ...] = ()
    applies: Any = True
    part_of: str = ""
    pending: str = ""

    def beyond(self, cluster: str) -> str:
        """Why it cannot be told on a cluster of this kind, by the story's own word; empty if it can."""
        if not self.applies:
            return "it does not apply here"
        return f"{' and '.join(self.reach)} only" if self.reach and cluster not in self.reach else ""


class Point(_Model):
    """A subtask or note, with the checks that show it; or `documents`, where no cluster can show it."""

    text: Text
    checks: tuple[str, ...] = ()
    documents: str = ""

    @model_validator(mode="after")
    def _shown_somehow(self) -> Self:
        if bool(self.checks) == bool(self.documents):
            raise ValueError("needs either checks or documents")
        return self


class Criterion(_Model):
    """An acceptance criterion."""

    text: Text
    checks: Annotated[tuple[str, ...], Field(min_length=1)]


class Task(_Model):
    """A task or a group of notes, with its points."""

    text: Text
    points: Annotated[tuple[Point, ...], Field(min_length=1)]

    @property
    def checks(self) -> tuple[str, ...]:
        """All checks of its points, each once."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.checks))


class Story(_Model):
    """A story: `criteria` must all pass, and so must `tasks` and `notes`, by their keys ("AC1", "task 2", "notes")."""

    schema_: Annotated[Literal["signoff.story/1"], Field(alias="schema")]
    name: Text
    title: Text
    criteria: Annotated[dict[str, Criterion], Field(min_length=1)]
    tasks: dict[str, Task] = {}
    checks: Annotated[dict[str, Check], Field(min_length=1)]

    @property
    def requirements(self) -> dict[str, Criterion | Task]:
        """All that has to pass, criteria first."""
        return {**self.criteria, **self.tasks}

    def waived_with(self, names: Iterable[str]) -> set[str]:
        """The checks of these names, and those that are part of them."""
        left_out = set(names)
        return left_out | {name for name, check in self.checks.items() if check.part_of in left_out}

    def outside_reach(self, cluster: str) -> set[str]:
        """The checks that a cluster of this kind cannot tell, by the story's own word."""
        return {name for name, check in self.checks.items() if check.beyond(cluster)}


class Declaration:
    """A story and the file that it was read from."""

    def __init__(self, file: Path, text: str) -> None:
        """Read the text of a file.

        Raises:
            UsageError: it is no declaration, with file, line and the nearest name.
        """
        self.file = file.absolute()
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        try:
            told, self._lines = parse(text)
            data = json.loads(json.dumps(told, allow_nan=False))  # as the evidence will hold it
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise UsageError(
                f"not valid YAML: {getattr(error, 'problem', None) or error}", where=f"{file}{line}"
            ) from None
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"it holds what JSON cannot (a date, NaN or infinity): {error}",
                where=str(self.file),
                hint="write it as a string, in quotes",
            ) from None
        self._data = data
        self.story = self._story(data)
        self._check_references()

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file.

        Raises:
            UsageError: there is none, or it is no declaration.
        """
        try:
            return cls(file, file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"the story's declaration cannot be read: {reason}", where=str(file)) from None

    def filled(self, values: Mapping[str, Any]) -> Self:
        """This declaration with these values in the places of their names, `$port` and the like.

        A check's `wants` that is a name and nothing else becomes the value, of whatever type; within a text it is
        written out. `$$` is a dollar.

        Raises:
            UsageError: no value has a name that is used, with file, line and the nearest one.
        """
        for path, name in placeholders.names_in(self._data):
            if name not in values:
                raise UsageError(
                    f"there is no setting ${name}{nearest(name, values)}",
                    where=self.where(*path),
                    hint=f"`signoff settings` lists them; a dollar that is none is written $${name}",
                )
        other = copy(self)
        other.story = self._story(placeholders.filled(self._data, values))
        return other

    def _story(self, data: Any) -> Story:
        try:
            return Story.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise self.error(_sentence(first), first["loc"]) from None

    def features(self) -> Iterator[Path]:
        """The feature files of the story: those in its folder and below, but for other stories' in there."""
        for path in self.file.parent.rglob("*.feature"):
            if file_above(path) == self.file:
                yield path

    def where(self, *path: str | int) -> str:
        """File and line of a place in it; of the nearest place above, if that has none."""
        return f"{self.file}:{nearest_line(self._lines, path)}"

    def error(self, what: str, path: Sequence[str | int]) -> UsageError:
        """That something is wrong at a place in it."""
        return UsageError(what, where=self.where(*path), hint="docs/story.md describes the declaration")

    def _check_references(self) -> None:
        """See that each name that is used is declared, and each that is declared is used."""
        story, used = self.story, set[str]()
        for path, names in _references(story):
            for at, name in enumerate(names):
                if name not in story.checks:
                    raise self.error(f"no check is called {name!r}{nearest(name, story.checks)}", (*path, at))
                used.add(name)
        for name, check in story.checks.items():
            if name not in used:
                raise self.error(f"no criterion needs the check {name!r}, so nobody would miss it", ("checks", name))
            if check.part_of and check.part_of not in story.checks:
                hint = nearest(check.part_of, story.checks)
                raise self.error(f"no check is called {check.part_of!r}{hint}", ("checks", name, "part_of"))
        if twice := story.criteria.keys() & story.tasks.keys():
            raise self.error(f"{min(twice)!r} is both a criterion and a task", ("tasks", min(twice)))


def find(features: Iterable[Path]) -> Declaration:
    """The declaration of the story that these features belong to: in their folder, or the nearest one above.

    Raises:
        UsageError: there is none, or they belong to several.
    """
    paths = list(features)
    found = {file for path in paths if (file := file_above(path))}
    if not found:
        raise UsageError(
            f"no {FILE} says what must be judged",
            where=str(paths[0].parent) if paths else "",
            hint=f"write {FILE} beside the features: docs/story.md shows one of ten lines",
        )
    if len(found) > 1:
        raise UsageError(
            f"the features belong to {len(found)} stories, and a run judges one",
            where=", ".join(str(file) for file in sorted(found)),
            hint="name the features of one story",
        )
    return Declaration.read(found.pop())


def file_above(path: Path) -> Path | None:
    """The declaration that a feature belongs to: in its folder, or the nearest one above."""
    return next((folder / FILE for folder in path.absolute().parents if (folder / FILE).is_file()), None)


def features_at(path: Path) -> list[Path]:
    """This feature file, or those below this folder that pytest collects, which follows links."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links, which pytest does not in names
    if not path.is_dir():
        return [path] if path.suffix == ".feature" else []
    found: list[Path] = []
    for at, folders, names in os.walk(path, followlinks=True):
        folders[:] = [each for each in folders if not _is_skipped(Path(at) / each)]
        found += [Path(at) / name for name in names if name.endswith(".feature")]
    return sorted(found)


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or (folder / "pyvenv.cfg").exists()


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at what was meant: "; did you mean 'labels'?", or nothing."""
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _references(story: Story) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
    for key, criterion in story.criteria.items():
        yield ("criteria", key, "checks"), criterion.checks
    for key, task in story.tasks.items():
        for at, point in enumerate(task.points):
            yield ("tasks", key, "points", at, "checks"), point.checks


def _sentence(error: Mapping[str, Any]) -> str:
    """pydantic's first complaint as a person would say it."""
    name = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        fields = {name for model in (Story, Criterion, Task, Point, Check) for name in model.model_fields}
        return f"{name}: no such setting{nearest(str(error['loc'][-1]), fields)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
