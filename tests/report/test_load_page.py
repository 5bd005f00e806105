"""The page of a load: whole, readable by itself, and safe from what a run says."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import signoff.report
from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.evidence.voids import Void, VoidKind
from signoff.in_cluster.load_generator.run import Sample
from signoff.load.conclusions import conclude
from signoff.report import load
from signoff.report.charts import Axis, Chart, Line, axis

HOSTILE = '<script>alert(1)</script> & "quotes"'
SAMPLES = [
    Sample(BEGAN + at * 5, pod, cpu_seconds=at * 2.0, rss_mib=300 + at, restarts=0)
    for pod in ("litellm-0", "vllm-api-0", "generator local")
    for at in range(20)
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = Synthetic(
        loads=(2, 20, 40),
        behaviours=[Behaviour(), Behaviour(error_share=0.05, error=HOSTILE), Behaviour(added_ms=140, capacity=33)],
        seconds=40,
        samples=[*SAMPLES, Sample(BEGAN + 50, "litellm-0", event=f"Unhealthy: {HOSTILE}")],
        voids=[Void(BEGAN + 95, BEGAN + 100, "local", VoidKind.BACKLOG, HOSTILE)],
    )
    folder = run.write(tmp_path_factory.mktemp("page") / "load-2026")
    main(["load-report", str(folder)])
    return (folder / "load-report.html").read_text()


def test_the_page_has_all_its_parts(page: str) -> None:
    for heading in (
        "Overhead against load",
        "Steps",
        "Percentiles by arm",
        "Over time",
        "Events of pods",
        "Void marks",
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
    assert not re.findall(r"""(?:src|href)=["']""", page)
    assert "prefers-color-scheme: dark" in page and "max-width: 40rem" in page


def test_no_rule_for_the_whole_page_changes_a_drawing(page: str) -> None:
    style = (Path(signoff.report.__file__).parent / "style.css").read_text()
    drawn = {name for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL) for name in _classes(drawing)}
    assert "column" in drawn
    assert not {name for name in drawn if f".{name} {{" in style or f".{name}," in style} - {"key", "verdict"}


def _classes(drawing: str) -> list[str]:
    return [name for names in re.findall(r'class="([^"]+)"', drawing) for name in names.split()]


def test_every_drawing_is_well_formed_and_without_numbers_that_are_none(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 20
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert not re.search(r'[="( ]nan|[="( ]inf', drawing)


def test_the_page_is_the_same_each_time(tmp_path: Path) -> None:
    folder = Synthetic(samples=SAMPLES).write(tmp_path)
    pages = []
    for _ in range(2):
        main(["load-report", str(folder)])
        pages.append((folder / "load-report.html").read_text())
    assert pages[0] == pages[1]


def test_a_run_without_probes_says_that_it_cannot_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic().write(tmp_path)
    lines = (folder / "records-local.csv").read_text().splitlines(keepends=True)
    (folder / "records-local.csv").write_text("".join(line for line in lines if ",probe," not in line))
    assert main(["load-report", str(folder)]) == 1
    assert "inconclusive at 20 requests per second: only 0 pairs of probes" in capsys.readouterr().out


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


def test_the_verdict_is_told_before_the_page_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Synthetic().write(tmp_path)
    (folder / "load-report.html").mkdir()
    with pytest.raises(OSError, match=r"load-report\.html"):
        main(["load-report", str(folder)])
    assert "gate: 4 passed" in capsys.readouterr().out


@pytest.mark.parametrize(("most", "is_log"), [(140.0, False), (4000.0, True)])
def test_an_overhead_of_seconds_beyond_the_knee_leaves_the_others_readable(
    tmp_path: Path, most: float, is_log: bool
) -> None:
    folder = Synthetic(loads=(2, 20), behaviours=[Behaviour(), Behaviour(added_ms=most)]).write(tmp_path)
    assert load.overhead_chart(conclude(folder)).y.log is is_log


def test_axes_hold_their_values_and_have_ticks_to_read() -> None:
    assert axis("ms", [3.0, 97.0]).low == 0
    linear = axis("ms", [3.0, 97.0]).labels(6)
    assert [text for _, text in linear] == ["0", "20", "40", "60", "80", "100"]
    log = axis("ms", [3.0, 9000.0], log=True).labels(8)
    assert 3 <= len(log) <= 8
    assert axis("ms", []).low < axis("ms", []).high
    flat = axis("MiB", [300.0, 300.0], zero=False)
    assert flat.low < 300 < flat.high


def test_a_gap_in_a_line_is_drawn_as_one() -> None:
    line = Line("a", "direct", [0, 1, 2, 3], [1.0, 1.0, float("nan"), 1.0])
    svg = str(Chart("c", Axis("x", 0, 3), Axis("y", 0, 2), [line]).svg())
    path = re.search(r'<path class="direct" d="([^"]+)"', svg)
    assert path and path.group(1).count("M") == 2
