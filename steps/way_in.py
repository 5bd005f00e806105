"""Asking through the ingress, under the host name, as who comes from outside does."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from OpenSSL import SSL
from pytest_bdd import given, parsers, then, when

from signoff.bdd.observing import observes
from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.core.waiting import WaitFailed
from signoff.evidence import Evidence, causes
from signoff.evidence.models import (
    AnswersSeen,
    CertificateSeen,
    Exchange,
    ForwardedSeen,
    IngressTrios,
    LargePrompt,
    NoAnswer,
    PacedStream,
    RouteFound,
    RouteSeen,
    SlowAnswer,
    Subject,
    Trio,
    TurnedAway,
)
from signoff.gateway.deployment import Deployment
from signoff.in_cluster.received import Fault, Received
from signoff.judges.way_in import DIRECT, INGRESS, PATHS, PLAIN_HTTP, RECORDER, UNKNOWN_HOST
from signoff.kube.client import Kube
from signoff.kube.undo import Undo
from signoff.parity.recorder_pod import RemoteRecorder
from signoff.traffic import client as http
from signoff.traffic.client import Answer, OpenAIClient, anybody
from signoff.traffic.endpoint import Endpoint
from signoff.way_in import WayIn
from signoff.way_in import of as way_in_of
from steps.chat import PROMPT, TOKENS, Asked, ask, is_streamed, recorded, trios_of
from steps.keys import AskedWith, ask_with_key
from steps.tables import Rows, rows

NOBODY = "signoff-asks-for-nobody.invalid"
"""A host name that nobody has (RFC 2606)."""
MADE_UP = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Real-Ip": "203.0.113.7",
    "X-Forwarded-Host": "made-up.invalid",
    "X-Forwarded-Proto": "made-up",
}
"""What a client may write that wants to be taken for another; the address is one for documentation (RFC 5737).

Of Forwarded (RFC 7239) neither Traefik 3.6 nor LiteLLM's server, uvicorn, knows: the one passes it on, the other reads
it not.
"""
MEGABYTE = 2**20
BEYOND_SECONDS = 2.0
"""So much longer than a time-out an answer takes that outlasts it."""
OLDER = {"TLSv1": SSL.TLS1_VERSION, "TLSv1.1": SSL.TLS1_1_VERSION}
"""The versions of TLS that RFC 8996 deprecates."""
REFUSED = ("alert", "closed the connection", "unsupported protocol")
"""OpenSSL's words where it is the server that refuses a version: not one that does not answer, nor this client."""
LONGEST = 60.0
"""So long and no longer an answer is drawn out, whatever time-outs the ingress has."""
LONG_ENOUGH = 5.0
"""For a slow answer where the ingress has no time-out."""


@dataclass(frozen=True)
class Sent:
    """The answer to a request and where it stands in the evidence; or why there was none."""

    answer: Answer | None = None
    seq: int | None = None
    error: str = ""


def sent(evidence: Evidence, arm: str, send: Callable[[], Answer]) -> Sent:
    """Send a request, and record its answer or that there was none, of which a judge thinks what is to be thought."""
    return noted(evidence, arm, _asked(send))


def noted(evidence: Evidence, arm: str, came: Answer | http.NoAnswer) -> Sent:
    """Record the answer to a request, or that there was none."""
    if isinstance(came, http.NoAnswer):
        evidence.add(NoAnswer(arm=arm, request={}, error=str(came)))
        return Sent(error=came.what)
    return Sent(came, evidence.add(Exchange(arm=arm, **came.to_record())))


# The way in


@pytest.fixture(scope="session")
def declared_way_in(deployment: Deployment) -> WayIn | None:
    """The way in that the manifests describe, if they do."""
    return way_in_of(deployment)


@pytest.fixture(scope="session")
def way_in(declared_way_in: WayIn | None, deployment: Deployment, gateway_pods: None) -> WayIn:
    """The way in that the manifests describe."""
    with causes.of(Subject.GATEWAY):
        if declared_way_in:
            return declared_way_in
        host = deployment.settings.host
        if copy_of := deployment.manifests.copy_of:
            pytest.skip(f"nothing leads from outside to a copy of {copy_of}")
        if "way-in" in deployment.settings.waive:
            pytest.skip(f"the way in is waived, and no route leads to LiteLLM at {host}")
        raise SignoffError(
            f"no IngressRoute, Ingress or HTTPRoute leads to LiteLLM at {host}",
            where=deployment.manifests.source.whole,
            hint="write one, or set `host` to the name that yours is for",
        )


