"""The page of a load: whole, readable by itself, and safe from what a run says."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from markupsafe import Markup

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator.rollup import roll_up
from signoff.in_cluster.load_generator.run import Sample
from signoff.load.conclusions import conclude
from signoff.report import charts
from signoff.report.charts import Axis, Bar, Chart, Line, Mark, axis
from signoff.report.load.charts import Course, latency_over_time, overhead_chart
from signoff.stats.estimate import Estimate

HOSTILE = '<script>alert(1)</script> & "quotes"'
SAMPLES = [
    Sample(BEGAN + at * 5, pod, cpu_seconds=at * 2.0, rss_mib=300 + at, restarts=0)
    for pod in ("litellm-0", "vllm-api-0", "generator local")
    for at in range(20)
]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A load with something of all that a page may show, reported."""
    run = Synthetic(
        loads=(2, 20, 40),
        behaviours=[Behaviour(), Behaviour(error_share=0.05, error=HOSTILE), Behaviour(added_ms=140, capacity=33)],
        seconds=40,
        samples=[*SAMPLES, Sample(BEGAN + 50, "litellm-0", event=f"Unhealthy: {HOSTILE}")],
        invalid_spans=[InvalidSpan(BEGAN + 95, BEGAN + 100, "local", InvalidKind.BACKLOG, HOSTILE)],
    )
    folder = run.write(tmp_path_factory.mktemp("page") / "load-2026")
    main(["load-report", str(folder)])
    return folder


@pytest.fixture(scope="module")
def page(load: Path) -> str:
    return (load / "load-report.html").read_text()


@pytest.fixture
def drawn_wide(monkeypatch: pytest.MonkeyPatch, few_draws: None) -> None:
    """Charts are drawn for wide windows alone, for what sees that each of many loads can be drawn at all."""
    drawn = charts._drawn

    def once(chart: Chart, width: int, attributes: str) -> Markup:
        return drawn(chart, width, attributes) if width == charts.WIDTHS["wide"] else Markup()

    monkeypatch.setattr(charts, "_drawn", once)


def drawn_in(page: str) -> list[str]:
    """The drawings of a page, each of them well-formed and without numbers that are none."""
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert not re.search(r'[="( ]nan|[="( ]inf', drawing)
    return drawings


def test_the_page_has_all_its_parts(page: str) -> None:
    for heading in (
        "Overhead against load",
        "Steps",
        "Percentiles by arm",
        "Over time",
        "Events of pods",
        "Invalid spans",
        "Gate",
    ):
        assert f">{heading}</h" in page, heading
    for chart in ("Latency", "Requests", "Failed requests"):
        assert f'aria-label="{chart} over time"' in page, chart
    for chart in ("Memory of LiteLLM", "Memory of vLLM and the generator", "Processor of LiteLLM"):
        assert f'aria-label="{chart}"' in page, chart
    assert page.count('aria-label="Percentiles at') == 2 * 3
    assert ">99.9</text>" in page and ">knee</text>" in page


