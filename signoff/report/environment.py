"""The one Jinja environment that draws every page, with the formats that templates use."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from signoff.report import formats, wording


def render(template: str, **shown: Any) -> str:
    """The text of a page; what a template's name says decides whether its values are escaped for HTML."""
    return _environment().get_template(template).render(**shown)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": formats.markdown_cell,
        "days": formats.days,
        "ends": formats.ends,
        "figure": formats.in_a_cell,
        "issue": formats.issue,
        "ms": formats.milliseconds,
        "number": formats.number,
        "percent": formats.percent,
        "pretty": formats.pretty,
        "seconds": formats.seconds,
        "slug": formats.slug,
        "utc": formats.utc,
        "with_interval": formats.with_interval,
        "attribution": wording.attribution_sentence,
    }
    environment.globals["parity_sentence"] = wording.parity_sentence
    return environment
