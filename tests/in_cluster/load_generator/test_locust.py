"""`locust -f bench/` against doubles: what its table shows, what is recorded, and when it says that it is invalid."""

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest

from signoff.core.errors import REFUSED
from signoff.core.paths import ROOT
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.evidence import read
from signoff.evidence.models import End, LoadFiles
from signoff.in_cluster.load_generator.records import COLUMNS
from signoff.in_cluster.load_generator.run import Run
from signoff.load.analysis import StepState
from signoff.load.conclusions import conclude
from signoff.load.knee import SLOWER
from signoff.load.reading import check_files, read_run
from signoff.load.records import read_records
from signoff.settings.shown import not_the_storys
from tests.asked_with import asked_with
from tests.pair import Pair

pytestmark = pytest.mark.locust
Stats = dict[tuple[str, str], dict[str, float]]
"""Figures by (arm, name)."""


@dataclass
class Loaded:
    """What a load left behind."""

    code: int
    output: str
    stats: Stats
    run: Run
    records: pd.DataFrame

    @property
    def aggregated(self) -> int:
        """What Locust counted at the end; its CSV files are up to a second older."""
        found = re.findall(r"^ +Aggregated +(\d+) +\d+\(", self.output, re.MULTILINE)
        return int(found[-1])

    @property
    def load(self) -> pd.DataFrame:
        return self.records[self.records.role == "load"]

    @property
    def probes(self) -> pd.DataFrame:
        return self.records[self.records.role == "probe"]


def command(pair: Pair, folder: Path, *arguments: str) -> list[str]:
    where = ["--proxied", pair.proxied, "--direct", pair.direct, "--reports", str(folder)]
    shown = ["--html", str(folder / "load.html"), "--csv", str(folder / "load")]
    return [sys.executable, "-m", "locust", "-f", "bench/", "--headless", *where, *shown, *arguments]


def load(pair: Pair, folder: Path, *arguments: str, **variables: str) -> Loaded:
    asked, known = command(pair, folder, *arguments), {**os.environ, **variables}
    done = subprocess.run(asked, cwd=ROOT, env=known, capture_output=True, text=True, timeout=60, check=False)
    output = done.stdout + done.stderr
    assert (folder / "load_stats.csv").exists(), output
    with (folder / "load_stats.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    figures = ("Request Count", "Failure Count", "Min Response Time")
    stats = {(row["Type"], row["Name"]): {figure: float(row[figure]) for figure in figures} for row in rows}
    kept = run_folder(folder)
    return Loaded(done.returncode, output, stats, read_run(kept), read_records(kept))


def run_folder(folder: Path) -> Path:
    (found,) = folder.glob("load-*")
    return found


def test_a_closed_loop_through_the_proxy_with_pairs_beside_it(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.tampering, pair.gateway.delay_ms = "delay", 60.0
    told = load(pair, tmp_path, "-t", "5s", "--probe-every", "0.1")
    assert told.code == 0, told.output

    # The load goes through the proxy alone, streamed and not.
    assert set(told.load.arm) == {"proxied"}
    assert set(told.load.streamed) == {True, False}
    assert [(step.name, step.planned_users) for step in told.run.steps] == [("users=4", 4)]
    assert told.load.prompt_chars.nunique() > 10

    # Each pair asked both arms, with prompts of one length, now this one first, now that one.
    whole = told.probes.groupby("pair").filter(lambda each: len(each) == 2)
    assert len(whole) >= len(told.probes) - 1
    for _, both in whole.groupby("pair"):
        assert set(both.arm) == {"direct", "proxied"}
        assert both.prompt_chars.nunique() == both.streamed.nunique() == 1
    assert set(whole.groupby("pair").arm.first()) == {"direct", "proxied"}

    # Times are exact, where Locust's own are rounded.
    streamed = told.load[told.load.streamed & (told.load.error == "")]
    assert (streamed.ttft_ms >= 60).all()
    assert (streamed.ttft_ms <= streamed.e2e_ms).all()
    assert told.probes[(told.probes.arm == "direct") & told.probes.streamed].ttft_ms.min() < 60

    # Locust counts requests as requests, and the other figures beside them.
    assert told.aggregated == len(told.records)
    assert told.stats["proxied", "TTFT"]["Min Response Time"] >= 60
    for name in ("inter-token", "tokens/s (a rate, not ms)", "probe TTFT"):
        assert told.stats["proxied", name]["Request Count"] > 0
    assert "TTFT" in (tmp_path / "load.html").read_text()


SETTINGS = """
model = "another"
overhead_limit_ms = 500
reports = "out"
"""


def test_a_load_follows_the_settings_beside_it_and_records_them(pair: Pair, tmp_path: Path) -> None:
    pair.backend.model = "another"
    (tmp_path / "signoff.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench"), "--headless", "-t", "2s"]
    where = {"SIGNOFF_PROXIED": pair.proxied, "SIGNOFF_DIRECT": pair.direct, "SIGNOFF_NAMESPACE": "ai"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **where}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    kept = run_folder(tmp_path / "out")
    assert read_run(kept).model == "another"
    assert [each.name for each in not_the_storys(read(kept).run.settings)] == [
        "namespace",
        "model",
        "overhead_limit_ms",
    ]
    assert conclude(kept).limit_ms == 500


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("overhead_limit = 5", "there is no setting 'overhead_limit'"),
        ('reports = "signoff.toml"', "the report's folder"),
    ],
)
def test_a_load_refuses_wrong_settings_before_anything_starts(tmp_path: Path, told: str, said: str) -> None:
    (tmp_path / "signoff.toml").write_text(told)
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench"), "--headless", "-t", "1s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith(f"signoff: {said}"), done.stderr
    assert "signoff.toml:1" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["signoff.toml"]


