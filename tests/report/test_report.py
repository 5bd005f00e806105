"""The pages show what the evidence holds, the same each time, and nothing in it can break them."""

import json
from pathlib import Path
from typing import Any

import pytest

from signoff import report
from signoff.cli import main
from signoff.errors import SignoffError
from signoff.verdicts import Verdict, judge

SCENARIOS = [
    {"id": f"features/a.feature::test_{name.lower()}", "name": name, "feature": "features/a.feature", "criteria": [key]}
    for name, key in (("Pod", "AC1"), ("B", "AC2"), ("C", "AC3"), ("N", "notes"))
]
OVERHEAD = {
    "verdict": "passed",
    "reason": "below",
    "limit_ms": 100.0,
    "pairs": 400,
    "seed": 1,
    "figures": {
        "median": {"value": 12.34, "low": 11.9, "high": 12.8},
        "median_streamed": {"value": 14.1, "low": 13.9, "high": 14.4},
        "p95_shift": {"value": 15.0, "low": 13.0, "high": 18.0},
        "control": {"value": 0.1, "low": -0.2, "high": 0.4},
        "ttft": {"value": 9.1, "low": 8.8, "high": 9.5},
    },
    "generator_cpu": 0.113,
}
ATTRIBUTION = {
    "direct_ms": 10.0,
    "proxied_ms": 22.0,
    "backend_difference_ms": 0.3,
    "requests": 100,
    "note": "",
    "parts": [["vLLM's own time", 8.5], ["the rest of the direct way", 1.5], ["LiteLLM's header", 2.0], ["hop", 4.4]],
}


def scenario(index: int, outcome: str, reason: str = "") -> dict[str, Any]:
    return {"kind": "scenario", **SCENARIOS[index], "outcome": outcome, "reason": reason, "seconds": 1.5, "bundle": ""}


def records(*outcomes: str) -> list[dict[str, Any]]:
    ran = [scenario(index, outcome) for index, outcome in enumerate(outcomes)]
    return [{"kind": "plan", "scenarios": SCENARIOS}, *ran]


def write(folder: Path, *more: dict[str, Any], tail: str = "") -> Path:
    lines = [json.dumps({"at": "2026-01-01T00:00:00+00:00", "monotonic": 1.0, **record}) for record in more]
    (folder / "evidence.jsonl").write_text("\n".join(lines) + "\n" + tail)
    return folder


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (("passed",), Verdict.PASSED),
        (("failed",), Verdict.FAILED),
        (("inconclusive",), Verdict.INCONCLUSIVE),
        (("skipped",), Verdict.INCONCLUSIVE),
        ((), None),
    ],
)
def test_a_criterion_is_judged_by_its_scenarios(outcomes: tuple[str, ...], verdict: Verdict | None) -> None:
    assert judge(records(*outcomes))[0].verdict is verdict


def test_one_failure_outweighs_what_was_not_run() -> None:
    plan = [{"kind": "plan", "scenarios": [SCENARIOS[0], {**SCENARIOS[0], "id": "other"}]}]
    assert judge([*plan, scenario(0, "failed")])[0].verdict is Verdict.FAILED
    assert judge([*plan, scenario(0, "passed")])[0].verdict is None


def test_the_parity_of_calls_stands_in_the_report_with_its_known_defects(tmp_path: Path) -> None:
    issue = "https://example.com/issues/4711"
    known = {"reason": "usage is lost", "issues": [issue], "avoid": "a setting", "class": "defect", "runs": ["chat.a"]}
    failure = {"rule": "Usage is vLLM's", "run": "chat.b", "path": "body.usage", "known": None}
    matrix = {
        "kind": "parity-matrix",
        "summary": {"equal": 1, "defect": 2, "vacuous": 0},
        "unknown": 1,
        "runs": [{"id": name} for name in ("chat.a", "chat.b", "chat.c")],
        "gate": {"passed": False, "failures": [failure]},
        "known": {"lost-usage": known},
    }
    folder = write(tmp_path, *records("passed"), {**matrix, "runs": []}, matrix)
    report.write(folder)
    sentence = "3 calls, of which 1 equal, 1 with unknown defects, 1 with known defects; gate failed at 1 call"
    for page in report.PAGES:
        text = (folder / page).read_text()
        for expected in (sentence, "usage is lost", issue, "#4711", "a setting", "chat.b", "body.usage", "parity.html"):
            assert expected in text, (page, expected)
    assert f"parity {sentence}" in [line for line, _ in report.terminal_lines(folder)]


def test_without_any_evidence_nothing_is_signed_off(tmp_path: Path) -> None:
    assert report.summarise(write(tmp_path)).headline == "Not signed off: 4 not judged"


