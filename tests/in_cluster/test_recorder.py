"""The recorder elsewhere tells the same as one in this process, and without one nothing is said of requests."""

from dataclasses import replace

import pytest

from doubles.faulty_gateway import FaultyGateway, Tampering, drop
from doubles.recorder import Recorder
from doubles.serving import running
from signoff import story
from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.core.timeouts import Timeout
from signoff.in_cluster.received import Fault
from signoff.kube import shipping
from signoff.kube.roles import Workload
from signoff.parity import cases, recorder_pod, runner
from signoff.parity.judge import Class, gate, judge
from signoff.parity.known_issues import KnownIssues
from signoff.parity.recorder_pod import RecorderPod, RemoteRecorder
from signoff.parity.runner import Backend, Sides
from tests.parity_bench import CASES, NOTHING_KNOWN, Bench

GATEWAY = Workload("Deployment", "litellm", "ml", {"app": "litellm"}, "litellm", 4000)
BACKEND = Workload("Deployment", "vllm", "ml", {"app": "vllm"}, "vllm-api", 8000)
RECORDER = GATEWAY.beside("litellm-recorder")
RUNS = cases.runs(CASES, ["chat.plain/*", "chat.dies/*"])


def test_a_recorder_elsewhere_records_and_plays_faults(bench: Bench) -> None:
    direct = bench.sides.backends["chat"].url
    with Recorder(direct) as process, RemoteRecorder(process.url(""), RECORDER) as remote:
        faulty_gateway = FaultyGateway(remote.url, Tampering(request=drop("temperature")))
        with running(faulty_gateway.app()) as proxied:
            sides = Sides({"chat": Backend(direct, remote)}, {"story": proxied}, story.MODEL, routes=1)
            observed = sides.observe(RUNS)
    results = {each.observation.run.id: each for each in judge(observed, NOTHING_KNOWN, "1")}
    plain, dies = results["chat.plain/plain/hosted_vllm"], results["chat.dies/streamed/hosted_vllm"]
    assert [each.difference.path for each in plain.differences] == ["request.body.temperature"]
    assert not dies.observation.direct.complete
    assert not dies.observation.proxied.complete


def test_a_recorder_that_fails_is_no_defect_of_the_gateways(bench: Bench) -> None:
    """It is gone; what it does not know is said of each run, with where and what next, and the others are kept."""
    with Recorder(bench.sides.backends["chat"].url) as process:
        gone = process.url("")
    with RemoteRecorder(gone, RECORDER) as remote:
        backends = {"chat": replace(bench.sides.backends["chat"], recorder=remote)}
        observed = replace(bench.sides, backends=backends).observe(RUNS)
    results = judge(observed, KnownIssues.read(), "1.80.16")
    assert len(results) == len(RUNS)
    for result in results:
        assert result.verdict is Class.INCONCLUSIVE
        for told in (
            "the recorder between LiteLLM and vLLM failed: ConnectError",
            gone.rstrip("/"),
            "kubectl",
            "litellm-recorder",
        ):
            assert told in result.reason
    assert gate(results, KnownIssues.read()) == []


def test_a_backend_that_does_not_answer_the_recorder_is_no_defect_of_the_gateways(bench: Bench) -> None:
    """The recorder's own 502 is nobody's answer; before it, vLLM is there."""
    with Recorder("http://127.0.0.1:9") as recorder, running(FaultyGateway(recorder.url).app()) as proxied:
        backends = {"chat": replace(bench.sides.backends["chat"], recorder=recorder)}
        observed = replace(bench.sides, backends=backends, gateways={"story": proxied}).observe(RUNS)
    results = judge(observed, KnownIssues.read(), "1.80.16")
    assert {result.verdict for result in results} == {Class.INCONCLUSIVE}
    assert all("vLLM did not answer the recorder: " in result.reason for result in results)


