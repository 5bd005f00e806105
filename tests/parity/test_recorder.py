"""The recorder elsewhere tells the same as one in this process, and without one nothing is said of requests."""

from dataclasses import replace

import pytest

from signoff.errors import SignoffError
from signoff.parity import cases, recorder_pod
from signoff.parity.judge import Class, judge
from signoff.parity.recorder import Recorder
from signoff.parity.recorder_pod import RemoteRecorder
from signoff.parity.runner import Backend, Sides
from signoff.paths import ROOT
from tests.doubles.liar import Liar, Lie, drop
from tests.doubles.serving import running
from tests.parity.conftest import CASES, NOTHING_KNOWN, Bench

RUNS = cases.runs(CASES, ["chat.plain/*", "chat.dies/*"])


def test_a_recorder_elsewhere_records_and_plays_faults(bench: Bench) -> None:
    direct = bench.sides.backends["chat"].url
    with Recorder(direct) as process, RemoteRecorder(process.url("")) as remote:
        liar = Liar(remote.url, Lie(request=drop("temperature")))
        with running(liar.app()) as proxied:
            sides = Sides({"chat": Backend(direct, remote)}, {"story": proxied}, lanes=1)
            observed = sides.observe(RUNS)
    results = {each.observation.run.id: each for each in judge(observed, NOTHING_KNOWN, "1")}
    plain, dies = results["chat.plain/plain/hosted_vllm"], results["chat.dies/streamed/hosted_vllm"]
    assert [each.difference.path for each in plain.differences] == ["request.body.temperature"]
    assert not dies.observation.direct.complete
    assert not dies.observation.proxied.complete


def test_without_a_recorder_answers_are_compared_and_requests_are_not(bench: Bench) -> None:
    bench.liar.lie = Lie(request=drop("temperature"))
    sides = replace(bench.sides, backends={"chat": replace(bench.sides.backends["chat"], recorder=None)})
    (result,) = judge(sides.observe(RUNS[:1]), NOTHING_KNOWN, "1")
    assert result.verdict is Class.EQUAL
    with pytest.raises(SignoffError, match="without a recorder"):
        sides.observe(RUNS[-1:])


def test_the_pods_code_is_all_that_the_program_imports() -> None:
    """Run as in the pod: nothing of this package but the modules that go into its ConfigMap."""
    (code, workload, _) = recorder_pod.manifests("an/image:tag")
    assert set(code.body["data"]) == {module.replace("/", ".") for module in recorder_pod.MODULES}
    imported = [
        line.split()[1].replace(".", "/") + ".py"
        for module in recorder_pod.MODULES
        for line in (ROOT / module).read_text().splitlines()
        if line.startswith("from signoff.")
    ]
    assert set(imported) <= set(recorder_pod.MODULES)
    assert workload.body["spec"]["template"]["spec"]["containers"][0]["command"][1].endswith("recorder.py")
