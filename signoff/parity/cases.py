"""The cases: what is asked of both sides, as data in `cases/*.yaml`, one file for each family.

A family file names the path and what its cases share; each case then says what is its own. A case is run once for each
of its modes (plain, streamed), prefixes (the ways of LiteLLM to speak to vLLM) and settings (of LiteLLM).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import SignoffError
from signoff.in_cluster.received import Fault

FOLDER = Path(__file__).parent / "cases"
MODES = ("plain", "streamed")
PREFIXES = ("hosted_vllm", "openai")
BACKENDS = ("chat", "embeddings")
"""A vLLM that generates, and one that embeds: one server does not do both."""
SETTINGS = ("story", "defaults")
"""LiteLLM as the story's manifests set it, and without the settings that avoid its known faults."""


@dataclass(frozen=True)
class Case:
    """One case, as its file says it.

    `body` is JSON, or a text that is sent as it is. `status` is what vLLM itself must answer, and `exercised` names
    paths of its answer (a stream's deltas put together) that must hold something: otherwise the case proved nothing.
    `leave_after` has the client close the connection after so many seconds. `follow_up` asks an innocent question
    afterwards. `expect` replaces vLLM's answer where vLLM has none to compare with (keys of its own, say).
    `repeats` asks that many times on each side and compares how often answers differ, for what does not repeat itself.
    `headers` are sent, None keeps one back; `{run}` in them becomes the run's id, `{key}` the client's key.
    `all_headers` compares those of the answer, and what became of `headers` on their way to vLLM. `backend` says which
    vLLM is asked.
    """

    family: str
    id: str
    about: str = ""
    method: str = "POST"
    path: str = ""
    kind: str = "chat"
    body: Any = None
    headers: dict[str, str | None] = field(default_factory=dict)
    all_headers: bool = False
    backend: str = "chat"
    modes: tuple[str, ...] = MODES
    prefixes: tuple[str, ...] = PREFIXES
    settings: tuple[str, ...] = ("story",)
    status: int = 200
    exercised: tuple[str, ...] = ()
    fault: Fault | None = None
    leave_after: float | None = None
    follow_up: bool = False
    expect: dict[str, Any] | None = None
    repeats: int = 0
    streamed: dict[str, Any] = field(default_factory=dict)
    """What is added to the body of the streamed run, beside `stream: true`."""

    @property
    def needs_recorder(self) -> bool:
        """Whether the case is nothing without a recorder, which plays its fault or sees its client leave."""
        return self.fault is not None or self.leave_after is not None

    @property
    def name(self) -> str:
        """Family and id: `chat.plain`."""
        return f"{self.family}.{self.id}"


@dataclass(frozen=True)
class Run:
    """A case in one mode, through one prefix, with one set of settings."""

    case: Case
    mode: str
    prefix: str
    settings: str

    @property
    def id(self) -> str:
        """`chat.plain/streamed/openai`, with the settings behind it if they are not the story's."""
        own = "" if self.settings == "story" else f"/{self.settings}"
        return f"{self.case.name}/{self.mode}/{self.prefix}{own}"

    def headers(self, key: str) -> dict[str, str | None]:
        """The headers of the case's own; `key` is the client's."""
        return {
            name: value and value.replace("{run}", self.id.replace("/", ".")).replace("{key}", key)
            for name, value in self.case.headers.items()
        }

    def body(self, model: str, served: str = "") -> Any:
        """What is sent when the model is called `model`; a case that names one itself keeps it.

        Where the case says `{model}` it means what vLLM calls it, through LiteLLM too: that is `served`, if it differs.
        """
        body = _with_model(self.case.body, served or model)
        if not isinstance(body, dict):
            return body
        if self.mode == "streamed":
            body = {**body, "stream": True, **_with_model(self.case.streamed, served or model)}
        if "model" not in body:
            return {"model": model, **body}
        return {key: value for key, value in body.items() if (key, value) != ("model", None)}