def test_the_pages_show_verdicts_figures_placement_and_hashes(tmp_path: Path) -> None:
    more: list[dict[str, Any]] = [
        {"kind": "overhead", "summary": OVERHEAD},
        {"kind": "attribution", **ATTRIBUTION},
        {"kind": "placement", "pod": "litellm-1", "node": "k3s-worker-02"},
        {
            "kind": "manifest",
            "file": "litellm/deployment.yaml",
            "object": "Deployment/litellm",
            "sha256": "ab" * 32,
            "object_sha256": "cd" * 32,
            "outcome": "applied",
            "reason": "",
            "images": ["ghcr.io/berriai/litellm:main-v1.80.16-stable"],
        },
        {
            "kind": "cluster",
            "provider": "embedded",
            "kubernetes_version": "v1.35.4",
            "nodes": ["k3s-worker-01"],
            "start_seconds": {"total": 3.5},
        },
        {"kind": "exchange", "headers": {"x-litellm-version": "1.80.99"}},
        {"kind": "backend", "version": "0.32.0+cpu"},
        {"kind": "phase", "name": "vLLM becomes available", "seconds": 30.25},
    ]
    report.write(write(tmp_path, *records("passed", "failed", "passed", "passed"), *more))
    for page in report.PAGES:
        text = (tmp_path / page).read_text()
        for part in (
            "1 failed, 3 passed",
            "12.3",
            "11.9",
            "of streams",
            "time to the first token",
            "8.8 to 9.5",
            "hop",
            "4.4",
            "k3s-worker-02",
            "abababababab",
            "cdcdcdcdcdcd",
            "LiteLLM 1.80.99, vLLM 0.32.0",
            "v1.35.4",
            "30.2",
            "1.80.16",
        ):
            assert part in text, (page, part)
    terminal = "\n".join(line for line, _ in report.terminal_lines(tmp_path))
    assert "12.3 ms at the median (95 % interval 11.9 to 12.8), p95 shift 15.0 ms (13.0 to 18.0), TTFT 9.1" in terminal
    assert "LiteLLM's header 2.0 + hop 4.4" in terminal


def test_an_overhead_without_figures_shows_its_reason_only(tmp_path: Path) -> None:
    unjudged = {**OVERHEAD, "figures": {}, "generator_cpu": None}
    failed = scenario(2, "failed", "3 requests to LiteLLM failed")
    report.write(write(tmp_path, records()[0], failed, {"kind": "overhead", "summary": unjudged}))
    for page in report.PAGES:
        text = (tmp_path / page).read_text()
        assert "3 requests to LiteLLM failed" in text
        assert "at the median" not in text
        assert "None" not in text


def test_a_figure_of_too_little_says_that_its_interval_is_not_known(tmp_path: Path) -> None:
    alone = {"value": 0.25, "low": None, "high": None}
    timed = {**OVERHEAD, "figures": {**OVERHEAD["figures"], "itl": alone}}  # type: ignore[dict-item]
    report.write(write(tmp_path, *records("passed"), {"kind": "overhead", "summary": timed}))
    for page in report.PAGES:
        assert "not known" in (tmp_path / page).read_text()
    assert "between tokens 0.25 ms (not known)" in "\n".join(line for line, _ in report.terminal_lines(tmp_path))


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, *records("passed"))
    report.write(tmp_path)
    before = [(tmp_path / page).read_bytes() for page in report.PAGES]
    assert main(["report", str(tmp_path)]) == 0
    assert [(tmp_path / page).read_bytes() for page in report.PAGES] == before


def test_nothing_in_the_evidence_can_break_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | a\nb"
    report.write(write(tmp_path, records()[0], scenario(0, "failed", evil)))
    page = (tmp_path / "signoff.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    (row,) = [line for line in (tmp_path / "signoff.md").read_text().splitlines() if line.startswith("| AC1 | Pod")]
    assert row.endswith("| &lt;script>alert(1)&lt;/script> \\| a b |")


def test_evidence_that_was_cut_off_is_read_to_there_and_said(tmp_path: Path) -> None:
    report.write(write(tmp_path, *records("passed"), tail='{"kind": "scen'))
    assert "the run was killed while it wrote" in (tmp_path / "signoff.html").read_text()
    assert "the run was killed while it wrote" in (tmp_path / "signoff.md").read_text()


def test_damaged_or_missing_evidence_is_an_error_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SignoffError, match="there is no evidence"):
        report.write(tmp_path)
    write(tmp_path, *records("passed"))
    path = tmp_path / "evidence.jsonl"
    path.write_text("not json\n" + path.read_text())
    with pytest.raises(SignoffError, match="line 1 of the evidence is damaged"):
        report.write(tmp_path)
    assert main(["report", str(tmp_path / "nowhere")]) == 4
    assert "next:" in capsys.readouterr().err
