"""A matrix as JSON, and what changed between two of them.

The schema, version 1 (`schema: signoff.parity/1`; fields may be added, none changes its meaning):

    at, seconds            when it was made, and how long the asking took
    litellm                {version, image}
    not_the_storys         {name of a setting: {value, origin, story}}; left out where each is the story's
    summary                {class: number of runs}
    gate                   {passed, failures: [{rule, run, path, known}]}
    fixed                  ids of known defects that no run shows any more
    known                  {id: {reason, issues: [URL], avoid, class, runs: [run ids that show it]}}
    runs                   [{id, family, case, about, mode, prefix, settings, class, reason, seconds, noise,
                             differences: [{path, kind, direct, proxied, standing, class, known}],
                             vllm_violations: {path: message}, rates, client,
                             exchanges: {direct, direct_again, proxied: {request, status, headers, body, events, broken,
                                         seconds}},
                             upstream: [{method, path, headers, body, status, left, whole, bytes, events}],
                             recorded, lane, stopped, too_late, follow_up}]   with these an `Observation` is read back
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from signoff.core.errors import SignoffError
from signoff.parity.judge import GRAVITY, Class, Result, counts, fixed, gate
from signoff.parity.known_issues import KnownIssues, matches, shape
from signoff.settings.shown import differing

SCHEMA = "signoff.parity/1"

Matrix = dict[str, Any]


def matrix(
    results: Sequence[Result],
    known_issues: KnownIssues,
    *,
    version: str,
    image: str,
    seconds: float,
    whole: bool = True,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Matrix:
    """Everything of one matrix in JSON types; only a whole one can tell that a known defect shows nowhere.

    `settings` are those that the run recorded.
    """
    failures = gate(results, known_issues)
    shown: dict[str, list[str]] = {}
    for result in results:
        for each in result.differences:
            if each.known and result.observation.run.id not in shown.setdefault(each.known.id, []):
                shown[each.known.id].append(result.observation.run.id)
    entries = [*((e, "defect") for e in known_issues.defects), *((e, "allowance") for e in known_issues.allowances)]
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "litellm": {"version": version, "image": image},
        **({"not_the_storys": others} if (others := differing(settings)) else {}),
        "summary": counts(results),
        "gate": {"passed": not failures, "failures": [asdict(failure) for failure in failures]},
        "fixed": [entry.id for entry in fixed(results, known_issues, version)] if whole else [],
        "known": {
            entry.id: {
                "reason": entry.reason,
                "issues": entry.links,
                "avoid": entry.avoid,
                "class": kind,
                "runs": shown[entry.id],
            }
            for entry, kind in entries
            if entry.id in shown
        },
        "runs": [result.to_record() for result in results],
    }


def read(path: Path) -> Matrix:
    """Read a matrix.

    Raises:
        SignoffError: there is none, or it is of another schema.
    """
    file = path / "parity.json" if path.is_dir() else path
    try:
        found: Matrix = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SignoffError(
            f"no parity matrix: {error}", where=str(file), hint="name a parity.json, or the folder that holds one"
        ) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise SignoffError("a parity matrix of another version", where=str(file), hint=f"this version reads {SCHEMA}")
    return found


@dataclass(frozen=True)
class Change:
    """What became of one run between two matrices, and which shapes of paths came and went."""

    run: str
    word: str
    before: str
    after: str
    came: tuple[str, ...]
    went: tuple[str, ...]


_JUDGED = {each.value for each in GRAVITY}


def changes(before: Matrix, after: Matrix) -> list[Change]:
    """The runs that are newly broken, fixed, changed, new, gone, or no longer judged."""
    first, second = ({run["id"]: run for run in each["runs"]} for each in (before, after))
    found = [_change(first.get(name), second.get(name)) for name in [*first, *(n for n in second if n not in first)]]
    order = ("newly broken", "no longer judged", "fixed", "changed", "judged now", "new", "gone")
    return sorted((each for each in found if each), key=lambda each: (order.index(each.word), each.run))


_TELLING = ("status", "next.status", "client.outcome", "body.error.type", "body.error.code", "*.finish_reason")
"""Paths whose few values say by themselves how a run is broken; elsewhere values differ from time to time."""


def _broken(run: Matrix) -> set[str]:
    """The shapes of the paths with a defect, however they differ there."""
    return {shape(each["path"]) for each in run["differences"] if each["class"] == Class.DEFECT.value}


def _facts(run: Matrix) -> list[tuple[str, str, str]]:
    """Each difference once: what it is (kind and path), its class and, at a telling path, its value."""
    found = (
        (
            f"{each['kind']} {shape(each['path'])}",
            each["class"],
            f" ({each['proxied']})" if matches(each["path"], _TELLING) else "",
        )
        for each in run["differences"]
    )
    return list(dict.fromkeys(found))


def _new(one: Matrix, other: Matrix) -> tuple[str, ...]:
    """What `one` has and `other` has not; of what both have, how it is classed and valued now."""
    there = _facts(other)
    shared = {what for what, _, _ in there}
    return tuple(
        f"{what}: {verdict}{value}" if what in shared else what
        for what, verdict, value in _facts(one)
        if (what, verdict, value) not in there
    )


def _change(before: Matrix | None, after: Matrix | None) -> Change | None:
    if before is None or after is None:
        there = before or after or {}
        word = "gone" if after is None else "new"
        return Change(there["id"], word, before["class"] if before else "", after["class"] if after else "", (), ())
    came, went = _new(after, before), _new(before, after)
    was, now = before["class"], after["class"]
    if was == now and not came and not went:
        return None
    word = "changed"
    if now not in _JUDGED:
        word = "no longer judged" if was in _JUDGED else "changed"
    elif was not in _JUDGED:
        word = "judged now"
    elif _broken(after) - _broken(before):
        word = "newly broken"
    elif _broken(before) - _broken(after):
        word = "fixed"
    return Change(before["id"], word, was, now, came, went)


def with_unknown_defects(found: Matrix) -> list[str]:
    """The runs with a defect that no entry of known.yaml explains."""
    return [
        run["id"]
        for run in found["runs"]
        if run["class"] == Class.DEFECT.value
        and any(each["class"] == Class.DEFECT.value and not each["known"] for each in run["differences"])
    ]


MAX_UNPROVEN = 0.05
"""The share of runs with the story's settings that may prove nothing; the matrix of 1.80.16 had 5 of 329."""


def unproven(found: Matrix) -> str:
    """Why a matrix says too little of the story's settings to pass, if so."""
    own = [run for run in found["runs"] if run["settings"] == "story"]
    idle = [run for run in own if run["class"] not in _JUDGED]
    if len(idle) == len(own):
        return "no run with the story's settings was judged, so nothing is proved"
    if len(idle) > MAX_UNPROVEN * len(own):
        share = f"{len(idle)} of {len(own)} runs with the story's settings proved nothing (at most {MAX_UNPROVEN:.0%})"
        return f"{share}: {idle[0]['id']}: {idle[0]['reason']}"
    return ""