def test_a_schedule_does_not_wait_for_a_slow_proxy(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.tampering, pair.gateway.delay_ms = "delay", 1000.0
    told = load(pair, tmp_path, "-t", "4s", "--rate", "20", "--arrivals", "constant", "--probe-every", "0.05")
    assert told.run.arrivals == "constant"
    (step,) = told.run.steps
    assert (step.name, step.planned_rate) == ("rate=20", 20.0)
    # A closed loop of as few users would have asked twice.
    intended = told.load[told.load.step == step.name].intended.sort_values()
    assert len(intended) >= 40
    assert intended.diff().median() == pytest.approx(0.05, abs=0.002)  # the schedule's, which no stall moves
    assert (told.load.started >= told.load.intended).all()
    # What was in flight at the end had time to end, which is no time of the step; nor of its probes.
    assert (told.load.error == "").all()
    assert step.ended is not None and told.run.ended is not None
    answered = told.load.started + told.load.e2e_ms / 1000
    assert step.ended < answered.max() <= told.run.ended
    assert told.load.intended.max() > step.ended - 1
    assert told.probes[told.probes.step == step.name].intended.max() <= step.ended
    assert told.run.step_seconds == 4


def test_errors_are_counted_by_kind_and_never_as_0_ms(pair: Pair, tmp_path: Path) -> None:
    pair.gateway.tampering = "cut"
    told = load(pair, tmp_path, "-t", "2s")
    assert told.code != 0
    proxied, direct = (told.records[told.records.arm == arm] for arm in ("proxied", "direct"))
    assert set(proxied.error) == {"broken off"}
    assert (direct.error == "").all()
    assert (told.records.e2e_ms > 0).all()
    for (arm, name), figures in told.stats.items():
        if "chat" in name:
            assert figures["Failure Count"] == (figures["Request Count"] if arm == "proxied" else 0)
    assert re.search(r"failed: \d+ broken off", told.output)
    assert f"signoff load-report {run_folder(tmp_path)}" in told.output


def test_a_sweep_from_two_processes_keeps_the_records_of_both(pair: Pair, tmp_path: Path) -> None:
    sweep = ["--shape", "sweep-rate", "--arrivals", "constant", "--stages", "10,40", "--stage-seconds", "2"]
    told = load(pair, tmp_path, *sweep, "--processes", "2")
    assert [step.name for step in told.run.steps] == ["rate=10", "rate=40"]
    assert told.run.shape == "sweep-rate"
    assert sorted(told.run.workers) == ["worker-0", "worker-1"]
    assert told.aggregated == len(told.records)
    # Both send half of the rate each; the schedule shows it however slow the machine is.
    for (step, worker), sent in told.load[told.load.step != ""].groupby(["step", "worker"], observed=True):
        rate = next(each.planned_rate for each in told.run.steps if each.name == step)
        assert rate is not None
        if len(sent) > 3:
            assert sent.intended.sort_values().diff().median() == pytest.approx(2 / rate, rel=0.1), (step, worker)
    assert set(told.load[told.load.step == "rate=40"].worker) == {"worker-0", "worker-1"}
    # What was meant for a moment while the rate changed belongs to neither step, and such moments lie between them.
    first, second = told.run.steps
    assert first.ended is not None and first.ended < second.started
    for worker, sent in told.load.groupby("worker", observed=True):
        gone_through = [step for step, _ in groupby(sent.sort_values("intended").step) if step]
        assert gone_through == [first.name, second.name], worker
    assert set(told.probes.worker.value_counts().index) <= set(told.run.workers)


def test_a_generator_that_cannot_keep_up_says_that_the_run_is_invalid(pair: Pair, tmp_path: Path) -> None:
    told = load(pair, tmp_path, "-t", "6s", "--rate", "5000", "-s", "1")
    assert told.run.invalid_spans
    assert "INVALID" in told.output


def test_a_killed_load_leaves_what_it_had(pair: Pair, tmp_path: Path) -> None:
    def recorded() -> None:
        lines = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("load-*/records-local.csv"))
        if lines <= 20:
            raise NotYet(f"{lines} lines")

    killed = subprocess.Popen(command(pair, tmp_path, "-t", "60s"), cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        eventually("more than 20 lines of records", Timeout(50), recorded)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    kept = run_folder(tmp_path)
    run = read_run(kept)
    assert run.ended is None and [step.ended for step in run.steps] == [None]
    assert run.workers == ["local"]
    assert not check_files(kept)
    assert len(read_records(kept)) > 10


def test_a_load_whose_records_cannot_be_written_ends_and_says_so(pair: Pair, tmp_path: Path) -> None:
    where = ["--proxied", pair.proxied, "--direct", pair.direct, "--reports", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", "bench/", "--headless", *where, "-t", "50s", "--think", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),  # a file that can't grow
    )
    assert done.returncode == 1
    assert done.stderr.count("the records cannot be written") == 1
    kept = run_folder(tmp_path)
    assert len(read_records(kept)) > 100
    assert read_run(kept).ended


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "-1", "--processes", "2"], "--rate must be a number above 0, and is -1"),
        (["--stages", "1,2"], "--stages belongs to a shape"),
        (
            ["--host", "http://127.0.0.1:1", "--kubeconfig", "{dead}"],
            "the cluster does not say what pods it has in ml: MaxRetryError",
        ),
        (["--reports", "{dead}"], "the report's folder cannot be written: {dead} is no folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(tmp_path: Path, arguments: list[str], said: str) -> None:
    dead, here = tmp_path / "dead", tmp_path / "here"
    dead.write_text(json.dumps(_DEAD))
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(ROOT / "bench"), "--headless", "-t", "1s"]
        + [each.format(dead=dead) for each in arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith(f"signoff: {said.format(dead=dead)}"), done.stderr
    assert "\n  where: " in done.stderr and "\n  next:  " in done.stderr
    assert len(done.stderr.splitlines()) == 3
    assert not list(here.iterdir())


_REFUSED = {
    "--rate 0": "--rate must be a number above 0, and is 0",
    "--rate nan": "--rate must be a number above 0, and is nan",
    "--think -1": "--think must be 0 or above, and is -1",
    "--probe-every 0": "--probe-every must be a number above 0, and is 0",
    "--probe-every -1": "--probe-every must be a number above 0, and is -1",
    "--length-scale 0": "--length-scale must be a number above 0, and is 0",
    "--max-answer-tokens 0": "--max-answer-tokens must be a number above 0, and is 0",
    "--users 0": "--users must be a number above 0, and is 0",
    "--keep-records 5": "--keep-records must be at least 1000, and is 5",
    "--stage-seconds 9": "--stage-seconds belongs to a shape, and a steady load has no stages",
    "--shape ramp --stage-seconds 0": "--stage-seconds must be a number above 0, and is 0",
    "--shape ramp --stage-seconds -9": "--stage-seconds must be a number above 0, and is -9",
    "--shape sweep-rate --stages 1,x": "a stage is no number: x",
    "--shape sweep-rate --stages 1,0": "a stage is not above 0: 0",
    "--shape sweep-rate --stages ,": "--stages names no stage",
    "--lengths /no/such/file.csv": "the lengths cannot be read: No such file or directory",
    "--lengths /dev/null": "no column answer_tokens, prompt_tokens",
    "--direct vllm:8000": "--direct is no URL",
    "--host litellm": "--host is no URL",
    "--rate 5 --think 0 --users 3": "",
    "--shape spike --stages 1,2.5 --stage-seconds 0.5": "",
}
"""Options, and what is wrong with them; nothing with the last ones."""

_CHECK = """
import sys
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from signoff.core.errors import UsageError
from signoff.in_cluster.load_generator import options
parser = get_empty_argument_parser(default_config_files=[])
setup_parser_arguments(parser)
options.declare(parser)
for line in sys.argv[1:]:
    chosen = parser.parse_args(line.split())
    try:
        options.check(chosen)
    except UsageError as error:
        print(error.what if error.where and error.hint else "where, and what next?")
    else:
        print()
"""


def test_a_load_whose_time_is_over_before_it_begins_says_so(tmp_path: Path) -> None:
    over = "from locust import events\nevents.init.add_listener(lambda environment, **_: environment.runner.quit())\n"
    (tmp_path / "over.py").write_text(over)
    command = [sys.executable, "-m", "locust", "-f", f"{ROOT / 'bench'},{tmp_path / 'over.py'}", "--headless"]
    done = subprocess.run(
        [*command, "-t", "1s", "--host", "http://127.0.0.1:1", "--reports", str(tmp_path / "reports")],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "no load began within its 1 s (-t), so nothing was recorded" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()


def test_each_option_that_has_no_sensible_value_is_told(tmp_path: Path) -> None:
    lines = [f"--headless --reports {tmp_path} {line}" for line in _REFUSED]
    assert printed(_CHECK, *lines).splitlines() == list(_REFUSED.values())


def test_stages_without_a_shape_are_for_the_page(tmp_path: Path) -> None:
    assert printed(_CHECK, f"--reports {tmp_path} --stages 1,2 --stage-seconds 5") == "\n"


_DEAD = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "dead", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "dead", "user": {}}],
    "contexts": [{"name": "dead", "context": {"cluster": "dead", "user": "dead"}}],
    "current-context": "dead",
}

