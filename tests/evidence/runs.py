"""Runs as the features write them, without a cluster: the story's own checks, observed in scenarios of this file.

The parity calls are those of a real vLLM and a real LiteLLM (tests/parity/recorded), everything else is made up.
"""

import csv
import json
import lzma
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from signoff import report
from signoff.core.paths import ROOT
from signoff.evidence import Evidence, read, side_file
from signoff.evidence.models import (
    AnswersSeen,
    Applied,
    Backend,
    CallsCompared,
    CallsCounted,
    Cause,
    ClientRead,
    Cluster,
    ConfigurationSeen,
    CounterSeen,
    Disturbance,
    End,
    EndpointsSeen,
    Exchange,
    Fact,
    FilesSeen,
    ForwardedSeen,
    IngressTrios,
    InsideSeen,
    LabelsSeen,
    LargePrompt,
    ModesSeen,
    NodeAsked,
    Observation,
    OverheadTimed,
    PacedByGateway,
    PacedStream,
    PendingSeen,
    PlacesSeen,
    Plan,
    PlannedScenario,
    PodPlace,
    PodsSeen,
    ProbesSeen,
    ResourcesSeen,
    RouteFound,
    RouteSeen,
    Run,
    ScenarioEnd,
    SchedulerAsked,
    ServiceSeen,
    SlowAnswer,
    StayedReady,
    Subject,
    Trio,
    TriosSeen,
    TurnedAway,
    VersionSeen,
)
from signoff.gateway.under_test import under_test
from signoff.judges.deployment import INSIDE_PATHS
from signoff.judges.run import Result
from signoff.judges.way_in import PATHS
from signoff.kube.manifests import StoryManifests
from signoff.parity.known_issues import fingerprint
from signoff.settings import Settings, story_values
from signoff.story.declaration import Declaration
from signoff.traffic.blocks import Block
from signoff.traffic.pairs import ARMS, INGRESS, Arm, Timing
from tests.judges import authority
from tests.parity.test_recorded import RECORDED

STORY = ROOT / "features" / "story.yaml"
FACTS = "What else the story wants is seen"
FACTUAL = tuple(
    name
    for name, check in Declaration.read(STORY).filled(story_values(Settings())).story.checks.items()
    if check.judge in ("equals", "at-most")
)
"""Checks that are judged from what is seen alone: a run has them without a line of its own here."""
MODEL = "Qwen/Qwen2.5-7B-Instruct-AWQ"
IMAGE = "ghcr.io/berriai/litellm:main-v1.80.16-stable"
PROMPTS = ("Name three rivers.", "Wie heißt die Hauptstadt von Österreich?", "東京は何の首都ですか? 🗼", "One line.")
INSIDE = "http://litellm.ml.svc.cluster.local:4000"
WAIVED = {"way-in": "Traefik is tried by hand, see ticket 12"}
"""The one check that a run leaves out here, if nothing else is said."""
ROUTE = "The host name leads to LiteLLM"
WAY_IN = "litellm.home.jetzinger.com at https://127.101.0.9:443"

Record = Callable[[], Sequence[Observation]]
MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm"}]}
OF_ITS_OWN = "a LiteLLM of its own"
FOUND = RouteFound(host=authority.HOST, object="IngressRoute/litellm", file=authority.AT)
REFUSED: dict[str, Any] = {"accepted": False, "message": "1 node(s) didn't match Pod's node affinity/selector."}
ASKED = [
    NodeAsked(name="k3s-worker-01", accepted=True),
    NodeAsked(name="k3s-worker-02", accepted=True),
    NodeAsked(name="k3s-gpu-worker", **REFUSED),
    NodeAsked(name="signoff-worker", new=True, **REFUSED),
    NodeAsked(name="signoff-gpu-worker-1", new=True, like="k3s-gpu-worker", **REFUSED),
]


