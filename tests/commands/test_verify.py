"""`signoff verify` finds whatever was changed after a run, and names the place."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from signoff import report
from signoff.cli import main
from signoff.commands.verify import verify
from signoff.evidence import read
from signoff.judges.run import Result
from signoff.parity.known_issues import fingerprint
from tests.evidence import runs
from tests.sampling import sampled

Lines = list[bytes]


@dataclass(frozen=True)
class Damage:
    """What was done to a run's folder, and patterns of which each has to match one of the differences."""

    name: str
    do: Callable[[Path], None]
    found: Sequence[str] = field(default_factory=list)


# What damages do


def lines(folder: Path) -> Lines:
    return (folder / "evidence.jsonl").read_bytes().split(b"\n")[:-1]


def put(folder: Path, changed: Lines) -> None:
    (folder / "evidence.jsonl").write_bytes(b"".join(line + b"\n" for line in changed))


def at(found: Lines, kind: str) -> int:
    """The index of the last line of a kind."""
    return max(index for index, line in enumerate(found) if json.loads(line)["kind"] == kind)


def evidence(change: Callable[[Lines], Lines | None]) -> Callable[[Path], None]:
    """Change the lines of the evidence, in place or by others."""

    def do(folder: Path) -> None:
        found = lines(folder)
        put(folder, change(found) or found)

    return do


def in_line(kind: str, old: str, new: str) -> Callable[[Path], None]:
    """Exchange a text in the last line of a kind."""

    def change(found: Lines) -> None:
        index = at(found, kind)
        assert old.encode() in found[index]
        found[index] = found[index].replace(old.encode(), new.encode(), 1)

    return evidence(change)


def chained(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[Path], None]:
    """Change the lines as somebody does who knows of the chain, and rebuilds it."""

    def do(folder: Path) -> None:
        told = [json.loads(line) for line in lines(folder)]
        change(told)
        changed: Lines = []
        for seq, each in enumerate(told):
            before = hashlib.sha256(changed[-1]).hexdigest() if changed else ""
            changed.append(json.dumps({**each, "seq": seq, "prev": before}, ensure_ascii=False).encode())
        put(folder, changed)

    return do


def slower(told: list[dict[str, Any]]) -> None:
    next(each for each in told if each["kind"] == "counter")["grown"] = 11


def in_file(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Exchange a text in a file."""

    def do(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old.encode() in data
        (folder / name).write_bytes(data.replace(old.encode(), new.encode(), 1))

    return do


def in_verdict(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change verdict.json, and write it as signoff does."""

    def do(folder: Path) -> None:
        told = json.loads((folder / "verdict.json").read_text())
        change(told)
        (folder / "verdict.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n")

    return do


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def written(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes(data))


def void(_: object) -> None:
    """Nothing of it."""


def swapped(one: str, other: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / one).write_bytes(second)
        (folder / other).write_bytes(first)

    return do


def one_row_less(folder: Path) -> None:
    path = folder / "overhead.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def one_byte(folder: Path) -> None:
    path = folder / "overhead.csv"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)


def of_another_run(folder: Path) -> None:
    """Its evidence, which is whole in itself."""
    runs.whole_run(folder.parent / "another")
    shutil.copy(folder.parent / "another" / "evidence.jsonl", folder / "evidence.jsonl")


def moved(found: Lines) -> None:
    found[20], found[21] = found[21], found[20]


def renumbered(found: Lines) -> None:
    found[20] = found[20].replace(b'{"seq": 20,', b'{"seq": 99,')


def inserted(found: Lines) -> None:
    """A line once more, with the next number."""
    found.insert(21, found[20].replace(b'{"seq": 20,', b'{"seq": 21,'))


def no_text(found: Lines) -> None:
    assert b"commit" in found[0]
    found[0] = found[0].replace(b"commit", b"commi\xff", 1)


def shorter_by(count: int) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / "evidence.jsonl"
        path.write_bytes(path.read_bytes()[:-count])

    return do


