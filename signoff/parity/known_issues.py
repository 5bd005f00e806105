"""What is known of LiteLLM's differences, as data: `known.yaml` (allowances and defects) and `gate.yaml`.

A pattern of paths is a path with `[]` for any index, or with every index given, in which `*` stands for anything.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from signoff.core.errors import SignoffError

HERE = Path(__file__).parent
UPSTREAM = "https://github.com/BerriAI/litellm/issues/"


def fingerprint() -> str:
    """SHA-256 of what is known, of the gate and of the cases: two that differ may judge one call differently.

    Comments and line breaks judge nothing, so they are no part of it.
    """
    return _fingerprint(fingerprint_of_bytes())


@lru_cache(maxsize=1)
def _fingerprint(_: str) -> str:
    """Found once for the files as they are, since reading their YAML takes a tenth of a second."""
    return hashlib.sha256(json.dumps([_table(file) for file in _judging_files()]).encode()).hexdigest()


def fingerprint_of_bytes() -> str:
    """The same of the files as they are, comments included: what evidence of version 1 holds."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in _judging_files())).hexdigest()


def _judging_files() -> list[Path]:
    return sorted([HERE / "known.yaml", HERE / "gate.yaml", *(HERE / "cases").glob("*.yaml")])


KINDS = (
    "lost", "added", "changed", "retyped", "sometimes", "always", "violation", "dropped", "renamed",
)  # fmt: skip
"""How a path may differ; `differ.Difference` says what each means."""
GONE = ("lost", "dropped")
"""Kinds of which only vLLM's value can be named: "null -> (missing)"."""
PRESENCE = ("sometimes", "always")
"""Kinds that say in how many chunks a path is there; the values are compared where the stream is put together."""


def shape(path: str) -> str:
    """A path for every index: `choices[3].text` becomes `choices[].text`."""
    return re.sub(r"\[\d+\]", "[]", path)


@lru_cache(maxsize=100_000)
def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or its shape, fits one of the patterns.

    Cached, since few paths and patterns meet each other in every run of a matrix.
    """
    globs = [pattern.replace("[", "[[]") for pattern in patterns]
    return any(fnmatchcase(each, glob) for glob in globs for each in (path, shape(path)))


@dataclass(frozen=True)
class KnownIssue:
    """An allowance, or a known defect: which paths of which runs, why, since which issue, in which versions.

    `values` gives for a path what becomes of what ("200 -> 500", "null -> (missing)"), `varies` why no value can be
    named; of a path in neither the entry excuses only what is gone, whatever it was (`GONE`), or is there in other
    chunks (`PRESENCE`). `relocated` allowances name an extension that is moved or left out; the others are
    normalisations. `avoid` says what to set so that a defect does not show. An entry that `shows` only "sometimes"
    depends on chance, such as on how vLLM cuts a stream into events.
    """

    id: str
    paths: tuple[str, ...]
    reason: str
    runs: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    versions: SpecifierSet = field(default_factory=SpecifierSet)
    avoid: str = ""
    relocated: bool = False
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    varies: Mapping[str, str] = field(default_factory=dict, hash=False)
    shows: str = "always"

    def covers(self, run_id: str, version: str) -> bool:
        """Whether the entry speaks of this run with this version of LiteLLM; of an unknown one those of all do."""
        return any(fnmatchcase(run_id, pattern) for pattern in self.runs) and _within(version, self.versions)

    def fits(self, path: str, kind: str, direct: Any, proxied: Any, *, model: str = "", asked: str = "") -> bool:
        """Whether the entry speaks of this difference, its value included.

        `model` is vLLM's name for the model, and `asked` is LiteLLM's.
        """
        if not matches(path, self.paths) or (self.kinds and kind not in self.kinds):
            return False
        if kind in PRESENCE or matches(path, tuple(self.varies)):
            return True
        named = [each for pattern, several in self.values.items() if matches(path, (pattern,)) for each in several]
        names = {"{model}": model, "{asked}": asked}
        return any(_is_value(each, direct, proxied, names) for each in named) if named else kind in GONE

    @property
    def links(self) -> list[str]:
        """The upstream issues' addresses."""
        return [UPSTREAM + issue for issue in self.issues]


@dataclass(frozen=True)
class Rule:
    """One line of the gate: no difference of these paths may be a defect.

    Where `known` is "tolerated" what known.yaml lists does not fail it; "refused" takes no excuse, allowances neither.
    """

    rule: str
    paths: tuple[str, ...]
    runs: tuple[str, ...] = ("*",)
    known: str = "tolerated"


@dataclass(frozen=True)
class KnownIssues:
    """Everything that is known."""

    allowances: tuple[KnownIssue, ...]
    defects: tuple[KnownIssue, ...]
    gate: tuple[Rule, ...]

    @classmethod
    def read(cls, known: Path = HERE / "known.yaml", gate: Path = HERE / "gate.yaml") -> "KnownIssues":
        """Read both files.

        Raises:
            SignoffError: one of them says something that cannot be understood.
        """
        table = _table(known)
        versions = table.get("versions", "")
        return cls(
            tuple(_entry(known, each, versions) for each in table.get("allowances", [])),
            tuple(_entry(known, each, versions) for each in table.get("defects", [])),
            tuple(_rule(gate, each) for each in _table(gate).get("gate", [])),
        )

    def of(self, run_id: str, version: str) -> "KnownIssues":
        """What speaks of this run with this version of LiteLLM."""
        allowances, defects = (
            tuple(entry for entry in entries if entry.covers(run_id, version))
            for entries in (self.allowances, self.defects)
        )
        return replace(self, allowances=allowances, defects=defects)


