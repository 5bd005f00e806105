"""A `.feature` file that would judge less than it says is refused, each fault with its file and line."""

from pathlib import Path

import pytest
from pytest_bdd.feature import get_feature

from signoff.bdd.features import read_feature
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT

WHOLE = "@AC1\nFeature: One\n  Scenario: First\n    Given a start\n    Then it is fine\n"
OUTLINE = "Feature: One\n  Scenario Outline: Sums\n    Then <a> equals <b>\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "it holds nothing, and no Feature"),
        ("\n  \n", 1, "it holds nothing, and no Feature"),
        ("# one\n# two\n", 1, "it holds only comments, and no Feature"),
        ("just words\n", 1, "'just words' cannot stand here: expected # language, tags, Feature, the end"),
        ("Scenario: no feature\n  Then it is fine\n", 1, "'Scenario: no feature' cannot stand here"),
        (WHOLE + "    Wenn it rains\n", 6, "'Wenn it rains' cannot stand here"),
        (WHOLE + "Feature: Two\n", 6, "'Feature: Two' cannot stand here"),
        ("# language: xx\n" + WHOLE, 1, "Language not supported: xx"),
        (WHOLE + '    """\n    never ended\n', 8, "unexpected end of file: expected "),
        ("Feature: One\n", 1, "the feature has no scenario"),
        ("Feature: One\n  Rule: Empty\n", 2, 'the rule "Empty" has no scenario'),
        ("Feature: One\n  Scenario: First\n", 2, 'the scenario "First" has no steps'),
        ("Feature: One\n  Scenario: First\n    Given a start\n", 2, 'the scenario "First" has no Then'),
        ("Feature: One\n  Scenario:\n    Then it is fine\n", 2, "a scenario has no name"),
        ("Feature: One\n  Scenario: First\n    And it is fine\n", 3, "begins with And"),
        ("Feature: One\n  Background:\n    And a start\n" + WHOLE[18:], 3, "must start with"),
        (WHOLE + "  Scenario: First\n    Then it is fine\n", 6, 'another scenario is called "First", in line 3'),
        (WHOLE + "  Rule: R\n    Example: First\n      Then it is fine\n", 7, 'called "First", in line 3'),
        (WHOLE + "  Rule: R\n    Example: Second\n      Given a start\n", 7, 'the scenario "Second" has no Then'),
        (OUTLINE, 2, "an outline without Examples"),
        (OUTLINE + "    Examples:\n", 4, "have no rows"),
        (OUTLINE + "    Examples:\n      | a | b |\n", 4, "have no rows"),
        (OUTLINE + "    Examples:\n      | a | b |\n      | 1 |\n", 6, "inconsistent cell count"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "one.feature"
    path.write_text(text)
    with pytest.raises(SignoffError) as raised:
        read_feature(path)
    assert raised.value.what == "one.feature is not a feature that can be judged"
    told = raised.value.where.splitlines()[0]
    assert told.startswith(f"{path}:{line}: ")
    assert says in told


def test_all_faults_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "one.feature"
    path.write_text(f"{OUTLINE}  Scenario: First\n  Scenario: Second\n    Given a start\n")
    with pytest.raises(SignoffError) as raised:
        read_feature(path)
    assert [each.strip().split(":")[1] for each in raised.value.where.splitlines()] == ["2", "4", "5"]


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "one.feature"
    path.write_bytes(b"Feature: One\n# \xff\n")
    with pytest.raises(SignoffError, match=r"one\.feature:2: it is not UTF-8"):
        read_feature(path)
    with pytest.raises(SignoffError, match="cannot be read: No such file"):
        read_feature(tmp_path / "two.feature")


@pytest.mark.parametrize(
    "text", [WHOLE.replace("\n", "\r\n"), f"\ufeff{WHOLE}", f"\ufeff{WHOLE}".replace("\n", "\r\n")]
)
def test_files_from_windows_are_read_and_kept_for_pytest_bdd(tmp_path: Path, text: str) -> None:
    path = tmp_path / "one.feature"
    path.write_bytes(text.encode())
    found = read_feature(path)
    assert (found.name, list(found.scenarios)) == ("One", ["First"])
    assert [step.name for step in found.scenarios["First"].steps] == ["a start", "it is fine"]
    assert get_feature(str(tmp_path), "one.feature") is found


def test_rules_with_their_tags_and_background_count(tmp_path: Path) -> None:
    path = tmp_path / "one.feature"
    path.write_text(
        "Feature: One\n  Background:\n    Given a start\n  @AC2\n  Rule: R\n    Background:\n      Given more\n"
        "    Example: First\n      Given yet more\n      * and more\n      Then it is fine\n      And it is well\n"
    )
    scenario = read_feature(path).scenarios["First"]
    assert scenario.rule is not None and scenario.rule.tags == {"AC2"}
    assert [step.name for step in scenario.steps] == [
        "a start",
        "more",
        "yet more",
        "and more",
        "it is fine",
        "it is well",
    ]


def test_other_languages_have_a_then_and_outlines_too(tmp_path: Path) -> None:
    path = tmp_path / "one.feature"
    path.write_text("# language: de\nFunktionalität: Eins\n  Szenario: Erstes\n    Dann ist es gut\n")
    assert list(read_feature(path).scenarios) == ["Erstes"]
    path.write_text("# language: de\nFunktionalität: Eins\n  Szenariogrundriss: Zweites\n    Dann ist es <wie>\n")
    with pytest.raises(SignoffError, match="an outline without Examples"):
        read_feature(path)


@pytest.mark.parametrize("path", sorted((ROOT / "features").glob("*.feature")), ids=lambda path: path.stem)
def test_the_story_s_own_features_are_read(path: Path) -> None:
    assert read_feature(path).scenarios