def noted_later(told: list[dict[str, Any]]) -> None:
    place = {key: told[-1][key] for key in ("at", "monotonic", "scenario")}
    told.append({**place, "kind": "note", "text": "it was fine"})


def other_line_ends(folder: Path) -> None:
    path = folder / "evidence.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def drawn_from_forged(folder: Path) -> None:
    """Evidence, verdict and pages all fit each other, but the seal is of before."""
    chained(slower)(folder)
    report.write(Result(read(folder)))


def weaker(story: bytes) -> bytes:
    return story.replace(b'"pairs": 400', b'"pairs": 100')


FOLLOWS = "it does not follow line"
NUMBER = "its number is"
DAMAGES = [
    Damage(
        "a digit of a figure", in_line("counter", '"grown": 0', '"grown": 1'), [rf"evidence\.jsonl:\d+: {FOLLOWS} \d"]
    ),
    Damage(
        "a digit of a time",
        in_line("exchange", '"e2e_ms": 9.0', '"e2e_ms": 8.0'),
        [rf"evidence\.jsonl:\d+: {FOLLOWS}"],
    ),
    Damage(
        "the first line's waiver taken away",
        in_line("run", '"waivers": {"way-in": ', '"waivers": {"tailscale": '),
        [
            f"evidence.jsonl:2: {FOLLOWS} 1:",
            "verdict.json: waivers.way-in is .*, by the evidence not there",
            "verdict.json: headline",
        ],
    ),
    Damage(
        "the first line's story weakened",
        in_line("run", '"pairs": 400', '"pairs": 100'),
        [f"evidence.jsonl:2: {FOLLOWS} 1:"],
    ),
    Damage(
        "the first line dropped",
        evidence(lambda found: found[1:]),
        ["evidence.jsonl:1: the first line follows another"],
    ),
    Damage(
        "a line dropped",
        evidence(lambda found: found[:20] + found[21:]),
        [f"evidence.jsonl:21: {FOLLOWS} 20", f"evidence.jsonl:21: {NUMBER} 21 where 20 was due"],
    ),
    Damage(
        "a line repeated",
        evidence(lambda found: found[:21] + found[20:]),
        [f"evidence.jsonl:22: {FOLLOWS} 21", f"evidence.jsonl:22: {NUMBER} 20 where 21 was due"],
    ),
    Damage(
        "two lines in the other order",
        evidence(moved),
        [f"evidence.jsonl:21: {FOLLOWS} 20", f"evidence.jsonl:21: {NUMBER} 21"],
    ),
    Damage(
        "a line inserted",
        evidence(inserted),
        [f"evidence.jsonl:22: {FOLLOWS} 21", f"evidence.jsonl:23: {NUMBER} 21 where 22 was due"],
    ),
    Damage(
        "a number changed",
        evidence(renumbered),
        [f"evidence.jsonl:21: {NUMBER} 99 where 20 was due", f"evidence.jsonl:22: {FOLLOWS} 21"],
    ),
    Damage(
        "an empty line",
        evidence(lambda found: [*found[:20], b"", *found[20:]]),
        ["evidence.jsonl:21: the line is no JSON"],
    ),
    Damage(
        "a line that is no object",
        evidence(lambda found: [*found[:20], b"[1,2]", *found[21:]]),
        ["evidence.jsonl:21: the line is no JSON object"],
    ),
    Damage("a byte that is no UTF-8", evidence(no_text), ["evidence.jsonl:1: the line is no UTF-8"]),
    Damage(
        "spaces in a line", in_line("end", ": ", ":  "), ["evidence.jsonl:[0-9]+: the line is not as signoff writes it"]
    ),
    Damage(
        "a key twice",
        in_line("end", '"interrupted": false', '"interrupted": true, "interrupted": false'),
        ["the line is not as signoff writes it"],
    ),
    Damage("other line ends", other_line_ends, ["evidence.jsonl:1: the line is not as signoff writes it"]),
    Damage(
        "the last line cut",
        shorter_by(20),
        [
            r"evidence.jsonl:\d+: the line is cut off",
            "evidence.jsonl: the evidence has no end",
            "verdict.json: headline",
        ],
    ),
    Damage("the last line's end missing", shorter_by(1), [r"evidence.jsonl:\d+: the line is cut off"]),
    Damage(
        "the end dropped",
        evidence(lambda found: found[:-1]),
        ["evidence.jsonl: the evidence has no end", "verdict.json: evidence.lines is"],
    ),
    Damage(
        "another end", in_line("end", '"pytest_status": 0', '"pytest_status": 1'), ["verdict.json: evidence.sha256 is"]
    ),
    Damage(
        "a digit, and the chain rebuilt",
        chained(slower),
        [
            'verdict.json: checks.each-request-once.verdict is "passed", by the evidence "failed"',
            "signoff.html:\\d+: the page is not",
            "evidence.jsonl: the file is not the one that SHA256SUMS names",
        ],
    ),
    Damage(
        "an unknown kind in the chain",
        chained(lambda told: told[20].update(kind="opinion")),
        ["evidence.jsonl:21: .*no known kind: 'opinion'"],
    ),
    Damage(
        "a damaged field in the chain",
        chained(lambda told: told[-1].update(interrupted="perhaps")),
        [r"evidence.jsonl:\d+: .*damaged at interrupted"],
    ),
    Damage(
        "a record after the end", chained(noted_later), [r"evidence.jsonl:\d+: something was recorded after the end"]
    ),
    Damage(
        "all of it rebuilt but the seal",
        drawn_from_forged,
        [
            "verdict.json: the file is not the one",
            "signoff.md: the file is not the one",
            "evidence.jsonl: the file is not the one",
        ],
    ),
    Damage(
        "the evidence of another run",
        of_another_run,
        ["verdict.json: evidence.sha256 is", "signoff.md:\\d+: the page is not"],
    ),
    Damage(
        "a side file missing",
        without("overhead.csv"),
        [
            r"evidence.jsonl:\d+: overhead.csv, which the evidence names, cannot be read",
            "overhead.csv: the file is missing",
            'checks.overhead.verdict is "passed", by the evidence "not judged"',
        ],
    ),
    Damage(
        "a side file exchanged",
        written("overhead.csv", b"round\n1\n"),
        [
            r"evidence.jsonl:\d+: overhead.csv is not the file .* it has 1 rows instead of 1200",
            "overhead.csv: the file is not the one",
        ],
    ),
    Damage(
        "a row less in a side file", one_row_less, ["overhead.csv is not the file .* it has 1199 rows instead of 1200"]
    ),
    Damage("a byte of a side file", one_byte, ["overhead.csv is not the file .* another SHA-256"]),
    Damage(
        "two side files swapped",
        swapped("calls-response-format.json", "calls-request-fidelity.json"),
        [
            r"evidence.jsonl:\d+: calls-response-format.json is not",
            r"evidence.jsonl:\d+: calls-request-fidelity.json is not",
            "parity.html: nothing in the evidence yields",
        ],
    ),
    Damage(
        "a verdict in verdict.json",
        in_verdict(lambda told: told["checks"]["way-in"].update(verdict="passed")),
        ['verdict.json: checks.way-in.verdict is "passed", by the evidence "not judged"'],
    ),
    Damage(
        "a reason in verdict.json",
        in_verdict(lambda told: told["checks"]["way-in"].update(reason="fine")),
        ['verdict.json: checks.way-in.reason is "fine"'],
    ),
    Damage(
        "a figure in verdict.json",
        in_verdict(lambda told: told["checks"]["overhead"]["estimates"]["median"].update(value=1.0)),
        ["verdict.json: checks.overhead.estimates.median.value is 1.0"],
    ),
    Damage(
        "the exit status in verdict.json",
        in_verdict(lambda told: told.update(exit_status=10)),
        ["verdict.json: exit_status is 10, by the evidence 0"],
    ),
    Damage(
        "the headline in verdict.json",
        in_verdict(lambda told: told.update(headline="Signed off: every criterion passed")),
        ['verdict.json: headline is "Signed off: every criterion passed"'],
    ),
    Damage(
        "the waiver out of verdict.json",
        in_verdict(lambda told: told["waivers"].clear()),
        ['verdict.json: waivers.way-in is not there, by the evidence "'],
    ),
    Damage(
        "more in verdict.json",
        in_verdict(lambda told: told.update(approved=True)),
        ["verdict.json: approved is true, by the evidence not there"],
    ),
    Damage(
        "verdict.json in another form",
        in_file("verdict.json", "\n ", "\n  "),
        ["verdict.json: it is not written as signoff writes it"],
    ),
    Damage("verdict.json is no JSON", written("verdict.json", b"{"), ["verdict.json: it cannot be read"]),
    Damage(
        "verdict.json missing",
        without("verdict.json"),
        ["verdict.json: it cannot be read: No such file", "verdict.json: the file is missing"],
    ),
    Damage(
        "a verdict on the page",
        in_file("signoff.html", 'not-judged code-no-observation" title="no-observation">not judged', 'passed">passed'),
        [r"signoff.html:\d+: the page is not what the evidence yields"],
    ),
    Damage(
        "the waiver out of the page",
        in_file("signoff.html", "Traefik is tried by hand", "nothing"),
        [r"signoff.html:\d+: the page is not"],
    ),
    Damage("the page's end", in_file("signoff.html", "</html>\n", "</html>\n\n"), ["signoff.html.*: the page is not"]),
    Damage(
        "a verdict in Markdown",
        in_file("signoff.md", "not judged (waived)", "passed"),
        [r"signoff.md:\d+: the page is not what the evidence yields"],
    ),
    Damage(
        "a page missing",
        without("signoff.md"),
        ["signoff.md: the page cannot be read", "signoff.md: the file is missing"],
    ),
    Damage(
        "an answer in parity.html", in_file("parity.html", "defect", "equal"), [r"parity.html:\d+: the page is not"]
    ),
    Damage(
        "the gate in parity.json",
        in_file("parity.json", '"passed": true', '"passed": false'),
        ["parity.json:1: the page is not"],
    ),
    Damage(
        "junit.xml",
        in_file("junit.xml", "Signed off", "Not signed off"),
        ["junit.xml: the file is not the one that SHA256SUMS names"],
    ),
    Damage(
        "a bundle missing",
        without("bundles/a-scenario.txt"),
        ["bundles/a-scenario.txt: the file is missing, which SHA256SUMS names"],
    ),
    Damage("a file more", written("approved.txt", b"yes"), ["approved.txt: the file is not in SHA256SUMS"]),
    Damage("no seal", without("SHA256SUMS"), ["SHA256SUMS: it is missing"]),
    Damage(
        "a line out of the seal",
        in_file("SHA256SUMS", "  junit.xml\n", "  junit.txt\n"),
        ["junit.txt: the file is missing", "junit.xml: the file is not in SHA256SUMS"],
    ),
    Damage(
        "a remark in the seal",
        in_file("SHA256SUMS", "\n", "\n# fine\n"),
        ["SHA256SUMS: it is not written as signoff writes it"],
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for all copies: what was computed of a file is kept by its path and its SHA-256."""
    return tmp_path_factory.mktemp("copies") / "run"


@pytest.fixture(scope="module", autouse=True)
def known_issues() -> Iterator[None]:
    """They stay as they are while these tests run, so that their fingerprint is taken once."""
    here = fingerprint()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signoff.commands.verify.fingerprint", lambda: here)
        yield


@pytest.fixture(scope="module")
def waived(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run with a waiver of its own."""
    return runs.whole_run(tmp_path_factory.mktemp("waived") / "run", {"way-in": "no Traefik"})


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run in which one of everything went wrong."""
    return runs.troubled_run(tmp_path_factory.mktemp("troubled") / "run")


@pytest.fixture
def folder(signed_off: Path, place: Path) -> Path:
    """A copy of the run, under another name."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(signed_off, place)
    return place


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, list[str]]]:
    """The exit status of `signoff verify`, and what it prints."""

    def ask(folder: Path) -> tuple[int, list[str]]:
        capsys.readouterr()
        status = main(["verify", str(folder)])
        return status, capsys.readouterr().out.splitlines()

    return ask


