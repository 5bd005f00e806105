"""What is observed, one model for each kind: the vocabulary in which steps, parity and load speak to the judges.

A record says what was seen and never what to think of it. `docs/evidence.md` describes the file that they end in, and
`docs/evidence.schema.json` is their JSON schema. Within a version fields may be added; none changes its meaning.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from signoff.evidence.chain import HEAD, SCHEMA
from signoff.evidence.invalid import InvalidKind
from signoff.stats.estimate import Estimate


class Subject(StrEnum):
    """Whose doing something is. Only the gateway's failures are held against the gateway."""

    GATEWAY = "gateway"
    BACKEND = "backend"
    CLUSTER = "cluster"
    MACHINE = "machine"
    SUITE = "suite"


class Record(BaseModel):
    """Anything that stands in evidence."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    kind: str

    @classmethod
    def kind_name(cls) -> str:
        """How the kind is called in the file."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])


class Observation(Record):
    """What a Then step saw of a check, or of one case of it."""

    check: str
    case: str = ""


class SideFile(BaseModel):
    """A file beside the evidence that holds what is too much for it. `rows` counts lines, a CSV's heading left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    sha256: str
    rows: int


# The run


class Run(Record):
    """How the run began; the first record. `story` is the whole declaration, None where no story is judged."""

    kind: Literal["run"] = "run"
    schema_: Annotated[str, Field(alias="schema")] = SCHEMA
    tool: Literal["features", "parity", "load", "serve", "calibrate", "measure"] = "features"
    argv: list[str] = []
    commit: str = ""
    dirty: bool = False
    cluster: str = ""
    settings: dict[str, Any] = {}
    """Each with its `value` and `origin`, and with the `story`'s value where that is another."""
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    story: dict[str, Any] | None = None
    story_file: str = ""
    story_sha256: str = ""
    waivers: dict[str, str] = {}
    """Checks that a person knowingly leaves out, with the reasons."""


class Found(BaseModel):
    """An object or a model by its name, and the file and line of the manifests in which it was found.

    Of a Service `url` is what clients within the cluster ask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    namespace: str = ""
    url: str = ""
    where: str = ""


class UnderTest(Record):
    """The gateway that is judged and the backend behind it, as they were found in the manifests.

    `asked_model` is what clients ask the gateway for, `served_model` what it then asks the backend for.
    """

    kind: Literal["under-test"] = "under-test"
    gateway: Found
    gateway_service: Found
    backend: Found
    backend_service: Found
    asked_model: Found
    served_model: Found

    @property
    def found(self) -> dict[str, dict[str, str]]:
        """Each by its name here, with what is known of it."""
        told: dict[str, dict[str, str]] = self.model_dump(exclude={"kind"})
        return {name: {key: each for key, each in of.items() if each} for name, of in told.items()}


class PlannedScenario(BaseModel):
    """A scenario of the features' folder. `checks` are those that its Then steps observe; `line` is its line."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    name: str
    feature: str
    line: int = 0
    checks: list[str] = []


class Plan(Record):
    """Every scenario of the features, and the ids of those that pytest was to run."""

    kind: Literal["plan"] = "plan"
    scenarios: list[PlannedScenario]
    selected: list[str]