ARROW = " -> "


def _is_value(named: str, direct: Any, proxied: Any, names: Mapping[str, str]) -> bool:
    """Whether `named`, "from -> to" or "to", is what became of the value; `names` are those of the model."""
    before, _, after = named.rpartition(ARROW)
    filled = {**names, "{direct}": _written(direct), "{proxied}": _written(proxied)}
    if isinstance(proxied, str) and _is_json(proxied):
        filled["{json}"] = _told(proxied)
    return _is_like(before or "*", _told(direct), filled) and _is_like(after, _told(proxied), filled)


def _is_like(pattern: str, text: str, filled: Mapping[str, str]) -> bool:
    """Whether the text is the pattern's, in which * is anything and the names of `filled` are what they hold."""
    parts = re.split("([*]|{model}|{asked}|{direct}|{proxied}|{json})", pattern)
    wanted = "".join(".*" if part == "*" else re.escape(filled.get(part, part)) for part in parts)
    return re.fullmatch(wanted, text, re.DOTALL) is not None


def _told(value: Any) -> str:
    """The value as entries write it; a text that reads as another value of JSON stands in quotes: "400", "null"."""
    return json.dumps(value) if isinstance(value, str) and _reads_as_a_scalar(value) else _written(value)


def _written(value: Any) -> str:
    """A text as it is, and "" and all else as JSON."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _reads_as_a_scalar(text: str) -> bool:
    return _is_json(text) and not isinstance(json.loads(text), dict | list)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _within(version: str, versions: SpecifierSet) -> bool:
    try:
        return versions.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return not versions


def _table(file: Path) -> Mapping[str, Any]:
    try:
        table = _parsed(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SignoffError(f"cannot be read: {' '.join(str(error).split())}", where=str(file)) from None
    if not isinstance(table, dict):
        raise SignoffError("not a mapping", where=str(file), hint="fix the file")
    return table


@lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    """The YAML of a file, which is read again for each matrix and each page, and seldom another then."""
    return yaml.load(text, yaml.CSafeLoader)


def _entry(file: Path, table: dict[str, Any], versions: str) -> KnownIssue:
    """One entry; without versions of its own it is of those that the file names."""
    try:
        values: dict[str, Any] = {
            key: tuple(map(str, value)) if isinstance(value, list) else value for key, value in table.items()
        }
        values["versions"] = SpecifierSet(table.get("versions", versions))
        values["values"] = {path: _several(named) for path, named in table.get("values", {}).items()}
        entry = KnownIssue(**values)
    except (TypeError, AttributeError, InvalidSpecifier) as error:
        raise SignoffError(f"{table}: {error}", where=str(file), hint="fix the entry") from None
    told = [*entry.values, *entry.varies]
    for wrong, what in (
        (not entry.versions, "names no versions of LiteLLM, and neither does the file"),
        (not all(map(_names_something, entry.paths or ("",))), "excuses everything; name the paths that differ"),
        (not set(entry.kinds) <= set(KINDS), f"kinds may be {', '.join(KINDS)}"),
        (not all(map(_names_a_value, chain(*entry.values.values()))), "a value is anything; `varies` may say why"),
        (not all(each and isinstance(each, str) for each in entry.varies.values()), "`varies` says why, in words"),
        (bool(entry.varies) and not entry.kinds, "what varies needs `kinds`, or its loss is excused as well"),
        (not all(path in entry.paths or matches(path, entry.paths) for path in told), "values of a path it has not"),
        (entry.shows not in ("always", "sometimes"), f"shows always or sometimes, not {entry.shows}"),
    ):
        if wrong:
            raise SignoffError(f"{entry.id}: {what}", where=str(file), hint="fix the entry")
    return entry


def _names_something(pattern: str) -> bool:
    """Whether the pattern names any part of a path, beyond what fits everything."""
    return any(letter.isalpha() for letter in pattern)


def _several(named: Any) -> tuple[str, ...]:
    """One value or a list of them; false and 400 of a YAML file are meant as the texts that they are in JSON."""
    return tuple(map(_written, named if isinstance(named, list) else [named]))


def _names_a_value(named: str) -> bool:
    """Whether anything is said of LiteLLM's value, even if only how vLLM's follows from it."""
    before, _, after = named.rpartition(ARROW)
    return "*" not in after or any(letter.isalnum() for letter in after) or "{proxied}" in before


def _rule(file: Path, table: dict[str, Any]) -> Rule:
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        rule = Rule(**values)
    except TypeError as error:
        raise SignoffError(f"{table}: {error}", where=str(file), hint="fix the rule") from None
    if rule.known not in ("tolerated", "refused"):
        raise SignoffError(f"{rule.rule}: known is tolerated or refused, not {rule.known}", where=str(file))
    return rule
