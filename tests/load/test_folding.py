"""A soak's disk is bounded, and what is concluded from it is not changed by that."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from signoff.load.conclusions import Conclusions, conclude
from signoff.load.folding import RotatingRecords, fold
from signoff.load.intervals import Figure
from signoff.load.records import Record, read_records
from signoff.load.report import timeline
from tests.load.synthetic import BEGAN, Behaviour, Synthetic

SOAK = Synthetic(loads=(2,), shape="steady", seconds=3600, behaviours=[Behaviour(pairs=200, error_share=0.01)])
RECORD = Record(
    "w", "U", "load", "proxied", True, "rate=2", None, BEGAN, BEGAN + 0.01, 40.0, 20.0, 1.0, 16, 200, 200, ""
)


def split(folder: Path) -> tuple[Path, Path]:
    """The records in two files by time, as rotation leaves them."""
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False).sort_values("started")
    early = table["started"] < BEGAN + 1800
    table[~early].to_csv(folder / "records-local-0002.csv", index=False)
    table[early].to_csv(folder / "records-local.csv", index=False)
    return folder / "records-local.csv", folder / "records-local-0002.csv"


def told(found: Conclusions) -> list[Figure | None]:
    """What must not depend on whether records were folded."""
    step = found.lightest
    return [step.overhead.e2e, step.achieved, step.shortfall, found.error_rate, *(each.slope for each in found.trends)]


def inside(value: float, figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= value <= figure.high


def test_folding_keeps_overhead_rates_and_slopes(tmp_path: Path) -> None:
    folder = SOAK.write(tmp_path)
    early, _ = split(folder)
    before = conclude(folder)
    fold(early)
    after = conclude(folder)
    assert len(after.loaded.records) < 0.7 * len(before.loaded.records)
    assert after.lightest.overhead == before.lightest.overhead, "probes are kept whole"
    for then, now in zip(told(before), told(after), strict=True):
        assert then is not None and now is not None
        assert now.value == pytest.approx(then.value, rel=0.05, abs=0.02) or inside(then.value, now)
    assert after.lightest.state == before.lightest.state
    assert after.error_rate and before.error_rate and after.error_rate.value == before.error_rate.value


def test_folded_failures_count_into_a_steps_errors_and_are_drawn(tmp_path: Path) -> None:
    folder = SOAK.write(tmp_path)
    path = folder / "records-local.csv"
    table = pd.read_csv(path, keep_default_na=False)
    early = table["started"] < BEGAN + 1800
    table.loc[table["role"] == "load", "error"] = ""
    table.loc[early & (table["role"] == "load") & (table.index % 2 == 0), "error"] = "status 503"
    table.to_csv(path, index=False)
    first, _ = split(folder)
    before = conclude(folder).lightest.groups["load"]
    fold(first)
    found = conclude(folder)
    after = found.lightest.groups["load"]
    assert after.error_rate.value == before.error_rate.value > 0.2
    assert after.errors == before.errors and after.requests == before.requests
    (failed,) = (chart for chart in timeline(found) if chart.title.startswith("Failed"))
    assert "status 503" in failed.bars[0][3]
    assert sum((high - low) * 60 * each for low, high, each, _ in failed.bars) == pytest.approx(
        before.errors["status 503"]
    )


def test_a_kill_while_folding_neither_loses_nor_doubles(tmp_path: Path) -> None:
    folder = SOAK.write(tmp_path)
    early, _ = split(folder)
    before = conclude(folder)
    copy = tmp_path / "copy.csv"
    shutil.copy(early, copy)
    fold(early)
    shutil.copy(copy, early)  # as if it had been killed before the last step
    again = conclude(folder)
    assert again.sentence == before.sentence and told(again) == told(before)


def test_rotation_bounds_the_records_on_disk(tmp_path: Path) -> None:
    with RotatingRecords(tmp_path, "w", lines=50, most_files=2) as file:
        for number in range(420):
            at = BEGAN + number
            record = replace(RECORD, intended=at, started=at)
            file.write(replace(record, role="probe", pair=number) if number % 10 == 0 else record)
            if number % 50 == 49 and file._folding:
                file._folding.wait()  # a real soak's file takes hours
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if name.startswith("records")] == ["records-w-0008.csv", "records-w-0009.csv"]
    minutes = pd.concat(pd.read_csv(path) for path in tmp_path.glob("minutes-*.csv"))
    records = read_records(tmp_path)
    assert (records["role"] == "probe").sum() == 42
    assert minutes["count"].sum() + (records["role"] == "load").sum() == 378
    assert minutes["waited_ms"].sum() == pytest.approx(40.0 * minutes["count"].sum())