Told = Callable[[Path], tuple[int, list[str]]]


def test_a_run_that_nobody_touched_is_verified_wherever_it_lies(folder: Path, told: Told) -> None:
    assert told(folder) == (0, ["verified: Signed off; 1 check waived"])


def kind(damage: Damage) -> str:
    """The way in which it is done: by whoever changes a line, or a text in a file, or rebuilds the chain."""
    return damage.do.__qualname__


@pytest.mark.parametrize("damage", sampled((pytest.param(each, id=each.name) for each in DAMAGES), kind))
def test_damage_is_found_at_its_place(folder: Path, damage: Damage, told: Told) -> None:
    damage.do(folder)
    status, found = told(folder)
    assert status == 1
    assert found[-1].startswith("not verified: ")
    for pattern in damage.found:
        assert any(re.search(pattern, line) for line in found), (pattern, found)


def test_the_kinds_of_damage_have_names_of_their_own() -> None:
    assert len({each.name for each in DAMAGES}) == len(DAMAGES) >= 24


def test_several_damages_are_all_told(folder: Path, told: Told) -> None:
    in_file("junit.xml", "Signed", "signed")(folder)
    without("bundles/a-scenario.txt")(folder)
    in_file("signoff.md", "**passed**", "**failed**")(folder)
    _, found = told(folder)
    places = {line.partition(":")[0] for line in found[:-1]}
    assert places == {"junit.xml", "bundles/a-scenario.txt", "signoff.md"}