@pytest.fixture(scope="session")
def not_open(way_in: WayIn, evidence: Evidence) -> WaitFailed | SignoffError | None:
    """What kept the way in from opening, though it was waited for."""
    with evidence.phase("the way in opens", set_up=True):
        try:
            with causes.of(Subject.GATEWAY):
                way_in.wait()
        except (WaitFailed, SignoffError) as failed:
            return failed
    return None


@pytest.fixture(scope="session")
def why_shut(not_open: WaitFailed | SignoffError | None) -> str:
    """Why the way in has not opened, by its own doing; empty if it has."""
    if not_open is None:
        return ""
    if not isinstance(not_open, WaitFailed) or not _is_its_own(not_open):
        raise not_open
    return not_open.observation


def _is_its_own(failed: WaitFailed | SignoffError) -> bool:
    return getattr(failed, "subject", None) is Subject.GATEWAY


@pytest.fixture(scope="session")
def open_way_in(way_in: WayIn, why_shut: str) -> WayIn:
    """The way in that leads to LiteLLM, for what has nothing to show of one that does not but why."""
    if why_shut:
        with causes.of(Subject.GATEWAY):
            raise SignoffError(f"https://{way_in.host} does not lead to LiteLLM: {why_shut}")
    return way_in


@pytest.fixture(scope="session")
def timed_ingress(declared_way_in: WayIn | None, request: pytest.FixtureRequest) -> Endpoint | None:
    """The way in through which half of the rounds ask LiteLLM as well; None where the manifests have none."""
    if declared_way_in is None:
        return None
    failed = request.getfixturevalue("not_open")
    # One that is shut by its own doing is told as such by its own timing, if there is a door to knock at.
    is_there = failed is None or (isinstance(failed, WaitFailed) and _is_its_own(failed))
    return declared_way_in.timed_endpoint if is_there else None


@pytest.fixture
def route(way_in: WayIn, why_shut: str) -> Callable[[], RouteFound]:
    """Gives the route as it stands now, with what its controllers say is wrong with it."""

    def found() -> RouteFound:
        trouble = way_in.trouble() or ([why_shut] if why_shut else [])
        return RouteFound(host=way_in.host, object=way_in.route.name, file=way_in.file, trouble=trouble)

    return found


@given("a route leads from the host name to LiteLLM")
def route_leads(why_shut: str) -> None:
    """The fixture has waited for it; whether it is as it should be is what the scenarios show."""


@dataclass(frozen=True)
class Beside:
    """The way in to a recorder before LiteLLM, by a copy of the route."""

    endpoint: Endpoint
    recorder: RemoteRecorder
    path: str

    def recording(self, fault: Fault | None = None) -> Any:
        """What arrives at the recorder, which plays this fault."""
        return self.recorder.recording(self.path, fault)

    @property
    def itself(self) -> Endpoint:
        """The recorder, asked without the ingress."""
        return replace(self.endpoint, url=self.recorder.url(self.path), host="", authorities="")


@pytest.fixture(scope="session")
def recorder_before(open_way_in: WayIn, kube: Kube) -> Iterator[Beside]:
    """A recorder before LiteLLM, which stays until the last scenario is over: its start takes seconds."""
    undo = Undo(kube)
    try:
        with causes.of(Subject.SUITE), open_way_in.recorded(undo) as (endpoint, recorder, path):
            yield Beside(endpoint, recorder, path)
    finally:
        with causes.of(Subject.CLUSTER):
            undo.all(wait=False)


@given("a recorder stands between the ingress and LiteLLM", target_fixture="beside")
def with_recorder(recorder_before: Beside) -> Beside:
    return recorder_before


# The route


@when("I send a chat completion through the ingress", target_fixture="through")
def send_through(way_in: WayIn, evidence: Evidence) -> Sent:
    with OpenAIClient(way_in.endpoint) as client:
        return sent(evidence, INGRESS, lambda: client.chat(PROMPT, temperature=0, max_tokens=TOKENS))


@then("LiteLLM answers under the host name")
@observes("way-in")
def answers_under_the_host_name(
    way_in: WayIn, why_shut: str, route: Callable[[], RouteFound], through: Sent, evidence: Evidence
) -> None:
    own = way_in.route
    evidence.add(
        RouteSeen(
            check="way-in",
            route=route(),
            service=own.service,
            port=own.port,
            url=way_in.leads_to,
            shut=why_shut,
            entered=way_in.entered,
            entry_points=list(own.entry_points),
            secret_name=own.secret,
            certificate=way_in.certificate().object,
            exchange=through.seq,
            error=through.error,
        )
    )


# What passes through it


@dataclass(frozen=True)
class Equals:
    """The answers to the same questions, "plain" or "streamed"."""

    kind: str
    each: list[Trio]


