"""Evidence of the versions before this one, by today's names: read only, never written.

Version 1 had other names for some kinds and fields (`current`). Lines of version 0 were of no schema (`upgrade`).

Version 0 judged within its steps and recorded a scenario at its end, so what its Then steps saw is put together here
from its records, the scenario's name, and the step at which the scenario ended. Of the checks that version 0 did not
have nothing is made, so they are not judged; of a Then step after the one at which the scenario ended neither.

What version 0 did not keep, and what stands for it here:

- whether a pod was Ready: one that is Running counts as Ready, unless the scenario ended at the very step that looks
  at that; then those count as not Ready that are not Running, and all of them where all are;
- the scheduler's reason for a pending pod: "Unschedulable", unless the scenario ended at the step that looks at it;
- how often LiteLLM was looked at in Gaming Mode: once a second;
- whose doing an error was: LiteLLM's, where version 0 said "failed"; the suite's, where it said "inconclusive";
- which scenarios were selected: those that ended, in a run that came to its end; all others;
- the hashes of the files beside the evidence: those that the files have now.

A killed run may end in the middle of a scenario, of which nothing is told then but its exchanges.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from signoff import story
from signoff.core.errors import SignoffError
from signoff.core.paths import FEATURES
from signoff.evidence.chain import FILE, side_file
from signoff.evidence.models import (
    AnswersSeen,
    Applied,
    Backend,
    CallsCompared,
    Cause,
    ClearedAway,
    Cluster,
    CounterSeen,
    End,
    EndpointsSeen,
    Exchange,
    LabelsSeen,
    NoAnswer,
    Note,
    Observation,
    OverheadTimed,
    PendingSeen,
    Phase,
    PlacesSeen,
    Plan,
    PlannedScenario,
    PodPlace,
    PodsSeen,
    Record,
    Run,
    ScenarioEnd,
    ServiceSeen,
    SetUpFailure,
    SideFile,
    StayedReady,
    Subject,
    Trio,
    TriosSeen,
)
from signoff.settings import Settings, story_values
from signoff.story.declaration import FILE as STORY_FILE
from signoff.story.declaration import Declaration

Json = dict[str, Any]
R = TypeVar("R", bound=Record)

VERSION_1 = "signoff.evidence/1"
FORMER_KINDS = {"load-void": "load-invalid", "leftovers": "cleanup"}
FORMER_FIELDS = {
    "voids": "invalid_spans",
    "mix": "workload",
    "most_prompt_tokens": "max_prompt_tokens",
    "most_answer_tokens": "max_answer_tokens",
}
"""Names that version 1 wrote, and those that took their place; the fields are those of a load."""

TIMINGS, CALLS = "overhead.csv", "parity.json"
ERROR_SECONDS = 30
PENDING_SECONDS = 5.0
FINISH_REASONS = ("length", "stop")
KINDS = ("Deployment", "Service", "ConfigMap", "Pod")
"""What the features and steps of version 0 asked for, where its records do not say it."""
_SET_UP = {"apply the manifests", "vLLM becomes available", "LiteLLM becomes available"}
"""The phases of what all scenarios share."""


def current(record: Json) -> Json:
    """A line of version 1 with the names of today: its kind's, and those of its fields."""
    match record:
        case {"kind": str(kind)} if kind in FORMER_KINDS:
            return {**record, "kind": FORMER_KINDS[kind]}
        case {"kind": "load", "run": dict(run)}:
            return {**record, "run": current_load(run)}
        case {"kind": "parity-calls", "knowledge_sha256": judged_by, **others}:
            return {**others, "kind": "parity-calls", "known_issues_sha256": judged_by}
    return record


def current_load(run: Json) -> Json:
    """What a load says of itself, with the field names of today."""
    return {
        FORMER_FIELDS.get(name, name): current_load(value) if isinstance(value, dict) else value
        for name, value in run.items()
    }


