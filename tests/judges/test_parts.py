"""A check that is part of another is waived with it: who has no way in says so once."""

from pathlib import Path

import pytest

from signoff.core.errors import UsageError
from signoff.core.paths import ROOT
from signoff.judges.run import Result
from signoff.settings import Settings, story_values
from signoff.story import waivers
from signoff.story.declaration import Declaration
from signoff.verdicts import Value
from tests.evidence import runs

STORY = ROOT / "features" / "story.yaml"
PARTS = {name for name, check in Declaration.read(STORY).story.checks.items() if check.part_of == "way-in"}


def without_a_way_in(folder: Path, waived: dict[str, str], *, but: str = "") -> Result:
    """A run that has seen nothing of the way in but this check, and all else."""
    writer = runs.open_run(folder, waived)
    writer.left_out = frozenset(PARTS - {but})
    runs.plan(writer, runs.OBSERVES)
    runs.set_up(writer)
    writer.play()
    return runs.finish(writer)


def test_all_of_a_way_in_is_waived_by_one_waiver(tmp_path: Path) -> None:
    result = without_a_way_in(tmp_path / "run", {"way-in": "no Traefik here"})
    assert result.signed_off and result.headline == "Signed off; 10 checks waived"
    assert {each.name: each.waiver for each in result.waived} == dict.fromkeys({"way-in", *PARTS}, "no Traefik here")
    assert {each.value for each in result.waived} == {Value.NOT_JUDGED}


def test_a_part_that_has_passed_needs_no_waiver(tmp_path: Path) -> None:
    result = without_a_way_in(tmp_path / "run", {"way-in": "no Traefik here"}, but="certificate")
    assert result.headline == "Signed off; 9 checks waived"
    assert result.checks["certificate"].waiver is None and result.unneeded_waivers == []


def test_a_waiver_of_a_part_is_one_of_nothing_else(tmp_path: Path) -> None:
    result = without_a_way_in(tmp_path / "run", {"plain-http": "port 80 is closed"})
    assert not result.signed_off
    assert [each.name for each in result.waived] == ["plain-http"]


def test_a_waiver_with_its_parts_leaves_no_criterion_bare() -> None:
    criterion = "criteria:\n  AC0: {text: there is a way in, checks: [way-in, certificate]}\n"
    text = STORY.read_text(encoding="utf-8").replace("criteria:\n", criterion)
    bare = Declaration(STORY, text).filled(story_values(Settings()))
    with pytest.raises(UsageError, match="these waivers leave AC0 without a check"):
        waivers.check({"way-in": "no Traefik here"}, bare, "embedded", lambda _: "--waive")