def test_without_a_recorder_answers_are_compared_and_requests_are_not(bench: Bench) -> None:
    bench.faulty_gateway.tampering = Tampering(request=drop("temperature"))
    sides = replace(bench.sides, backends={"chat": replace(bench.sides.backends["chat"], recorder=None)})
    (result,) = judge(sides.observe(RUNS[:1]), NOTHING_KNOWN, "1")
    assert result.verdict is Class.EQUAL
    with pytest.raises(SignoffError, match="without a recorder"):
        sides.observe(RUNS[-1:])


def test_the_pods_code_is_all_that_the_program_imports() -> None:
    """Run as in the pod: nothing of this package but the modules that go into its ConfigMap."""
    (code, workload, _) = RecorderPod(GATEWAY, BACKEND).manifests("an/image:tag", ["node"])
    modules = shipping.modules(recorder_pod.PROGRAM)
    assert set(code.body["data"]) == {module.replace("/", ".") for module in modules}
    imported = [
        line.split()[1].replace(".", "/") + ".py"
        for module in modules
        for line in (ROOT / module).read_text().splitlines()
        if line.startswith("from signoff.")
    ]
    assert set(imported) <= set(modules)
    assert workload.body["spec"]["template"]["spec"]["containers"][0]["command"][1] == "-m"


LEAVES = replace(CASES[0], family="disconnect", id="leaves", leave_after=0.3, fault=Fault(pause=0.2, hold=2))


@pytest.mark.parametrize("mode", cases.MODES)
@pytest.mark.parametrize("leave_after", [0.3, 0])
def test_a_client_that_leaves_is_missed_by_a_gateway_that_does_not_care(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, mode: str, leave_after: float
) -> None:
    monkeypatch.setattr(timeouts, "LEAVING_NOTICED", Timeout(0.7, every=0.1))
    bench.faulty_gateway.tampering = Tampering()
    run = cases.Run(replace(LEAVES, leave_after=leave_after), mode, "hosted_vllm", "story")
    (seen,) = replace(bench.sides, routes=runner.ROUTES + 1).observe([run])
    (result,) = judge([seen], NOTHING_KNOWN, "1")
    assert result.verdict is Class.DEFECT, result.reason
    assert "backend.stopped" in [each.difference.path for each in result.differences]
    (late,) = judge([replace(seen, too_late=True)], NOTHING_KNOWN, "1")
    assert late.verdict is Class.VACUOUS


def test_a_client_that_leaves_once_everything_was_said_proves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "LEAVING_NOTICED", Timeout(0.2, every=0.1))
    run = cases.Run(replace(LEAVES, fault=None), "streamed", "hosted_vllm", "story")
    (seen,) = replace(bench.sides, routes=runner.ROUTES + 1).observe([run])
    assert seen.too_late
    (result,) = judge([seen], NOTHING_KNOWN, "1")
    assert result.verdict is Class.VACUOUS


def test_a_fault_that_comes_too_late_proves_nothing(bench: Bench) -> None:
    dies = next(case for case in CASES if case.id == "dies")
    late = cases.Run(replace(dies, fault=Fault(die_after=1000)), "streamed", "hosted_vllm", "story")
    bench.faulty_gateway.tampering = Tampering()
    (result,) = judge(bench.sides.observe([late]), NOTHING_KNOWN, "1")
    assert result.verdict is Class.VACUOUS
    assert "before the fault" in result.reason
    (seen,) = bench.sides.observe([replace(late, case=dies)])
    (result,) = judge([seen], NOTHING_KNOWN, "1")
    assert result.verdict is Class.EQUAL
    (received,) = seen.received or ()
    (result,) = judge([replace(seen, received=[replace(received, whole=True)])], NOTHING_KNOWN, "1")
    assert result.verdict is Class.VACUOUS


def test_a_run_that_needs_a_route_of_its_own_does_not_wait_for_one_for_ever(bench: Bench) -> None:
    run = cases.Run(LEAVES, "streamed", "hosted_vllm", "story")
    with pytest.raises(SignoffError, match="a route to itself, and none is left"):
        bench.sides.observe([run])
    bare = {"chat": replace(bench.sides.backends["chat"], recorder=None)}
    with pytest.raises(SignoffError, match="without a recorder"):
        replace(bench.sides, backends=bare).observe([run])
