"""A file of settings that a program wrote says what was meant, whatever the texts."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import UsageError
from signoff.settings import read
from signoff.settings.writing import Line, remember, written

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(0, 65535), st.lists(TEXTS), st.dictionaries(TEXTS, TEXTS))


def test_each_line_has_its_reason_and_what_is_not_set_is_a_comment() -> None:
    lines = [
        Line("port", 80, "Service/x (all.yaml:3)"),
        Line("labels", {"a/b": "c"}, "what the chart gives", is_set=False),
        Line("allowed_nodes", ["a", "b"], ""),
    ]
    assert written(lines, ["Of these manifests."]) == (
        "# Of these manifests.\n"
        "port = 80  # Service/x (all.yaml:3)\n"
        '# labels = {"a/b" = "c"}  # what the chart gives\n'
        'allowed_nodes = ["a", "b"]\n'
    )


@given(st.dictionaries(st.from_regex("[a-z_]+", fullmatch=True), st.tuples(VALUES, st.text(), st.booleans())), TEXTS)
def test_it_reads_back_as_what_was_written(told: dict[str, tuple[Any, str, bool]], head: str) -> None:
    text = written([Line(name, *each) for name, each in told.items()], [head])
    assert tomllib.loads(text) == {name: value for name, (value, _, is_set) in told.items() if is_set}


def test_what_is_not_utf_8_cannot_be_said() -> None:
    with pytest.raises(UsageError, match="a file of settings cannot say what is not UTF-8"):
        written([Line("manifests", ["\udcff"], "")])


FOUND = {"kube_context": "home", "cluster_uid": "c0ffee00-0000-4000-8000-000000000000"}


@pytest.mark.parametrize(
    "text", ["", "port = 80  # as ever\n", 'kube_context = "home"  # the cellar\n'], ids=["empty", "other", "the same"]
)
def test_what_a_run_found_out_is_added_and_all_else_stays(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    assert remember(read({}, str(file)), FOUND, "by the first run") == file
    after = file.read_text(encoding="utf-8")
    assert after.startswith(text)
    assert tomllib.loads(after) == {**tomllib.loads(text), **FOUND}


def test_what_a_person_has_set_is_not_rewritten_by_an_option(tmp_path: Path) -> None:
    file, text = tmp_path / "mine.toml", 'kube_context = "home"\n'
    file.write_text(text, encoding="utf-8")
    told = read({"kube_context": ["other"]}, str(file))
    assert remember(told, {**FOUND, "kube_context": "other"}, "by the first run") is None
    assert file.read_text(encoding="utf-8") == text
