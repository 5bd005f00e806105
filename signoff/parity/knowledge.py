"""What is known of LiteLLM's differences, as data: `known.yaml` (allowances and defects) and `gate.yaml`.

A pattern of paths is a path with `[]` for any index, in which `*` stands for anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from signoff.errors import SignoffError

HERE = Path(__file__).parent
UPSTREAM = "https://github.com/BerriAI/litellm/issues/"


KINDS = (
    "lost", "added", "changed", "retyped", "sometimes", "always", "violation", "dropped", "renamed",
)  # fmt: skip
"""How a path may differ; `differ.Difference` says what each means."""


def shape(path: str) -> str:
    """A path for every index: `choices[3].text` becomes `choices[].text`."""
    return re.sub(r"\[\d+\]", "[]", path)


@cache
def _pattern(text: str) -> str:
    return text.replace("[", "[[]")


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path's shape fits one of the patterns."""
    return any(fnmatchcase(shape(path), _pattern(pattern)) for pattern in patterns)


@dataclass(frozen=True)
class Known:
    """An allowance, or a known defect: which paths of which runs, why, since which issue, in which versions.

    `relocated` allowances name an extension that is moved or left out; the others are normalisations. `avoid` says what
    to set so that a defect does not show.
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

    def covers(self, run_id: str, version: str) -> bool:
        """Whether the entry speaks of this run with this version of LiteLLM; of an unknown one those of all do."""
        return any(fnmatchcase(run_id, pattern) for pattern in self.runs) and _within(version, self.versions)

    def fits(self, path: str, kind: str) -> bool:
        """Whether the entry speaks of this difference."""
        return matches(path, self.paths) and (not self.kinds or kind in self.kinds)

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
class Knowledge:
    """Everything that is known."""

    allowances: tuple[Known, ...]
    defects: tuple[Known, ...]
    gate: tuple[Rule, ...]

    @classmethod
    def read(cls, known: Path = HERE / "known.yaml", gate: Path = HERE / "gate.yaml") -> "Knowledge":
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


def _within(version: str, versions: SpecifierSet) -> bool:
    try:
        return versions.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return not versions


def _table(file: Path) -> dict[str, Any]:
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SignoffError(f"cannot be read: {' '.join(str(error).split())}", where=str(file)) from None
    if not isinstance(table, dict):
        raise SignoffError("not a mapping", where=str(file), hint="mend the file")
    return table


def _entry(file: Path, table: dict[str, Any], versions: str) -> Known:
    """One entry; without versions of its own it is of those that the file names."""
    try:
        values: dict[str, Any] = {
            key: tuple(map(str, value)) if isinstance(value, list) else value for key, value in table.items()
        }
        values["versions"] = SpecifierSet(table.get("versions", versions))
        entry = Known(**values)
    except (TypeError, InvalidSpecifier) as error:
        raise SignoffError(f"{table}: {error}", where=str(file), hint="mend the entry") from None
    for wrong, what in (
        (not entry.versions, "names no versions of LiteLLM, and neither does the file"),
        (not all(map(_names_something, entry.paths or ("",))), "excuses everything; name the paths that differ"),
        (not set(entry.kinds) <= set(KINDS), f"kinds may be {', '.join(KINDS)}"),
    ):
        if wrong:
            raise SignoffError(f"{entry.id}: {what}", where=str(file), hint="mend the entry")
    return entry


def _names_something(pattern: str) -> bool:
    """Whether the pattern names any part of a path, beyond what fits everything."""
    return any(letter.isalpha() for letter in pattern)


def _rule(file: Path, table: dict[str, Any]) -> Rule:
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        rule = Rule(**values)
    except TypeError as error:
        raise SignoffError(f"{table}: {error}", where=str(file), hint="mend the rule") from None
    if rule.known not in ("tolerated", "refused"):
        raise SignoffError(f"{rule.rule}: known is tolerated or refused, not {rule.known}", where=str(file))
    return rule