@dataclass
class Past:
    """A scenario of version 0: its own record, and those before it with the numbers that they have now."""

    folder: Path
    end: Json
    records: Sequence[tuple[int, Json]]
    image: str

    def of(self, kind: str) -> list[tuple[int, Json]]:
        """The records of a kind, in their order."""
        return [(seq, each) for seq, each in self.records if each["kind"] == kind]

    def last(self, kind: str) -> Json | None:
        """The last record of a kind."""
        return next((each for _, each in reversed(self.of(kind))), None)

    def exchanges(self, arm: str) -> list[tuple[int, Json]]:
        """The exchanges with one side."""
        return [(seq, each) for seq, each in self.of("exchange") if each["arm"] == arm]

    @property
    def place(self) -> int | None:
        """Where in its table's row the step at which it ended stands; None where it does not."""
        steps = SCENARIOS.get(self.end["name"], ())
        return next((at for at, each in enumerate(steps) if self.end["step"].startswith(each.begins)), None)

    @property
    def reached(self) -> "tuple[Step, ...]":
        """The steps of its row that it reached, of which some may have recorded nothing.

        An error outside of all steps lies in the set-up, where nothing is recorded yet, or behind all of them.
        """
        steps = SCENARIOS.get(self.end["name"], ())
        if self.end["outcome"] == "skipped":
            return ()
        if self.end["outcome"] == "passed" or not self.end["step"]:
            return steps
        return () if self.place is None else steps[: self.place + 1]

    def ended_at(self, step: "Step") -> bool:
        """Whether this is the step that did not pass."""
        return self.end["outcome"] != "passed" and bool(self.end["step"]) and self.end["step"].startswith(step.begins)


See = Callable[[Past, bool], Iterator[Record]]
"""What a Then step saw in a scenario; the second argument says whether the scenario ended at it."""


@dataclass(frozen=True)
class Step:
    """A step by how its text begins, and the check that it observes; a When step stands here only behind a Then."""

    begins: str
    check: str = ""
    see: See | None = None


# What a Then step saw


def _pods(past: Past, ended_here: bool) -> Iterator[Record]:
    for _, told in past.of("pods"):
        states = told["pods"]
        unready = _unready(states) if ended_here else []
        yield PodsSeen(
            check="pod-ready",
            selector=f"app.kubernetes.io/name={story.GATEWAY} in {story.NAMESPACE}",
            ready={pod: _is_running(state) and pod not in unready for pod, state in states.items()},
            states=states,
        )


def _is_running(state: str) -> bool:
    return state.startswith("Running")


def _unready(states: Mapping[str, str]) -> list[str]:
    """Which of these pods keep the others from being all Ready, as far as that can be told."""
    return [pod for pod, state in states.items() if not _is_running(state)] or list(states)


def _labels(past: Past, _here: bool) -> Iterator[Record]:
    for _, told in past.of("labels"):
        for kind in KINDS:
            own = {name: labels for name, labels in told["labels"].items() if name.startswith(f"{kind}/")}
            yield LabelsSeen(check="labels", case=kind, labels=own, asked=dict(story.GATEWAY_LABELS))


def _service(past: Past, _here: bool) -> Iterator[Record]:
    for _, told in past.of("service"):
        asked = {"type": "ClusterIP", "port": story.GATEWAY_PORT}
        yield _taken(ServiceSeen, told, check="service", asked=asked)


def _endpoints(past: Past, _here: bool) -> Iterator[Record]:
    for _, told in past.of("endpoints"):
        yield _taken(EndpointsSeen, told, check="endpoints")


def _answer(check: str, arm: str = "proxied", *, case: str = "") -> See:
    """The only answer of that arm."""

    def see(past: Past, _here: bool) -> Iterator[Record]:
        for seq, _told in past.exchanges(arm)[-1:]:
            yield AnswersSeen(check=check, case=case, exchanges=[seq])

    return see


def _format(past: Past, _here: bool) -> Iterator[Record]:
    for seq, told in past.exchanges("proxied")[-1:]:
        yield AnswersSeen(check="openai-format", case=_kind(told), exchanges=[seq])


def _kind(exchange: Json) -> str:
    return "streamed" if exchange["request"]["body"].get("stream") else "plain"


def _error_in_time(past: Past, _here: bool) -> Iterator[Record]:
    for seq, _told in past.exchanges("proxied, vLLM away")[-1:]:
        yield AnswersSeen(check="error-in-time", exchanges=[seq], asked={"seconds": ERROR_SECONDS})


def _serves_again(past: Past, _here: bool) -> Iterator[Record]:
    if tries := [seq for seq, _ in past.exchanges("proxied, vLLM back")]:
        yield AnswersSeen(check="serves-again", exchanges=tries)


def _trios(check: str, asked: Sequence[str] = ()) -> See:
    def see(past: Past, _here: bool) -> Iterator[Record]:
        arms = [past.exchanges(arm) for arm in ("direct", "direct again", "proxied")]
        found = [
            Trio(prompt=told["request"]["body"]["messages"][-1]["content"], direct=seq, again=again, proxied=proxied)
            for (seq, told), (again, _), (proxied, _) in zip(*arms, strict=False)
        ]
        if found:
            kind = _kind(arms[0][0][1])
            yield TriosSeen(check=check, case=kind, trios=found, asked=list(asked))

    return see


