"""The evidence's JSON schema: `python -m signoff.evidence.schema > docs/evidence.schema.json`."""

import json
import sys
from typing import Any

from pydantic.json_schema import models_json_schema

from signoff.evidence.chain import SCHEMA
from signoff.evidence.models import Line, kinds


def schema() -> dict[str, Any]:
    """What a line may be: one of the kinds, with the line's place before the record's own fields."""
    models = kinds()
    _, shared = models_json_schema([(model, "validation") for model in models.values()], by_alias=True)
    definitions: dict[str, Any] = shared["$defs"]
    place = Line.model_json_schema()["properties"]
    head = {name: place[name] for name in Line.HEAD}
    for model in models.values():
        _put_before(definitions[model.__name__], head)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of evidence ({SCHEMA})",
        "description": "docs/evidence.md describes the file, and what a schema cannot say of it.",
        "oneOf": [{"$ref": f"#/$defs/{models[kind].__name__}"} for kind in sorted(models)],
        "$defs": definitions,
    }


def _put_before(record: dict[str, Any], head: dict[str, Any]) -> None:
    """Make a record's schema that of its line."""
    record["properties"] = {**head, **record["properties"]}
    record["required"] = [*head, "kind", *(name for name in record.get("required", []) if name != "kind")]


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=1, ensure_ascii=False)
    print()
