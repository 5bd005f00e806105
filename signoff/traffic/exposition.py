"""A page of metrics in Prometheus' text format. Imports nothing but Python's own, so that any pod can read one.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_LINE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse(page: str) -> Iterator[Sample]:
    """Give the samples of a page in Prometheus' text format; a line that is none is skipped, as comments are."""
    for line in page.split("\n"):
        if found := _LINE.fullmatch(line.strip()):
            name, labels, told = found.groups()
            try:
                value = float(told)
            except ValueError:  # two words, as on a page that is none of metrics
                continue
            pairs = _LABEL.findall(labels or "")
            yield Sample(name, {key: _ESCAPED.sub(_unescape, text) for key, text in pairs}, value)


def _unescape(escaped: re.Match[str]) -> str:
    return "\n" if escaped[1] == "n" else escaped[1]
