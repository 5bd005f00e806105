"""The files in docs/ say what the models say."""

import json
from pathlib import Path

import jsonschema
import pytest

from signoff.core.paths import ROOT
from signoff.evidence.models import kinds
from signoff.evidence.schema import schema

DOCS = ROOT / "docs"


def test_the_schema_in_docs_is_that_of_the_models() -> None:
    made = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    again = "write it again: python -m signoff.evidence.schema > docs/evidence.schema.json"
    assert (DOCS / "evidence.schema.json").read_text(encoding="utf-8") == made, again


def test_the_lines_of_a_run_are_as_the_schema_says(signed_off: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    lines = (signed_off / "evidence.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) > 50
    for line in lines:
        validator.validate(json.loads(line))


@pytest.mark.parametrize("damage", [{"seq": "1"}, {"kind": "opinion"}, {"asked": 1}])
def test_a_line_that_is_otherwise_is_none(signed_off: Path, damage: dict[str, object]) -> None:
    first = json.loads((signed_off / "evidence.jsonl").read_text(encoding="utf-8").split("\n")[0])
    assert not jsonschema.Draft202012Validator(schema()).is_valid({**first, **damage})


def test_the_table_in_docs_names_every_kind_with_what_its_model_says() -> None:
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    told = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [(kind.strip("`"), what) for kind, what, *_ in told] == [
        (kind, (model.__doc__ or "").split("\n")[0]) for kind, model in kinds().items()
    ]