class Cause(BaseModel):
    """An error that ended something, in one sentence, and whose doing it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    subject: Subject
    what: str


class ScenarioEnd(Record):
    """How a scenario ended, which decides nothing by itself.

    `end` is "whole" when its last step was reached, "judged" when a verdict on what it observed ended it, "error" when
    something else did (`cause`), "skipped" when it never began (`skipped` says why). `step` is the one it ended at,
    `unobserved` are the checks of that step and of those that would have come after it. `seconds` leave out the set-up
    that all scenarios share.
    """

    kind: Literal["scenario"] = "scenario"
    id: str
    end: Literal["whole", "judged", "error", "skipped"]
    step: str = ""
    unobserved: list[str] = []
    cause: Cause | None = None
    skipped: str = ""
    seconds: float = 0.0
    bundle: str = ""


class Disturbance(Record):
    """Something that nobody ordered happened to what the gateway stands on; what was seen around it proves nothing."""

    kind: Literal["disturbance"] = "disturbance"
    cause: Cause


class SetUpFailure(Record):
    """What kept something that all scenarios need from being set up."""

    kind: Literal["setup-failure"] = "setup-failure"
    cause: Cause
    where: str = ""
    traceback: str = ""


class Phase(Record):
    """How long something took. `set_up` tells what all scenarios share from what one of them did."""

    kind: Literal["phase"] = "phase"
    name: str
    seconds: float
    set_up: bool = False


class End(Record):
    """The last record of a run that was not killed.

    `other_failures` counts tests and collectors that failed beside the scenarios.
    """

    kind: Literal["end"] = "end"
    interrupted: bool = False
    pytest_status: int = 0
    other_failures: int = 0


# What it ran on


class Cluster(Record):
    """The cluster. `start_seconds` maps a phase of its start to its duration.

    `uid` is that of the namespace kube-system of a person's own cluster.
    """

    kind: Literal["cluster"] = "cluster"
    provider: str
    kubernetes_version: str
    nodes: list[str]
    start_seconds: dict[str, float] = {}
    details: dict[str, Any] = {}
    uid: str = ""


class LeftAsFound(Record):
    """What is not as it was before the run, of all that a person's own cluster holds; each a sentence."""

    kind: Literal["left-as-found"] = "left-as-found"
    differences: list[str]


class Applied(Record):
    """An object of the manifests; `reason` says why it was skipped, and is empty for one that was applied."""

    kind: Literal["manifest"] = "manifest"
    file: str
    sha256: str
    object: str
    object_sha256: str
    reason: str = ""
    images: list[str] = []


class Standing(Record):
    """An object of the cluster that is judged as it stood when it was read; one that holds a secret has no hash."""

    kind: Literal["standing"] = "standing"
    object: str
    namespace: str
    uid: str
    generation: int
    object_sha256: str
    images: list[str] = []


class Unproven(Record):
    """A model that clients may ask the gateway for and that this run does not judge: why, and where it is written."""

    kind: Literal["unproven-model"] = "unproven-model"
    model: str
    reason: str
    file: str = ""


class ClearedAway(Record):
    """What earlier runs had left on a cluster that is used again."""

    kind: Literal["cleanup"] = "cleanup"
    done: list[str]


class Backend(Record):
    """vLLM's own word on its version; empty where it says none."""

    kind: Literal["backend"] = "backend"
    version: str


class PodPlace(Record):
    """A pod that was waited for, and where it runs."""

    kind: Literal["placement"] = "placement"
    pod: str
    node: str | None


# What was asked and answered


class Exchange(Record):
    """One request and its answer. `chunks` are a stream's events with milliseconds since the request was sent."""

    kind: Literal["exchange"] = "exchange"
    arm: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    started: float
    e2e_ms: float
    ttft_ms: float | None = None
    broken: str = ""
    body: str | None = None
    chunks: list[dict[str, Any]] | None = None


class NoAnswer(Record):
    """A request to which no status line came back."""

    kind: Literal["no-answer"] = "no-answer"
    arm: str
    request: dict[str, Any]
    error: str


# What Then steps saw


class PodsSeen(Observation):
    """The gateway's pods. `states` describe them in a line each."""

    kind: Literal["pods"] = "pods"
    selector: str
    ready: dict[str, bool]
    states: dict[str, str]
    file: str = ""
    """Where what makes them is written."""


class LabelsSeen(Observation):
    """The labels of one kind of object (the case), by object; `asked` are those that the feature names."""

    kind: Literal["labels"] = "labels"
    labels: dict[str, dict[str, str]]
    files: dict[str, str] = {}
    """Where each object is written, for whoever corrects it."""
    asked: dict[str, str]