def load(folder: Path = FOLDER) -> list[Case]:
    """Read every family.

    Raises:
        SignoffError: a file is no YAML, or says something that no case has.
    """
    cases = [case for file in sorted(folder.glob("*.yaml")) for case in _family(file)]
    if not cases:
        raise SignoffError("there are no cases", where=str(folder), hint="name a folder of *.yaml files")
    return cases


def runs(cases: Sequence[Case], chosen: Sequence[str] = ()) -> list[Run]:
    """Every run of the cases; `chosen` are patterns of run ids such as `chat.*` or `*/streamed/*`.

    Raises:
        SignoffError: a pattern chooses nothing.
    """
    every = [run for case in cases for run in _runs(case)]
    if not chosen:
        return every
    for pattern in chosen:
        if not any(_chosen(run, pattern) for run in every):
            raise SignoffError(f"no case run is called {pattern}", hint="`signoff parity --list` shows them")
    return [run for run in every if any(_chosen(run, pattern) for pattern in chosen)]


def _chosen(run: Run, pattern: str) -> bool:
    return fnmatchcase(run.id, pattern) or fnmatchcase(run.case.name, pattern)


def _runs(case: Case) -> Iterator[Run]:
    for settings in case.settings:
        for mode in case.modes:
            for prefix in case.prefixes:
                yield Run(case, mode, prefix, settings)


def _family(file: Path) -> Iterator[Case]:
    try:
        table = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        shared, entries = table.get("shared", {}), table["cases"]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, OSError) as error:
        raise _wrong(file, f"not a family of cases: {' '.join(str(error).split())}") from None
    seen = set()
    for entry in entries:
        case = _case(file, shared, entry)
        if case.id in seen:
            raise _wrong(file, f"two cases are called {case.id}")
        seen.add(case.id)
        yield case


def _case(file: Path, shared: dict[str, Any], entry: Any) -> Case:
    if not isinstance(entry, dict) or not entry.get("id"):
        raise _wrong(file, f"a case has no id: {entry}")
    merged = {**shared, **entry, "family": file.stem}
    if isinstance(shared.get("body"), dict) and isinstance(entry.get("body"), dict):
        merged["body"] = {**shared["body"], **entry["body"]}
    fields = {each.name for each in dataclasses.fields(Case)}
    if unknown := sorted(merged.keys() - fields):
        raise _wrong(file, f"{entry['id']}: no case has {', '.join(unknown)}; it may have {', '.join(sorted(fields))}")
    for name, allowed in (("modes", MODES), ("prefixes", PREFIXES), ("settings", SETTINGS), ("backend", BACKENDS)):
        given = merged.get(name, ())
        if wrong := ({given} if isinstance(given, str) else set(given)) - set(allowed):
            raise _wrong(file, f"{entry['id']}: {name} may be {', '.join(allowed)}, not {', '.join(sorted(wrong))}")
    try:
        if "fault" in merged:
            merged["fault"] = Fault(**merged["fault"])
    except TypeError as error:
        raise _wrong(file, f"{entry['id']}: no such fault: {error}") from None
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in _filled(merged).items()}
    return Case(**values)


def _filled(table: Any) -> Any:
    """Put a long text where the text says `{long:N}` words."""
    if isinstance(table, dict):
        return {key: _filled(value) for key, value in table.items()}
    if isinstance(table, list):
        return [_filled(value) for value in table]
    if isinstance(table, str) and table.startswith("{long:"):
        return " ".join(f"word{number}" for number in range(int(table[6:-1])))
    return table


def _with_model(value: Any, model: str) -> Any:
    """A copy with the model's name where a text says `{model}`."""
    if isinstance(value, dict):
        return {key: _with_model(each, model) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_model(each, model) for each in value]
    return value.replace("{model}", model) if isinstance(value, str) else value


def _wrong(file: Path, what: str) -> SignoffError:
    return SignoffError(what, where=str(file), hint="fix the file")
