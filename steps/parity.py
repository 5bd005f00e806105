"""The gate of the parity matrix within the sign-off: fewer calls, the same judgement."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pytest_bdd import given, parsers, then, when

from signoff.bdd.observing import observes
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence
from signoff.evidence.models import CallsCompared, PacedByGateway, SideFile
from signoff.gateway.deployment import Deployment
from signoff.in_cluster.received import Fault
from signoff.kube.manifests import StoryManifests
from signoff.kube.undo import Apply, Undo
from signoff.parity import calls, cases
from signoff.parity import deployment as parity_deployment
from signoff.parity.known_issues import fingerprint
from signoff.parity.recorder_pod import RecorderPod
from signoff.parity.runner import KEY, ROUTES, Backend, Sides, model_name, routes_for, version_of
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import BACKEND, GATEWAY
from steps.chat import PROMPT, ask
from steps.tables import Rows, rows

EVERY = cases.runs(cases.load())
STREAMED_TOKENS = 24
"""Enough to tell a gateway that passes on eight at a time from one that passes on each."""


@dataclass(frozen=True)
class Compared:
    """The file of the calls that were sent, and what answered them."""

    file: SideFile
    version: str
    image: str
    seconds: float

    def seen(self, check: str) -> CallsCompared:
        """The calls as an observation of a check."""
        return CallsCompared(
            check=check,
            calls_file=self.file,
            version=self.version,
            image=self.image,
            seconds=self.seconds,
            known_issues_sha256=fingerprint(),
        )


@pytest.fixture
def sides(deployment: Deployment, backend: Endpoint, gateway: Endpoint) -> Sides:
    """vLLM and the LiteLLM under test."""
    chat = Backend(backend.url, recorder=None, named=lambda *_: deployment.manifests.roles.model.asked)
    return sides_of(deployment, chat, gateway)


def sides_of(deployment: Deployment, chat: Backend, gateway: Endpoint, routes: int = ROUTES) -> Sides:
    """vLLM and this LiteLLM, each asked with its own key."""
    given = deployment.keys.given
    return Sides(
        {"chat": chat},
        {"story": gateway.url},
        deployment.settings.model,
        routes,
        keys={"story": given[GATEWAY]} if GATEWAY in given else {},
        backend_key=given.get(BACKEND, KEY),
    )


@given("a second LiteLLM with a recorder between it and vLLM", target_fixture="sides")
def with_recorder(
    deployment: Deployment, backend: Endpoint, manifests: StoryManifests, undo: Undo, evidence: Evidence
) -> Iterator[Sides]:
    routes = routes_for([run for run in EVERY if run.settings == "story"])
    pod = RecorderPod(deployment.gateway, deployment.backend)
    second, applied = parity_deployment.recorded_gateway(manifests, pod.route_url, routes)
    made = [*pod.manifests(manifests.gateway_image, manifests.settings.allowed_nodes), *applied]
    progress("parity", "a second LiteLLM starts, with a recorder between it and vLLM")
    with evidence.phase("LiteLLM with a recorder becomes available"):
        for manifest in made:
            undo.make(Apply(manifest, deployment.namespace))
        recorder = pod.answering(deployment)
        deployment.wait_for_gateway(second)
    recorded = deployment.answering_gateway(second)
    with recorder:
        yield sides_of(deployment, Backend(backend.url, recorder), recorded, routes)


@when(
    parsers.parse("I ask the recorder and that LiteLLM for a stream with {pause:d} ms between its events"),
    target_fixture="paced_by_gateway",
)
def ask_for_paced_streams(sides: Sides, deployment: Deployment, evidence: Evidence, pause: int) -> PacedByGateway:
    before_vllm, prefix = sides.backends["chat"], deployment.manifests.roles.model.prefix
    route, fault = "route0", Fault(pause=pause / 1000)
    own = Endpoint(before_vllm.recorded_url(route), sides.model, sides.backend_key)
    through = Endpoint(sides.gateways["story"], model_name(prefix, 0), sides.keys.get("story", KEY))
    with before_vllm.recording(route, fault):
        asked = [
            ask(evidence, f"{arm}, by a recorder", endpoint, PROMPT, stream=True, max_tokens=STREAMED_TOKENS)
            for arm, endpoint in (("direct", own), ("proxied", through))
        ]
    seqs = [each.seq for each in asked]
    return PacedByGateway(check="gateway-streams", recorder=seqs[0], exchange=seqs[1], pause=fault.pause)


@then("its tokens arrive one by one through LiteLLM")
@observes("gateway-streams")
def tokens_arrive_one_by_one(paced_by_gateway: PacedByGateway, evidence: Evidence) -> None:
    evidence.add(paced_by_gateway)


@when("I send these calls to vLLM twice and to LiteLLM", target_fixture="compared")
def send_calls(sides: Sides, manifests: StoryManifests, evidence: Evidence, datatable: Rows) -> Compared:
    prefix = manifests.roles.model.prefix
    chosen = [_run(row["call"], row["mode"], prefix) for row in rows(datatable)]
    started = time.monotonic()
    with evidence.phase(f"compare {len(chosen)} calls"):
        observed = sides.observe(chosen)
        sides.ask_again(observed)
    seconds = round(time.monotonic() - started, 1)
    path = next(path for n in itertools.count(1) if not (path := evidence.dir / f"calls-{n}.json").exists())
    version = version_of(observed, manifests.gateway_image)
    return Compared(calls.write(observed, path), version, manifests.gateway_image, seconds)


def _run(call: str, mode: str, prefix: str) -> cases.Run:
    """The case in this mode, through the story's prefix where it is run through several."""
    found = [run for run in EVERY if (run.case.name, run.mode, run.settings) == (call, mode, "story")]
    if not found:
        raise SignoffError(f"no case run is called {call}/{mode}", hint="`signoff parity --list` shows them")
    return min(found, key=lambda run: run.prefix != prefix)


@then("no difference fails the parity gate")
@observes("response-format")
def gate_passes(compared: Compared, evidence: Evidence) -> None:
    evidence.add(compared.seen("response-format"))


@then("no difference of the recorded calls fails the parity gate")
@observes("request-fidelity")
def recorded_gate_passes(compared: Compared, evidence: Evidence) -> None:
    evidence.add(compared.seen("request-fidelity"))


@then("vLLM exercised every call")
@observes("calls-exercised")
def every_call_was_exercised(compared: Compared, evidence: Evidence) -> None:
    evidence.add(compared.seen("calls-exercised"))