def _counter(check: str) -> See:
    def see(past: Past, _here: bool) -> Iterator[Record]:
        for _, told in past.of("counter"):
            requests = told["expected"] or 1
            yield CounterSeen(check=check, metric=told["metric"], requests=requests, grown=told["grown"])

    return see


def _stayed_ready(past: Past, _here: bool) -> Iterator[Record]:
    for _, told in past.of("gaming-mode"):
        states, seconds = told["pods"], told.get("seconds", 0)
        unready = _unready(states) if told["ready"] < len(states) else []
        yield StayedReady(
            check="stays-ready",
            seconds=seconds,
            looks=max(1, round(seconds)),
            pods=len(states),
            not_ready=[f"{pod}: {states[pod]}" for pod in unready],
        )


def _places(check: str, asked: Sequence[str]) -> See:
    def see(past: Past, _here: bool) -> Iterator[Record]:
        found = [told for _, told in past.of("placement") if "allowed" in told and "phase" not in told]
        if found:
            nodes = {told["pod"]: told["node"] for told in found}
            yield PlacesSeen(check=check, nodes=nodes, asked=list(asked))

    return see


def _pending(past: Past, ended_here: bool) -> Iterator[Record]:
    for _, told in past.of("placement"):
        if "phase" in told:
            yield PendingSeen(
                check="stays-pending",
                pod=told["pod"],
                node=told["node"],
                phase=told["phase"],
                reason="" if ended_here else "Unschedulable",
                message=told["scheduler"] or "",
                cordoned=told["allowed"],
                seconds=PENDING_SECONDS,
            )


def _overhead(past: Past, _here: bool) -> Iterator[Record]:
    told, plan, place = past.last("overhead"), past.last("overhead-plan"), past.last("timing-place")
    if told is None or plan is None:
        return
    file = _beside(past.folder, TIMINGS)
    if file is None:
        yield Note(text=f"{TIMINGS} is gone, which held the requests that the overhead was judged from")
        return
    yield OverheadTimed(
        check="overhead",
        requests=file,
        blocks=[{key: value for key, value in block.items() if key not in _HEAD} for _, block in past.of("block")],
        seed=plan["seed"],
        pairs_asked=plan["pairs"],
        limit_asked_ms=told["limit_ms"],
        place=place["place"] if place else "",
        gateway_image=past.image,
    )


def _calls(check: str) -> See:
    def see(past: Past, _here: bool) -> Iterator[Record]:
        told, only = past.last("parity-matrix"), [each["id"] for _, each in past.of("parity-call")]
        if told is None:
            return
        file = _beside(past.folder, CALLS)
        if file is None or not set(only) <= _ids(past.folder / CALLS):
            yield Note(text=f"{CALLS} is gone or damaged, which held the calls that {check} was judged from")
            return
        version, image = told["litellm"]["version"], told["litellm"]["image"]
        yield CallsCompared(check=check, calls_file=file, only=only, version=version, image=image)

    return see


def _ids(path: Path) -> set[str]:
    try:
        return {each["id"] for each in json.loads(path.read_bytes())["runs"]}
    except (ValueError, KeyError, TypeError):
        return set()


def _beside(folder: Path, name: str) -> SideFile | None:
    try:
        return SideFile(**side_file(folder / name))
    except OSError:
        return None