@when(
    parsers.parse("I send the same {kind} chat completions to LiteLLM twice and through the ingress"),
    target_fixture="equals",
)
def send_to_litellm_and_through(
    gateway: Endpoint, open_way_in: WayIn, evidence: Evidence, kind: str, datatable: Rows
) -> Equals:
    arms = ((DIRECT, gateway), (f"{DIRECT} again", gateway), (INGRESS, open_way_in.endpoint))
    stream = is_streamed(kind)

    def ask_side(prompt: str, side: int) -> Asked:
        return ask(evidence, *arms[side], prompt, stream=stream)

    return Equals(kind, trios_of([row["prompt"] for row in rows(datatable)], ask_side, f"{kind} answers"))


@then("the answers through the ingress equal LiteLLM's own")
@observes("ingress-answers")
def answers_equal(equals: Equals, route: Callable[[], RouteFound], evidence: Evidence) -> None:
    evidence.add(IngressTrios(check="ingress-answers", case=equals.kind, route=route(), trios=equals.each))


@when(
    parsers.parse("I ask the recorder and the ingress for a stream with {pause:d} ms between its events"),
    target_fixture="paced",
)
def ask_for_paced_streams(
    beside: Beside, route: Callable[[], RouteFound], evidence: Evidence, pause: int
) -> PacedStream:
    fault = Fault(pause=pause / 1000)
    with beside.recording(fault):
        own = ask(evidence, RECORDER, beside.itself, PROMPT, stream=True)
    with beside.recording(fault) as seen:
        through = ask(evidence, INGRESS, beside.endpoint, PROMPT, stream=True)
        arrived = _arrived(seen())
    return PacedStream(
        check="ingress-streams",
        route=route(),
        recorder=own.seq,
        ingress=through.seq,
        pause=fault.pause,
        events=arrived.events if arrived else 0,
    )


def _arrived(seen: Sequence[Received]) -> Received | None:
    """What the recorder received last; None where the ingress let nothing through."""
    return seen[-1] if seen else None


@then("its events arrive one by one through the ingress")
@observes("ingress-streams")
def events_arrive_one_by_one(paced: PacedStream, evidence: Evidence) -> None:
    evidence.add(paced)


@dataclass(frozen=True)
class Drawn:
    """Answers that the recorder drew out to so many seconds, by kind, each with what arrived at the recorder."""

    seconds: float
    timeouts: Mapping[str, float]
    answers: Mapping[str, Answer | http.NoAnswer]
    arrived: Mapping[str, Received]


@pytest.fixture(scope="session")
def drawn(way_in: WayIn, recorder_before: Beside) -> Drawn:
    """A plain and a streamed answer, side by side: each would be waited for alone."""
    timeouts = way_in.timeouts()
    limits = [each for each in timeouts.values() if each <= way_in.deployment.settings.timeout]
    seconds = min(max([LONG_ENOUGH, *limits]), LONGEST) + BEYOND_SECONDS
    pauses = _events_of(recorder_before) - 1
    with (
        recorder_before.recording(Fault(hold=seconds, pause=seconds / pauses)) as seen,
        OpenAIClient(recorder_before.endpoint, timeout=seconds + REQUEST.seconds) as client,
        ThreadPoolExecutor() as pool,
    ):
        asked = {kind: pool.submit(_asked, partial(_short, client, kind)) for kind in ("plain", "streamed")}
        answers = {kind: each.result() for kind, each in asked.items()}
        arrived = {"streamed" if each.body.get("stream") else "plain": each for each in seen()}
    return Drawn(seconds, timeouts, answers, arrived)


def _short(client: OpenAIClient, kind: str) -> Answer:
    return client.chat(PROMPT, stream=is_streamed(kind), temperature=0, max_tokens=TOKENS)


def _events_of(beside: Beside) -> int:
    """Of how many events the stream is that is going to be drawn out."""
    with beside.recording() as seen, OpenAIClient(beside.itself) as client:
        _short(client, "streamed")
        return max(2, int(seen()[-1].events))


def _asked(send: Callable[[], Answer]) -> Answer | http.NoAnswer:
    """The answer, or why there was none: in a thread of its own, where nothing is recorded."""
    try:
        return send()
    except http.NoAnswer as error:
        return error