class Opening(BaseModel):
    """A way to the gateway's pods beside the one port of its Service.

    `what` is "port" for a further port of that Service, else the field that opens it; `value` is the port, or the
    address. `object` is what opens it ("Service/litellm"), `file` where that is written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    object: str
    what: Literal["port", "externalIPs", "NodePort", "LoadBalancer", "hostNetwork"]
    value: str
    file: str


class ServiceSeen(Observation):
    """The gateway's Service; `asked` is what the feature names."""

    kind: Literal["service"] = "service"
    type: str
    ports: list[int]
    file: str = ""
    host_ports: dict[int, str] = {}
    """The ports of its node that the gateway's pod takes for itself, beside the Service, and where each is written."""
    openings: list[Opening] = []
    asked: dict[str, Any]


class EndpointsSeen(Observation):
    """The addresses of the Service's ready endpoints, and of the gateway's Ready pods."""

    kind: Literal["endpoints"] = "endpoints"
    endpoints: list[str]
    ready_pods: list[str]
    file: str = ""
    """Where the Service's selector is written."""
    target_port: str = ""
    """The port of the pods that the Service sends to, as it is written, and where."""
    target_file: str = ""
    unanswered: str = ""
    """What was seen last where nobody answered through the Service; empty if LiteLLM did."""


class Probe(BaseModel):
    """A probe of a container of the gateway's: the path or command that it asks, and where it is written.

    `seconds` are those from the first time that it may be asked to its last failure, if it never succeeds:
    initialDelaySeconds + (failureThreshold - 1) * periodSeconds. `limits_start`: then the container is ended, which it
    has not started before, since this is its startup probe, or its liveness probe where it has no other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    container: str
    role: Literal["startup", "liveness", "readiness"]
    asks: str
    seconds: int
    limits_start: bool
    file: str


class ProbesSeen(Observation):
    """The probes of the gateway's pods, and what became of their containers.

    `starts` are the seconds from a pod's containers' start to its readiness, to the second; `ends` says of a container
    that has ended since its pod was made how it did. `unbounded` are the containers without a memory limit, `unwatched`
    those without a liveness probe, and where either would be written.
    """

    kind: Literal["probes"] = "probes"
    probes: list[Probe]
    starts: dict[str, int]
    ends: dict[str, str] = {}
    unbounded: dict[str, str] = {}
    unwatched: dict[str, str] = {}


class AnswersSeen(Observation):
    """The exchanges that this is about, by their `seq`; `asked` is what the feature wants to see in them."""

    kind: Literal["answers"] = "answers"
    exchanges: list[int]
    asked: dict[str, Any] = {}


class Trio(BaseModel):
    """One prompt's exchanges by their `seq`: vLLM's, vLLM's again, and the gateway's."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    prompt: str
    direct: int
    again: int
    proxied: int


class TriosSeen(Observation):
    """The same questions to vLLM twice and to the gateway; `asked` is what the feature wants to see in them.

    Where answers to a question differ, `trios` go on with further rounds of all questions.
    """

    kind: Literal["trios"] = "trios"
    trios: list[Trio]
    asked: list[str] = []


class CounterSeen(Observation):
    """How much vLLM's own request counter grew over so many requests to the gateway, and those of other backends.

    Where there are several, `model` is what the gateway was asked for, and `elsewhere` names the others by Service.
    """

    kind: Literal["counter"] = "counter"
    metric: str
    requests: int
    grown: int
    model: str = ""
    elsewhere: dict[str, int] = {}


