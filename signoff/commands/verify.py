"""`signoff verify`: a run is judged again from what is stored, and every difference to what was printed is named.

It shows that the files belong together: a line, a figure or a verdict that was changed afterwards contradicts another
file. It cannot show that somebody did not make all of them up.
"""

import argparse
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from signoff import report
from signoff.core.errors import SignoffError
from signoff.evidence.chain import SCHEMA
from signoff.evidence.integrity import Finding, breaks, parsed
from signoff.evidence.legacy import VERSION_1
from signoff.evidence.models import CallsCompared, End, ScenarioEnd, SideFile
from signoff.evidence.store import FILE, Recorded, digest, read
from signoff.judges.run import Result, State
from signoff.parity.known_issues import fingerprint, fingerprint_of_bytes
from signoff.parity.verdict import matrix_of
from signoff.report import parity, sums

_NOTHING = object()


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("verify", help="judge a run again from its stored evidence", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="the run's folder, such as reports/2026-...")
    parser.set_defaults(run=main)


def main(options: argparse.Namespace) -> int:
    """Judge a run again from its stored evidence, and name every difference to what was printed; 1 if there is any."""
    differences = list(verify(options.run_dir))
    for difference in differences:
        print(difference)
    if differences:
        count = f"{len(differences)} difference{'' if len(differences) == 1 else 's'}"
        print(f"not verified: {count}{_made_by(options.run_dir)}")
        return 1
    print(f"verified: {_told(read(options.run_dir))}")
    return 0


def _made_by(folder: Path) -> str:
    """Whose pages these are: another version of signoff may draw others."""
    commit = _first((folder / FILE).read_bytes()).get("commit")
    return f" (signoff at commit {commit} made the run; another version may draw it differently)" if commit else ""


def _told(evidence: Recorded) -> str:
    if evidence.run.story is None:
        return f"{len(evidence.lines)} lines of evidence of a run of signoff {evidence.run.tool}"
    return Result(evidence).headline


def verify(folder: Path) -> Iterator[Finding]:
    """Every difference, the evidence's own first, since others may follow from them.

    Raises:
        SignoffError: the folder holds no evidence, or that of another version.
    """
    data = _evidence_of(folder)
    found = list(breaks(data))
    yield from found
    try:
        evidence = _read(folder, data)
    except SignoffError as error:
        damage = Finding(error.where.replace(f"{folder}/", ""), error.what)
        if damage.where not in {each.where for each in found}:
            yield damage
    else:
        yield from _side_files(evidence)
        yield from _end(evidence)
        yield from _known_issues(evidence)
        if evidence.run.tool == "features":
            yield from _printed(evidence)
        elif evidence.run.tool == "parity":
            yield from _matrix(evidence)
        elif not (folder / sums.FILE).exists():
            return
    yield from _sums(folder)


# The evidence