@dataclass
class Writer:
    """A run that is being written; `left_out` are checks that none of its scenarios observes.

    `ingress` is where half of the timed rounds ask as well, and `ingress_error` what one of their requests ended with.
    """

    evidence: Evidence
    declaration: Declaration
    left_out: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    ingress: str = ""
    ingress_error: str = ""

    def scenarios(self) -> dict[str, Callable[[], Iterator[Observation]]]:
        """What each scenario observes, by its name."""
        return {
            "LiteLLM is Running": self.running,
            "The Service leads to LiteLLM": self.service,
            "Chat completions are answered": self.answers,
            "The answer matches vLLM's [plain]": lambda: self.trios("plain"),
            "The answer matches vLLM's [streamed]": lambda: self.trios("streamed"),
            "The latency overhead is below 100 ms (NFR66)": self.overhead,
            "The response format matches vLLM's": lambda: self.calls("response-format"),
            "Requests arrive as they were sent": lambda: self.calls("request-fidelity"),
            "LiteLLM stays off the GPU worker": self.placement,
            "LiteLLM outlives its backend": self.gaming_mode,
            "Mistakes are told": self.mistakes,
            "Nobody is answered without the key": self.keys,
            "The ingress passes on what it should": self.through,
            "The ingress turns others away": self.turned_away,
            "The certificate is good": self.certificate,
            ROUTE: self.route,
            FACTS: self.facts,
        }

    def play(self, only: Sequence[str] = ()) -> None:
        """Write every scenario, or those named."""
        played = {name: play for name, play in self.scenarios().items() if name in (only or OBSERVES)}
        for name, play in played.items():
            self.evidence.scenario = scenario_id(name)
            self.record(play())
            self.evidence.add(ScenarioEnd(id=scenario_id(name), end="whole", seconds=1.5))
            self.evidence.scenario = ""

    def record(self, seen: Iterator[Observation]) -> None:
        for each in seen:
            if each.check not in self.left_out:
                self.evidence.add(each)

    def check(self, name: str) -> Any:
        """What the story wants of a check."""
        return self.declaration.story.checks[name].wants

    # The deployment

    def running(self) -> Iterator[Observation]:
        pods = {"litellm-1": "pod-ready" not in self.failing}
        yield PodsSeen(check="pod-ready", selector="app=litellm", ready=pods, states={"litellm-1": "CrashLoopBackOff"})
        yield ProbesSeen(check="probes", probes=[], starts={"litellm-1": 9})
        labels = self.check("labels")
        for kind in self.declaration.story.checks["labels"].cases:
            yield LabelsSeen(check="labels", case=kind, labels={f"{kind}/litellm": labels}, asked=labels)
        yield FilesSeen(check="file-layout", folder="litellm", kinds=self.check("file-layout"))
        values = {name: [value] for name, value in self.check("configuration").items()}
        yield ConfigurationSeen(check="configuration", object="ConfigMap/litellm", values=values)
        yield VersionSeen(check="version", manifest=IMAGE, pods={"litellm-1": IMAGE}, tells="1.80.16")
        yield ModesSeen(check="mode-chat", status=200, modes={MODEL: "chat"})

    def service(self) -> Iterator[Observation]:
        yield ServiceSeen(check="service", type="ClusterIP", ports=[4000], asked=self.check("service"))
        yield EndpointsSeen(check="endpoints", endpoints=["10.1.0.7"], ready_pods=["10.1.0.7"])
        for case, body in (("models", MODELS), ("chat", completion("Danube"))):
            url = self.check("cluster-name")["base"] + INSIDE_PATHS[case]
            yield InsideSeen(
                check="cluster-name", case=case, url=url, status=200, body=json.dumps(body), node="k3s-worker-01"
            )

    # Answers

    def ask(
        self,
        arm: str,
        prompt: str,
        *,
        text: str = "",
        stream: bool = False,
        reason: str = "length",
        gap: float = 1.0,
        ms: float = 20.0,
    ) -> int:
        """Record a chat completion, which repeats the prompt if nothing else is said; gives its `seq`.

        `gap` are the milliseconds between two events of a stream, `ms` those of all of it.
        """
        text = text or f"{prompt} indeed"
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            **({"stream": True} if stream else {}),
        }
        told = completion(text, reason)
        chunks = [{"data": data, "ms": 5.0 + at * gap} for at, data in enumerate(streamed(text, reason))]
        kind = "text/event-stream" if stream else "application/json"
        own = {"x-litellm-version": "1.80.16"} if arm in ("proxied", "ingress") else {}
        exchange = Exchange(
            arm=arm,
            request={"method": "POST", "url": f"http://{arm}/v1/chat/completions", "body": body},
            status=200,
            headers={"content-type": kind, **own},
            started=1.0,
            e2e_ms=ms,
            ttft_ms=5.0 if stream else None,
            body=None if stream else json.dumps(told),
            chunks=chunks if stream else None,
        )
        return self.evidence.add(exchange)

    def answer(self, status: int, body: dict[str, Any], arm: str = "proxied") -> int:
        """Record an answer that is no stream; gives its `seq`."""
        request = {"method": "POST", "url": "http://proxied/v1/chat/completions", "body": {"model": MODEL}}
        headers = {"content-type": "application/json"}
        told = Exchange(
            arm=arm,
            request=request,
            status=status,
            headers=headers,
            started=1.0,
            e2e_ms=9.0,
            body=json.dumps(body),
        )
        return self.evidence.add(told)

    def answers(self) -> Iterator[Observation]:
        yield AnswersSeen(check="model-list", exchanges=[self.answer(200, MODELS)])
        yield AnswersSeen(check="chat-answer", exchanges=[self.ask("proxied", "Hello")])
        yield CounterSeen(check="each-request-once", metric="vllm:requests", requests=10, grown=10)
        for case in ("plain", "streamed"):
            seq = self.ask("proxied", "What is a gateway?", stream=case == "streamed")
            yield AnswersSeen(check="openai-format", case=case, exchanges=[seq])
            yield ClientRead(
                check="openai-client", case=case, client="openai 2.8", direct={"text": "a"}, proxied={"text": "a"}
            )

    def trios(self, kind: str) -> Iterator[Observation]:
        trios = []
        for at, prompt in enumerate(PROMPTS):
            seqs = [
                self.ask(arm, prompt, stream=kind == "streamed", reason="length" if at else "stop")
                for arm in ("direct", "direct again", "proxied")
            ]
            trios.append(Trio(prompt=prompt, direct=seqs[0], again=seqs[1], proxied=seqs[2]))
        for check in ("equal-answers", "answers-differ", "finish-reasons"):
            asked = self.check("finish-reasons") if check == "finish-reasons" else []
            yield TriosSeen(check=check, case=kind, trios=trios, asked=asked)

    def facts(self) -> Iterator[Observation]:
        for check in OBSERVES[FACTS]:
            for case in self.declaration.story.checks[check].cases or [""]:
                yield Fact(check=check, case=case, seen=self.check(check))

    # What is measured

    def overhead(self) -> Iterator[Observation]:
        path = self.evidence.dir / "overhead.csv"
        with self.evidence.phase("time the overhead"):
            found = timings(400, 90.0 if "overhead" in self.failing else 9.0, through=bool(self.ingress))
            last = max((at for at, each in enumerate(found) if each.arm == INGRESS), default=0)
            if self.ingress_error:
                found[last] = replace(found[last], error=self.ingress_error)
            write_timings(path, found)
        yield OverheadTimed(
            check="overhead",
            requests=side_file(path),
            blocks=[asdict(block) for block in blocks()],
            seed=7,
            pairs_asked=400,
            limit_asked_ms=100,
            place="from this machine",
            gateway_image=IMAGE,
            ingress=self.ingress,
            counted=CallsCounted(sent=len(found), answered=len(found)),
        )

    def calls(self, check: str) -> Iterator[Observation]:
        cases = self.declaration.story.checks[check].cases
        path = self.evidence.dir / f"calls-{check}.json"
        with self.evidence.phase(f"compare {len(cases)} calls"):
            path.write_text(json.dumps(recorded(cases)), encoding="utf-8")
        for each in (check, "calls-exercised"):
            yield CallsCompared(
                check=each,
                calls_file=side_file(path),
                version="1.80.16",
                image=IMAGE,
                known_issues_sha256=fingerprint(),
            )
        if check == "request-fidelity":
            own, through = (
                self.ask(f"{arm}, by a recorder", "a b c d e f g h", stream=True, gap=20.0, ms=400.0)
                for arm in ("direct", "proxied")
            )
            yield PacedByGateway(check="gateway-streams", recorder=own, exchange=through, pause=0.02)

    # Placement, Gaming Mode, misconfiguration

    def placement(self) -> Iterator[Observation]:
        for check, pod, node in (
            ("on-workers", "litellm-1", "k3s-worker-01"),
            ("not-on-gpu-worker", "litellm-1", "k3s-worker-01"),
            ("vllm-on-gpu-worker", "vllm-1", "k3s-gpu-worker"),
        ):
            yield PlacesSeen(check=check, nodes={pod: node}, asked=self.check(check))
        yield PendingSeen(
            check="stays-pending",
            pod="litellm-2",
            node=None,
            phase="Pending",
            reason="Unschedulable",
            message="0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector",
            cordoned=self.check("stays-pending"),
            seconds=5.2,
        )
        for case in self.declaration.story.checks["scheduler-asked"].cases:
            yield SchedulerAsked(
                check="scheduler-asked", case=case, forbidden_by="allowed-names", tolerant=True, nodes=ASKED
            )
        yield ResourcesSeen(check="no-gpu", requested={"litellm-1/litellm": {"cpu": "500m"}})

    def gaming_mode(self) -> Iterator[Observation]:
        yield StayedReady(check="stays-ready", seconds=20.1, looks=10, pods=1)
        error = {"error": {"message": "no backend", "type": "server_error", "param": None, "code": "500"}}
        away = self.answer(500, error, "proxied, vLLM away")
        yield AnswersSeen(check="error-in-time", exchanges=[away], asked={"seconds": 30})
        yield AnswersSeen(check="serves-again", exchanges=[self.ask("proxied, vLLM back", "Are you back?")])

    def mistakes(self) -> Iterator[Observation]:
        for case in self.declaration.story.checks["mistakes-told"].cases:
            error = {"error": {"message": f"{case} is wrong", "type": "error", "param": None, "code": "400"}}
            yield AnswersSeen(check="mistakes-told", case=case, exchanges=[self.answer(400, error, OF_ITS_OWN)])
        yield CounterSeen(check="no-key-stops-here", metric="vllm:requests", requests=1, grown=0)

    def keys(self) -> Iterator[Observation]:
        yield from self.asked_with_keys("key-asked", "proxied")

    def asked_with_keys(self, check: str, arm: str) -> Iterator[Observation]:
        yield AnswersSeen(check=check, case="own", exchanges=[self.ask(arm, "Who has the key?")])
        for case, status in (("wrong", 400), ("missing", 401)):
            error = {"error": {"message": "no key", "type": "auth_error", "param": None, "code": str(status)}}
            yield AnswersSeen(check=check, case=case, exchanges=[self.answer(status, error, arm)])

    # The way in

    def route(self) -> Iterator[Observation]:
        seq = self.ask("ingress", "Who is there?")
        yield RouteSeen(check="way-in", route=FOUND, service="litellm", url=INSIDE, port=4000, exchange=seq)

    def through(self) -> Iterator[Observation]:
        for kind in ("plain", "streamed"):
            stream = kind == "streamed"
            trios = []
            for prompt in PROMPTS:
                seqs = [self.ask(arm, prompt, stream=stream) for arm in ("proxied", "proxied again", "ingress")]
                trios.append(Trio(prompt=prompt, direct=seqs[0], again=seqs[1], proxied=seqs[2]))
            yield IngressTrios(check="ingress-answers", case=kind, route=FOUND, trios=trios)
            slow = self.ask("ingress", "Take your time", stream=stream, ms=7100)
            yield SlowAnswer(
                check="ingress-timeouts",
                case=kind,
                route=FOUND,
                exchange=slow,
                seconds=7,
                timeouts={"readTimeout": 5, "writeTimeout": 5},
                whole=True,
                events=len(streamed("Take your time indeed")),
            )
        own, through = (
            self.ask(arm, "a b c d e", stream=True, gap=100.0, ms=1200.0) for arm in ("recorder", "ingress")
        )
        yield PacedStream(
            check="ingress-streams",
            route=FOUND,
            recorder=own,
            ingress=through,
            pause=0.1,
            events=len(streamed("a b c d e indeed")),
        )
        error = {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": "400"}}
        yield LargePrompt(
            check="ingress-large-prompt",
            route=FOUND,
            direct=self.answer(400, error),
            ingress=self.answer(400, error, "ingress"),
            sent_bytes=2**20,
            sent_sha256="ab",
            arrived_bytes=2**20,
            arrived_sha256="ab",
        )
        yield ForwardedSeen(
            check="ingress-headers",
            route=FOUND,
            host=FOUND.host,
            headers={
                "x-forwarded-proto": "https",
                "x-forwarded-host": FOUND.host,
                "x-forwarded-for": "10.244.0.1",
                "x-real-ip": "10.244.0.1",
            },
            sent={"X-Forwarded-For": "203.0.113.7"},
        )
        yield from self.asked_with_keys("ingress-key-asked", "ingress")

    def turned_away(self) -> Iterator[Observation]:
        for case, path in PATHS.items():
            yield TurnedAway(
                check="plain-http",
                case=case,
                route=FOUND,
                asked=f"http://127.0.0.1{path}",
                host=FOUND.host,
                exchange=self.not_found("plain HTTP"),
            )
        for case in self.declaration.story.checks["unknown-host"].cases:
            scheme, _, what = case.partition(" ")
            yield TurnedAway(
                check="unknown-host",
                case=case,
                route=FOUND,
                asked=f"{scheme}://127.0.0.1{PATHS[what]}",
                host="nobody.invalid",
                exchange=self.not_found("unknown host"),
            )

    def not_found(self, arm: str) -> int:
        """Record an ingress' own answer to who asks for what it has no route for; gives its `seq`."""
        headers = {"content-type": "text/plain"}
        request = {"method": "GET", "url": "http://127.0.0.1/"}
        told = {"status": 404, "headers": headers, "started": 1.0, "e2e_ms": 9.0, "body": "404 page not found"}
        return self.evidence.add(Exchange.model_validate({"arm": arm, "request": request, **told}))

    def certificate(self) -> Iterator[Observation]:
        yield authority.seen(route=FOUND)


def scenario_id(name: str) -> str:
    """As pytest-bdd names the tests of a feature."""
    title, _, example = name.partition(" [")
    slug = "".join(letter if letter.isalnum() else "_" for letter in title.lower())
    return f"features/a.feature::test_{slug}" + (f"[{example}" if example else "")


def open_run(folder: Path, waivers: Mapping[str, str] | None = None, story: Path = STORY, **about: Any) -> Writer:
    """A run that has just begun, with its plan."""
    declared = Declaration.read(story).filled({**story_values(Settings()), "asks_for_key": True})
    run = Run(
        argv=["features/"],
        commit="abc1234",
        cluster="embedded",
        versions={"python": "3.11.7", "signoff": "0.1.0"},
        machine={"system": "Linux 6.1 x86_64", "cpus": 2, "memory_gib": 7.7},
        story=declared.story.model_dump(mode="json", by_alias=True),
        story_file="features/story.yaml",
        story_sha256=declared.sha256,
        waivers=dict(WAIVED if waivers is None else waivers),
        **about,
    )
    return Writer(Evidence(folder, run), declared)


def plan(writer: Writer, observed: Mapping[str, Sequence[str]]) -> None:
    """Record the scenarios by name, with the checks that each is to observe."""
    planned = [
        PlannedScenario(
            id=scenario_id(name),
            name=name.partition(" [")[0],
            feature="features/a.feature",
            line=7 + at,
            checks=list(checks),
        )
        for at, (name, checks) in enumerate(observed.items())
    ]
    writer.evidence.add(Plan(scenarios=planned, selected=[each.id for each in planned]))


OBSERVES = {
    "LiteLLM is Running": ("pod-ready", "labels", "file-layout", "configuration", "version", "mode-chat"),
    "The Service leads to LiteLLM": ("service", "endpoints", "cluster-name"),
    "Chat completions are answered": (
        "model-list",
        "chat-answer",
        "each-request-once",
        "openai-format",
        "openai-client",
    ),
    "The answer matches vLLM's [plain]": ("equal-answers", "answers-differ", "finish-reasons"),
    "The answer matches vLLM's [streamed]": ("equal-answers", "answers-differ", "finish-reasons"),
    "The latency overhead is below 100 ms (NFR66)": ("overhead",),
    "The response format matches vLLM's": ("response-format", "calls-exercised"),
    "Requests arrive as they were sent": ("gateway-streams", "request-fidelity", "calls-exercised"),
    "LiteLLM stays off the GPU worker": (
        "on-workers",
        "not-on-gpu-worker",
        "vllm-on-gpu-worker",
        "stays-pending",
        "scheduler-asked",
        "no-gpu",
    ),
    "LiteLLM outlives its backend": ("stays-ready", "error-in-time", "serves-again"),
    "Mistakes are told": ("mistakes-told", "no-key-stops-here"),
    "Nobody is answered without the key": ("key-asked",),
    "The ingress passes on what it should": (
        "ingress-answers",
        "ingress-streams",
        "ingress-timeouts",
        "ingress-large-prompt",
        "ingress-headers",
        "ingress-key-asked",
    ),
    "The ingress turns others away": ("plain-http", "unknown-host"),
    "The certificate is good": ("certificate",),
    **({FACTS: FACTUAL} if FACTUAL else {}),
}
"""The checks of each scenario, as their Then steps would declare them; what the route leads to is left out."""


def set_up(writer: Writer) -> None:
    """Record where it runs."""
    add = writer.evidence.add
    nodes = ["k3s-gpu-worker", "k3s-worker-01", "k3s-worker-02"]
    add(under_test(StoryManifests.read()))
    add(Cluster(provider="embedded", kubernetes_version="v1.35.4", nodes=nodes, start_seconds={"total": 3.1}))
    for kind, reason in (
        ("Deployment", ""),
        (
            "Certificate",
            "not judged, for the cluster does not know Certificate of cert-manager.io/v1: its CRD is not installed",
        ),
    ):
        add(
            Applied(
                file="litellm/deployment.yaml",
                sha256="ab" * 32,
                object=f"{kind}/litellm",
                object_sha256="cd" * 32,
                reason=reason,
                images=[IMAGE] if not reason else [],
            )
        )
    with writer.evidence.phase("vLLM becomes available", set_up=True):
        add(PodPlace(pod="vllm-1", node="k3s-gpu-worker"))
        add(PodPlace(pod="litellm-1", node="k3s-worker-01"))
    add(Backend(version="0.32.0+cpu"))


def bundle(writer: Writer, name: str) -> None:
    """Write a state of the cluster, as for a scenario that did not pass."""
    (writer.evidence.dir / "bundles").mkdir()
    (writer.evidence.dir / "bundles" / f"{name}.txt").write_text("likely cause: a taint\n")


def finish(writer: Writer, *, interrupted: bool = False) -> Result:
    """End the run as the plug-in does: judge what lies on the disk, draw, write junit.xml, seal."""
    folder = writer.evidence.dir
    writer.evidence.add(End(interrupted=interrupted, pytest_status=2 if interrupted else 0))
    writer.evidence.close()
    result = Result(read(folder))
    report.write(result)
    (folder / "junit.xml").write_text(f'<testsuites verdict="{result.headline}"/>')
    report.seal(folder)
    return result


def whole_run(
    folder: Path, waivers: Mapping[str, str] | None = None, *, ingress: str = "", ingress_error: str = "", **about: Any
) -> Result:
    """A run in which everything passed, and which is signed off with a waiver for what is left out."""
    writer = open_run(folder, waivers, **about)
    writer.ingress, writer.ingress_error = ingress, ingress_error
    left_out = "way-in" in (WAIVED if waivers is None else waivers)
    observed = OBSERVES if left_out else {**OBSERVES, ROUTE: ("way-in",)}
    plan(writer, observed)
    set_up(writer)
    writer.play(list(observed))
    bundle(writer, "a-scenario")
    return finish(writer)


def troubled_run(folder: Path, *, ingress: str = "", ingress_error: str = "", **about: Any) -> Result:
    """A run in which one of everything went wrong."""
    writer = open_run(folder, {}, **about)
    writer.ingress, writer.ingress_error = ingress, ingress_error
    plan(writer, {**OBSERVES, "The certificate is obtained": ("way-in",)})
    set_up(writer)
    writer.failing = frozenset({"pod-ready", "overhead"})
    writer.left_out = frozenset({"configuration", "labels"})
    gone_wrong = ("LiteLLM outlives its backend", "The Service leads to LiteLLM", "Mistakes are told")
    writer.play([name for name in OBSERVES if name not in gone_wrong])
    bundle(writer, "a-test")
    away = scenario_id("LiteLLM outlives its backend")
    writer.evidence.scenario = away
    writer.evidence.add(Disturbance(cause=Cause(subject=Subject.BACKEND, what="vLLM ended: OOMKilled (exit code 137)")))
    silent = Cause(subject=Subject.GATEWAY, what="http://litellm:4000 did not answer within 30 s")
    writer.evidence.add(
        ScenarioEnd(
            id=away,
            end="error",
            step="LiteLLM stays Ready",
            unobserved=["stays-ready", "error-in-time", "serves-again"],
            cause=silent,
            seconds=31.2,
            bundle="bundles/a-test.txt",
        )
    )
    writer.evidence.scenario = ""
    reason = "the cluster lacks certificates"
    writer.evidence.add(ScenarioEnd(id=scenario_id("The certificate is obtained"), end="skipped", skipped=reason))
    return finish(writer)


# What is exchanged and timed


def completion(text: str, reason: str = "length") -> dict[str, Any]:
    """An OpenAI chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13},
    }


def streamed(text: str, reason: str = "length") -> list[str]:
    """The same as a stream's events."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": word}, None) for word in text.split(" ")),
        ({}, reason),
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}
    events = [{**base, "choices": [{"index": 0, "delta": d, "finish_reason": end}]} for d, end in deltas]
    return [json.dumps(each) for each in (*events, {**base, "choices": [], "usage": usage})] + ["[DONE]"]


