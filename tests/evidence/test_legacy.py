"""Evidence of former versions: recorded runs are judged as they were then, and none of it needs more than is there."""

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.synthetic_load import BEGAN, Synthetic
from signoff import judges
from signoff.commands.verify import verify
from signoff.core.errors import SignoffError
from signoff.evidence import FILE, Recorded, read
from signoff.evidence.chain import SCHEMA
from signoff.evidence.invalid import InvalidKind, InvalidSpan
from signoff.evidence.legacy import FORMER_FIELDS, FORMER_KINDS, VERSION_1, current
from signoff.evidence.models import (
    CallsCompared,
    ClearedAway,
    End,
    Exchange,
    Note,
    Observation,
    OverheadTimed,
    Phase,
    Plan,
    PodPlace,
    ScenarioEnd,
    StayedReady,
)
from signoff.judges.overhead import measured
from signoff.judges.run import Result
from signoff.load.reading import read_run
from signoff.verdicts.verdict import GRAVITY, Code, Value
from tests.evidence.slim import RECORDED

assert judges, "the judges register themselves"

Objects = list[dict[str, Any]]

EXPECTED: dict[str, Any] = yaml.safe_load((RECORDED / "verdicts.yaml").read_text(encoding="utf-8"))
"""For each run what version 0 said of each scenario, and what that says of its checks and of the criteria."""
OLD = {
    *("pod-ready", "labels", "service", "endpoints", "model-list", "chat-answer", "each-request-once", "openai-format"),
    *("equal-answers", "answers-differ", "finish-reasons", "response-format", "request-fidelity", "calls-exercised"),
    *("overhead", "on-workers", "stays-pending", "not-on-gpu-worker", "stays-ready", "error-in-time", "serves-again"),
    *("mistakes-told", "no-key-stops-here"),
}
"""The checks that version 0 had; more may have come since."""

ANSWER_PLAIN = "completion.feature::test_the_answer_matches_the_model_output_from_vllm[plain]"
OVERHEAD = "completion.feature::test_the_latency_overhead_is_below_100_ms_nfr66"
POD = "deploy.feature::test_the_litellm_pod_starts_in_the_ml_namespace"
GAMING_MODE = "gaming_mode.feature::test_litellm_outlives_its_backend"
PARITY = "parity.feature::test_the_response_format_matches_vllms"
PENDING = "placement.feature::test_litellm_rather_waits_than_runs_on_the_gpu_worker"
COUNTER = "proxying.feature::test_each_chat_completion_reaches_vllm_once"