class CallsCounted(BaseModel):
    """How many requests vLLM `answered` by its own counter while so many that were `sent` had an answer.

    `uncertain` more may be among them, of rounds that were left out. `failures` are those that its web server answered
    with a status from 500 on, `restarted` says that another vLLM counted at the end. `note` says why nothing is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    sent: int
    answered: int | None = None
    uncertain: int = 0
    failures: int | None = None
    restarted: bool = False
    note: str = ""


class OverheadTimed(Observation):
    """The timed rounds. `requests` holds each request, `blocks` those of one arm at a time; `place` is the clock's.

    `left_out` rounds were hit by a tunnel that broke: they are not among the requests, and were asked again.
    """

    kind: Literal["overhead"] = "overhead"
    requests: SideFile
    blocks: list[dict[str, Any]]
    seed: int
    pairs_asked: int
    limit_asked_ms: float
    place: str
    gateway_image: str = ""
    left_out: int = 0
    ingress: str = ""
    """The way in through which half of the rounds asked as well; empty where none did."""
    counted: CallsCounted | None = None
    """Of all rounds, the warm-up's too."""


class CallsCompared(Observation):
    """Calls of the parity matrix, of which `calls_file` holds a JSON list with all that was exchanged.

    `only` names those of the file that this is about, by their ids; all of them, if it is empty.
    """

    kind: Literal["parity-calls"] = "parity-calls"
    calls_file: SideFile
    only: list[str] = []
    seconds: float = 0.0
    """How long the asking took."""
    known_issues_sha256: str = ""
    """Of known.yaml, gate.yaml and the cases, by which the calls are judged."""
    version: str
    image: str


class PlacesSeen(Observation):
    """The node of each pod, None where it has none; `asked` are the nodes that the feature names."""

    kind: Literal["places"] = "places"
    nodes: dict[str, str | None]
    asked: list[str]
    file: str = ""
    allowed_by_name: list[str] = []
    """Former versions noted which nodes the manifest's rule allows by their names, and excludes so."""
    excluded_by_name: list[str] = []


class NodeAsked(BaseModel):
    """What the scheduler says of a copy of the gateway's pod that is pinned to a node: nothing of one that it accepts.

    A node that was made to ask about is `new`, and may be `like` one of the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    new: bool = False
    like: str = ""
    labels: dict[str, str] = {}
    """What tells it from the nodes on which the gateway may run, as `taints` and `resources` do."""
    taints: list[str] = []
    resources: dict[str, int] = {}
    accepted: bool
    message: str = ""


class SchedulerAsked(Observation):
    """What the scheduler says of each node, with the rule by which nodes are forbidden.

    `tolerant` copies tolerate every taint, so that taints keep none of them off.
    """

    kind: Literal["scheduler-asked"] = "scheduler-asked"
    forbidden_by: str
    tolerant: bool
    nodes: list[NodeAsked]
    file: str = ""
    """Where the manifest says on which nodes the gateway may run; of what it tolerates in `tolerations`."""
    tolerations: str = ""


class PendingSeen(Observation):
    """A new pod while nodes are cordoned, so many seconds after the scheduler first spoke of it."""

    kind: Literal["pending"] = "pending"
    pod: str
    node: str | None
    phase: str
    reason: str
    message: str
    cordoned: list[str]
    seconds: float
    file: str = ""
    """Where the manifest says on which nodes it may run, or should."""
    taints: dict[str, list[str]] = {}
    """Of each node on which it must not run, the taints that it does not tolerate."""


class StayedReady(Observation):
    """The gateway's pods while the backend was away: how often they were looked at, and when not all were Ready."""

    kind: Literal["stayed-ready"] = "stayed-ready"
    seconds: float
    looks: int
    pods: int
    not_ready: list[str] = []
    backend_pods: int = 0
    """How many pods of the backend were still there at the last look."""


class FilesSeen(Observation):
    """The kinds of the objects in each manifest file of the gateway's folder."""

    kind: Literal["files"] = "files"
    folder: str
    kinds: dict[str, list[str]]