def timings(pairs: int, added: float, *, through: bool = False) -> list[Timing]:
    """Rounds in which LiteLLM adds about so many milliseconds, to a stream twice as much.

    Half of them ask `through` an ingress as well, if asked for, which adds 2 ms.
    """
    rng = random.Random(3)
    found = []
    for at in range(pairs):
        stream = bool(at % 2)
        arms: tuple[Arm, ...] = (*ARMS, INGRESS) if through and at % 4 < 2 else ARMS
        for position, arm in enumerate(arms):
            ms = 12 + rng.random() + (added * (1 + stream) if arm in ("proxied", INGRESS) else 0) + 2 * (arm == INGRESS)
            found.append(
                Timing(
                    round=at,
                    position=position,
                    arm=arm,
                    started=float(at),
                    ms=round(ms, 3),
                    streamed=stream,
                    ttft_ms=round(ms / 2, 3) if stream else None,
                    itl_ms=0.5 if stream else None,
                    tokens=8,
                    header_ms=1.1 if arm == "proxied" and not stream else None,
                    cpu_ms=1.2,
                    prompt_tokens=30,
                    pieces=8 if stream else None,
                    characters=40,
                )
            )
    return found


def blocks() -> list[Block]:
    """Blocks of one arm at a time."""
    return [
        Block("direct", 20, 12.9, 11.1),
        Block("proxied", 20, 21.9, 11.2, 1.1),
        Block("hop", 20, 1.8),
    ]


def write_timings(path: Path, rows: Sequence[Timing]) -> None:
    """As the steps write them: a line for each request."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, [each.name for each in fields(Timing)])
        lines.writeheader()
        lines.writerows(asdict(each) for each in rows)


@lru_cache(maxsize=1)
def _matrix() -> Mapping[str, Any]:
    with lzma.open(RECORDED, "rt", encoding="utf-8") as file:
        return {run["id"]: run for run in json.load(file)["runs"]}


def recorded(calls: Sequence[str]) -> list[dict[str, Any]]:
    """These calls as a real vLLM and a real LiteLLM answered them."""
    return [_matrix()[f"{call}/hosted_vllm" if f"{call}/hosted_vllm" in _matrix() else call] for call in calls]
