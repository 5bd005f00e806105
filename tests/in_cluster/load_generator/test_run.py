"""What is read of a load's evidence, and what vouches for its files."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.synthetic_load import BEGAN, Synthetic, write_evidence
from signoff.cli import main
from signoff.core.errors import SignoffError
from signoff.evidence import FILE
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator.run import Run
from signoff.load.conclusions import conclude
from signoff.load.reading import check_files, read_run

INVALID = InvalidSpan(BEGAN + 15, BEGAN + 20, "local", InvalidKind.LOOP_LAG, "the event loop woke up late", 30.0)


def test_a_run_is_what_its_evidence_tells_cut_off_or_not(tmp_path: Path) -> None:
    folder = Synthetic(loads=(2, 4), invalid_spans=[INVALID]).write(tmp_path)
    whole = read_run(folder)
    assert [step.name for step in whole.steps] == ["rate=2", "rate=4"]
    assert (whole.invalid_spans, whole.workers) == ([INVALID], ["local"])
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    (folder / FILE).write_bytes(b"".join([*lines[:4], lines[4][:20]]))
    cut = read_run(folder)
    assert (cut.steps, cut.invalid_spans, cut.workers) == (whole.steps, [], [])


def as_before(run: Run) -> dict[str, object]:
    """What run.json held."""
    told = json.loads(json.dumps(asdict(run)))
    spans = [{**each, "kind": each["kind"].replace("-", " ")} for each in told["invalid_spans"]]
    return {**told, "invalid_spans": spans, "fingerprint": run.fingerprint, "schema": 2}


@pytest.mark.usefixtures("undrawn")
def test_a_load_of_before_can_still_be_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic(invalid_spans=[INVALID]).write(tmp_path)
    run, told = read_run(folder), as_before(read_run(folder))
    (folder / FILE).unlink()
    (folder / "run.json").write_text(json.dumps(told))
    assert read_run(folder) == run
    assert not check_files(folder)
    main(["load-report", str(folder)])
    assert "no evidence vouches for these records" in capsys.readouterr().out
    (folder / "run.json").write_text(json.dumps({**told, "schema": 1}))
    with pytest.raises(SignoffError, match="schema 1, not 2"):
        read_run(folder)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"kind": "load", "run": {"colour": "red"}}, "line 2 of the evidence holds no load: .*colour"),
        ({"kind": "load-step", "name": "rate=1"}, "is damaged at planned_rate"),
        ({"kind": "load-invalid", "what": "tired"}, "is damaged at"),
        ({"kind": "note", "text": "nothing began"}, "the evidence holds no load"),
    ],
)
def test_evidence_of_no_load_is_told(record: dict[str, object], told: str, tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    first, second = (json.loads(line) for line in (folder / FILE).read_text().splitlines()[:2])
    head = {name: second[name] for name in ("seq", "prev", "at", "monotonic", "scenario")}
    (folder / FILE).write_text(f"{json.dumps(first)}\n{json.dumps({**head, **record})}\n")
    with pytest.raises(SignoffError, match=told):
        read_run(folder)


def edited(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"proxied", b"direct_", 1))


def shortened(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (edited, "records-local.csv is not the file that the evidence names: it has another SHA-256"),
        (shortened, "records-local.csv is not the file that the evidence names: it has .* rows instead of"),
        (Path.unlink, "records-local.csv, which the evidence names, cannot be read"),
        (lambda path: path.with_name("records-b.csv").write_bytes(path.read_bytes()), "names no file records-b.csv"),
    ],
)
def test_nothing_is_concluded_from_files_that_the_evidence_does_not_name(
    damage: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    folder = Synthetic().write(tmp_path)
    write_evidence(read_run(folder), folder, sealed=True)
    assert conclude(folder).loaded.vouched
    damage(folder / "records-local.csv")
    with pytest.raises(SignoffError, match=told):
        conclude(folder)


def test_nothing_is_concluded_from_evidence_that_was_changed(tmp_path: Path) -> None:
    folder = Synthetic(invalid_spans=[INVALID]).write(tmp_path)
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    (folder / FILE).write_bytes(b"".join(line for line in lines if b"load-invalid" not in line))
    with pytest.raises(SignoffError, match="the evidence is not as it was written"):
        conclude(folder)


@pytest.mark.usefixtures("undrawn")
def test_of_a_load_that_was_killed_nothing_vouches_and_the_report_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Synthetic(ended=False).write(tmp_path)
    main(["load-report", str(folder)])
    assert "no evidence vouches for these records: the load was killed" in capsys.readouterr().out
    assert "No evidence vouches for these records" in (folder / "load-report.html").read_text()
    write_evidence(read_run(folder), folder, sealed=True)
    main(["load-report", str(folder)])
    assert "vouches" not in capsys.readouterr().out + (folder / "load-report.html").read_text()