def test_the_page_needs_nothing_else_and_nothing_in_a_run_can_break_it(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", page)


def test_drawings_share_nothing_with_each_other_or_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    ids = [name for drawing in drawings for name in re.findall(r'id="([^"]+)"', drawing)]
    assert ids and len(ids) == len(set(ids))
    assert not any("<style" in drawing for drawing in drawings)


def test_every_drawing_is_well_formed_and_without_numbers_that_are_none(page: str) -> None:
    assert len(drawn_in(page)) > 20


def test_the_page_is_the_same_each_time(load: Path, page: str) -> None:
    (load / "load-report.html").unlink()
    main(["load-report", str(load)])
    assert (load / "load-report.html").read_text() == page


def test_a_run_without_probes_says_that_it_cannot_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic().write(tmp_path)
    lines = (folder / "records-local.csv").read_text().splitlines(keepends=True)
    (folder / "records-local.csv").write_text("".join(line for line in lines if ",probe," not in line))
    assert main(["load-report", str(folder)]) == 1
    assert "inconclusive at 20 requests per second: only 0 pairs of probes" in capsys.readouterr().out


@pytest.mark.usefixtures("drawn_wide")
@pytest.mark.parametrize(
    ("column", "kept"), [("role", "probe"), ("arm", "direct"), ("streamed", False), ("error", "all failed")]
)
def test_a_run_in_which_a_kind_of_request_lacks_is_reported(
    tmp_path: Path, column: str, kept: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Synthetic().write(tmp_path)
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    if column == "error":
        table["error"] = "timeout"
    elif column == "arm":
        table = table[table["arm"] == kept]
        table.loc[table["role"] == "load", "arm"] = "direct"
    else:
        table = table[table[column] == kept]
    if column == "streamed":
        table["ttft_ms"] = table["itl_ms"] = ""
    table.to_csv(folder / "records-local.csv", index=False)
    main(["load-report", str(folder)])
    assert "Percentiles by arm" in (folder / "load-report.html").read_text()
    assert "gate: " in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_the_verdict_is_told_before_the_page_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic().write(tmp_path)
    (folder / "load-report.html").mkdir()
    assert main(["load-report", str(folder)]) == 1
    told = capsys.readouterr()
    assert "gate: 5 passed" in told.out
    assert "load-report.html cannot be written: Is a directory" in told.err


def without_answers(folder: Path) -> None:
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    table["error"] = "status 503"
    table.to_csv(folder / "records-local.csv", index=False)


def cut_off(folder: Path) -> None:
    whole = (folder / "records-local.csv").read_bytes()
    (folder / "records-local.csv").write_bytes(whole[:-7])
    (folder / "samples.csv").write_text("at,pod,cpu_seconds\n1800000001.0,litellm-0,1.5\n18000")


def rolled_up(folder: Path) -> None:
    """The first minute as its mean, the rest as records."""
    lines = (folder / "records-local.csv").read_text().splitlines(keepends=True)
    started = pd.read_csv(folder / "records-local.csv")["started"] < BEGAN + 60
    early = [line for line, is_early in zip(lines[1:], started, strict=True) if is_early]
    late = [line for line, is_early in zip(lines[1:], started, strict=True) if not is_early]
    (folder / "records-local.csv").write_text("".join([lines[0], *early]))
    (folder / "records-local-0002.csv").write_text("".join([lines[0], *late]))
    roll_up(folder / "records-local.csv")


RESTARTED = [replace(each, restarts=int(each.at > BEGAN + 50), cpu_seconds=each.at % 50) for each in SAMPLES]
BUSY = [InvalidSpan(BEGAN - 5, BEGAN + 500, "local", InvalidKind.CPU, "97% of a core")]


@pytest.mark.usefixtures("drawn_wide")
@pytest.mark.parametrize(
    ("run", "then"),
    [
        (Synthetic(samples=SAMPLES), without_answers),
        (Synthetic(samples=RESTARTED, shape="steady"), None),
        (Synthetic(samples=SAMPLES[:1], shape="steady"), None),
        (Synthetic(ended=False), cut_off),
        (Synthetic(samples=SAMPLES, invalid_spans=BUSY), None),
        (Synthetic(shape="steady", seconds=180), rolled_up),
        (Synthetic(loads=(4,), arrivals="closed", shape="sweep-users"), None),
    ],
    ids=["no answers", "restarts", "one sample", "cut off", "all invalid", "rolled up", "closed loop"],
)
def test_every_edge_is_drawn_well(tmp_path: Path, run: Synthetic, then: Callable[[Path], None] | None) -> None:
    folder = run.write(tmp_path)
    if then:
        then(folder)
    main(["load-report", str(folder)])
    drawings = drawn_in((folder / "load-report.html").read_text())
    assert len(drawings) >= 2


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("most", "is_log"), [(140.0, False), (4000.0, True)])
def test_an_overhead_of_seconds_beyond_the_knee_leaves_the_others_readable(
    tmp_path: Path, most: float, is_log: bool
) -> None:
    folder = Synthetic(loads=(2, 20), behaviours=[Behaviour(), Behaviour(added_ms=most)]).write(tmp_path)
    assert overhead_chart(conclude(folder)).y.log is is_log


def test_latency_over_time_is_that_of_each_bin(load: Path) -> None:
    course = Course(conclude(load))
    (median,) = (line for line in latency_over_time(course).lines if line.name == "load through LiteLLM, median")
    records = course.found.loaded.records.query("error == '' and role == 'load' and arm == 'proxied'")
    waits = (records["started"] - records["intended"]) * 1000 + records["e2e_ms"]
    bins = [waits[(records["intended"] >= low) & (records["intended"] < high)] for low, high in pairwise(course.edges)]
    assert any(len(each) == 0 for each in bins) and any(len(each) > 1 for each in bins)
    assert median.ys == pytest.approx([each.median() for each in bins], nan_ok=True)


def test_axes_hold_their_values() -> None:
    assert axis("ms", [3.0, 97.0]).low == 0
    assert axis("ms", []).low < axis("ms", []).high
    flat = axis("MiB", [300.0, 300.0], zero=False)
    assert flat.low < 300 < flat.high


def texts(chart: Chart, window: str = "wide") -> list[str]:
    """The texts of a drawing, in order."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg(window))


def test_axes_have_ticks_to_read() -> None:
    linear = Chart("c", Axis("s", 0, 60), axis("ms", [3.0, 97.0]), [])
    assert set(texts(linear)) >= {*map(str, range(0, 61, 5)), "20", "40", "60", "80", "100", "s", "ms"}
    assert 6 <= len(texts(linear, "narrow")) < len(texts(linear))
    log = Chart("c", Axis("s", 0, 60), axis("ms", [3.0, 9000.0], log=True), [])
    assert {"10", "100", "1000"} <= set(texts(log))


def test_a_gap_in_a_line_is_drawn_as_one_and_a_lone_point_is_seen() -> None:
    line = Line("a", "direct", [0, 1, 2, 3], [1.0, 1.0, float("nan"), 1.0])
    svg = Chart("c", X, Y, [line]).svg("wide")
    path = re.search(r'<path d="([^"]+)" [^>]*stroke: var\(--direct\); stroke-width: 1.75', svg)
    assert path and "nan" not in path.group(1) and path.group(1).count("L") == 1
    assert len(re.findall(r"<use [^>]*fill: var\(--direct\)", svg)) == 1


X, Y = Axis("x", 0, 3), Axis("y", 0, 2)


def test_points_have_their_intervals_and_hollow_ones_stand_out() -> None:
    intervals = [Estimate(1, 0.5, 1.5), Estimate(1.5)]
    line = Line("a", "direct", [1, 2], [1, 1.5], intervals=intervals, hollow=[False, True])
    svg = Chart("c", X, Y, [line]).svg("wide")
    assert re.findall(r"<use [^>]*fill: var\(--(direct|paper)\); stroke: var\(--direct\)", svg) == ["direct", "paper"]
    known = [each for each in line.intervals if each.low is not None]
    alone = Chart("c", X, Y, [Line("a", "direct", [1, 2], [1, 1.5])]).svg("wide")
    paths = r"<path [^>]*stroke: var\(--direct\); stroke-width: 1.75"
    assert len(re.findall(paths, svg)) - len(re.findall(paths, alone)) >= len(known) == 1


def test_words_above_a_chart_that_have_no_room_are_left_out() -> None:
    marks = [Mark(x / 20, f"step {x}", "soft", dashed=False) for x in range(60)]
    chart = Chart("c", X, Y, [], marks=marks)
    told = [text for text in texts(chart) if text.startswith("step")]
    assert told[0] == "step 0" and 5 < len(told) < 30
    assert 1 < len([text for text in texts(chart, "narrow") if text.startswith("step")]) < len(told)
    assert chart.svg("wide").count("stroke: var(--soft)") >= 60, "every line is drawn"


def test_a_limit_outside_of_the_chart_is_not_drawn() -> None:
    assert "a limit" in texts(Chart("c", X, Y, [], limit=(1.5, "a limit")))
    assert "a limit" not in texts(Chart("c", X, Y, [], limit=(2.5, "a limit")))


def test_what_a_chart_says_cannot_break_it() -> None:
    hostile = f"{HOSTILE} $x_1$ -->\n]]> \x02 #ee0000"
    marks = [Mark(1, hostile, "failed"), Mark(2, "beside", "soft", row=1)]
    chart = Chart(hostile, Axis(hostile, 0, 3), Axis(hostile, 0, 2), [], marks=marks, limit=(1, hostile))
    drawn = ElementTree.fromstring(chart.svg("wide"))
    told = [element.text or "" for element in drawn.iter() if element.tag.endswith("}text")]
    assert len([text for text in told if HOSTILE in text and "$x_1$ --> ]]>" in text]) == 4
    assert not [element for element in drawn.iter() if element.tag.endswith("}script")]


def test_the_figures_of_a_chart_are_those_of_its_ticks_or_in_short() -> None:
    line = Line("a", "direct", [0, 2], [10.0, 20.0])
    (at_ticks,) = Chart("c", Axis("x", 0, 3, ticks=[(1, "one"), (3, "three")]), Y, [line]).tables()
    assert (at_ticks.header, at_ticks.rows) == (["x", "a, y"], [["one", "15.0"], ["three", ""]])
    gaps = Line("b", "direct", [0, 1, 2, 3], [float("nan"), 4.0, 1.0, 2.0])
    in_short, bars = Chart("c", X, Y, [gaps], bars=[Bar(0, 1, 2, "2 timeout")], bars_name="failed").tables()
    assert in_short.rows == [["b", "4.00", "1.00", "2.00", "4.00", "2.00"]]
    assert bars.rows == [["0.00", "1.00", "2.00", "2 timeout"]]


def test_a_figure_at_a_tick_has_its_interval() -> None:
    line = Line("a", "direct", [1, 2], [1, 1.5], intervals=[Estimate(1, 0.5, 1.5), Estimate(1.5)])
    assert [line.at(1), line.at(2), line.at(3)] == ["1.0 (0.5 to 1.5)", "1.5", ""]