_LATE = """
import socket, time
from types import SimpleNamespace as Of
import gevent
from locust import events
from locust.stats import RequestStats
from signoff.in_cluster.load_generator.request_sender import RequestSender
from signoff.in_cluster.load_generator.generator_health import GeneratorHealth
sent = []
GeneratorHealth.sent = lambda self, late_ms: sent.append(late_ms)
options = Of(arrivals="constant", direct="", model="m", api_key="k", vllm_key="b", direct_model="", seed=1,
    think_seconds=0.0, probe_every=1.0, rate_per_user=1.0, expect_workers=1, lengths="", length_scale=1,
    max_prompt_tokens=9,
    max_answer_tokens=9)
silent = socket.create_server(("127.0.0.1", 0))
host = f"http://127.0.0.1:{silent.getsockname()[1]}"
environment = Of(parsed_options=options, runner=Of(worker_index=0), host=host, events=events, stats=RequestStats())
sender = RequestSender(environment, lambda kept: None)
asking = gevent.spawn(sender.ask, Of(arm="proxied", stream=True), time.time() - 0.5)
gevent.sleep(0.2)
print([late >= 500 for late in sent], asking.ready())
"""

_STEPS = (
    _LATE.partition("asking =")[0]
    + """
sender.begin_step("rate=1")
gevent.sleep(0.01)
earlier = time.time()
gevent.sleep(0.01)
sender.begin_step("")
gevent.sleep(0.01)
between = time.time()
gevent.sleep(0.01)
sender.begin_step("rate=2")
told = []
sender._note = told.append
silent.close()
moments = (earlier - 60, earlier, between, None)
gevent.joinall([gevent.spawn(sender.ask, Of(arm="proxied", stream=True), moment) for moment in moments], timeout=30)
print([each.step for each in sorted(told, key=lambda each: each.intended)])
"""
)