@when(
    parsers.parse("I ask through the ingress for a {kind} answer that takes longer than each of its time-outs"),
    target_fixture="slow",
)
def ask_for_slow_answer(drawn: Drawn, route: Callable[[], RouteFound], evidence: Evidence, kind: str) -> SlowAnswer:
    through, arrived = noted(evidence, INGRESS, drawn.answers[kind]), drawn.arrived.get(kind)
    return SlowAnswer(
        check="ingress-timeouts",
        case=kind,
        route=route(),
        exchange=through.seq,
        error=through.error,
        seconds=drawn.seconds,
        timeouts=dict(drawn.timeouts),
        whole=bool(arrived and arrived.whole),
        events=arrived.events if arrived else 0,
    )


@then("the slow answer arrives whole")
@observes("ingress-timeouts")
def slow_answer_arrives(slow: SlowAnswer, evidence: Evidence) -> None:
    evidence.add(slow)


@when("I send a prompt of 1 MB to LiteLLM and through the ingress", target_fixture="large")
def send_large_prompt(
    gateway: Endpoint, beside: Beside, route: Callable[[], RouteFound], evidence: Evidence
) -> LargePrompt:
    prompt = ("The way in is long. " * MEGABYTE)[:MEGABYTE]
    with beside.recording() as seen, ThreadPoolExecutor() as pool:
        # LiteLLM takes seconds to refuse it, most of which it rests before it tries again.
        asked = [pool.submit(_asked, partial(_refused, to, prompt)) for to in (gateway, beside.endpoint)]
        own, through = (noted(evidence, arm, each.result()) for arm, each in zip((DIRECT, INGRESS), asked, strict=True))
        arrived = next((_prompt_in(each.body) for each in seen()), "")
    if own.seq is None:
        with causes.of(Subject.GATEWAY):
            raise SignoffError(f"a prompt of {MEGABYTE} bytes got no answer from LiteLLM itself: {own.error}")
    return LargePrompt(
        check="ingress-large-prompt",
        route=route(),
        direct=own.seq,
        ingress=through.seq,
        error=through.error,
        sent_bytes=len(prompt.encode()),
        sent_sha256=_sha256(prompt),
        arrived_bytes=len(arrived.encode()),
        arrived_sha256=_sha256(arrived) if arrived else "",
    )


def _refused(endpoint: Endpoint, prompt: str) -> Answer:
    """The answer to a prompt that is too long for vLLM, and for the evidence, which has its size and hash instead."""
    with OpenAIClient(endpoint) as client:
        answer = client.chat(prompt, temperature=0, max_tokens=1)
    told = f"{len(prompt.encode())} bytes, SHA-256 {_sha256(prompt)}"
    body = {**answer.request["body"], "messages": [{"role": "user", "content": told}]}
    return replace(answer, request={**answer.request, "body": body})


def _prompt_in(body: Any) -> str:
    """The prompt of a request, as far as it has arrived."""
    messages = body.get("messages") if isinstance(body, dict) else None
    return str(messages[0].get("content", "")) if messages else ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@then("all of the prompt arrives, and it is refused alike")
@observes("ingress-large-prompt")
def prompt_arrives(large: LargePrompt, evidence: Evidence) -> None:
    evidence.add(large)


@when("I ask through the ingress with forwarded headers that I made up", target_fixture="told")
def ask_with_made_up_headers(beside: Beside, evidence: Evidence) -> Mapping[str, str]:
    body = {"model": beside.endpoint.model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}
    with beside.recording() as seen, OpenAIClient(beside.endpoint) as client:
        recorded(evidence, INGRESS, lambda: client.send("POST", "/v1/chat/completions", body, headers=MADE_UP))
        arrived = _arrived(seen())
    headers = arrived.headers if arrived else {}
    return {name.lower(): value for name, value in headers.items() if _tells_who_asked(name.lower())}


def _tells_who_asked(name: str) -> bool:
    return name.startswith("x-forwarded-") or name == "x-real-ip"


@then("LiteLLM is told who asked, and nothing that a client made up")
@observes("ingress-headers")
def is_told_who_asked(
    way_in: WayIn, beside: Beside, told: Mapping[str, str], route: Callable[[], RouteFound], evidence: Evidence
) -> None:
    evidence.add(
        ForwardedSeen(
            check="ingress-headers",
            route=route(),
            entered=way_in.entered,
            host=beside.endpoint.host,
            headers=dict(told),
            sent=MADE_UP,
        )
    )


@when(parsers.parse("I send a chat completion through the ingress with {whose} key"), target_fixture="asked_with")
def send_with_key(open_way_in: WayIn, evidence: Evidence, whose: str) -> AskedWith:
    return ask_with_key(evidence, INGRESS, open_way_in.endpoint, whose)


@then("through the ingress it is answered if the key is LiteLLM's own, and refused if not")
@observes("ingress-key-asked")
def answered_with_its_own_key_alone(asked_with: AskedWith, evidence: Evidence) -> None:
    evidence.add(AnswersSeen(check="ingress-key-asked", case=asked_with.case, exchanges=[asked_with.asked.seq]))


