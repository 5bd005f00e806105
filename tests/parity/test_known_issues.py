"""The fingerprint of what judges the calls: it changes with the judgement, not with what is said about it."""

import shutil
from pathlib import Path

import pytest

from signoff.parity import known_issues
from signoff.parity.known_issues import fingerprint, fingerprint_of_bytes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, which the fingerprints then are of."""
    folder = tmp_path / "parity"
    shutil.copytree(known_issues.HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(known_issues, "HERE", folder)
    return folder


@pytest.mark.parametrize("name", ["known.yaml", "gate.yaml", "cases/chat.yaml"])
def test_a_comment_is_no_part_of_the_fingerprint(here: Path, name: str) -> None:
    before, bytes_before = fingerprint(), fingerprint_of_bytes()
    text = (here / name).read_text("utf-8")
    (here / name).write_text(f"# said in other words\n\n{text}", encoding="utf-8")
    assert fingerprint() == before
    assert fingerprint_of_bytes() != bytes_before


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("known.yaml", 'versions: ">=1.80"', 'versions: ">=1.81"'),
        ("gate.yaml", "known: refused", "known: tolerated"),
        ("cases/chat.yaml", "Name a bird.", "Name a fish."),
    ],
)
def test_whatever_judges_is_a_part_of_it(here: Path, name: str, value: str, other: str) -> None:
    before = fingerprint()
    text = (here / name).read_text("utf-8")
    assert value in text
    (here / name).write_text(text.replace(value, other, 1), encoding="utf-8")
    assert fingerprint() != before