@dataclass(frozen=True)
class Old:
    """A recorded run: its folder, and what version 0 wrote into it."""

    folder: Path
    objects: Objects

    def told(self, kind: str) -> dict[str, Any]:
        return next(each for each in self.objects if each["kind"] == kind)

    def scenario(self, name: str) -> Objects:
        """The records of one scenario, as a run of its own."""
        ends = [at for at, each in enumerate(self.objects) if each["kind"] == "scenario"]
        last = next(at for at in ends if self.objects[at]["id"].endswith(name))
        first = max((at + 1 for at in ends if at < last), default=2)
        return [self.told("run"), self.told("plan"), *self.objects[first : last + 1], self.told("end")]


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def unpacked(name: str, folder: Path) -> Old:
    unpack(RECORDED / f"{name}.tar.xz", folder)
    return Old(folder, [json.loads(line) for line in (folder / FILE).read_text("utf-8").split("\n") if line])


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Old:
    return unpacked("honest", tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module", params=EXPECTED)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Judged":
    name = str(request.param)
    old = unpacked(name, tmp_path_factory.mktemp("run"))
    return Judged(old, EXPECTED[name], Result(read(old.folder)))


@dataclass(frozen=True)
class Judged:
    """A recorded run, what is expected of it, and what is made of it now."""

    old: Old
    expected: dict[str, Any]
    result: Result

    def told_of_checks(self) -> Iterator[tuple[str, Value]]:
        """What version 0 says of a check ("labels"), or of a case of one ("equal-answers/plain")."""
        for scenario in self.expected["scenarios"].values():
            for check, value in scenario["checks"].items():
                yield check, Value(now(check, value))


def now(name: str, outcome: str) -> str:
    """What is thought today of what version 0 called so: it did not keep how much the answers held that it timed."""
    return "inconclusive" if name in (OVERHEAD, "overhead") and outcome == "passed" else outcome


def written(folder: Path, objects: Sequence[dict[str, Any]], tail: str = "") -> Recorded:
    (folder / FILE).write_text("".join(f"{json.dumps(each)}\n" for each in objects) + tail, encoding="utf-8")
    return read(folder)


def ended(objects: Objects, outcome: str, step: str, reason: str = "it went wrong") -> Objects:
    """The same records of a scenario that did not pass."""
    return [
        {**each, "outcome": outcome, "step": step, "reason": reason} if each["kind"] == "scenario" else each
        for each in objects
    ]


def values(result: Result, *checks: str) -> list[str]:
    return [result.checks[name].value.value for name in checks]


# The recorded runs


def test_every_recorded_run_is_expected_to_say_something() -> None:
    assert sorted(EXPECTED) == sorted(path.name.removesuffix(".tar.xz") for path in RECORDED.glob("*.tar.xz"))


def test_expectations_are_about_what_version_0_recorded(run: Judged) -> None:
    records = {each["id"]: each for each in run.old.objects if each["kind"] == "scenario"}
    told = {name: (each["outcome"], each["step"]) for name, each in records.items()}
    scenarios = run.expected["scenarios"]
    assert told == {f"features/{name}": (each["outcome"], each.get("at", "")) for name, each in scenarios.items()}


def test_scenarios_are_in_the_state_that_version_0_gave_them(run: Judged) -> None:
    states = {each.planned.id: each.state.value for each in run.result.scenarios}
    expected = {name: now(name, each["outcome"]) for name, each in run.expected["scenarios"].items()}
    assert states == {f"features/{name}": outcome for name, outcome in expected.items()}


def test_checks_have_the_verdict_of_version_0(run: Judged) -> None:
    told = list(run.told_of_checks())
    wanted: dict[str, Value] = {}
    for name, value in told:
        check = name.partition("/")[0]
        wanted[check] = min(value, wanted.get(check, value), key=GRAVITY.index)
    judged = {name: run.result.checks[name].value for name in wanted}
    assert judged == wanted, {name: run.result.checks[name].verdict.reason for name in wanted}
    for name, value in told:
        check, _, case = name.partition("/")
        assert not case or run.result.checks[check].cases[case].value is value, name


def test_checks_that_version_0_did_not_have_are_not_judged(run: Judged) -> None:
    told = {name.partition("/")[0] for name, _ in run.told_of_checks()}
    assert told == OLD
    new = run.result.checks.keys() - OLD - {"tailscale", "key-asked", "ingress-key-asked"}
    assert {run.result.checks[name].value for name in new} == {Value.NOT_JUDGED}


def test_criteria_follow(run: Judged) -> None:
    words = {each.key: each.word for each in run.result.requirements}
    assert {key: words[key] for key in run.expected["requirements"]} == run.expected["requirements"]
    assert not run.result.signed_off


def test_answers_of_which_nobody_noted_how_much_they_held_are_timed_in_vain(honest: Old) -> None:
    check = Result(read(honest.folder)).checks["overhead"]
    assert (check.value, check.verdict.code) == (Value.INCONCLUSIVE, Code.UNEQUAL_WORK)
    assert "1200 of 1200 answers do not tell how much they hold" in check.verdict.reason


def test_overhead_is_what_version_0_computed(honest: Old, tmp_path: Path) -> None:
    told = honest.told("overhead")["summary"]["figures"]
    (tmp_path / "overhead.csv").write_bytes((honest.folder / "overhead.csv").read_bytes())
    evidence = written(tmp_path, honest.scenario(OVERHEAD))
    estimates = measured(evidence.of(OverheadTimed)[0], evidence, 100.0).figures
    assert {"median", "median_plain", "median_streamed", "p95_shift"} <= estimates.keys()
    for name in ("median", "median_plain", "median_streamed", "p95_shift"):
        estimate = estimates[name]
        figures = (estimate.value, estimate.low, estimate.high)
        assert figures == pytest.approx((told[name]["ms"], told[name]["low"], told[name]["high"]), abs=0.05)


def test_the_run_is_told_as_version_1_tells_it(honest: Old) -> None:
    evidence = read(honest.folder)
    assert [line.seq for line in evidence.lines] == list(range(len(evidence.lines)))
    assert not evidence.cut_off
    assert (evidence.run.commit, evidence.run.cluster, evidence.run.story_file) == (
        "cd603ea",
        "embedded",
        "features/story.yaml",
    )
    assert len(evidence.of(Exchange)) == sum(each["kind"] == "exchange" for each in honest.objects)
    # The pods that were waited for; those with the nodes that are allowed were looked at by Then steps.
    assert {each.pod.rsplit("-", 2)[0] for each in evidence.of(PodPlace)} == {
        *("vllm", "litellm", "litellm-wrong-model", "litellm-no-key", "litellm-recorder", "litellm-recorded"),
    }
    plan = evidence.last(Plan)
    assert plan is not None and plan.selected == [each.id for each in plan.scenarios]
    # Every record of a scenario names it, and none belongs to two.
    assert [line.scenario for line in evidence.lines if isinstance(line.record, ScenarioEnd)] == plan.selected
    assert {line.scenario for line in evidence.lines if isinstance(line.record, Observation)} == set(plan.selected)
    shared = {each.name for each in evidence.of(Phase) if each.set_up}
    assert shared == {"apply the manifests", "vLLM becomes available", "LiteLLM becomes available"}
    first = evidence.first(ScenarioEnd)
    assert first is not None and 0 < first.seconds < 5 < honest.told("scenario")["seconds"]
    timed = evidence.first(OverheadTimed)
    assert timed is not None and (len(timed.blocks), timed.pairs_asked, timed.place) == (15, 400, "from this machine")
    assert timed.seed == honest.told("overhead-plan")["seed"]
    assert timed.requests.rows == sum(1 for _ in (honest.folder / "overhead.csv").open()) - 1
    calls = evidence.of(CallsCompared)
    assert [(each.check, len(each.only), each.version) for each in calls] == [
        ("response-format", 14, "1.80.16"),
        ("calls-exercised", 14, "1.80.16"),
        ("request-fidelity", 6, "1.80.16"),
        ("calls-exercised", 6, "1.80.16"),
    ]
    assert {each.image for each in calls} == {timed.gateway_image} == {"ghcr.io/berriai/litellm:main-v1.80.16-stable"}


# What is not made of it


def test_nothing_is_seen_after_the_step_at_which_a_scenario_ended(honest: Old, tmp_path: Path) -> None:
    step = "LiteLLM answers a chat completion with an OpenAI error within 30 seconds"
    evidence = written(tmp_path, ended(honest.scenario(GAMING_MODE), "failed", step))
    assert [each.check for each in evidence.of(Observation)] == ["stays-ready", "error-in-time"]
    end = evidence.last(ScenarioEnd)
    assert end is not None and (end.end, end.step, end.cause) == ("judged", step, None)
    assert values(Result(evidence), "serves-again") == ["not judged"]


def test_an_error_between_then_steps_fails_what_comes_after_it(honest: Old, tmp_path: Path) -> None:
    evidence = written(tmp_path, ended(honest.scenario(GAMING_MODE), "failed", "vLLM is scaled back"))
    checks = ("stays-ready", "error-in-time", "serves-again")
    assert values(Result(evidence), *checks) == ["passed", "passed", "failed"]


@pytest.mark.parametrize(("outcome", "value"), [("failed", "failed"), ("inconclusive", "inconclusive")])
def test_an_error_before_all_then_steps_is_of_all_their_checks(
    honest: Old, tmp_path: Path, outcome: str, value: str
) -> None:
    step = "I send the same plain chat completions to vLLM twice and to LiteLLM"
    result = Result(written(tmp_path, ended(honest.scenario(ANSWER_PLAIN), outcome, step, "no answer\nassert 0")))
    assert not result.evidence.of(Observation)
    assert values(result, "equal-answers", "answers-differ", "finish-reasons") == [value] * 3
    assert result.checks["equal-answers"].verdict.reason == "no answer"


def test_an_error_behind_all_steps_takes_nothing_back(honest: Old, tmp_path: Path) -> None:
    result = Result(written(tmp_path, ended(honest.scenario(COUNTER), "failed", "", "it could not be cleared away")))
    assert values(result, "each-request-once") == ["passed"]
    assert [each.state.value for each in result.scenarios if each.end] == ["failed"]


def test_a_then_step_that_recorded_nothing_is_an_error(honest: Old, tmp_path: Path) -> None:
    objects = [each for each in honest.scenario(GAMING_MODE) if each.get("arm") != "proxied, vLLM away"]
    told = {"at": "", "monotonic": 0.0, "kind": "no-answer", "arm": "proxied", "prompt": "?", "stream": False}
    objects.insert(-2, {**told, "error": "timed out"})
    step = "LiteLLM answers a chat completion with an OpenAI error within 30 seconds"
    result = Result(written(tmp_path, ended(objects, "failed", step, "no answer: timed out")))
    assert values(result, "stays-ready", "error-in-time", "serves-again") == ["passed", "failed", "failed"]


def test_a_skipped_scenario_says_why(honest: Old, tmp_path: Path) -> None:
    objects = [each for each in honest.scenario(GAMING_MODE) if each["kind"] in ("run", "plan", "scenario", "end")]
    result = Result(written(tmp_path, ended(objects, "skipped", "", "the cluster lacks scale-backend")))
    check = result.checks["stays-ready"]
    assert (check.value.value, check.verdict.reason) == ("not judged", "skipped: the cluster lacks scale-backend")


def test_running_pods_are_ready_unless_the_step_failed(honest: Old, tmp_path: Path) -> None:
    step = "the LiteLLM pod is Running and Ready in the ml namespace"
    assert values(Result(written(tmp_path, honest.scenario(POD))), "pod-ready") == ["passed"]
    result = Result(written(tmp_path, ended(honest.scenario(POD), "failed", step)))
    assert values(result, "pod-ready") == ["failed"]
    assert "litellm-" in result.checks["pod-ready"].verdict.reason


def test_a_pod_that_waited_for_another_reason_fails(honest: Old, tmp_path: Path) -> None:
    step = "the new LiteLLM pod stays Pending and the scheduler says that no node matches"
    result = Result(written(tmp_path, ended(honest.scenario(PENDING), "failed", step)))
    assert values(result, "stays-pending", "not-on-gpu-worker") == ["failed", "not judged"]


def test_a_pod_that_was_not_ready_in_gaming_mode_is_named(honest: Old, tmp_path: Path) -> None:
    pods = {"litellm-1": "Running", "litellm-2": "Failed"}
    objects = [
        {**each, "pods": pods, "ready": 1, "seconds": 0} if each["kind"] == "gaming-mode" else each
        for each in honest.scenario(GAMING_MODE)
    ]
    evidence = written(tmp_path, ended(objects, "failed", "LiteLLM stays Ready for 20 seconds"))
    seen = evidence.first(StayedReady)
    assert seen is not None and seen.not_ready == ["litellm-2: Failed"]
    assert values(Result(evidence), "stays-ready") == ["failed"]


# What may be missing


@pytest.mark.parametrize(
    ("scenario", "check", "step"),
    [
        (OVERHEAD, "overhead", "the overhead is below 100 ms with 95 % confidence"),
        (PARITY, "response-format", "no difference fails the parity gate"),
    ],
)
def test_a_file_that_is_gone_leaves_what_passed_not_judged(
    honest: Old, tmp_path: Path, scenario: str, check: str, step: str
) -> None:
    evidence = written(tmp_path, honest.scenario(scenario))
    assert values(Result(evidence), check) == ["not judged"]
    assert " is gone" in evidence.of(Note)[0].text
    evidence = written(tmp_path, ended(honest.scenario(scenario), "failed", step, "it differs"))
    assert values(Result(evidence), check) == ["failed"]


def test_calls_that_their_file_does_not_hold_are_not_judged(honest: Old, tmp_path: Path) -> None:
    (tmp_path / "parity.json").write_text('{"runs": [{"id": "chat.pl')
    assert values(Result(written(tmp_path, honest.scenario(PARITY))), "response-format") == ["not judged"]


def test_a_killed_run_tells_what_had_ended(honest: Old, tmp_path: Path) -> None:
    ends = [at for at, each in enumerate(honest.objects) if each["kind"] == "gaming-mode"]
    evidence = written(tmp_path, honest.objects[: ends[0] + 1], tail='{"at": "2026-11-28T21:4')
    assert evidence.cut_off
    result = Result(evidence)
    assert values(result, "pod-ready", "equal-answers", "stays-ready") == ["passed", "passed", "not judged"]
    assert not evidence.of(StayedReady) and not evidence.of(End)
    plan = evidence.last(Plan)
    assert plan is not None and plan.selected == [each.id for each in plan.scenarios]


def test_a_run_that_was_killed_at_once_reads(honest: Old, tmp_path: Path) -> None:
    result = Result(written(tmp_path, honest.objects[:1]))
    assert not result.planned
    assert {each.value for each in result.checks.values()} == {Value.NOT_JUDGED, Value.OUTSIDE_REACH}


def test_an_interrupted_run_says_so(honest: Old, tmp_path: Path) -> None:
    evidence = written(tmp_path, [*honest.scenario(POD)[:-1], {**honest.told("end"), "exitstatus": 2}])
    end = evidence.last(End)
    assert end is not None and end.interrupted
    plan = evidence.last(Plan)
    assert plan is not None and plan.selected == [f"features/{POD}"]


Damage = Callable[[Objects], None]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda objects: objects[-2].pop("outcome"), "line 4 of the evidence (scenario, version 0) is damaged"),
        (lambda objects: objects[2].update(pods=["litellm"]), "line 4 of the evidence"),
        (lambda objects: objects[0].pop("settings"), "line 1 of the evidence (run, version 0) is damaged"),
        (lambda objects: objects[2].pop("kind"), "line 3"),
        (lambda objects: objects.pop(0), "does not begin as that of version 0"),
    ],
)
def test_damaged_evidence_is_refused_with_its_line(honest: Old, tmp_path: Path, damage: Damage, told: str) -> None:
    objects = [dict(each) for each in honest.scenario(POD)]
    damage(objects)
    with pytest.raises(SignoffError) as refused:
        written(tmp_path, objects)
    assert told in refused.value.what


