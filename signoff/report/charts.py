"""Charts: what one shows, drawn by Matplotlib into SVG that needs nothing else (docs/decisions.md says why).

A page describes a chart as data, which is also what its table of figures, for those who cannot see it, is made of. Each
is drawn twice, for a wide and for a narrow window, as text in an SVG shrinks with it. Colours are names of the theme's
palette, so that a chart is dark or printed as its page is.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10, nan
from typing import Any, Literal

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import TICKDOWN
from matplotlib.ticker import MaxNLocator

from signoff.report.formats import short, with_interval
from signoff.stats.estimate import Estimate

Align = Literal["left", "center", "right"]
Place = tuple[float, float]

WIDTHS = {"wide": 900, "narrow": 360}
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 22, 40
_ROW = 15
"""The height of a row of words above the chart."""
_LETTER = 7.0
"""How wide a letter is at most: words that would touch are left out."""

_PALETTE = (
    "soft", "line", "paper", "failed", "inconclusive", "proxied", "direct", "ttft", "tail", "other", "pod2", "pod3",
)  # fmt: skip
"""The names in the theme that a chart may use."""

_LOOK: dict[Any, Any] = {
    "axes.axisbelow": True,
    "font.family": "DejaVu Sans",  # comes with Matplotlib: no font of a machine moves anything
    "font.size": 12,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Axis:
    """What an axis spans and says; without `ticks` they are found. `high` must be above `low`."""

    label: str
    low: float
    high: float
    log: bool = False
    ticks: Sequence[tuple[float, str]] = ()

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        low, high, value = (log10(each) if self.log else each for each in (self.low, self.high, value))
        return (value - low) / (high - low)


def axis(label: str, values: Sequence[float], *, log: bool = False, zero: bool = True) -> Axis:
    """An axis that holds all the values; a linear one begins at zero where `zero` says so."""
    real = [value for value in values if isfinite(value) and (value > 0 or not log)]
    low, high = (min(real), max(real)) if real else (1.0, 10.0)
    if log:
        return Axis(label, low / 1.15, high * 1.15, log=True)
    if zero:
        low = min(0.0, low)
    room = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
    return Axis(label, low if zero and low == 0 else low - room, high + room)


@dataclass(frozen=True)
class Line:
    """A line of a chart; `colour` is a name of the palette. A gap in time is drawn as one: NaN in `ys`.

    Where points have intervals, they are drawn as well, and `hollow` ones stand out.
    """

    name: str
    colour: str
    xs: Sequence[float]
    ys: Sequence[float]
    dashed: bool = False
    intervals: Sequence[Estimate] = ()
    hollow: Sequence[bool] = ()

    def at(self, x: float) -> str:
        """What it says at a place, in words: nothing outside of it."""
        if self.intervals:
            found = (each for place, each in zip(self.xs, self.intervals, strict=True) if place == x)
            return with_interval(next(found, None))
        value = float(np.interp(x, self.xs, self.ys, left=nan, right=nan))
        return short(value) if isfinite(value) else ""


@dataclass(frozen=True)
class Mark:
    """A vertical line, and a short text above it where there is room; `row` 0 is the lowest of such texts."""

    x: float
    text: str
    colour: str
    row: int = 0
    dashed: bool = True


@dataclass(frozen=True)
class Bar:
    """An upright bar from one place to another, and the text that tells what it counts."""

    low: float
    high: float
    height: float
    text: str


@dataclass(frozen=True)
class Table:
    """Figures of a chart."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chart:
    """A chart: lines, marks, stretches of x that are shaded, bars from the bottom, and a limit with its text."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    spans: Sequence[tuple[float, float]] = ()
    spans_name: str = ""
    bars: Sequence[Bar] = ()
    bars_name: str = ""
    limit: tuple[float, str] | None = None
    height: int = 260

    def svg(self, window: str) -> Markup:
        """The drawing for a wide or a narrow window."""
        return _drawn(
            self, WIDTHS[window], f'class="chart {window}" role="img" aria-label="{escape(_one_line(self.title))}"'
        )

    def tables(self) -> Iterator[Table]:
        """The figures for those who cannot see the drawing."""
        if self.lines:
            yield self._at_ticks() if self.x.ticks else self._in_short()
        if self.bars:
            header = f"from, {self.x.label}", "to", self.y.label, self.bars_name
            yield Table(header, [[short(b.low), short(b.high), short(b.height), b.text] for b in self.bars])

    def _at_ticks(self) -> Table:
        rows = [[text, *(line.at(x) for line in self.lines)] for x, text in self.x.ticks]
        return Table([self.x.label, *(f"{line.name}, {self.y.label}" for line in self.lines)], rows)

    def _in_short(self) -> Table:
        """Of lines with hundreds of points: how each begins, what it ranges over, and how it ends."""
        rows = []
        for line in self.lines:
            seen = [y for y in line.ys if isfinite(y)] or [nan]
            told = seen[0], min(seen), float(np.median(seen)), max(seen), seen[-1]
            rows.append([line.name, *(short(each) for each in told)])
        return Table([self.y.label, "first", "lowest", "median", "highest", "last"], rows)


def _drawn(chart: Chart, width: int, attributes: str) -> Markup:
    """The drawing as an SVG to stand in a page."""
    file = io.StringIO()
    with matplotlib.rc_context(_LOOK | {"svg.hashsalt": f"{chart.title} {width}"}):  # ids are of this drawing alone
        _figure(chart, width).savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue().partition("</defs>")[2]  # after the style, which would be one of the whole page
    text = re.sub(r"<!--.*?-->|\n\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    text = re.sub("#ee00([0-9a-f]{2})", lambda found: f"var(--{_PALETTE[int(found[1], 16)]})", text)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return Markup(f'<svg {names} viewBox="0 0 {width} {chart.height}" {attributes}>{text}')


def _colour(name: str) -> str:
    """What stands for a colour of the theme while Matplotlib draws, which knows no names of a style sheet."""
    return f"#ee00{_PALETTE.index(name):02x}"


def _figure(chart: Chart, width: int) -> Figure:
    """All places are told in pixels, of which Matplotlib has 72 to an inch."""
    top = _TOP + _ROW * (1 + max((mark.row for mark in chart.marks), default=0))
    inner_width, inner_height = width - _LEFT - _RIGHT, chart.height - top - _BOTTOM
    figure = Figure(figsize=(width / 72, chart.height / 72), frameon=False)
    place = _LEFT / width, _BOTTOM / chart.height, inner_width / width, inner_height / chart.height
    axes = figure.add_axes(place, frameon=False)
    _soft_text(figure, (0, chart.height - 12), chart.y.label, "left", "baseline")
    _frame(figure, axes, chart, inner_width, inner_height)
    for low, high in chart.spans:
        axes.axvspan(low, high, color=_colour("inconclusive"), alpha=0.22, linewidth=1)
    for bar in chart.bars:
        axes.bar(
            bar.low, bar.height, bar.high - bar.low, align="edge", color=_colour("failed"), edgecolor=_colour("failed")
        )
    _marks(axes, chart, inner_width)
    if chart.limit and chart.y.low <= chart.limit[0] <= chart.y.high:
        limit, text = chart.limit
        axes.axhline(limit, color=_colour("failed"), linestyle=(0, (6, 4)), linewidth=1)
        _word(axes, (chart.x.low, limit), text, "failed", away=(4, 4), align="left")
    for line in chart.lines:
        _line(axes, line)
    return figure


def _frame(figure: Figure, axes: Axes, chart: Chart, width: int, height: int) -> None:
    """Scales, ticks and the grid: drawn by hand, since Matplotlib's own ticks take as long as all the rest."""
    axes.set_axis_off()
    if chart.x.log:
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_ylim(chart.y.low, chart.y.high)
    soft = _colour("soft")
    axes.axhline(chart.y.low, color=soft, linewidth=1)
    levels = _ticks(chart.y, height // 26)
    axes.hlines(levels, chart.x.low, chart.x.high, color=_colour("line"), linewidth=1, zorder=0.5)
    for level in levels:
        beside = _LEFT - 6, _BOTTOM + chart.y.share(level) * height
        _soft_text(figure, beside, f"{level:g}", "right", "center_baseline")
    ticks = chart.x.ticks or [(place, f"{place:g}") for place in _ticks(chart.x, width // 60)]
    places, texts = [place for place, _ in ticks], [text for _, text in ticks]
    axes.plot(
        places, [chart.y.low] * len(ticks), color=soft, linestyle="", marker=TICKDOWN, markersize=4, clip_on=False
    )
    pixels = [chart.x.share(place) * width for place in places]
    for at in sorted(_with_room(texts, pixels)):
        _soft_text(figure, (_LEFT + pixels[at], _BOTTOM - 7.5), texts[at], "center", "top")
    _soft_text(figure, (_LEFT + width / 2, _BOTTOM - 22.5), chart.x.label, "center", "top")


def _soft_text(
    figure: Figure, place: Place, text: str, across: Align, along: Literal["baseline", "center_baseline", "top"]
) -> None:
    """A text so many pixels right of, and above, the corner of the drawing."""
    inches = place[0] / 72, place[1] / 72
    look: dict[str, Any] = {"color": _colour("soft"), "ha": across, "va": along, "transform": figure.dpi_scale_trans}
    figure.text(*inches, _one_line(text), **look)


def _ticks(of: Axis, room: int) -> list[float]:
    """Round numbers on an axis that has room for so many."""
    if of.log:
        return _round_numbers(of, room)
    found = MaxNLocator(max(1, room), steps=[1, 2, 5, 10]).tick_values(of.low, of.high)
    return [float(value) for value in found if of.low <= value <= of.high]


def _round_numbers(of: Axis, room: int) -> list[float]:
    """Of a logarithmic axis: 1, 2, 5 of each decade, or fewer."""
    decades = range(floor(log10(of.low)), ceil(log10(of.high)) + 1)
    found: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [digit * 10.0**power for power in decades for digit in digits]
        found = [value for value in values if of.low <= value <= of.high]
        if len(found) <= room:
            break
    return found


def _marks(axes: Axes, chart: Chart, width: int) -> None:
    for row in sorted({mark.row for mark in chart.marks}):
        marks = sorted((mark for mark in chart.marks if mark.row == row), key=lambda mark: mark.x)
        room = _with_room([mark.text for mark in marks], [chart.x.share(mark.x) * width for mark in marks])
        for at, mark in enumerate(marks):
            axes.axvline(mark.x, color=_colour(mark.colour), linewidth=1, linestyle=(0, (2, 3)) if mark.dashed else "-")
            if at in room:
                align: Align = "left" if chart.x.share(mark.x) * width < len(mark.text) * _LETTER / 2 else "center"
                above = 0, 3 + _ROW * row
                _word(axes, (mark.x, chart.y.high), mark.text, mark.colour, away=above, align=align)


def _with_room(texts: Sequence[str], places: Sequence[float]) -> set[int]:
    """Which of the texts, from left to right, do not touch the one before."""
    found, free = set[int](), -inf
    for at, (text, place) in enumerate(zip(texts, places, strict=True)):
        half = len(text) * _LETTER / 2
        if place - half >= free:
            found.add(at)
            free = place + half + _LETTER / 2
    return found


def _word(axes: Axes, place: Place, text: str, colour: str, *, away: Place, align: Align) -> None:
    """A text beside a place in the chart, so many pixels to the right and up."""
    axes.annotate(
        _one_line(text), place, away, textcoords="offset points", color=_colour(colour), ha=align, annotation_clip=False
    )


def _one_line(text: str) -> str:
    """Without what no line of an SVG may hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _line(axes: Axes, line: Line) -> None:
    colour = _colour(line.colour)
    axes.plot(line.xs, line.ys, color=colour, linewidth=1.75, linestyle=(0, (3, 2)) if line.dashed else "-")
    axes.plot(*_alone(line), color=colour, marker="o", markersize=2, linestyle="")
    for x, interval in zip(line.xs, line.intervals, strict=False):
        if interval.low is not None:
            axes.vlines(x, *interval.ends, color=colour, linewidth=1.75)
    for x, y, hollow in zip(line.xs, line.ys, line.hollow, strict=False):
        fill = _colour("paper") if hollow else colour
        axes.plot(x, y, "o", markersize=6, markerfacecolor=fill, markeredgecolor=colour, markeredgewidth=1.75)


def _alone(line: Line) -> tuple[list[float], list[float]]:
    """The points between two gaps, of which a line would show nothing."""
    known = [False, *map(isfinite, line.ys), False]
    at = [place for place in range(len(line.ys)) if known[place : place + 3] == [False, True, False]]
    return [line.xs[place] for place in at], [line.ys[place] for place in at]
