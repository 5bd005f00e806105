"""The gate of the parity matrix within the sign-off: fewer calls, the same judgement."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_bdd import given, then, when

from signoff import story
from signoff.console import progress
from signoff.deployment import Deployment
from signoff.evidence import Evidence
from signoff.manifests import StoryManifests
from signoff.parity import cases, recorder_pod
from signoff.parity import deployment as parity_deployment
from signoff.parity.judge import Class, Result, gate, judge
from signoff.parity.knowledge import Knowledge
from signoff.parity.matrix import Matrix, matrix, with_unknown_defects
from signoff.parity.recorder_pod import RemoteRecorder
from signoff.parity.runner import Backend, Sides, lanes_for, version_of
from signoff.report import parity as page
from signoff.verdicts import Inconclusive
from steps.tables import Rows, rows

EVERY = cases.runs(cases.load())


@dataclass
class Judged:
    """The calls of all scenarios so far, of which the report shows one matrix."""

    knowledge: Knowledge = field(default_factory=Knowledge.read)
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0


@pytest.fixture(scope="session")
def judged() -> Judged:
    """Nothing yet."""
    return Judged()


@pytest.fixture
def sides(backend: str, gateway: str) -> Sides:
    """vLLM and the LiteLLM under test."""
    chat = Backend(backend, recorder=None, named=lambda *_: story.MODEL)
    return Sides({"chat": chat}, {"story": gateway})


@pytest.fixture
def undo_recorder(deployment: Deployment) -> Iterator[ExitStack]:
    """What is deployed for one scenario ends with it."""
    with ExitStack() as stack:
        yield stack


@given("a second LiteLLM with a recorder between it and vLLM", target_fixture="sides")
def with_recorder(
    deployment: Deployment, backend: str, manifests: StoryManifests, undo_recorder: ExitStack, evidence: Evidence
) -> Sides:
    lanes = lanes_for([run for run in EVERY if run.settings == "story"])
    made = [
        *recorder_pod.manifests(manifests.gateway_image),
        *parity_deployment.recorded_gateway(manifests, recorder_pod.lane_url, lanes),
    ]
    progress("parity", "a second LiteLLM starts, with a recorder between it and vLLM")
    with evidence.phase("LiteLLM with a recorder becomes available"):
        for manifest in made:
            undo_recorder.callback(deployment.kube.delete, manifest, story.NAMESPACE)
            deployment.kube.apply(manifest, story.NAMESPACE)
        for name in (recorder_pod.NAME, parity_deployment.RECORDED):
            deployment.wait_for_gateway(name)
    recorder = undo_recorder.enter_context(RemoteRecorder(deployment.answering_gateway(recorder_pod.NAME)))
    recorded = deployment.answering_gateway(parity_deployment.RECORDED)
    return Sides({"chat": Backend(backend, recorder)}, {"story": recorded}, lanes)


@when("I send these calls to vLLM twice and to LiteLLM", target_fixture="compared")
def send_calls(
    sides: Sides, manifests: StoryManifests, judged: Judged, evidence: Evidence, datatable: Rows
) -> list[Result]:
    prefix = parity_deployment.story_prefix(manifests)
    chosen = [_run(row["call"], row["mode"], prefix) for row in rows(datatable)]
    started = time.monotonic()
    with evidence.phase(f"compare {len(chosen)} calls"):
        observed = sides.observe(chosen)
    for each in observed:
        evidence.record("parity-call", id=each.run.id, **each.to_record())
    version = version_of(observed, manifests.gateway_image)
    results = judge(observed, judged.knowledge, version)
    judged.results += results
    judged.seconds += time.monotonic() - started
    found = matrix(
        judged.results,
        judged.knowledge,
        version=version,
        image=manifests.gateway_image,
        seconds=judged.seconds,
        whole=False,
    )
    page.save(found, evidence.dir)
    evidence.record("parity-matrix", **_in_short(found))
    return results


def _run(call: str, mode: str, prefix: str) -> cases.Run:
    """The case in this mode, through the story's prefix where it is run through several."""
    found = [run for run in EVERY if (run.case.name, run.mode, run.settings) == (call, mode, "story")]
    assert found, f"no case run is called {call}/{mode}; `signoff parity --list` shows them"
    return min(found, key=lambda run: run.prefix != prefix)


def _in_short(found: Matrix) -> dict[str, Any]:
    """The matrix without what was exchanged, which stands in the evidence already, and how many defects are new."""
    short = {key: found[key] for key in ("litellm", "summary", "gate", "known", "seconds")}
    return {
        **short,
        "unknown": len(with_unknown_defects(found)),
        "runs": [{key: run[key] for key in ("id", "about", "class", "reason")} for run in found["runs"]],
    }


@then("no difference fails the parity gate")
def gate_passes(compared: list[Result], judged: Judged) -> None:
    failures = gate(compared, judged.knowledge)
    assert not failures, "\n".join(f"{each.rule}: {each.run} at {each.path}" for each in failures)


@then("vLLM exercised every call")
def every_call_was_exercised(compared: list[Result]) -> None:
    unsure = [each for each in compared if each.verdict in (Class.VACUOUS, Class.INCONCLUSIVE)]
    if unsure:
        raise Inconclusive("; ".join(f"{each.observation.run.id}: {each.reason}" for each in unsure))