class ConfigurationSeen(Observation):
    """The gateway's configuration as it is mounted: each setting with the values that it has there.

    `places` has file and line of each value, and what a value is taken from that stands elsewhere; `missing` those of
    settings without one; `unknown` what hangs on a variable that nobody can read, in a sentence with what to do;
    `outdated` the pods that have not loaded it since it was changed. Runs before these fields have the line of each
    setting's first value in `lines`.
    """

    kind: Literal["configuration"] = "configuration"
    object: str
    file: str = ""
    values: dict[str, list[Any]]
    lines: dict[str, int] = {}
    places: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    unknown: dict[str, list[str]] = {}
    outdated: list[str] = []


class ResourcesSeen(Observation):
    """The resources that each container of the gateway's pods asks for, by "pod/container"."""

    kind: Literal["resources"] = "resources"
    requested: dict[str, dict[str, str]]
    file: str = ""


class VersionSeen(Observation):
    """The image that the manifests name, those that the pods run, and the version that the gateway itself tells.

    `pulled` are the pods' `imageID`: where an image was pulled, with its digest.
    """

    kind: Literal["version"] = "version"
    manifest: str
    pods: dict[str, str]
    pulled: dict[str, str] = {}
    tells: str
    file: str = ""
    """Where the image is written."""


class ModesSeen(Observation):
    """The mode of each model as the gateway tells it."""

    kind: Literal["modes"] = "modes"
    status: int
    modes: dict[str, str | None]
    file: str = ""
    """Where the mode of the model under judgement is written, or would be."""


class InsideSeen(Observation):
    """What a pod of the cluster got from the gateway by its cluster name; `error` where nothing came back.

    `unresolved` says that it was the name which led nowhere.
    """

    kind: Literal["inside"] = "inside"
    url: str
    status: int = 0
    body: str = ""
    error: str = ""
    unresolved: bool = False
    pod: str = ""
    node: str = ""


class ThreeRead(BaseModel):
    """What a client made of vLLM's answer to a question, of vLLM's again, and of the gateway's."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    direct: dict[str, Any]
    again: dict[str, Any]
    proxied: dict[str, Any]


class ClientRead(Observation):
    """What the official OpenAI client made of an answer, from vLLM and from the gateway; an error is its name.

    `rounds` are all that were read, these two among the first; where answers differ, there are further ones.
    """

    kind: Literal["client"] = "client"
    client: str
    direct: dict[str, Any]
    proxied: dict[str, Any]
    rounds: list[ThreeRead] = []


# What Then steps saw of the way in from outside


class RouteFound(BaseModel):
    """The route that leads from a host name to the gateway, by its object ("IngressRoute/litellm") and its file.

    `trouble` is what the ingress and cert-manager themselves say is wrong with it, in sentences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    object: str
    file: str = ""
    trouble: list[str] = []


class RouteSeen(Observation):
    """Where the route sends what is asked for under its host name, and the answer to a request there, by its `seq`.

    `error` says why there was none. `url` is that of the Service inside the cluster. `shut` says why the way in did not
    open when it was waited for. `secret_name` is the Secret from which TLS has its certificate, `certificate` the
    object that has it written there. `entered` says how the ingress was reached.
    """

    kind: Literal["route"] = "route"
    route: RouteFound
    service: str
    url: str
    shut: str = ""
    entered: str = ""
    port: int | str
    entry_points: list[str] = []
    secret_name: str = ""
    certificate: str = ""
    exchange: int | None = None
    error: str = ""


class IngressTrios(Observation):
    """The same questions to the gateway twice and through the ingress, by a `Trio`'s `seq`s in this order.

    There are further rounds as in `TriosSeen`.
    """

    kind: Literal["ingress-trios"] = "ingress-trios"
    route: RouteFound
    trios: list[Trio]


class PacedStream(Observation):
    """The same stream from a recorder itself and through the ingress, by `seq`; the recorder paused between events.

    `pause` is in seconds, `events` are as many as the recorder then passed on to the ingress.
    """

    kind: Literal["paced-stream"] = "paced-stream"
    route: RouteFound
    recorder: int
    ingress: int
    pause: float
    events: int