SCENARIOS: dict[str, tuple[Step, ...]] = {
    "The answer matches the model output from vLLM": (
        Step("LiteLLM's text, finish_reason and usage", "equal-answers", _trios("equal-answers")),
        Step("the answers of vLLM differ", "answers-differ", _trios("answers-differ")),
        Step("vLLM itself ended answers", "finish-reasons", _trios("finish-reasons", FINISH_REASONS)),
    ),
    "The latency overhead is below 100 ms (NFR66)": (Step("the overhead is below", "overhead", _overhead),),
    "The LiteLLM pod starts in the ml namespace": (Step("the LiteLLM pod is Running", "pod-ready", _pods),),
    "LiteLLM carries the standard labels": (Step("the LiteLLM objects carry", "labels", _labels),),
    "LiteLLM is reached by a ClusterIP Service on port 4000": (
        Step("the Service litellm is of type", "service", _service),
        Step("the Service litellm sends to", "endpoints", _endpoints),
    ),
    "LiteLLM lists the model of its configuration": (
        Step("the answer is an OpenAI model list", "model-list", _answer("model-list")),
    ),
    "LiteLLM answers a chat completion": (Step("the answer has status 200", "chat-answer", _answer("chat-answer")),),
    "A model name that vLLM does not serve": (
        Step(
            "the answer is an OpenAI error",
            "mistakes-told",
            _answer("mistakes-told", "a LiteLLM of its own", case="qwen2.5:14b"),
        ),
    ),
    "A missing api_key": (
        Step(
            "the answer is an OpenAI error",
            "mistakes-told",
            _answer("mistakes-told", "a LiteLLM of its own", case="api_key"),
        ),
        Step("vLLM's own counter has grown", "no-key-stops-here", _counter("no-key-stops-here")),
    ),
    "LiteLLM outlives its backend": (
        Step("LiteLLM stays Ready", "stays-ready", _stayed_ready),
        Step("LiteLLM answers a chat completion with", "error-in-time", _error_in_time),
        Step("vLLM is scaled back"),
        Step("LiteLLM serves chat completions again", "serves-again", _serves_again),
    ),
    "The response format matches vLLM's": (
        Step("no difference fails", "response-format", _calls("response-format")),
        Step("vLLM exercised every call", "calls-exercised", _calls("calls-exercised")),
    ),
    "Requests arrive as they were sent, and a broken answer never looks whole": (
        Step("no difference fails", "request-fidelity", _calls("request-fidelity")),
        Step("vLLM exercised every call", "calls-exercised", _calls("calls-exercised")),
    ),
    "LiteLLM runs on a worker without a GPU": (
        Step("every LiteLLM pod runs on", "on-workers", _places("on-workers", story.ALLOWED_NODES)),
    ),
    "LiteLLM rather waits than runs on the GPU worker": (
        Step("the new LiteLLM pod stays Pending", "stays-pending", _pending),
        Step("no LiteLLM pod runs on", "not-on-gpu-worker", _places("not-on-gpu-worker", [story.GPU_NODE])),
    ),
    "Each chat completion reaches vLLM once": (
        Step("vLLM's own counter has grown", "each-request-once", _counter("each-request-once")),
    ),
    "Answers are in OpenAI API format": (Step("the answer is in OpenAI API format", "openai-format", _format),),
}
"""The scenarios of version 0 by their names, with their steps from the first Then on."""


# The records


_HEAD = ("at", "monotonic", "kind")


def _taken(model: type[R], told: Json, **more: Any) -> R:
    """A record whose fields were called the same in version 0; what it has besides is left out."""
    taken = {name: told[name] for name in model.model_fields if name in told and name != "kind"}
    return model.model_validate({**taken, **more})


def _placement(told: Json) -> Record | None:
    """A pod that was waited for; one with the nodes that are allowed is what a Then step saw."""
    return None if "allowed" in told else _taken(PodPlace, told)


def _no_answer(told: Json) -> Record:
    body = {"messages": [{"role": "user", "content": told["prompt"]}], "stream": told["stream"]}
    return NoAnswer(arm=told["arm"], request={"body": body}, error=told["error"])


def _set_up_failure(told: Json) -> Record:
    cause = Cause(subject=Subject.SUITE, what=told["what"])
    return SetUpFailure(cause=cause, where=told["where"], traceback=told["traceback"])


def _end(told: Json) -> Record:
    return End(interrupted=told["exitstatus"] == 2, pytest_status=told["exitstatus"])


RECORDS: dict[str, Callable[[Json], Record | None]] = {
    "cluster": lambda told: _taken(Cluster, told),
    "manifest": lambda told: _taken(Applied, told),
    "leftovers": lambda told: _taken(ClearedAway, told),
    "backend": lambda told: _taken(Backend, told),
    "phase": lambda told: _taken(Phase, told, set_up=told["name"] in _SET_UP),
    "placement": _placement,
    "exchange": lambda told: _taken(Exchange, told),
    "no-answer": _no_answer,
    "setup-failure": _set_up_failure,
    "end": _end,
}
"""What has a record of its own in version 1; the rest were judgements, or are part of what a Then step saw."""


def _run(told: Json) -> Run:
    declared = Declaration.read(FEATURES / STORY_FILE).filled(story_values(Settings()))
    return _taken(
        Run,
        told,
        tool="features",
        cluster=told["settings"]["cluster"],
        story=declared.story.model_dump(mode="json", by_alias=True),
        story_file=f"features/{STORY_FILE}",
        story_sha256=declared.sha256,
    )


def _plan(told: Json, ended: Sequence[str], *, whole: bool) -> Plan:
    scenarios = [
        PlannedScenario(
            id=each["id"],
            name=each["name"],
            feature=each["feature"],
            checks=[step.check for step in SCENARIOS.get(each["name"], ()) if step.check],
        )
        for each in told["scenarios"]
    ]
    return Plan(scenarios=scenarios, selected=[each.id for each in scenarios if not whole or each.id in ended])


