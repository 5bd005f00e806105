"""Two runs agree only when every scenario was judged alike on both, or skipped with a reason."""

from pathlib import Path

import pytest

from scripts.compare_clusters import main
from signoff.evidence import Evidence


def run(folder: Path, provider: str, **outcomes: str) -> str:
    """A run that planned two scenarios, of which some were judged: "passed", or "skipped: and why"."""
    kept = Evidence(folder)
    planned = [{"id": f"features/a.feature::{name}", "name": name, "feature": "features/a.feature"} for name in "xy"]
    kept.record("plan", scenarios=planned)
    kept.record("cluster", provider=provider)
    for each in planned:
        if each["name"] in outcomes:
            outcome, _, reason = outcomes[each["name"]].partition(": ")
            kept.record("scenario", **each, outcome=outcome, reason=reason)
    kept.close()
    return str(folder)


@pytest.mark.parametrize(
    ("embedded", "kind", "status", "word"),
    [
        ({"x": "passed", "y": "passed"}, {"x": "passed", "y": "passed"}, 0, "0 disagreements"),
        ({"x": "failed: 1", "y": "passed"}, {"x": "failed: 2", "y": "passed"}, 0, "0 disagreements"),
        (
            {"x": "failed: 1", "y": "passed"},
            {"x": "passed", "y": "passed"},
            1,
            "| failed | passed | **different verdicts**",
        ),
        ({"x": "passed"}, {"x": "passed"}, 1, "**not run on both**"),
        ({"x": "passed", "y": "skipped"}, {"x": "passed", "y": "skipped"}, 1, "**skipped without a reason**"),
        ({"x": "passed", "y": "skipped: no ACME"}, {"x": "passed", "y": "skipped: no ACME"}, 0, "no ACME"),
        ({"x": "passed", "y": "skipped: no ACME"}, {"x": "passed", "y": "passed"}, 1, "1 disagreements"),
    ],
)
def test_compare(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    embedded: dict[str, str],
    kind: dict[str, str],
    status: int,
    word: str,
) -> None:
    folders = [run(tmp_path / "a", "embedded", **embedded), run(tmp_path / "b", "kind", **kind)]
    assert main(["--runs", *folders]) == status
    printed = capsys.readouterr().out
    assert "| scenario | embedded | kind | |" in printed
    assert word in printed


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(tmp_path), str(tmp_path)]) == 2
    assert "there is no evidence" in capsys.readouterr().err