class PacedByGateway(Observation):
    """The same stream from a recorder before vLLM and through the gateway behind it, by `seq`.

    The recorder paused for `pause` seconds between two of vLLM's events.
    """

    kind: Literal["paced-by-gateway"] = "paced-by-gateway"
    recorder: int
    exchange: int
    pause: float


class SlowAnswer(Observation):
    """An answer, by its `seq`, that a recorder drew out to at least so many `seconds`; `error` if none came at all.

    `timeouts` are the ingress' own, in seconds, by their names; 0 is none. `whole` says that the recorder passed all
    of it on, in so many `events` if it was streamed.
    """

    kind: Literal["slow-answer"] = "slow-answer"
    route: RouteFound
    exchange: int | None = None
    error: str = ""
    seconds: float
    timeouts: dict[str, float]
    whole: bool
    events: int = 0


class LargePrompt(Observation):
    """The answers to the same prompt from the gateway itself and through the ingress, by `seq`, and what arrived of it.

    `sent_bytes` and `sent_sha256` are the prompt's, `arrived_bytes` and `arrived_sha256` what a recorder behind the
    ingress had of it; 0 and empty where nothing arrived.
    """

    kind: Literal["large-prompt"] = "large-prompt"
    route: RouteFound
    direct: int
    ingress: int | None = None
    error: str = ""
    sent_bytes: int
    sent_sha256: str
    arrived_bytes: int = 0
    arrived_sha256: str = ""


class TurnedAway(Observation):
    """The answer, by its `seq`, to a request that must not reach the gateway; `error` where none came.

    `asked` is how it was asked for, `host` the name it was asked by.
    """

    kind: Literal["turned-away"] = "turned-away"
    route: RouteFound
    asked: str
    host: str
    exchange: int | None = None
    error: str = ""


class ForwardedSeen(Observation):
    """The headers with which the ingress tells the gateway who asked (lower case), as a recorder behind it had them.

    `host` is the name by which it was asked. `sent` are the headers that the client itself had made up. `entered` says
    how the ingress was reached.
    """

    kind: Literal["forwarded-headers"] = "forwarded-headers"
    entered: str = ""
    route: RouteFound
    host: str
    headers: dict[str, str]
    sent: dict[str, str] = {}


class CertificateSeen(Observation):
    """The certificate that a TLS handshake under the host name got, and what cert-manager says of the one it obtained.

    `chain` is what was served, the leaf first, `roots` are those of the issuer, `secret_leaf` is the certificate that
    the Secret holds: all in PEM. `handshake_error` says why there was no handshake. `older` are earlier versions of
    TLS that were tried, each with whether the ingress took it. Times are UTC.
    """

    kind: Literal["certificate"] = "certificate"
    route: RouteFound
    looked_at: datetime
    chain: list[str] = []
    roots: list[str] = []
    tls_version: str = ""
    cipher: str = ""
    handshake_error: str = ""
    older: dict[str, bool] = {}
    certificate: str = ""
    """The object, "Certificate/litellm-tls"; empty where there is none."""
    untold: str = ""
    """Why cert-manager has no say in it, or cannot be asked; empty where it can."""
    ready: bool = False
    message: str = ""
    issuer: str = ""
    issuer_kind: str = ""
    """"acme", "ca", "selfSigned" or another of cert-manager's; empty where nobody can tell."""
    server: str = ""
    """The ACME directory's URL."""
    not_after: datetime | None = None
    renewal_time: datetime | None = None
    secret_name: str = ""
    secret_leaf: str = ""


class Fact(Observation):
    """Anything else that a story of one's own wants to be judged: what was seen, for the judges equals and at-most."""

    kind: Literal["fact"] = "fact"
    seen: Any

    @field_validator("seen")
    @classmethod
    def _is_json(cls, seen: Any) -> Any:
        json.dumps(seen, allow_nan=False)  # a NaN would be read back as nothing
        return seen


