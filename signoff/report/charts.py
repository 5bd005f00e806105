"""Charts as inline SVG. Each is drawn twice, for a wide and for a narrow window, as text in an SVG shrinks with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10

from markupsafe import Markup, escape

_WIDTHS = {"wide": 900, "narrow": 360}
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 18, 40
_PIXELS_PER_LABEL = {"x": 60, "y": 32}
_LETTER = 6.6


@dataclass(frozen=True)
class Axis:
    """What an axis spans and says; without `ticks` they are found. `high` must be above `low`."""

    label: str
    low: float
    high: float
    log: bool = False
    ticks: Sequence[tuple[float, str]] | None = None

    def share(self, value: float) -> float:
        """Where the value lies, from 0 to 1; what lies outside is put at the end."""
        low, high, value = (log10(max(each, 1e-12)) if self.log else each for each in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def labels(self, room: float) -> list[tuple[float, str]]:
        """The given ticks, or at most `room` that are found, with their texts."""
        if self.ticks is not None:
            return list(self.ticks)
        return [(value, f"{value:g}") for value in self._found(room)]

    def _found(self, room: float) -> list[float]:
        if self.log:
            decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            for digits in ((1, 2, 5), (1, 3), (1,)):
                values = [digit * 10.0**power for power in decades for digit in digits]
                inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
                if len(inside) <= room:
                    break
            return inside
        rough = (self.high - self.low) / max(1.0, room)
        power = 10.0 ** floor(log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [round(at * step, 10) + 0.0 for at in range(first, floor(self.high / step + 1e-9) + 1)]


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
    """A line of a chart, with dots and the ends of intervals where told; `style` names its colour in the style sheet.

    A gap in time is drawn as one: NaN in `ys`.
    """

    name: str
    style: str
    xs: Sequence[float]
    ys: Sequence[float]
    dashed: bool = False
    ends: Sequence[tuple[float, float] | None] | None = None
    titles: Sequence[str] | None = None
    hollow: Sequence[bool] | None = None
    joined: bool = True


@dataclass(frozen=True)
class Mark:
    """A vertical line, with a short text above it, or beside it inside the chart; left out where there is no room."""

    x: float
    text: str
    style: str = "mark"
    title: str = ""
    inside: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart; `spans` shade stretches of x, `bars` are upright from the bottom and share the y axis."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    spans: Sequence[tuple[float, float, str]] = ()
    bars: Sequence[tuple[float, float, float, str]] = ()
    """From, to, height and the text that tells them."""
    bars_name: str = ""
    level: tuple[float, str] | None = None
    """A limit: a level line and its text."""
    height: int = 260
    legend: bool = True
    extra: dict[str, str] = field(default_factory=dict)
    """More lines of the legend: a style and its text."""

    def svg(self) -> Markup:
        """Legend and both drawings."""
        legend = "".join(self._legend()) if self.legend else ""
        drawn = "".join(
            f'<svg class="chart {name}" viewBox="0 0 {width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}">{"".join(_Drawing(self, width).parts())}</svg>'
            for name, width in _WIDTHS.items()
        )
        return Markup(f'<p class="legend">{legend}</p>{drawn}' if legend else drawn)

    def _legend(self) -> Iterator[str]:
        for line in self.lines:
            stroke = ' stroke-dasharray="4 3"' if line.dashed else ""
            yield (
                f'<span><svg class="key" viewBox="0 0 22 10"><line class="{line.style}" x1="1" x2="21" y1="5" y2="5"'
                f"{stroke}/></svg>{escape(line.name)}</span>"
            )
        keys = ({"column": self.bars_name} if self.bars_name else {}) | self.extra
        for style, text in keys.items():
            yield (
                f'<span><svg class="key" viewBox="0 0 22 10"><rect class="{style}" x="5" width="12" height="10"/></svg>'
                f"{escape(text)}</span>"
            )


class _Drawing:
    def __init__(self, chart: Chart, width: int) -> None:
        self.chart, self.width = chart, width
        self.right, self.bottom = width - _RIGHT, chart.height - _BOTTOM

    def x(self, value: float) -> float:
        return _LEFT + self.chart.x.share(value) * (self.right - _LEFT)

    def y(self, value: float) -> float:
        return self.bottom - self.chart.y.share(value) * (self.bottom - _TOP)

    def parts(self) -> Iterator[str]:
        chart = self.chart
        for low, high, text in chart.spans:
            width = max(2.0, self.x(high) - self.x(low))
            yield (
                f'<rect class="span" x="{self.x(low):.1f}" y="{_TOP}" width="{width:.1f}" '
                f'height="{self.bottom - _TOP}"><title>{escape(text)}</title></rect>'
            )
        yield from self._axes()
        for low, high, height, text in chart.bars:
            top = min(self.y(height), self.bottom - 1.5)
            width = max(1.5, self.x(high) - self.x(low))
            yield (
                f'<rect class="column" x="{self.x(low):.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{self.bottom - top:.1f}"><title>{escape(text)}</title></rect>'
            )
        yield from self._marks()
        if chart.level and chart.y.low <= chart.level[0] <= chart.y.high:
            level = self.y(chart.level[0])
            yield (
                f'<line class="limit" x1="{_LEFT}" x2="{self.right}" y1="{level:.1f}" y2="{level:.1f}"/>'
                f'<text class="limit" x="{_LEFT + 4}" y="{level - 4:.1f}">{escape(chart.level[1])}</text>'
            )
        for line in chart.lines:
            yield from self._line(line)

    def _axes(self) -> Iterator[str]:
        chart = self.chart
        for value, text in chart.y.labels((self.bottom - _TOP) / _PIXELS_PER_LABEL["y"]):
            y = self.y(value)
            yield f'<line class="grid" x1="{_LEFT}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        free = 0.0
        for value, text in chart.x.labels((self.right - _LEFT) / _PIXELS_PER_LABEL["x"]):
            x, half = self.x(value), len(text) * _LETTER / 2
            anchor = "end" if x > self.right - 14 else "middle"
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.bottom}" y2="{self.bottom + 4}"/>'
            if x - half < free:
                continue
            free = x + half + _LETTER
            yield f'<text x="{x:.1f}" y="{self.bottom + 16}" text-anchor="{anchor}">{escape(text)}</text>'
        yield f'<line class="axis" x1="{_LEFT}" x2="{self.right}" y1="{self.bottom}" y2="{self.bottom}"/>'
        middle = (_LEFT + self.right) / 2
        yield f'<text x="{middle:.0f}" y="{self.bottom + 33}" text-anchor="middle">{escape(chart.x.label)}</text>'
        yield f'<text x="4" y="11">{escape(chart.y.label)}</text>'

    def _marks(self) -> Iterator[str]:
        above, inside = _LEFT + len(self.chart.y.label) * _LETTER, 0.0
        for mark in sorted(self.chart.marks, key=lambda each: each.x):
            x, length = self.x(mark.x), len(mark.text) * _LETTER
            yield (
                f'<line class="{mark.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{self.bottom}">'
                f"<title>{escape(mark.title or mark.text)}</title></line>"
            )
            begins = min(x - length / 2, self.width - length)
            if mark.inside:
                if x + 4 > inside and x + length < self.right:
                    yield self._word(mark, x + 4, _TOP + 10, "start")
                    inside = x + 4 + length + _LETTER
            elif begins > above:
                yield self._word(mark, begins, 11, "start")
                above = begins + length + _LETTER
            elif mark.style == "knee":  # never without its word
                yield self._word(mark, x - 5, _TOP + 10, "end")

    def _word(self, mark: Mark, x: float, y: float, anchor: str) -> str:
        return f'<text class="{mark.style}" x="{x:.1f}" y="{y:.0f}" text-anchor="{anchor}">{escape(mark.text)}</text>'

    def _line(self, line: Line) -> Iterator[str]:
        places = [(self.x(x), self.y(y)) if isfinite(y) else None for x, y in zip(line.xs, line.ys, strict=True)]
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        if line.joined:
            yield f'<path class="{line.style}" d="{_path(places)}"{dash}/>'
        for low_high, place in zip(line.ends or (), places, strict=False):
            if low_high and place:
                x, low, high = place[0], *(self.y(end) for end in low_high)
                yield f'<line class="{line.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        for at, title in enumerate(line.titles or ()):
            if place := places[at]:
                style = f"{line.style} hollow" if line.hollow and line.hollow[at] else line.style
                circle = f'<circle class="{style}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3.5">'
                yield f"{circle}<title>{escape(title)}</title></circle>"


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """One stroke for each unbroken stretch; a lone point is a short one, so that it is seen."""
    text, drawing = [], False
    for at, place in enumerate(places):
        if place is None:
            drawing = False
            continue
        text.append(f"{'L' if drawing else 'M'}{place[0]:.1f} {place[1]:.1f}")
        alone = not drawing and (at + 1 == len(places) or places[at + 1] is None)
        if alone:
            text.append("h1.5")
        drawing = True
    return "".join(text)
