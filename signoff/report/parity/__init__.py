"""The page of a parity matrix: a pure function of its JSON."""

import json
from pathlib import Path
from typing import Any

from signoff.core.whole import put
from signoff.parity.matrix import with_unknown_defects
from signoff.report.environment import render
from signoff.settings.shown import headline, not_the_storys

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
    differing = not_the_storys(matrix.get("not_the_storys", {}))
    return render(
        "parity/page.html.j2",
        m=matrix,
        unknown=len(with_unknown_defects(matrix)),
        differing=differing,
        headline=headline(f"Gate {'passed' if matrix['gate']['passed'] else 'failed'}", differing),
    )
