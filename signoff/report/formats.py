"""How figures look: on every page, in Markdown and in the terminal."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from signoff.core import words
from signoff.stats.estimate import Estimate


def number(value: float | None, decimals: int = 1) -> str:
    """A number, and no minus before a zero; nothing where there is none.

    >>> number(-0.04), number(2.345, 2), number(None)
    ('0.0', '2.35', '')
    """
    return "" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def milliseconds(value: float) -> str:
    """One decimal, below 1 ms two.

    >>> milliseconds(13.46), milliseconds(-0.001)
    ('13.5', '0.00')
    """
    return number(value, 2 if abs(value) < 1 else 1)


def short(value: float) -> str:
    """About three digits, whatever the size: for figures of a chart, whose unit may be any.

    >>> short(0.4567), short(45.67), short(4567.8)
    ('0.46', '45.7', '4568')
    """
    return number(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)


def ends(figure: Estimate) -> str:
    """The ends of a figure's interval in milliseconds, or that there is none."""
    if figure.low is None or figure.high is None:
        return "no interval"
    return f"{milliseconds(figure.low)} to {milliseconds(figure.high)}"


def with_interval(figure: Estimate | None, decimals: int = 1) -> str:
    """A figure with its interval, as far as there is one.

    >>> with_interval(Estimate(2, 1, 3)), with_interval(Estimate(2)), with_interval(None)
    ('2.0 (1.0 to 3.0)', '2.0', '')
    """
    if figure is None:
        return ""
    if figure.low is None or figure.high is None:
        return number(figure.value, decimals)
    return f"{number(figure.value, decimals)} ({number(figure.low, decimals)} to {number(figure.high, decimals)})"


def in_a_cell(figure: Estimate | None, decimals: int = 1) -> Markup:
    """The figure, and its interval in smaller letters on a line of its own."""
    value, _, interval = with_interval(figure, decimals).partition(" ")
    return Markup("{}<br><i>{}</i>").format(value, interval.strip("()")) if interval else Markup(value)


def percent(figure: Estimate) -> str:
    """A share with its interval.

    >>> percent(Estimate(0.5, 0.25, 0.75))
    '50.00 % (25.00 % to 75.00 %)'
    """
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.2%} to {figure.high:.2%})"
    return f"{figure.value:.2%}{interval}".replace("%", " %")


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.1f}"


def days(value: float) -> str:
    """A number of days, in hours if they are few.

    >>> days(80.4), days(0.5)
    ('80 days', '12 hours')
    """
    return words.days(timedelta(days=value))


def utc(moment: float) -> str:
    """A moment to the second, given in seconds since 1970.

    >>> utc(1_800_000_000)
    '2027-01-15 08:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def issue(url: str) -> str:
    """The number of an issue upstream.

    >>> issue("https://github.com/owner/name/issues/4711")
    '#4711'
    """
    return f"#{url.rsplit('/', 1)[1]}"


def slug(word: str) -> str:
    """A value, state or word as a class of the style sheet."""
    return str(word).replace(" ", "-")


def pretty(value: Any) -> str:
    """JSON for a person; a text that is JSON itself as well."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, ensure_ascii=False, indent=1)


def markdown_cell(text: Any) -> str:
    """A text as one cell of a Markdown table.

    >>> markdown_cell("a | b <c>")
    'a \\\\| b &lt;c>'
    """
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
