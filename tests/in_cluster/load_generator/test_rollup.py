"""A soak's disk is bounded, and what is concluded from it is not changed by that."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.in_cluster.load_generator.records import Record
from signoff.in_cluster.load_generator.rollup import RotatingRecords, follow_rollup, roll_up, rolled_up_from
from signoff.load.conclusions import Conclusions, conclude
from signoff.load.records import read_records
from signoff.report.load.charts import timeline
from signoff.stats.estimate import Estimate

SOAK = Synthetic(loads=(2,), shape="steady", seconds=3600, behaviours=[Behaviour(pairs=200, error_share=0.01)])
RECORD = Record(
    "w", "U", "load", "proxied", True, "rate=2", None, BEGAN, BEGAN + 0.01, 40.0, 20.0, 1.0, 16, 200, 200, ""
)


def split(folder: Path) -> Path:
    """Part the records into two files by time, as rotation leaves them; gives the early one."""
    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False).sort_values("started")
    early = table["started"] < BEGAN + 1800
    table[~early].to_csv(folder / "records-local-0002.csv", index=False)
    table[early].to_csv(folder / "records-local.csv", index=False)
    return folder / "records-local.csv"


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soak whose records are in two files; to be copied by who changes it."""
    folder = SOAK.write(tmp_path_factory.mktemp("soak"))
    split(folder)
    return folder


@pytest.fixture(scope="module")
def before(two_files: Path) -> Conclusions:
    """What is concluded while there are all records."""
    return conclude(two_files)


@pytest.fixture
def early(two_files: Path, tmp_path: Path) -> Path:
    """The early file of a soak of the test's own."""
    return shutil.copytree(two_files, tmp_path / "soak") / "records-local.csv"


def told(found: Conclusions) -> list[Estimate | None]:
    """What must not depend on whether records were rolled up; of memory nothing is told, since no pod was sampled."""
    step, memory = found.lightest, "memory of LiteLLM"
    slopes = [each.slope for each in found.trends if each.name != memory]
    return [step.overhead.e2e, step.achieved, step.shortfall, found.error_rate, *slopes]


def inside(value: float, figure: Estimate) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= value <= figure.high


