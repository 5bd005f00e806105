"""The report: verdict, pages and terminal lines as pure functions of a run's evidence.

Nothing here looks at a clock or names a place on this machine, so that a page drawn again is the same to the byte, and
one that was edited is not (`signoff verify`).
"""

import json
from collections.abc import Iterator
from pathlib import Path

from signoff.core.whole import put
from signoff.evidence.models import CallsCompared
from signoff.judges.run import Result
from signoff.report import parity, terminal
from signoff.report.environment import render
from signoff.report.signoff.view import View
from signoff.report.sums import seal

__all__ = ["PAGES", "VERDICT", "drawn", "seal", "terminal_lines", "write"]

PAGES = ("signoff.html", "signoff.md")
VERDICT = "verdict.json"


def write(result: Result) -> None:
    """Write verdict and pages into the run's folder, each whole or not at all.

    Raises:
        SignoffError: one cannot be written.
    """
    for name, text in drawn(result).items():
        put(result.evidence.folder / name, text)


def drawn(result: Result) -> dict[str, str]:
    """The text of each file that follows from the evidence, by its name."""
    view = View(result)
    named = {each.calls_file.name for each in result.evidence.of(CallsCompared)}
    files = {VERDICT: json.dumps(result.to_record(), ensure_ascii=False, indent=1) + "\n"}
    if view.parity:
        files[parity.PAGE] = parity.draw(view.parity)
        if parity.FILE not in named:  # which in version 0 was the evidence itself
            files[parity.FILE] = parity.as_json(view.parity)
    for page in PAGES:
        files[page] = render(f"signoff/page{Path(page).suffix}.j2", view=view, result=result)
    return files


def terminal_lines(result: Result) -> Iterator[tuple[str, dict[str, bool]]]:
    """The summary's lines with their markup (pytest's terminal writer's)."""
    yield from terminal.lines(View(result))
    yield f"report: {result.evidence.folder / PAGES[0]}", {}
