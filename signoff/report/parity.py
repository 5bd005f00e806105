"""The page of a parity matrix: a pure function of its JSON."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from signoff.report.whole import put

PAGE = "parity.html"
FILE = "parity.json"


def save(matrix: dict[str, Any], folder: Path) -> None:
    """Write the matrix, as JSON and as a page, into a folder."""
    for name, text in drawn(matrix).items():
        put(folder / name, text)


def drawn(matrix: dict[str, Any]) -> dict[str, str]:
    """The text of each of the two files, by its name."""
    return {FILE: as_json(matrix), PAGE: draw(matrix)}


def write(matrix: dict[str, Any], path: Path) -> None:
    """Draw the page into a file."""
    put(path, draw(matrix))


def as_json(matrix: dict[str, Any]) -> str:
    """The matrix as its file holds it."""
    return json.dumps(matrix, ensure_ascii=False)


def draw(matrix: dict[str, Any]) -> str:
    """The page's text."""
    return _template().render(m=matrix)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"pretty": _pretty, "slug": lambda text: text.replace(" ", "-")}
    return environment.get_template("parity.html.j2")


def _pretty(value: Any) -> str:
    """JSON for a person; a text that is JSON itself as well."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, ensure_ascii=False, indent=1)