def test_a_failed_run_is_verified_as_such(troubled: Result, told: Told) -> None:
    assert told(troubled.evidence.folder) == (0, [f"verified: {troubled.headline}"])


def test_a_bundle_that_the_evidence_names_is_missed(troubled: Result, tmp_path: Path) -> None:
    folder = shutil.copytree(troubled.evidence.folder, tmp_path / "run")
    without("bundles/a-test.txt")(folder)
    assert any("bundle is missing, which evidence.jsonl:" in str(each) for each in verify(folder))


def other_version(folder: Path) -> None:
    in_line("run", "signoff.evidence/2", "signoff.evidence/9")(folder)


def of_before(folder: Path) -> None:
    put(folder, [b'{"kind": "run", "at": "2026-01-01T00:00:00+00:00", "monotonic": 1.0}'])


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        (other_version, "of a version that cannot be verified: 'signoff.evidence/9'"),
        (of_before, "of a version that cannot be verified: before there were hashes in it"),
        (without("evidence.jsonl"), "there is no evidence"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    folder: Path, do: Callable[[Path], None], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    do(folder)
    assert main(["verify", str(folder)]) == 1
    assert sentence in capsys.readouterr().err.splitlines()[0]


def test_what_junits_file_says_is_judged_again(
    waived: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(waived.evidence.folder, tmp_path / "run")
    scenario = waived.scenarios[0].planned.id
    classname, _, name = scenario.replace("/", ".").partition("::")
    (folder / "junit.xml").write_text(
        '<testsuites><testsuite><properties><property name="verdict" value="Signed off: all of it"/></properties>'
        f'<testcase classname="{classname}" name="{name}"><failure/></testcase></testsuite></testsuites>'
    )
    report.seal(folder)
    assert main(["verify", str(folder)]) == 1
    told = capsys.readouterr().out
    assert f"junit.xml: its verdict is 'Signed off: all of it', by the evidence {waived.headline!r}" in told
    assert f"junit.xml: {name} has not passed, by the evidence it is passed" in told


def test_calls_that_were_judged_by_other_known_issues_are_named(
    waived: Result, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.commands.verify.fingerprint", lambda: "another")
    assert main(["verify", str(waived.evidence.folder)]) == 1
    assert "these calls were judged by other known.yaml, gate.yaml or cases" in capsys.readouterr().out