_LEFT = """
import sys
from types import SimpleNamespace as Of
import gevent
from locust import User, constant, events, task
from locust.env import Environment
from signoff.in_cluster.load_generator.session import LoadSession
told = []

class Asking(User):
    wait_time = constant(1e9)
    @task
    def nothing(self):
        pass
    def on_stop(self):
        told.append(load.sender._step_at(float("inf")))

environment = Environment(user_classes=[Asking], events=events, host="http://127.0.0.1:9")
environment.parsed_options = Of(reports=sys.argv[1], seed=1, arrivals="closed", direct="", model="m", api_key="k",
    vllm_key="b", direct_model="", headless=True, think=0.0, think_seconds=0.0, probe_every=1.0, rate_per_user=1.0,
    steady_rate_per_user=1.0, expect_workers=1, stage_seconds=30.0, run_time=2, lengths="", length_scale=1,
    max_prompt_tokens=9, max_answer_tokens=9, keep_records=1000)
runner = environment.create_local_runner()
load = LoadSession(environment, "Probe", lambda options, note: None)
for users in (2, 1):
    runner.start(users, 100)
    runner.spawning_greenlet.join(timeout=30)
    gevent.sleep(0.1)
runner.stop()
print([step.name for step in load.writer.run.steps], told)
"""

