"""One bad step is enough: what each kind of it does to the last sentence, the headline and the exit status, as one."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from scripts.synthetic_load import BEGAN, Behaviour, Synthetic
from signoff.cli import main
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.load.analysis import StepState
from signoff.load.conclusions import conclude
from signoff.load.gate import Limit, Outcome, Ruling, Thresholds, judge
from signoff.verdicts.verdict import Value

Out = pytest.CaptureFixture[str]
LOADS, SECONDS = (8.0, 20.0, 40.0), 60.0
RULES = '[[limit]]\nfigure = "run_error_rate"\nmax = 0.01\n'


def told(folder: Path, capsys: Out, rules: str = RULES) -> str:
    """The value of a load, which its exit status, its last sentence and its page tell alike."""
    path = folder / "rules.toml"
    path.write_text(rules)
    status = main(["load-report", str(folder), "--thresholds", str(path)])
    (value,) = re.findall(r"^load (\w+): ", capsys.readouterr().out, re.MULTILINE)
    page = (folder / "load-report.html").read_text(encoding="utf-8")
    headlines = re.findall(r'<h1 class="(\w+)">Load on LiteLLM (\w+): ', page)
    assert headlines == [("failed" if status else "passed", value)]
    assert f"Load {value}: " in page
    assert (status == 0) is (value == "passed")
    return str(value)


def load(folder: Path, at: int | None = None, bad: Behaviour | None = None, **more: object) -> Path:
    """A load that LiteLLM keeps up with, with one step that is otherwise."""
    behaviours = [bad if number == at and bad else Behaviour() for number in range(len(LOADS))]
    return replace(Synthetic(loads=LOADS, behaviours=behaviours, seconds=SECONDS), **more).write(folder)  # type: ignore[arg-type]


def changed(folder: Path, at: int, change: Callable[[pd.DataFrame, "pd.Series[bool]"], pd.DataFrame]) -> Path:
    """The load with other records of one step."""
    path = load(folder) / "records-local.csv"
    table = pd.read_csv(path, keep_default_na=False)
    change(table, table["step"] == f"rate={LOADS[at]:g}").to_csv(path, index=False)
    return folder


def slow_tail(table: pd.DataFrame, here: "pd.Series[bool]") -> pd.DataFrame:
    """Each tenth probe through LiteLLM takes half a second more: medians do not see it."""
    probes = here & (table["role"] == "probe") & (table["arm"] == "proxied")
    table["e2e_ms"] = table["e2e_ms"].astype(float)
    table.loc[probes & (table["pair"].astype(str).str.contains("5")), "e2e_ms"] += 500
    return table


def vllm_fails(table: pd.DataFrame, here: "pd.Series[bool]") -> pd.DataFrame:
    probes = here & (table["role"] == "probe") & (table["arm"] == "direct")
    table.loc[probes & (table.index % 4 == 0), "error"] = "timeout"
    return table


def without_probes(table: pd.DataFrame, here: "pd.Series[bool]") -> pd.DataFrame:
    return table[~(here & (table["role"] == "probe"))]


BUSY = [
    InvalidSpan(BEGAN + at * SECONDS + 20, BEGAN + at * SECONDS + 30, "local", InvalidKind.CPU, "97% of a core")
    for at in range(len(LOADS))
]
BAD: dict[str, tuple[Callable[[Path, int], Path], str]] = {
    "errors": (lambda folder, at: load(folder, at, Behaviour(error_share=0.035)), "failed"),
    "overhead": (lambda folder, at: load(folder, at, Behaviour(added_ms=140)), "failed"),
    "overhead of streams": (lambda folder, at: load(folder, at, Behaviour(streamed_ms=140)), "failed"),
    "probes that time out": (lambda folder, at: load(folder, at, Behaviour(probe_errors=60)), "failed"),
    "few probes that time out": (lambda folder, at: load(folder, at, Behaviour(probe_errors=4)), "inconclusive"),
    "few pairs": (lambda folder, at: load(folder, at, Behaviour(pairs=8)), "inconclusive"),
    "probes of vLLM that fail": (lambda folder, at: changed(folder, at, vllm_fails), "inconclusive"),
    "no probe": (lambda folder, at: changed(folder, at, without_probes), "inconclusive"),
    "no request": (lambda folder, at: changed(folder, at, lambda table, here: table[~here]), "inconclusive"),
    "busy generator": (lambda folder, at: load(folder, invalid_spans=[BUSY[at]]), "inconclusive"),
}  # fmt: skip


def test_a_good_load_passes(tmp_path: Path, capsys: Out) -> None:
    for number, rules in enumerate((RULES, "required_rate = 20\n" + RULES, "required_rate = 40\n" + RULES)):
        assert told(load(tmp_path / str(number)), capsys, rules) == "passed"


@pytest.mark.parametrize(("kind", "at"), [*product(BAD, range(len(LOADS)))], ids=lambda each: str(each))
def test_one_bad_step_is_enough_wherever_it_is(tmp_path: Path, capsys: Out, kind: str, at: int) -> None:
    make, value = BAD[kind]
    folder = make(tmp_path, at)
    assert told(folder, capsys, ("required_rate = 40\n" if at else "") + RULES) == value
    if at == 2:
        assert told(folder, capsys, "required_rate = 20\n" + RULES) == "passed", "nobody asked for as much"


def test_a_step_below_the_heaviest_that_was_kept_up_with_is_not_passed_over(tmp_path: Path, capsys: Out) -> None:
    found = conclude(load(tmp_path, 1, Behaviour(capacity=15)))
    assert [each.state for each in found.ordered] == [StepState.KEPT_UP, StepState.FELL_BEHIND, StepState.KEPT_UP]
    assert told(tmp_path, capsys) != "passed"


def test_a_tail_that_medians_do_not_see_fails_from_400_pairs_on(tmp_path: Path, capsys: Out) -> None:
    path = load(tmp_path, 1, Behaviour(pairs=500)) / "records-local.csv"
    table = pd.read_csv(path, keep_default_na=False)
    slow_tail(table, table["step"] == "rate=20").to_csv(path, index=False)
    assert told(tmp_path, capsys) == "failed"


@pytest.mark.parametrize(
    ("required", "value"), [("", "passed"), ("8", "passed"), ("15", "passed"), ("21", "failed"), ("41", "inconclusive")]
)
def test_a_required_rate_is_kept_up_with(tmp_path: Path, capsys: Out, required: str, value: str) -> None:
    folder = load(tmp_path, 2 if required != "41" else None, Behaviour(capacity=30))
    assert told(folder, capsys, (f"required_rate = {required}\n" if required else "") + RULES) == value


def test_a_closed_loop_keeps_up_with_no_required_rate(tmp_path: Path, capsys: Out) -> None:
    folder = Synthetic(loads=(1, 2), arrivals="closed", shape="sweep-users", seconds=40).write(tmp_path)
    assert told(folder, capsys) == "passed"
    assert told(folder, capsys, "required_rate = 20\n" + RULES) == "inconclusive"


def test_a_killed_load_and_one_without_a_step_that_was_kept_up_with_do_not_pass(tmp_path: Path, capsys: Out) -> None:
    assert told(load(tmp_path / "killed", ended=False), capsys) == "inconclusive"
    behind = Synthetic(behaviours=[Behaviour(capacity=10)])
    assert told(behind.write(tmp_path / "behind"), capsys) == "inconclusive"


def test_a_latency_passes_at_no_step_that_was_not_kept_up_with(tmp_path: Path) -> None:
    found = conclude(load(tmp_path, 2, Behaviour(capacity=30)))
    assert found.ordered[2].state is StepState.FELL_BEHIND
    for figure, most, value in (("overhead_ms", 1e9, Value.INCONCLUSIVE), ("e2e_p95_ms", 100, Value.FAILED)):
        rules = Thresholds([Limit(figure, "rate=40", max=most)], [], tmp_path)
        assert Outcome(found, judge(found, rules)).rulings[-1].verdict is value


def test_the_gravest_ruling_speaks_and_no_ruling_passes_nothing(tmp_path: Path) -> None:
    found = conclude(load(tmp_path))
    assert (Outcome(found, []).value, Outcome(found, []).status) == (Value.NOT_JUDGED, 1)
    values = (Value.PASSED, Value.INCONCLUSIVE, Value.FAILED, Value.NOT_JUDGED)
    for these in product(values, repeat=3):
        outcome = Outcome(found, [Ruling("a rule", f"step {at}", value, "why") for at, value in enumerate(these)])
        assert outcome.status == (set(these) != {Value.PASSED})
        assert outcome.sentence.startswith(f"load {outcome.value.value}: ")
        assert f"LiteLLM {outcome.value.value}: " in outcome.headline
        assert outcome.value is Value.FAILED or Value.FAILED not in these


@pytest.mark.parametrize("rate", ["0", "-1", "true", '"20"', "inf", "nan"])
def test_a_required_rate_that_is_none_is_refused(tmp_path: Path, capsys: Out, rate: str) -> None:
    (tmp_path / "rules.toml").write_text(f"required_rate = {rate}\n{RULES}")
    load(tmp_path / "run")
    assert main(["load-report", str(tmp_path / "run"), "--thresholds", str(tmp_path / "rules.toml")]) == 4
    assert "required_rate is" in capsys.readouterr().err
