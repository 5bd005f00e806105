"""How lines are written: whole or not at all, each after the one before, without secrets, and by everybody alike."""

import errno
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import signoff
from signoff.commands.verify import verify
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence, read
from signoff.evidence.chain import FILE, SCHEMA, Chain, digest, side_file
from signoff.evidence.models import End, Note, Run, SetUpFailure
from signoff.evidence.recording import began, recording

BEGAN = {"kind": "run", "schema": SCHEMA, "tool": "load"}


def test_lines_of_both_writers_are_alike_but_for_the_moment(tmp_path: Path) -> None:
    with closing(Evidence(tmp_path / "typed", Run(tool="load"))) as evidence:
        evidence.add(Note(text="the key is sk-abcdefghijk"))
        evidence.add(End())
    lines = [line.record.model_dump(mode="json", by_alias=True) for line in read(tmp_path / "typed").lines]
    (tmp_path / "plain").mkdir()
    with closing(Chain(tmp_path / "plain" / FILE)) as chain:
        for record in (lines[0], {"kind": "note", "text": "the key is sk-abcdefghijk"}, lines[2]):
            chain.append(record)
    told = [
        [json.loads(text) for text in (tmp_path / name / FILE).read_text().splitlines()] for name in ("typed", "plain")
    ]
    for typed, plain in zip(*told, strict=True):
        assert list(typed) == list(plain)
        assert {**typed, "at": "", "prev": "", "monotonic": 0} == {**plain, "at": "", "prev": "", "monotonic": 0}
    assert told[1][1]["text"] == "the key is [redacted]"
    for name in ("typed", "plain"):
        assert list(verify(tmp_path / name)) == []


class HalfFull:
    """A file that takes a part of a line and then no more, as long as it is full."""

    def __init__(self, file: Any) -> None:
        self.file, self.full = file, True

    def write(self, data: bytes) -> int:
        if not self.full:
            return int(self.file.write(data))
        if len(data) > 20:
            return int(self.file.write(data[:20]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_line_that_a_full_disk_did_not_take_is_not_there_and_the_next_one_follows(tmp_path: Path) -> None:
    with closing(Chain(tmp_path / FILE)) as chain:
        chain.append(BEGAN)
        before = (tmp_path / FILE).read_bytes()
        disk = chain._file = HalfFull(chain._file)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space"):
            chain.append({"kind": "note", "text": "lost"})
        assert (tmp_path / FILE).read_bytes() == before
        disk.full = False
        line = chain.append({"kind": "end"})
    assert (line["seq"], line["prev"]) == (1, digest(before.rstrip(b"\n")))
    assert list(verify(tmp_path)) == []


def test_evidence_of_another_run_is_never_added_to(tmp_path: Path) -> None:
    Evidence(tmp_path, Run()).close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(SignoffError, match="File exists"):
        Evidence(tmp_path, Run())
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("a.csv", b"", 0),
        ("a.csv", b"heading\n", 0),
        ("a.csv", b"heading\n1\n2", 2),
        ("a.json", b"[\n1\n]\n", 3),
        ("a.csv", b"heading\n" + b"1\n" * 2**20, 2**20),
    ],
)
def test_a_file_is_named_with_its_rows(name: str, data: bytes, rows: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert side_file(tmp_path / name) == {"name": name, "sha256": digest(data), "rows": rows}


def test_what_ends_a_command_is_in_its_evidence(tmp_path: Path) -> None:
    for number, (error, kinds, interrupted) in enumerate(
        [
            (SignoffError("no cluster", where="port 6443"), [Run, SetUpFailure, End], False),
            (KeyboardInterrupt(), [Run, End], True),
        ]
    ):
        folder = tmp_path / str(number)
        with pytest.raises(type(error)), recording(folder, began("serve", "kind", {"attach": ""})):
            raise error
        recorded = read(folder)
        assert [type(line.record) for line in recorded.lines] == kinds
        assert recorded.run.tool == "serve" and recorded.run.versions["python"]
        (end,) = recorded.of(End)
        assert end.interrupted is interrupted


def test_a_full_disk_hides_no_other_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SignoffError, match="no cluster"), recording(tmp_path / "run", began("load", "kind", {})):
        monkeypatch.setattr(Chain, "append", full)
        raise SignoffError("no cluster")


def test_the_chain_is_written_without_pydantic() -> None:
    script = (
        "import sys; sys.modules['pydantic'] = None; from signoff.evidence.chain import Chain; print(Chain.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Chain\n"), done.stderr


def test_nothing_forgets_what_it_is_to_record() -> None:
    for path in Path(signoff.__file__).parent.rglob("*.py"):
        assert "import forget" not in path.read_text(encoding="utf-8"), path