_FULL = (
    _LEFT.partition("for users in")[0]
    + """
from pathlib import Path
from signoff.in_cluster.load_generator import run_writer
room, append = False, run_writer.Chain.append
def full(chain, record):
    if not room:
        raise OSError(28, "No space left on device")
    return append(chain, record)
run_writer.Chain.append = full
for room in (False, True, False):
    runner.start(1, 100)
    runner.spawning_greenlet.join(timeout=30)
    gevent.sleep(0.1)
    print(bool(load.unwritable), runner.state)
    runner.stop()
"""
)

_TRIM = """
import time
from locust.stats import RequestStats
from signoff.in_cluster.load_generator.session import MAX_POINTS, trim
stats = RequestStats()
now = int(time.time())
for second in range(now - 7200, now + 1):
    for entry in (stats.total, stats.entries["chat", "proxied"]):
        entry.num_reqs_per_sec[second] = entry.num_fail_per_sec[second] = 3
        entry.start_time, entry.last_request_timestamp = now - 7200, now
stats.history = list(range(MAX_POINTS + 1))
before = stats.total.current_rps, stats.entries["chat", "proxied"].current_fail_per_sec
trim(stats)
entries = (stats.total, *stats.entries.values())
print(max(len(each) for entry in entries for each in (entry.num_reqs_per_sec, entry.num_fail_per_sec)) < 100)
print(before == (stats.total.current_rps, stats.entries["chat", "proxied"].current_fail_per_sec) == (3, 3))
print(len(stats.history), stats.history[-1] >= MAX_POINTS - 1)
"""