def test_rates_and_latency_over_time_are_drawn_through_the_folded_part(early: Path) -> None:
    roll_up(early)
    latency, requests_over_time, *_ = timeline(conclude(early.parent))
    mean = next(line for line in latency.lines if line.name.endswith("mean"))
    assert len(mean.xs) == 30 and np.mean(mean.ys) == pytest.approx(42, abs=2)
    arrived = np.array(requests_over_time.lines[0].ys)
    assert arrived.mean() == pytest.approx(2, rel=0.1)
    assert arrived[: len(arrived) // 2].std() < 1.2 * arrived[len(arrived) // 2 :].std(), "no beat of minutes with bins"


@pytest.mark.usefixtures("undrawn")
def test_dropped_probes_are_told(early: Path, before: Conclusions) -> None:
    folder = early.parent
    roll_up(early)
    assert conclude(folder).loaded.probes_from == 0
    rolled_up_from(early)[1].unlink()
    found = conclude(folder)
    assert found.loaded.probes_from > BEGAN + 1700
    rates = [each.lightest.groups["proxied"].tokens_per_second for each in (found, before)]
    assert rates[0] == pytest.approx(rates[1], rel=0.05)
    main(["load-report", str(folder)])
    page = (folder / "load-report.html").read_text()
    assert "Rates and slopes are of the whole run, but the overhead and its slope of the probes after" in page


def test_a_rollup_keeps_overhead_rates_and_slopes(early: Path, before: Conclusions) -> None:
    roll_up(early)
    after = conclude(early.parent)
    assert len(after.loaded.records) < 0.7 * len(before.loaded.records)
    assert after.lightest.overhead == before.lightest.overhead, "probes are kept whole"
    for then, now in zip(told(before), told(after), strict=True):
        assert then is not None and now is not None
        assert now.value == pytest.approx(then.value, rel=0.05, abs=0.02) or inside(then.value, now)
    assert after.lightest.state == before.lightest.state
    assert after.error_rate and before.error_rate and after.error_rate.value == before.error_rate.value


def test_tokens_and_requests_in_flight_are_of_the_time_with_all_records(early: Path, before: Conclusions) -> None:
    folder = early.parent
    for number, path in enumerate((early, folder / "records-local-0002.csv")):
        table = pd.read_csv(path, keep_default_na=False)
        for worker in range(2):
            own = table[table.index % 2 == worker].assign(worker=f"worker-{worker}")
            own.to_csv(folder / f"records-worker-{worker}{'-0002' * number}.csv", index=False)
        path.unlink()
    roll_up(folder / "records-worker-0.csv")
    after = conclude(folder).lightest
    assert after.in_flight == pytest.approx(before.lightest.in_flight, rel=0.05)
    for name, group in after.groups.items():
        whole = before.lightest.groups[name]
        assert group.tokens_per_second == pytest.approx(whole.tokens_per_second, rel=0.05), name
        assert group.requests == whole.requests, name


def test_folded_failures_count_into_a_steps_errors_and_are_drawn(tmp_path: Path) -> None:
    folder = SOAK.write(tmp_path)
    path = folder / "records-local.csv"
    table = pd.read_csv(path, keep_default_na=False)
    early = table["started"] < BEGAN + 1800
    table.loc[table["role"] == "load", "error"] = ""
    table.loc[early & (table["role"] == "load") & (table.index % 2 == 0), "error"] = "status 503"
    table.to_csv(path, index=False)
    first = split(folder)
    before = conclude(folder).lightest.groups["load"]
    roll_up(first)
    found = conclude(folder)
    after = found.lightest.groups["load"]
    assert after.error_rate.value == before.error_rate.value > 0.2
    assert after.errors == before.errors and after.requests == before.requests
    (failed,) = (chart for chart in timeline(found) if chart.title.startswith("Failed"))
    assert "status 503" in failed.bars[0].text
    heights = [bar.height for bar in failed.bars if bar.low < 29]
    assert len(heights) > 70 and min(heights) > 0.3 * max(heights), "no beat of minutes with bins"
    assert sum((bar.high - bar.low) * 60 * bar.height for bar in failed.bars) == pytest.approx(
        before.errors["status 503"]
    )


def test_a_kill_while_rolling_up_neither_loses_nor_doubles(tmp_path: Path, early: Path, before: Conclusions) -> None:
    copy = tmp_path / "copy.csv"
    shutil.copy(early, copy)
    roll_up(early)
    shutil.copy(copy, early)  # as if it had been killed before the last step
    again = conclude(early.parent)
    assert again.sentence == before.sentence and told(again) == told(before)


def test_rotation_bounds_the_records_on_disk(tmp_path: Path) -> None:
    with closing(RotatingRecords(tmp_path, keep=100, files=2)) as file:
        for number in range(420):
            at = BEGAN + number
            record = replace(RECORD, intended=at, started=at)
            file.write(replace(record, role="probe", pair=number) if number % 10 == 0 else record)
            if number % 50 == 49 and file._rollup:
                file._rollup.wait()  # a real soak's file takes hours
    assert names(tmp_path) == ["records-w-0007.csv", "records-w-0008.csv", "records-w-0009.csv"]
    assert requests(tmp_path) == 420
    assert (read_records(tmp_path)["role"] == "probe").sum() == 42


def test_folded_probes_are_bounded_too(tmp_path: Path) -> None:
    with closing(RotatingRecords(tmp_path, keep=100, files=2)) as file:
        for number in range(700):
            probe = replace(RECORD, role="probe", pair=number, intended=BEGAN + number, started=BEGAN + number)
            file.write(probe if number % 2 else replace(probe, role="load", pair=None))
            if file._rollup:
                file._rollup.wait()
    probes = read_records(tmp_path).query("role == 'probe'")["pair"]
    assert 75 <= len(probes) <= 125, "half as many rolled-up ones as records, and those of the records"
    assert list(probes) == [number for number in range(700) if number % 2][-len(probes) :], "the latest"
    assert len(list(tmp_path.glob("probes-*.csv"))) == 2


def test_the_bound_is_of_all_workers_together(tmp_path: Path) -> None:
    with closing(RotatingRecords(tmp_path, keep=100, files=2)) as file:
        for number in range(600):
            file.write(replace(RECORD, worker=f"worker-{number % 4}", intended=BEGAN + number, started=BEGAN + number))
            if file._rollup:
                file._rollup.wait()
    assert len(names(tmp_path)) == 2 + 4, "two that are full, and one of each worker that grows"
    assert {name.partition(".")[0] for name in names(tmp_path)} >= {f"records-worker-{each}-0003" for each in range(4)}
    assert requests(tmp_path) == 600


def test_what_could_not_be_folded_is_folded_later(tmp_path: Path) -> None:
    in_the_way = tmp_path / ".minutes-w.csv"  # where the first file's draft would go
    in_the_way.mkdir()
    with closing(RotatingRecords(tmp_path, keep=50, files=1)) as file:
        for number in range(400):
            if number == 250:
                in_the_way.rmdir()
            file.write(replace(RECORD, intended=BEGAN + number, started=BEGAN + number))
            if file._rollup:
                file._rollup.wait()
    assert names(tmp_path) == ["records-w-0007.csv", "records-w-0008.csv"]
    assert requests(tmp_path) == 400


def test_a_copy_follows_only_when_it_has_what_records_became(tmp_path: Path, early: Path) -> None:
    there, here = early.parent, tmp_path / "here"
    shutil.copytree(there, here)
    roll_up(early)
    copies = [here / path.name for path in rolled_up_from(early)]
    for copy in copies:
        follow_rollup(here, [path.name for path in there.iterdir()])
        assert (here / early.name).exists()
        shutil.copy(there / copy.name, copy)
    follow_rollup(here, [path.name for path in there.iterdir()])
    assert not (here / early.name).exists()
    assert told(conclude(here)) == told(conclude(there))


def names(folder: Path) -> list[str]:
    """Of the files of records."""
    return sorted(path.name for path in folder.glob("records-*.csv"))


def requests(folder: Path) -> int:
    """All that are counted, in a line of their own or in a minute's."""
    minutes = pd.concat(pd.read_csv(path) for path in folder.glob("minutes-*.csv"))
    assert minutes["waited_ms"].sum() == pytest.approx(40.0 * minutes["count"].sum())
    return int(minutes["count"].sum()) + len(read_records(folder))