# Parity and load as runs of their own


class ParityMatrix(Record):
    """The calls of a parity matrix, from which parity.json and parity.html follow.

    `calls_file` holds a JSON list with all that was exchanged. `whole` says whether these are all calls that there are.
    """

    kind: Literal["parity-matrix"] = "parity-matrix"
    calls_file: SideFile
    version: str
    image: str
    seconds: float
    whole: bool


class Load(Record):
    """A load as it began, or what more is known of it by now: fields of the load generator's `Run`.

    Its steps, invalid spans, workers and notes have records of their own.
    """

    kind: Literal["load"] = "load"
    run: dict[str, Any]


class LoadDeployment(Record):
    """The deployment that was started for a load has evidence of its own, in this folder beside the load's."""

    kind: Literal["load-deployment"] = "load-deployment"
    folder: str


class LoadStep(Record):
    """A step of a load began or, if it says so, ended: the later record of a name is the one that counts.

    In an open loop `planned_rate` is the arrivals per second, in a closed one `planned_users` the requests in flight.
    """

    kind: Literal["load-step"] = "load-step"
    name: str
    planned_rate: float | None
    planned_users: int | None
    started: float
    ended: float | None = None


class LoadInvalid(Record):
    """The load generator, not what it asked, was the limit in this time, as so many `looks` of this worker found.

    Of one worker and one `what` that goes on there is a record now and then; signoff.evidence.invalid.add joins them.
    `worst` is a share of a core, milliseconds or requests, `seconds` the time that was looked at.
    """

    kind: Literal["load-invalid"] = "load-invalid"
    began: float
    ended: float
    worker: str
    what: InvalidKind
    reason: str
    worst: float
    looks: int
    seconds: float


class LoadWorker(Record):
    """A worker of which the first record of a request was written."""

    kind: Literal["load-worker"] = "load-worker"
    worker: str


class LoadFiles(Record):
    """The files of a load's samples, once nothing more is written to them."""

    kind: Literal["load-files"] = "load-files"
    files: list[SideFile]


# Calibrations and other measurements as runs of their own


class DelayTimed(Record):
    """What was timed at `url` with a known delay before each proxied request: within `jitter_ms` of `delay_ms`."""

    kind: Literal["delay-timed"] = "delay-timed"
    delay_ms: float
    jitter_ms: float
    url: str
    pairs_asked: int
    seed: int
    requests: SideFile


class DelayFound(Record):
    """What the code that judges the gateway made of the delay in line `timed`; `fault` is empty where it found it."""

    kind: Literal["delay-found"] = "delay-found"
    timed: int
    bias_ms: float | None
    figures: dict[str, Estimate]
    verdict: str
    code: str
    reason: str
    fault: str


class Measurement(Record):
    """What a script measured. `name` says of `values` what they are; `files` hold what is too much for a line."""

    kind: Literal["measurement"] = "measurement"
    name: str
    values: dict[str, Any]
    files: list[SideFile] = []


class Note(Record):
    """Something that a person should know and no judge reads."""

    kind: Literal["note"] = "note"
    text: str


class Line(BaseModel):
    """A record and its place: `seq` counts from 0, `prev` is the SHA-256 of the line before it.

    `at` is UTC, `monotonic` seconds of the machine's monotonic clock, `scenario` the id of the one that was running.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    seq: int
    prev: str
    at: str
    monotonic: float
    scenario: str = ""
    record: Record

    HEAD: ClassVar = HEAD


def kinds() -> dict[str, type[Record]]:
    """Every kind by its name."""
    found: dict[str, type[Record]] = {}
    todo = list(Record.__subclasses__())
    while todo:
        model = todo.pop(0)
        todo += model.__subclasses__()
        if model is not Observation:
            found[model.kind_name()] = model
    return found
