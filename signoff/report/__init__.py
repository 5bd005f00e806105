"""The report: verdict, pages and terminal lines as pure functions of a run's evidence.

Nothing here looks at a clock or names a place on this machine, so that a page drawn again is the same to the byte, and
one that was edited is not (`signoff verify`).
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from signoff.evidence.models import CallsCompared
from signoff.judges.run import Result
from signoff.report import parity, terminal
from signoff.report.sums import seal
from signoff.report.view import View
from signoff.report.whole import put
from signoff.report.wording import attribution_sentence, interval, milliseconds, parity_sentence

__all__ = ["PAGES", "VERDICT", "drawn", "seal", "terminal_lines", "write"]

PAGES = ("signoff.html", "signoff.md")
VERDICT = "verdict.json"

_TEMPLATES = Path(__file__).parent


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
    environment = _environment()
    return files | {page: environment.get_template(f"{page}.j2").render(view=view, result=result) for page in PAGES}


def terminal_lines(result: Result) -> Iterator[tuple[str, dict[str, bool]]]:
    """The summary's lines with their markup (pytest's terminal writer's)."""
    yield from terminal.lines(View(result))
    yield f"report: {result.evidence.folder / PAGES[0]}", {}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["parity_sentence"] = parity_sentence
    environment.filters |= {
        "cell": _markdown_cell,
        "interval": interval,
        "ms": milliseconds,
        "seconds": "{:.1f}".format,
        "slug": _slug,
        "split": attribution_sentence,
    }
    return environment


def _slug(word: str) -> str:
    """A value, state or word as a class of the style sheet."""
    return str(word).replace(" ", "-")


def _markdown_cell(text: Any) -> str:
    """A text as one cell of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