# Who must not get in


@dataclass(frozen=True)
class Knocked:
    """A request that must not get in: of which case, how it was asked, and what came of it."""

    case: str
    asked: str
    endpoint: Endpoint
    sent: Sent

    def seen(self, check: str, route: RouteFound) -> TurnedAway:
        """It as an observation of a check."""
        return TurnedAway(
            check=check,
            case=self.case,
            route=route,
            asked=self.asked,
            host=self.endpoint.host,
            exchange=self.sent.seq,
            error=self.sent.error,
        )


@when(parsers.parse("I ask by plain HTTP for the {what}"), target_fixture="knocked")
def ask_by_plain_http(way_in: WayIn, evidence: Evidence, what: str) -> Knocked:
    endpoint = way_in.plain
    if way_in.no_plain:
        return Knocked(what, f"{endpoint.url}{PATHS[what]}", endpoint, Sent(error=way_in.no_plain))
    with OpenAIClient(endpoint) as client:
        answer = knock(evidence, PLAIN_HTTP, client, what, endpoint.model)
    return Knocked(what, f"{endpoint.url}{PATHS[what]}", endpoint, answer)


def knock(evidence: Evidence, arm: str, client: OpenAIClient, what: str, model: str) -> Sent:
    """Ask where nobody is to be let in: for a page, the models or a chat completion."""
    chat = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}
    method, body = ("POST", chat) if what == "chat" else ("GET", None)
    return sent(evidence, arm, lambda: client.send(method, PATHS[what], body))


@then("plain HTTP leads to https or nowhere")
@observes("plain-http")
def plain_http_is_turned_away(knocked: Knocked, route: Callable[[], RouteFound], evidence: Evidence) -> None:
    evidence.add(knocked.seen("plain-http", route()))


@when(parsers.parse("I ask for an unknown host name by {scheme}"), target_fixture="all_knocked")
def ask_for_unknown_host(way_in: WayIn, why_shut: str, evidence: Evidence, scheme: str) -> list[Knocked]:
    to = {"https": way_in.endpoint, "http": way_in.plain}[scheme]
    endpoint = replace(to, host=NOBODY)
    if scheme == "http" and way_in.no_plain:
        refused = Sent(error=way_in.no_plain)
        return [Knocked(f"http {what}", f"{to.url}{path}", endpoint, refused) for what, path in PATHS.items()]
    with OpenAIClient(endpoint, trusted=anybody()) as client:
        return [
            Knocked(
                f"{scheme} {what}",
                f"{endpoint.url}{path}",
                endpoint,
                knock(evidence, UNKNOWN_HOST, client, what, to.model),
            )
            for what, path in PATHS.items()
        ]


@then("an unknown host name leads to the ingress' own 404")
@observes("unknown-host")
def unknown_host_is_turned_away(
    all_knocked: list[Knocked], route: Callable[[], RouteFound], evidence: Evidence
) -> None:
    for each in all_knocked:
        evidence.add(each.seen("unknown-host", route()))


# The certificate


@when("I look at the certificate of the host name", target_fixture="looked_at")
def look_at_certificate(way_in: WayIn, route: Callable[[], RouteFound]) -> CertificateSeen:
    shaken, state = way_in.handshake(way_in.host), way_in.certificate()
    return CertificateSeen(
        check="certificate",
        route=route(),
        looked_at=datetime.now(UTC),
        chain=shaken.chain,
        roots=way_in.roots(),
        tls_version=shaken.tls_version,
        cipher=shaken.cipher,
        handshake_error=shaken.error,
        older=older_versions(way_in),
        certificate=state.object,
        untold=state.untold,
        ready=state.ready,
        message=state.message,
        issuer=state.issuer,
        issuer_kind=state.issuer_kind,
        server=state.server,
        not_after=state.not_after,
        renewal_time=state.renewal_time,
        secret_name=way_in.route.secret,
        secret_leaf=state.secret_leaf,
    )


def older_versions(way_in: WayIn) -> dict[str, bool]:
    """Each deprecated version of TLS that can be tried here, and whether the ingress took it."""
    tried = {name: way_in.handshake(way_in.host, version).error for name, version in OLDER.items()}
    return {name: not error for name, error in tried.items() if not error or any(each in error for each in REFUSED)}


@then("it is the one that cert-manager obtained by ACME, and good for every client")
@observes("certificate")
def certificate_is_good(looked_at: CertificateSeen, evidence: Evidence) -> None:
    evidence.add(looked_at)