# Version 1


FORMER = {each: former for names in (FORMER_KINDS, FORMER_FIELDS) for former, each in names.items()}


@pytest.fixture(scope="module")
def version_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run `tests.evidence.runs.whole_run` and a synthetic load, as commit 048f64c wrote them."""
    return unpack(RECORDED.with_name("version-1.tar.xz"), tmp_path_factory.mktemp("version-1"))


def test_a_run_of_version_1_is_verified_to_the_byte_with_its_pages(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = version_1 / "features"
    evidence = read(folder)
    assert evidence.run.schema_ == VERSION_1
    assert {each.done[0] for each in evidence.of(ClearedAway)} == {"the Deployment litellm was scaled back to 1"}
    (judged_by,) = {each.known_issues_sha256 for each in evidence.of(CallsCompared)}
    monkeypatch.setattr("signoff.commands.verify.fingerprint_of_bytes", lambda: judged_by)
    # Version 1 did not look whether the arms did the same work, nor keep what tells it.
    monkeypatch.setattr("signoff.overhead.plausible.doubts", lambda *_: iter(()))
    assert {"signoff.html", "signoff.md", "parity.html"} <= {each.name for each in folder.iterdir()}
    assert [str(each) for each in verify(folder)] == []


def test_a_changed_run_of_version_1_is_not_verified(version_1: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(version_1 / "features", folder)
    text = (folder / FILE).read_text("utf-8")
    (folder / FILE).write_text(text.replace("scaled back to 1", "scaled back to 2"), encoding="utf-8")
    assert FILE in {each.where.partition(":")[0] for each in verify(folder)}


def test_a_load_of_version_1_is_read(version_1: Path) -> None:
    run = read_run(version_1 / "load")
    assert run.workload == {"source": "synthetic", "max_tokens": 16}
    span = InvalidSpan(BEGAN + 15, BEGAN + 20, "local", InvalidKind.LOOP_LAG, "the event loop woke up late", 30.0)
    assert run.invalid_spans == [span]


def test_the_names_of_version_1_are_of_no_version_2(version_1: Path, tmp_path: Path) -> None:
    lines = (version_1 / "load" / FILE).read_text("utf-8")
    (tmp_path / FILE).write_text(lines.replace(VERSION_1, SCHEMA), encoding="utf-8")
    with pytest.raises(SignoffError, match="of no known kind: 'load-void'"):
        read(tmp_path)


def test_a_run_json_is_read_by_the_names_of_today(tmp_path: Path) -> None:
    folder = Synthetic().write(tmp_path)
    today = read_run(folder)
    (folder / FILE).unlink()
    told = {FORMER.get(name, name): value for name, value in asdict(today).items()}
    (folder / "run.json").write_text(json.dumps({**told, "fingerprint": {}, "schema": 2}), encoding="utf-8")
    assert read_run(folder) == today


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ({"kind": "leftovers", "done": []}, {"kind": "cleanup", "done": []}),
        (
            {"kind": "parity-calls", "knowledge_sha256": "ab", "only": []},
            {"kind": "parity-calls", "known_issues_sha256": "ab", "only": []},
        ),
        ({"kind": "note", "mix": 1}, {"kind": "note", "mix": 1}),
        ({"kind": ["load"]}, {"kind": ["load"]}),
        ({}, {}),
    ],
)
def test_a_record_of_version_1_has_the_names_of_today(former: dict[str, Any], today: dict[str, Any]) -> None:
    assert current(former) == today