def _seen(past: Past) -> list[tuple[Step, Record]]:
    """What the Then steps that were reached saw."""
    return [(step, record) for step in past.reached if step.see for record in step.see(past, past.ended_at(step))]


def _scenario_end(past: Past, seen: Sequence[tuple[Step, Record]]) -> ScenarioEnd:
    told = past.end
    judged = any(past.ended_at(step) and isinstance(record, Observation) for step, record in seen)
    end: Literal["whole", "judged", "error", "skipped"] = "judged" if judged else "error"
    if told["outcome"] == "passed":
        end = "whole"
    elif told["outcome"] == "skipped":
        end = "skipped"
    cause = None
    if end == "error":
        subject = Subject.SUITE if told["outcome"] == "inconclusive" else Subject.GATEWAY
        # Behind the message of an assertion stands what pytest saw of its expression.
        what = told["reason"].partition("\nassert ")[0] or f"version 0 called it {told['outcome']}"
        cause = Cause(subject=subject, what=what)
    return ScenarioEnd(
        id=told["id"],
        end=end,
        step=told["step"],
        unobserved=_unobserved(past, seen) if end == "error" else [],
        cause=cause,
        skipped=told["reason"] if end == "skipped" else "",
        seconds=round(max(0.0, told["seconds"] - _shared_seconds(past)), 3),
        bundle=told["bundle"],
    )


def _unobserved(past: Past, seen: Sequence[tuple[Step, Record]]) -> list[str]:
    """The checks of the scenario of which nothing was seen."""
    observed = {record.check for _, record in seen if isinstance(record, Observation)}
    checks = [step.check for step in SCENARIOS.get(past.end["name"], ()) if step.check]
    return [name for name in dict.fromkeys(checks) if name not in observed]


def _shared_seconds(past: Past) -> float:
    """What of a scenario's time went into what all share: the cluster's start, and the phases of the set-up."""
    cluster = past.last("cluster") or {}
    phases = [told["seconds"] for _, told in past.of("phase") if told["name"] in _SET_UP]
    return float(sum(phases) + cluster.get("start_seconds", {}).get("total", 0.0))


# The whole


@dataclass
class _Upgrade:
    """The evidence of a run while it is written again."""

    folder: Path
    ended: Sequence[str]
    whole: bool
    lines: list[Json] = field(default_factory=list)
    image: str = ""
    _since: list[tuple[int, Json]] = field(default_factory=list)
    """The records since the last scenario's end, with the numbers that they have now."""

    def take(self, told: Json, scenario: str) -> None:
        """One record of version 0, and the scenario that it belongs to."""
        kind = told["kind"]
        if kind == "run":
            self.image = told["settings"].get("litellm_image") or ""
            self._add(_run(told), told)
        elif kind == "plan":
            self._add(_plan(told, self.ended, whole=self.whole), told)
        elif kind == "scenario":
            past = Past(self.folder, told, self._since, self.image)
            seen = _seen(past)
            for each in [*(record for _, record in seen), _scenario_end(past, seen)]:
                self._add(each, told, scenario)
            self._since = []
        else:
            if kind == "manifest" and told["object"] == f"Deployment/{story.GATEWAY}" and told["images"]:
                self.image = self.image or told["images"][0]
            self._since.append((len(self.lines), told))
            make = RECORDS.get(kind)
            if make and (record := make(told)):
                self._add(record, told, scenario)

    def _add(self, record: Record, told: Json, scenario: str = "") -> None:
        head = {"seq": len(self.lines), "prev": "", "at": told["at"], "monotonic": told["monotonic"]}
        self.lines.append({**head, "scenario": scenario, **record.model_dump(mode="json", by_alias=True)})


def upgrade(objects: list[Json], folder: Path) -> list[Json]:
    """The objects of an `evidence.jsonl` of version 0, as those of version 1.

    Raises:
        SignoffError: they are none, or one of them is damaged.
    """
    path = folder / FILE
    if objects[0].get("kind") != "run":
        raise SignoffError("the evidence names no schema, and does not begin as that of version 0", where=str(path))
    kinds = [each.get("kind") for each in objects]
    ended = [str(each.get("id")) for each in objects if each.get("kind") == "scenario"]
    made = _Upgrade(folder, ended, whole="end" in kinds)
    to_come = list(ended)
    for number, told in enumerate(objects, start=1):
        try:
            made.take(told, to_come[0] if to_come else "")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"line {number} of the evidence ({told.get('kind')}, version 0) is damaged: {error!r}"
            raise SignoffError(what, where=f"{path}:{number}") from None
        if told.get("kind") == "scenario":
            to_come.pop(0)
    return made.lines
