"""Verdicts on what grows: on memory whose slope is known, however it wanders about it."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic, pod_memory
from signoff.cli import main
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.in_cluster.load_generator.run import Role, Sample
from signoff.load.conclusions import Conclusions, conclude
from signoff.load.soak import Trend
from signoff.verdicts.verdict import Value

HOURS = 1.0
STEADY = pod_memory(0.0, hours=HOURS, noise_mib=0.2)


def soak(folder: Path, samples: list[Sample], **more: object) -> Conclusions:
    run = Synthetic(
        loads=(1,), shape="steady", seconds=HOURS * 3600, behaviours=[Behaviour(pairs=100)], samples=samples
    )
    return conclude(replace(run, **more).write(folder))  # type: ignore[arg-type]


def memory(found: Conclusions) -> Trend:
    return next(trend for trend in found.trends if trend.name.startswith("memory"))


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, Value.PASSED), (4.0, Value.INCONCLUSIVE), (9.0, Value.FAILED)])
def test_memory_is_judged_by_the_bounds_of_its_slope(tmp_path: Path, slope: float, verdict: Value) -> None:
    found = soak(tmp_path, pod_memory(slope, hours=HOURS, noise_mib=0.2))
    trend = memory(found)
    assert trend.verdict is verdict, trend.reason
    assert trend.slope and trend.slope.low is not None and trend.slope.high is not None
    assert trend.slope.low < slope < trend.slope.high
    assert "leak" not in trend.reason
    assert f"memory grows by less than {trend.slope.high:.2g} MiB per hour" in found.sentence


def test_a_limit_inside_the_slopes_interval_is_inconclusive(tmp_path: Path) -> None:
    slope = memory(soak(tmp_path, pod_memory(4.0, hours=HOURS, noise_mib=0.2))).slope
    assert slope and slope.low is not None and slope.high is not None
    for end in (slope.low, slope.high):
        trend = memory(conclude(tmp_path, memory_limit=(slope.value + end) / 2))
        assert trend.verdict is Value.INCONCLUSIVE and "a longer soak narrows it" in trend.reason


def test_memory_seen_too_seldom_is_inconclusive(tmp_path: Path) -> None:
    found = soak(tmp_path, pod_memory(0.0, hours=HOURS)[::13])
    assert memory(found).verdict is Value.INCONCLUSIVE and "fewer than 30 points" in memory(found).reason


def test_a_pod_that_came_later_or_went_is_inconclusive(tmp_path: Path) -> None:
    samples = pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    half = len(samples) // 2
    first, second = samples[:half], [replace(each, pod="litellm-1") for each in samples[half:]]
    found = soak(tmp_path, [*first, *second])
    verdicts = {trend.name: (trend.verdict, trend.reason) for trend in found.trends if trend.verdict}
    assert verdicts == {
        "memory of litellm-0": (Value.INCONCLUSIVE, "the pod was seen from minute 0 to 24 of 54 alone"),
        "memory of litellm-1": (Value.INCONCLUSIVE, "the pod was seen from minute 24 to 54 of 54 alone"),
    }


def test_memory_that_started_over_is_not_judged(tmp_path: Path) -> None:
    samples = pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    half = len(samples) // 2
    counted = samples[:half] + [replace(sample, restarts=1) for sample in samples[half:]]
    fell = samples[:half] + [replace(each, cpu_seconds=1.0 + at) for at, each in enumerate(samples[half:])]
    for number, these in enumerate((counted, fell)):
        trend = memory(soak(tmp_path / str(number), these))
        assert trend.verdict is Value.INCONCLUSIVE and "restarted once" in trend.reason


def test_memory_that_started_over_was_replaced_or_is_unsure_does_not_pass_the_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[limit]]\nfigure = "memory_mib_per_hour"\nmost = 50\n')
    samples = pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    half = len(samples) // 2
    restarted = samples[:half] + [replace(sample, restarts=1) for sample in samples[half:]]
    other = pod_memory(0.0, hours=HOURS, noise_mib=0.2, pod="litellm-1")
    replaced = samples[:half] + [replace(sample, pod="litellm-1") for sample in samples[half:]]
    for number, these in enumerate((restarted, [*restarted, *other], replaced)):
        found = soak(tmp_path / str(number), these)
        assert found.memory is None and "memory" not in found.sentence
        assert main(["load-report", str(tmp_path / str(number)), "--thresholds", str(rules)]) == 1
        assert "gate inconclusive  memory_mib_per_hour" in capsys.readouterr().out
    soak(tmp_path / "unsure", pod_memory(4.0, hours=HOURS, noise_mib=0.2))
    assert main(["load-report", str(tmp_path / "unsure")]) == 1
    assert "gate: 5 passed, 1 inconclusive" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [60, 600, 900])
def test_a_load_too_short_for_a_soak_is_judged_without_memory(tmp_path: Path, seconds: int) -> None:
    samples = pod_memory(0.0, hours=seconds / 3600, noise_mib=0.0, every=5.0)
    run = Synthetic(shape="steady", seconds=seconds, samples=samples)
    found = conclude(run.write(tmp_path))
    assert memory(found).verdict is None and "memory" not in found.sentence
    assert main(["load-report", str(tmp_path)]) == 0
    assert "17 minutes are needed" in (tmp_path / "load-report.html").read_text()


def test_a_load_as_long_as_it_is_told_to_need_is_a_soak(tmp_path: Path) -> None:
    samples = pod_memory(0.0, hours=17 / 60, noise_mib=0.0, every=5.0)
    assert memory(conclude(Synthetic(shape="steady", seconds=17 * 60, samples=samples).write(tmp_path))).verdict


def test_a_busy_moment_does_not_invalidate_a_soak_but_a_busy_minute_does(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[limit]]\nfigure = "memory_mib_per_hour"\nmost = 4\n')
    samples = pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    for seconds, verdict in ((30, Value.PASSED), (60, Value.INCONCLUSIVE)):
        spans = [
            InvalidSpan(BEGAN + 100, BEGAN + 100 + seconds, name, InvalidKind.CPU, "97% of a core")
            for name in ("a", "b")
        ]
        folder = tmp_path / str(seconds)
        found = soak(folder, samples, invalid_spans=spans)
        assert found.verdict[0] is verdict and bool(found.invalid) is (verdict is not Value.PASSED)
        assert found.loaded.run.invalid_steps().keys() == (set() if verdict is Value.PASSED else {"rate=1"})
        assert main(["load-report", str(folder), "--thresholds", str(rules)]) == (verdict is not Value.PASSED)
        page = (folder / "load-report.html").read_text()
        assert ("so that the figures stand" in page) is (verdict is Value.PASSED)


def test_a_limit_of_zero_is_one(tmp_path: Path) -> None:
    soak(tmp_path, pod_memory(2.0, hours=HOURS, noise_mib=0.05))
    assert main(["load-report", str(tmp_path)]) == 0
    rules = tmp_path / "zero.toml"
    rules.write_text('[[limit]]\nfigure = "memory_mib_per_hour"\nmost = 0\n')
    assert main(["load-report", str(tmp_path), "--thresholds", str(rules)]) == 1
    assert "is above 0" in (tmp_path / "load-report.html").read_text()


def test_the_warm_up_is_left_out(tmp_path: Path) -> None:
    warm = [
        replace(each, rss_mib=(each.rss_mib or 0) - max(0.0, 200 - (each.at - BEGAN)) * 0.5)
        for each in pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    ]
    assert memory(soak(tmp_path, warm)).verdict is Value.PASSED


@pytest.mark.parametrize(
    ("first", "then", "verdict", "word"),
    [
        (60.0, 0.0, Value.INCONCLUSIVE, "it levels off"),
        (-60.0, 40.0, Value.INCONCLUSIVE, "it grows faster"),
        (90.0, 40.0, Value.FAILED, "lower bound"),
        (-60.0, 0.0, Value.PASSED, "upper bound"),
    ],
)
def test_memory_that_bends_is_not_judged_by_one_line(
    tmp_path: Path, first: float, then: float, verdict: Value, word: str
) -> None:
    bend, steady = HOURS / 2, pod_memory(0.0, hours=HOURS, noise_mib=0.1)

    def grown(each: Sample) -> float:
        hours = (each.at - BEGAN) / 3600
        return (each.rss_mib or 0) + first * min(hours, bend) + then * max(0.0, hours - bend)

    found = soak(tmp_path, [replace(each, rss_mib=grown(each)) for each in steady])
    trend = memory(found)
    assert trend.verdict is verdict and word in trend.reason, trend.reason
    assert trend.late and abs(trend.late.value - then) < 8
    assert trend.slope and trend.slope.low is not None and trend.slope.high is not None and trend.late.high is not None
    assert trend.slope.low <= trend.late.value <= trend.slope.high
    rules = tmp_path / "memory.toml"
    rules.write_text('[[limit]]\nfigure = "memory_mib_per_hour"\nmost = 4\n')
    assert main(["load-report", str(tmp_path), "--thresholds", str(rules)]) == (verdict is not Value.PASSED)
    assert f"{trend.late.high:.3f}" in (tmp_path / "load-report.html").read_text()


def test_a_soak_of_which_no_pod_of_litellm_was_sampled_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [replace(each, pod="proxy-0", role="backend") for each in STEADY]
    soak(tmp_path, others)
    assert main(["load-report", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "memory of LiteLLM inconclusive: no pod of LiteLLM was sampled\n" in told
    assert "no memory and no processor time of LiteLLM was sampled\n" in told
    page = (tmp_path / "load-report.html").read_text()
    assert "No memory and no processor time of LiteLLM was sampled." in page
    assert "memory of LiteLLM: no pod of LiteLLM was sampled." in page


def test_a_pod_is_litellms_by_its_role_and_not_by_its_name(tmp_path: Path) -> None:
    pods: list[tuple[str, Role]] = [("proxy-0", "gateway"), ("litellm-cache-0", "backend")]
    found = soak(tmp_path, [replace(each, pod=pod, role=role) for pod, role in pods for each in STEADY])
    assert [trend.name for trend in found.trends if trend.unit == "MiB"] == ["memory of proxy-0"]
    assert found.unsampled == ""


def test_samples_that_say_no_role_are_told_apart_by_the_storys_names(tmp_path: Path) -> None:
    pods = ("litellm-0", "vllm-api-0", "generator local")
    soak(tmp_path, [replace(each, pod=pod) for pod in pods for each in STEADY])
    lines = (tmp_path / "samples.csv").read_text().splitlines()
    (tmp_path / "samples.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    found = conclude(tmp_path)
    assert [trend.name for trend in found.trends if trend.unit == "MiB"] == ["memory of litellm-0"]
    assert found.unsampled == ""


def test_latency_and_errors_that_grow_have_a_slope(tmp_path: Path) -> None:
    found = soak(tmp_path / "even", STEADY)
    _, latency, errors, overhead = found.trends
    assert overhead.slope and overhead.slope.low is not None and overhead.slope.high is not None
    assert overhead.slope.low < 0 < overhead.slope.high
    assert latency.slope and latency.slope.low is not None and latency.slope.high is not None
    assert latency.slope.low < 0 < latency.slope.high
    assert errors.slope and errors.slope.value == 0

    folder = tmp_path / "growing"
    soak(folder, STEADY)
    import pandas as pd

    table = pd.read_csv(folder / "records-local.csv", keep_default_na=False)
    hours = (table["intended"] - BEGAN) / 3600
    table["e2e_ms"] += 20 * hours
    table.loc[(table["role"] == "load") & (table.index % 10 < 4 * hours), "error"] = "timeout"
    table.to_csv(folder / "records-local.csv", index=False)
    _, latency, errors, overhead = conclude(folder).trends
    assert overhead.slope and overhead.slope.high is not None and overhead.slope.high < 5, "both arms grew alike"
    assert latency.slope and latency.slope.low is not None and latency.slope.low > 15
    assert errors.slope and errors.slope.low is not None and errors.slope.low > 20


def test_an_overhead_that_grows_has_a_slope_and_a_rule(tmp_path: Path) -> None:
    soak(tmp_path, STEADY)
    import pandas as pd

    table = pd.read_csv(tmp_path / "records-local.csv", keep_default_na=False)
    slower = (table["role"] == "probe") & (table["arm"] == "proxied")
    table.loc[slower, "e2e_ms"] += 20 * (table["intended"] - BEGAN) / 3600
    table.to_csv(tmp_path / "records-local.csv", index=False)
    rules = tmp_path / "rules.toml"
    for most, status in ((10, 1), (40, 0)):
        rules.write_text(f'[[limit]]\nfigure = "overhead_ms_per_hour"\nmost = {most}\n')
        assert main(["load-report", str(tmp_path), "--thresholds", str(rules)]) == status


def test_a_killed_soak_is_reported_up_to_then_and_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = pod_memory(0.0, hours=HOURS, noise_mib=0.2)
    soak(tmp_path, samples, ended=False)
    with (tmp_path / "samples.csv").open("r+b") as file:
        file.truncate((tmp_path / "samples.csv").stat().st_size - 9)
    with (tmp_path / "records-local.csv").open("r+b") as file:
        file.truncate((tmp_path / "records-local.csv").stat().st_size - 9)
    assert main(["load-report", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "this is its report up to then" in told and "load inconclusive: the load comes to its end" in told
    assert "did not end by itself" in (tmp_path / "load-report.html").read_text()


def test_memory_that_grows_too_fast_fails_the_command(tmp_path: Path) -> None:
    soak(tmp_path, pod_memory(9.0, hours=HOURS, noise_mib=0.2))
    assert main(["load-report", str(tmp_path)]) == 1
    rules = tmp_path / "more.toml"
    rules.write_text('[[limit]]\nfigure = "memory_mib_per_hour"\nmost = 50\n')
    assert main(["load-report", str(tmp_path), "--thresholds", str(rules)]) == 0


def test_samples_of_the_pods_in_a_file_of_their_own_count(tmp_path: Path) -> None:
    soak(tmp_path, pod_memory(9.0, hours=HOURS, noise_mib=0.2))
    (tmp_path / "samples.csv").rename(tmp_path / "samples-pods.csv")
    soak(tmp_path, [])
    assert memory(conclude(tmp_path)).verdict is Value.FAILED


def test_a_sweep_has_no_trends(tmp_path: Path) -> None:
    assert conclude(Synthetic(samples=pod_memory(9.0, hours=0.1)).write(tmp_path)).trends == []