def _evidence_of(folder: Path) -> bytes:
    """The file's bytes.

    Raises:
        SignoffError: there are none, or they are of another version, which is told by the first line alone.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SignoffError(
            f"there is no evidence: {error.strerror}", where=str(path), hint="name the folder of a run"
        ) from None
    first = _first(data)
    schema = first.get("schema", SCHEMA)
    if first and ("prev" not in first or schema not in (SCHEMA, VERSION_1)):
        version = repr(schema) if "prev" in first else "before there were hashes in it"
        raise SignoffError(f"the evidence is of a version that cannot be verified: {version}", where=str(path))
    return data


def _first(data: bytes) -> dict[str, Any]:
    """The first line; empty where it is damaged."""
    found = parsed(data.partition(b"\n")[0])
    return found if isinstance(found, dict) else {}


def _read(folder: Path, data: bytes) -> Recorded:
    """The evidence as judges read it.

    Raises:
        SignoffError: it is damaged.
    """
    first = _first(data)
    if first and "schema" not in first:
        raise SignoffError("the evidence does not begin with how the run began", where=f"{folder / FILE}:1")
    return read(folder)


def _known_issues(evidence: Recorded) -> Iterator[Finding]:
    """Calls that were judged by other known issues than those here, and may be judged otherwise by these."""
    here = fingerprint_of_bytes() if evidence.run.schema_ == VERSION_1 else fingerprint()
    for number, record in _numbered(evidence):
        if isinstance(record, CallsCompared) and record.known_issues_sha256 not in ("", here):
            told = "these calls were judged by other known.yaml, gate.yaml or cases than this signoff has"
            yield Finding(f"{FILE}:{number}", told)


def _junit(result: Result) -> Iterator[Finding]:
    """What junit.xml says otherwise than the evidence: the verdict, and which scenarios did not pass."""
    path = result.evidence.folder / "junit.xml"
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return  # its sum tells of that
    told = {each.get("name"): each.get("value") for each in root.iter("property")}.get("verdict")
    if told not in (None, result.headline):
        yield Finding(path.name, f"its verdict is {told!r}, by the evidence {result.headline!r}")
    states = {scenario.planned.id: scenario.state for scenario in result.scenarios}
    for case in root.iter("testcase"):
        named = f"{case.get('classname', '')}::{case.get('name', '')}"
        state = next((each for key, each in states.items() if key.replace("/", ".") == named), None)
        passed = not any(child.tag in ("failure", "error", "skipped") for child in case)
        if state is not None and passed is not (state is State.PASSED):
            word = "passed" if passed else "not passed"
            yield Finding(path.name, f"{case.get('name')} has {word}, by the evidence it is {state.value}")


def _side_files(evidence: Recorded) -> Iterator[Finding]:
    """Files that the evidence names, and that are missing or others."""
    named = {file: number for number, line in _numbered(evidence) for file in _files_in(line)}
    for file, number in named.items():
        try:
            evidence.path(file)
        except SignoffError as error:
            yield Finding(f"{FILE}:{number}", error.what)
    for number, record in _numbered(evidence):
        if isinstance(record, ScenarioEnd) and record.bundle and not (evidence.folder / record.bundle).is_file():
            yield Finding(record.bundle, f"the bundle is missing, which {FILE}:{number} names")


def _numbered(evidence: Recorded) -> Iterator[tuple[int, BaseModel]]:
    return ((number, line.record) for number, line in enumerate(evidence.lines, start=1))


def _files_in(value: Any) -> Iterator[SideFile]:
    """Every file that is named in a record, however deep."""
    if isinstance(value, SideFile):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _files_in(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _files_in(each)


# What was printed


def _end(evidence: Recorded) -> Iterator[Finding]:
    """Whether the run was killed, or its end is not the last that was recorded."""
    if not any(isinstance(line.record, End) for line in evidence.lines):
        yield Finding(FILE, "the evidence has no end: the run was killed")
    elif not isinstance(evidence.lines[-1].record, End):
        yield Finding(f"{FILE}:{len(evidence.lines)}", "something was recorded after the end of the run")


def _matrix(evidence: Recorded) -> Iterator[Finding]:
    """Where the files of a parity matrix are not what the evidence gives."""
    try:
        drawn = parity.drawn(matrix_of(evidence))
    except Exception as error:
        yield _unjudged(error)
        return
    for name, text in drawn.items():
        yield from _page(evidence.folder, name, text)


def _unjudged(error: Exception) -> Finding:
    """Whatever a judge trips over was put there, and has to be told like any other damage."""
    return Finding(FILE, f"the evidence cannot be judged: {type(error).__name__}: {str(error).partition(chr(10))[0]}")


def _printed(evidence: Recorded) -> Iterator[Finding]:
    """Where verdict, pages and junit.xml are not what the evidence gives."""
    try:
        result = Result(evidence)
        drawn = report.drawn(result)
    except Exception as error:
        yield _unjudged(error)
        return
    yield from _verdict(evidence.folder, drawn.pop(report.VERDICT))
    for name, text in drawn.items():
        yield from _page(evidence.folder, name, text)
    for name in {parity.FILE, parity.PAGE} - drawn.keys():
        if (evidence.folder / name).exists():
            yield Finding(name, "nothing in the evidence yields such a page")
    yield from _junit(result)


def _verdict(folder: Path, judged: str) -> Iterator[Finding]:
    path = folder / report.VERDICT
    try:
        printed = path.read_text(encoding="utf-8")
        told = json.loads(printed)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no JSON: {error}"
        yield Finding(report.VERDICT, f"it cannot be read: {reason}")
        return
    differences = list(_differences(told, json.loads(judged)))
    for where, one, other in differences:
        yield Finding(report.VERDICT, f"{where} is {_shown(one)}, by the evidence {_shown(other)}")
    if printed != judged and not differences:
        yield Finding(report.VERDICT, "it is not written as signoff writes it")


def _differences(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The deepest places at which two JSON values differ, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*other, *one]):
            place = f"{where}.{key}" if where else key
            yield from _differences(one.get(key, _NOTHING), other.get(key, _NOTHING), place)
    elif one != other or type(one) is not type(other):
        yield where, one, other


def _shown(value: Any) -> str:
    return "not there" if value is _NOTHING else json.dumps(value, ensure_ascii=False)


def _page(folder: Path, name: str, drawn: str) -> Iterator[Finding]:
    try:
        printed = (folder / name).read_bytes()
    except OSError as error:
        yield Finding(name, f"the page cannot be read: {error.strerror}")
        return
    wanted = drawn.encode(errors="backslashreplace")
    if printed != wanted:
        pairs = zip(printed.split(b"\n"), wanted.split(b"\n"), strict=False)
        same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
        line = f":{same + 1}" if same is not None else ""
        yield Finding(f"{name}{line}", "the page is not what the evidence yields")


# The sums


def _sums(folder: Path) -> Iterator[Finding]:
    """Files that were changed, added or taken away since the run was sealed."""
    path = folder / sums.FILE
    if not path.is_file():
        yield Finding(sums.FILE, "it is missing: the run was not ended, or the file was taken away")
        return
    named, there = sums.named(folder), set(sums.files(folder))
    if path.read_bytes() != sums.as_text(named).encode():
        yield Finding(sums.FILE, "it is not written as signoff writes it")
    yield from _changed(folder, named, there)
    for name in sorted(there - named.keys()):
        yield Finding(name, f"the file is not in {sums.FILE}: it was added later")


def _changed(folder: Path, named: dict[str, str], there: Iterable[str]) -> Iterator[Finding]:
    for name, sha256 in named.items():
        if name not in there:
            yield Finding(name, f"the file is missing, which {sums.FILE} names")
        elif digest((folder / name).read_bytes()) != sha256:
            yield Finding(name, f"the file is not the one that {sums.FILE} names")