_TOLD = """
import dataclasses, json, sys
from types import SimpleNamespace as Of
from locust import User
from signoff.evidence import invalid
from signoff.in_cluster.load_generator import run_writer
from signoff.in_cluster.load_generator.records import Record
from signoff.in_cluster.load_generator.run import Sample
from signoff.load.reading import read_run
from signoff.evidence.invalid import InvalidSpan, InvalidKind
options = Of(reports=sys.argv[1], seed=1, arrivals="closed", direct="", model="m", think_seconds=0.0, probe_every=1.0,
    headless=True, stage_seconds=30.0, run_time=2, lengths="", length_scale=1, max_prompt_tokens=9, max_answer_tokens=9,
    keep_records=1000)
runner = Of(target_user_classes_count={"U": 2})
kept = run_writer.RunWriter(
    Of(parsed_options=options, shape_class=None, host="", user_classes=[User], runner=runner), "Probe",
    lambda options, note: None)
now = 1_800_000_000.0
run_writer.time.time = lambda: now
kept.begin()
kept.next_step()
for look in range(2000):
    now += 5.0
    found = [InvalidSpan(now - 5, now, worker, InvalidKind.CPU, "busy", 0.9) for worker in ("a", "b") if look % 3]
    request = Record("a", "U", "load", "proxied", True, "users=2", None, now, now, 9.0, 5.0, 1.0, 2, 9, 200, "")
    kept.write([*found, request, Sample(now, "generator a", cpu_share=0.9)])
    if look == 1000:
        runner.target_user_classes_count = {"U": 3}
        kept.next_step()
kept.note("it goes on")
lines = (kept.folder / "evidence.jsonl").read_text().splitlines()
print(read_run(kept.folder) == kept.run, len(lines) < 2 * 2000 * 5 / invalid.RECORD_EVERY_SECONDS + 20)
kept.end_step()
run = read_run(kept.folder)
spans = run.invalid_spans
print(sum(each.looks for each in spans), round(sum(each.seconds for each in spans)), run.workers, run.notes)
print([(step.name, bool(step.ended)) for step in run.steps], sorted(run.invalid_steps()))
"""

_NOTES = """
import sys
from types import SimpleNamespace as Of
from locust import User
from signoff.in_cluster.load_generator import run_writer
from signoff.load.reading import read_run
options = Of(reports=sys.argv[1], seed=1, arrivals="closed", direct="", model="m", think_seconds=0.0, probe_every=1.0,
    headless=True, stage_seconds=30.0, run_time=2, lengths="", length_scale=1, max_prompt_tokens=9, max_answer_tokens=9,
    keep_records=1000)
kept = run_writer.RunWriter(Of(parsed_options=options, shape_class=None, host="", user_classes=[User]), "Probe",
    lambda options, note: note("no metrics"))
for notes in (["of the first"], []):
    kept.begin()
    for note in notes:
        kept.note(note)
    kept.end()
    print(read_run(kept.folder).notes)
"""


