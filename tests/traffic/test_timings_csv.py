"""Timed requests come back from their file as they went into it."""

from pathlib import Path

import pytest

from signoff.core.errors import SignoffError
from signoff.traffic import timings_csv
from signoff.traffic.pairs import Timing

TIMINGS = (
    Timing(-1, 0, "direct", 0.1 + 0.2, 20.5),
    Timing(0, 1, "proxied", 1.0, 30.0, streamed=True, ttft_ms=12.0, itl_ms=0.0, tokens=8, cpu_ms=1.5, waited_ms=0.1),
    Timing(0, 2, "control", 2.0, 5.0, 'status 500: "no",\nnot now', header_ms=0.5),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with timings_csv.writing(tmp_path / "a.csv") as write:
        for number, timing in enumerate(TIMINGS):
            write(timing)
            assert timings_csv.read(tmp_path / "a.csv") == TIMINGS[: number + 1]  # at once, should it be killed


@pytest.mark.parametrize(
    "text",
    ["round,position,arm,started,ms\n0,0,direct,soon,1\n", "round,position\n0,0,direct\n", "a\n1\n", "round\n0\n"],
)
def test_a_file_that_holds_something_else_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SignoffError, match=r"a\.csv holds no timed requests"):
        timings_csv.read(tmp_path / "a.csv")
