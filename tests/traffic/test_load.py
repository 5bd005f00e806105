"""`locust -f bench/` against doubles: both arms and the time to the first token are in its report."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from signoff.paths import ROOT
from tests.traffic.conftest import Pair

Stats = dict[tuple[str, str], dict[str, float]]
"""Figures by (arm, name)."""


def load(pair: Pair, folder: Path) -> tuple[subprocess.CompletedProcess[str], Stats]:
    command = [sys.executable, "-m", "locust", "-f", "bench/", "--headless", "-t", "6s", "--stop-timeout", "2"]
    command += ["--html", str(folder / "load.html"), "--csv", str(folder / "load")]
    environment = {**os.environ, "SIGNOFF_PROXIED": pair.proxied, "SIGNOFF_DIRECT": pair.direct}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (folder / "load_stats.csv").exists(), done.stdout + done.stderr
    with (folder / "load_stats.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    figures = ("Request Count", "Failure Count", "Min Response Time")
    return done, {(row["Type"], row["Name"]): {figure: float(row[figure]) for figure in figures} for row in rows}


def test_both_arms_are_in_the_report(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.lie, pair.gateway.delay_ms = "delay", 60.0
    done, stats = load(pair, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for arm in ("proxied", "direct"):
        for name in ("chat", "chat streamed", "TTFT"):
            assert stats[arm, name]["Request Count"] > 0
            assert stats[arm, name]["Failure Count"] == 0
    assert stats["proxied", "TTFT"]["Min Response Time"] >= 60
    assert stats["direct", "TTFT"]["Min Response Time"] < 60
    page = (tmp_path / "load.html").read_text()
    assert "TTFT" in page
    assert "direct" in page


def test_errors_are_counted_and_fail_the_run(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.lie = "server_error"
    done, stats = load(pair, tmp_path)
    assert done.returncode != 0
    for (arm, name), figures in stats.items():
        assert figures["Failure Count"] == (figures["Request Count"] if arm == "proxied" else 0) or not arm, name
    assert {arm for arm, _ in stats} >= {"proxied", "direct"}