def printed(script: str, *arguments: str) -> str:
    """What a process of its own prints: Locust patches the one that it is imported into."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_late_sending_is_noted_while_its_answer_is_awaited() -> None:
    assert printed(_LATE) == "[True] False\n"


def test_a_request_belongs_to_the_step_of_its_intended_moment_however_late_it_is_sent() -> None:
    assert printed(_STEPS) == "['', 'rate=1', '', 'rate=2']\n"


def test_users_that_go_belong_to_no_step_while_the_number_changes_nor_at_the_end(tmp_path: Path) -> None:
    assert printed(_LEFT, str(tmp_path)) == "['users=2', 'users=1'] ['', '']\n"


def test_a_load_that_cannot_begin_ends_and_the_next_one_begins_when_there_is_room(tmp_path: Path) -> None:
    assert printed(_FULL, str(tmp_path)) == "True stopped\nFalse running\nTrue stopped\n"


def test_what_locust_counts_of_a_long_load_is_bounded() -> None:
    assert printed(_TRIM) == "True\nTrue\n1000 True\n"


def test_what_is_noted_of_a_test_is_not_told_of_the_next(tmp_path: Path) -> None:
    assert printed(_NOTES, str(tmp_path)) == "['no metrics', 'of the first']\n['no metrics']\n"


def test_evidence_of_a_load_that_was_killed_tells_all_that_the_load_knew_and_stays_small(tmp_path: Path) -> None:
    assert printed(_TOLD, str(tmp_path)).splitlines() == [
        "True True",
        "2666 13330 ['a'] ['it goes on']",
        "[('users=2', True), ('users=3', True)] ['users=2', 'users=3']",
    ]


def test_each_arm_is_asked_with_its_own_key_which_is_written_nowhere(pair: Pair, tmp_path: Path) -> None:
    with asked_with() as (there, keys):
        both = replace(pair, direct=f"{there}/direct", proxied=f"{there}/proxied")
        told = load(both, tmp_path, "-t", "1s", SIGNOFF_API_KEY="sk-of-litellm", SIGNOFF_VLLM_KEY="sk-of-vllm")
    metrics = {("direct", ""), ("proxied", "")}
    assert set(keys) - metrics == {("direct", "Bearer sk-of-vllm"), ("proxied", "Bearer sk-of-litellm")}
    assert "sk-of" not in told.output
    assert not any(b"sk-of" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("words", [("--api-key", "sk-hush"), ("--api-key=sk-hush",), ("--vllm", "sk-hush")])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(words: tuple[str, ...], tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "locust", "-f", "bench/", "--headless", "--reports", str(tmp_path), *words]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == REFUSED
    assert "set it in the variable SIGNOFF_" in done.stderr
    assert "sk-hush" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_told_whole(pair: Pair, tmp_path: Path) -> None:
    told = load(pair, tmp_path, "-t", "2s", "DirectStreamed", "Probe")
    assert set(told.load.arm) == {"direct"}
    assert list(told.records.columns) == COLUMNS
    folder = run_folder(tmp_path)
    assert told.run.fingerprint["workload"]["users"] == ["DirectStreamed", "Probe"]
    assert told.run.machine["cores"] == os.cpu_count()
    assert told.run.ended and told.run.ended > told.run.started
    recorded = read(folder)
    assert recorded.run.tool == "load" and recorded.run.versions["locust"] == told.run.versions["locust"]
    (named,) = recorded.of(LoadFiles)
    assert {each.name for each in named.files} == {path.name for path in folder.glob("*.csv")}
    assert check_files(folder)
    assert isinstance(recorded.lines[-1].record, End)


def test_a_damaged_installation_is_not_taken_for_a_pod_of_locusts_image() -> None:
    """Without the settings a load would be judged by the story's model and limit, and nobody would know."""
    code = (
        "import sys; sys.modules['kubernetes'] = None\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('locustfile', 'bench/locustfile.py'); module = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(module); module._under_load()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "import of kubernetes halted" in done.stderr


SWEEP = ("--shape", "sweep-rate", "--stages", "3,15", "--stage-seconds", "13", "--probe-every", "0.1")


def test_a_backend_that_is_asked_too_much_says_so_itself(pair: Pair, tmp_path: Path) -> None:
    pair.backend.delay_ms, pair.backend.slots = 100.0, 1
    load(pair, tmp_path, *SWEEP)
    first, last = (each.backend for each in conclude(run_folder(tmp_path)).ordered)
    assert first and last and first.seconds and last.seconds
    assert last.seconds > SLOWER * first.seconds
    assert not first.is_multiplied and not last.is_multiplied


def test_a_gateway_that_sends_each_request_twice_is_not_excused(pair: Pair, tmp_path: Path) -> None:
    pair.backend.delay_ms, pair.backend.slots = 30.0, 1
    pair.gateway.tampering, pair.gateway.aside = "asks_aside", pair.direct
    load(pair, tmp_path, *SWEEP)
    found = conclude(run_folder(tmp_path))
    assert found.lightest.backend and found.lightest.backend.is_multiplied
    assert not any(each.state is StepState.SATURATED for each in found.ordered)
