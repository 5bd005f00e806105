"""A file of settings that a program wrote says what was meant, whatever the texts."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import UsageError
from signoff.settings.writing import Line, written

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
