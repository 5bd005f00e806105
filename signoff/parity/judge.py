"""What an observation means: each difference gets its class, the run the gravest of them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from signoff.in_cluster.received import Received
from signoff.parity.differ import MISSING, SOMETHING, Difference, differences, own_violations
from signoff.parity.exchange import Exchange, content_deltas
from signoff.parity.known_issues import KnownIssue, KnownIssues, matches, shape
from signoff.parity.runner import KEY, Observation
from signoff.verdicts.verdict import Value


class Class(Enum):
    """How a run or a difference is classed; a run is never better than the gravest of its differences."""

    EQUAL = "equal"
    NORMALISED = "normalised"
    RELOCATED = "relocated or lost"
    DEFECT = "defect"
    VACUOUS = "vacuous"
    INCONCLUSIVE = "inconclusive"


GRAVITY = (Class.EQUAL, Class.NORMALISED, Class.RELOCATED, Class.DEFECT)
"""The classes of what was judged, from the best to the worst."""
CONTENT = ("body.choices*", "body.data[].embedding*")
"""Where vLLM must repeat itself for a run to prove anything."""
OF_A_MODEL = (
    "body.choices*",
    "client.text*",
    "client.finish*",
    "client.tool_calls*",
    "body.usage.completion_tokens",
    "body.usage.total_tokens",
)
"""What a model that does not repeat itself may say otherwise the next time: judged by rates, where these are known."""
ENDS = ("stop", "length")
"""Why an answer of another length may end otherwise."""
_MANY = 6
"""Events of a stream that a proxy which does not hold them back cannot have made one of."""
GUIDED = {"tools", "response_format", "structured_outputs"}
"""Parameters that leave the model so little room that two prompts may well get the same answer."""


@dataclass(frozen=True)
class Judged:
    """One difference with its class, and the entry of known.yaml that explains it, if one does."""

    difference: Difference
    verdict: Class
    known: KnownIssue | None

    def to_record(self) -> dict[str, Any]:
        """In JSON types."""
        return {
            **self.difference.to_record(),
            "class": self.verdict.value,
            "known": self.known.id if self.known else None,
        }


@dataclass(frozen=True)
class Result:
    """One run, judged."""

    observation: Observation
    verdict: Class
    reason: str
    differences: tuple[Judged, ...]
    noise: tuple[str, ...]
    vllm: dict[str, str]
    """vLLM's own violations of OpenAI's schema, by path."""

    def to_record(self) -> dict[str, Any]:
        """In JSON types, with everything that was exchanged."""
        seen = self.observation
        case = seen.run.case
        return {
            "id": seen.run.id,
            "family": case.family,
            "case": case.name,
            "about": case.about,
            "mode": seen.run.mode,
            "prefix": seen.run.prefix,
            "settings": seen.run.settings,
            "class": self.verdict.value,
            "reason": self.reason,
            "differences": [each.to_record() for each in self.differences],
            "noise": list(self.noise),
            "vllm_violations": self.vllm,
            **seen.to_record(),
        }


def judge(observations: Sequence[Observation], known_issues: KnownIssues, version: str) -> list[Result]:
    """Judge every observation of one matrix; texts that several prompts share prove nothing."""
    shared = _shared_texts(observations)
    return [_judge(each, known_issues, version, shared) for each in observations]


def _judge(seen: Observation, known_issues: KnownIssues, version: str, shared: set[str]) -> Result:
    case = seen.run.case
    if seen.unseen:
        return Result(seen, Class.INCONCLUSIVE, seen.unseen, (), (), {})
    found, noise = _compared(seen)
    known = known_issues.of(seen.run.id, version)
    judged = tuple(sorted((_classed(each, known, seen) for each in found), key=_order))
    worst = max((each.verdict for each in judged), key=GRAVITY.index, default=Class.EQUAL)
    reason = ""
    if silence := _silence(seen):
        worst, reason = Class.INCONCLUSIVE, silence
    elif why := _vacuous(seen, shared):
        worst, reason = Class.VACUOUS, why
    elif seen.mismatch is not None:
        reason = seen.mismatch.sentence
        if seen.mismatch.verdict is Value.INCONCLUSIVE and worst is not Class.DEFECT:
            worst = Class.INCONCLUSIVE
    elif worst is not Class.DEFECT and (noisy := [path for path in noise if matches(path, CONTENT)]):
        worst, reason = Class.INCONCLUSIVE, f"vLLM does not repeat itself at {noisy[0]}"
    own = own_violations(seen.direct, case.kind) if case.expect is None else {}
    return Result(seen, worst, reason, judged, tuple(noise), own)


def _silence(seen: Observation) -> str:
    """Why vLLM itself did not answer, if so; a client that leaves wants no answer."""
    if seen.run.case.leave_after is not None:
        return ""
    silent = (f"vLLM did not answer: {each.broken}" for each in (seen.direct, seen.again) if not each.status)
    return next(silent, "")


def _order(judged: Judged) -> tuple[int, str]:
    return -GRAVITY.index(judged.verdict), judged.difference.path


def _compared(seen: Observation) -> tuple[list[Difference], list[str]]:
    case = seen.run.case
    if case.expect is not None:
        return list(_expected(seen)), []
    if case.leave_after is not None:
        assert seen.stopped is not None
        noticed, proxied = seen.stopped
        found = [] if noticed == proxied else [Difference("backend.stopped", "changed", noticed, proxied)]
        return [*found, *_request(seen)], []
    sides = (seen.direct, seen.again, seen.proxied)
    compared, noise = differences(sides, case.kind, seen.clients, all_headers=case.all_headers)
    found = [*(each for each in compared if not _names_the_route(each, seen)), *_request(seen)]
    if seen.follow_up and seen.follow_up[0].status != seen.follow_up[1].status:
        found.append(Difference("next.status", "changed", seen.follow_up[0].status, seen.follow_up[1].status))
    noisy = sorted(noise)
    if seen.mismatch is not None and (case.repeats or seen.mismatch.control):
        noisy = []
        by_chance = _is_of_content if case.repeats else _is_a_mood
        found = [each for each in found if not by_chance(each)]
        if seen.mismatch.verdict is Value.FAILED:
            found.append(Difference("rates.mismatch", "changed", seen.mismatch.control, seen.mismatch.proxied))
    return found, noisy


def _is_of_content(difference: Difference) -> bool:
    return matches(difference.path, (*CONTENT, "client.*"))


def _is_a_mood(difference: Difference) -> bool:
    """Whether a model that does not repeat itself may differ so from itself: in values, and never in the form."""
    if not matches(difference.path, OF_A_MODEL):
        return False
    if "finish" in difference.path:
        return difference.proxied in ENDS
    within_a_choice = shape(difference.path).count("[]") > 1
    ended = difference.path.endswith("stop_reason") and difference.kind == "retyped"
    return within_a_choice or ended or difference.kind == "changed"


def _names_the_route(difference: Difference, seen: Observation) -> bool:
    """Whether the answer names the model as it was asked for, which vLLM does as well: by the route's own name.

    In a list of models that name may stand at any place, behind others of the same configuration.
    """
    if seen.run.case.kind == "models" and difference.path == "body.data[0].id":
        body = seen.proxied.parsed
        listed = body.get("data") if isinstance(body, dict) else None
        return any(isinstance(each, dict) and each.get("id") == seen.route for each in listed or [])
    return difference.path in ("body.model", "chunks[].model") and difference.proxied == seen.route


def _expected(seen: Observation) -> Iterator[Difference]:
    """Against the answer that the case itself names, since vLLM has none."""
    expected, proxied = seen.run.case.expect or {}, seen.proxied
    if proxied.status != expected["status"]:
        yield Difference("status", "changed", expected["status"], proxied.status)
    body = proxied.parsed
    if expected["status"] >= 400:
        for path, message in own_violations(proxied, "error").items():
            yield Difference(f"schema.{path}", "violation", "", message)
        code = body["error"].get("code") if isinstance(body, dict) and isinstance(body.get("error"), dict) else MISSING
        if "code" in expected and code != expected["code"]:
            yield Difference("body.error.code", "changed", expected["code"], code)
    if "calls" in expected and seen.received is not None and len(seen.received) != expected["calls"]:
        yield Difference("request.calls", "changed", expected["calls"], len(seen.received))


def _request(seen: Observation) -> Iterator[Difference]:
    """What LiteLLM made of the request on its way to the backend, where a recorder saw it."""
    if seen.received is None:
        return
    if len(seen.received) != 1:
        yield Difference("request.calls", "changed", 1, len(seen.received))
    for received in seen.received[:1]:
        asked = {"method": seen.run.case.method, "path": seen.run.case.path, "body": seen.sent}
        got = {"method": received.method, "path": received.path, "body": received.body}
        yield from _parameters(asked, got, "request")
        if seen.run.case.all_headers:
            yield from _own_headers(seen, received)
    if seen.received and seen.received[0].events >= _MANY and content_deltas(seen.proxied.chunks) == 1:
        yield Difference("stream.buffered", "changed", False, True)
    if seen.leaks_key:
        yield Difference("request.headers.authorization", "changed", "(the backend's key)", "(the client's key)")


def _own_headers(seen: Observation, received: Received) -> Iterator[Difference]:
    """What became of the headers that the case itself sends."""
    arrived = {name.lower(): value for name, value in received.headers.items()}
    for name, value in seen.run.headers(KEY).items():
        if value is not None and arrived.get(name.lower()) != value:
            got = arrived.get(name.lower(), MISSING)
            yield Difference(f"request.headers.{name.lower()}", "dropped" if got == MISSING else "changed", value, got)


def _parameters(sent: Any, got: Any, path: str) -> Iterator[Difference]:
    if isinstance(sent, dict) and isinstance(got, dict):
        yield from _names(sent, got, path)
        for key in sent:
            if key in got:
                yield from _parameters(sent[key], got[key], f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        for index, (one, other) in enumerate(zip(sent, got, strict=True)):
            yield from _parameters(one, other, f"{path}[{index}]")
    elif type(sent) is not type(got):
        yield Difference(path, "retyped", sent, got)
    elif sent != got:
        yield Difference(path, "changed", sent, got)


def _names(sent: dict[str, Any], got: dict[str, Any], path: str) -> Iterator[Difference]:
    """The parameters that went, came, or have another name."""
    new = [key for key in got if key not in sent]
    for key in (key for key in sent if key not in got):
        renamed = next((other for other in new if _equal(got[other], sent[key])), None)
        if renamed:
            new.remove(renamed)
            yield Difference(f"{path}.{key}", "renamed", sent[key], {renamed: got[renamed]})
        else:
            yield Difference(f"{path}.{key}", "dropped", sent[key], MISSING)
    for key in new:
        yield Difference(f"{path}.{key}", "added", MISSING, got[key])


def _equal(one: Any, other: Any) -> bool:
    """Whether two values that are there are one and the same in JSON, in which 1 is not true."""
    return one is not None and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _classed(difference: Difference, known: KnownIssues, seen: Observation) -> Judged:
    """The difference with its class and what excuses it, by what is known of its run and its names for the model."""

    def find(entries: Sequence[KnownIssue]) -> KnownIssue | None:
        told = difference.path, difference.kind, difference.direct, difference.proxied
        return next((each for each in entries if each.fits(*told, model=seen.model, asked=seen.route)), None)

    if defect := find(known.defects):
        return Judged(difference, Class.DEFECT, defect)
    if allowance := find(known.allowances):
        return Judged(difference, Class.RELOCATED if allowance.relocated else Class.NORMALISED, allowance)
    return Judged(difference, _unexplained(difference), None)


def _unexplained(difference: Difference) -> Class:
    """The class of what known.yaml does not name.

    A field that OpenAI does not require may be left out where it is null or empty, and be there in some chunks only; a
    field that OpenAI does not have is an extension. Fields may be added where OpenAI has none of that name. Of a
    request every difference is a defect: vLLM may refuse what is null.
    """
    if difference.path.startswith("request."):
        return Class.DEFECT
    empty = difference.direct in (None, SOMETHING) or difference.direct == [] or difference.direct == {}
    optional = difference.standing in ("optional", "unknown")
    if difference.kind == "lost" and optional:
        if empty:
            return Class.NORMALISED
        return Class.RELOCATED if difference.standing == "unknown" else Class.DEFECT
    if difference.kind in ("sometimes", "always") and optional:
        return Class.NORMALISED
    if difference.kind == "added" and (difference.proxied in (None, SOMETHING) or difference.standing == "unknown"):
        return Class.NORMALISED
    return Class.DEFECT


def _vacuous(seen: Observation, shared: set[str]) -> str:
    """Why the run proved nothing, if so; `shared` are the texts that several prompts got."""
    case = seen.run.case
    if case.expect is not None:
        return ""
    if case.leave_after is not None:
        return _left_too_late(seen)
    if why := next(filter(None, (rule(seen) for rule in _RULES)), ""):
        return why
    return (
        "vLLM answered another prompt with the same words" if not case.repeats and _text(seen.direct) in shared else ""
    )


def _left_too_late(seen: Observation) -> str:
    if seen.too_late:
        return "LiteLLM had its whole answer before the client left"
    return "" if seen.stopped and seen.stopped[0] else "vLLM had answered before its client left"


def _another_status(seen: Observation) -> str:
    wanted, status = seen.run.case.status, seen.direct.status
    return "" if status == wanted else f"vLLM answered {status} where {wanted} was to be exercised"


def _fault_too_late(seen: Observation) -> str:
    fault = seen.run.case.fault
    if fault is None or fault.die_after is None:
        return ""
    whole = any(received.whole for received in seen.received or ())
    died = seen.direct.broken and seen.again.broken and not whole
    return "" if died else "vLLM's answer was whole before the fault came"


def _broke_off(seen: Observation) -> str:
    intended = seen.run.case.fault is not None or seen.run.case.status != 200
    return "" if intended or not seen.direct.broken else f"vLLM's answer broke off: {seen.direct.broken}"


def _not_exercised(seen: Observation) -> str:
    """Whether a path that the case exercises holds nothing; it is of the body unless it begins with `headers.`."""
    for path in seen.run.case.exercised:
        name = path.removeprefix("headers.")
        value = _at(seen.direct.said, path) if name == path else seen.direct.headers.get(name)
        if value in (None, "", [], {}):
            return f"vLLM's answer holds no {path}"
    return ""


def _says_nothing(seen: Observation) -> str:
    case = seen.run.case
    speaks = case.status == 200 and case.kind == "chat" and case.fault is None
    return "vLLM's answer says nothing" if speaks and not _text(seen.direct) else ""


_RULES: tuple[Callable[[Observation], str], ...] = (
    _another_status,
    _fault_too_late,
    _broke_off,
    _not_exercised,
    _says_nothing,
)
"""Why a run proved nothing, by the answer alone: each gives the reason, or nothing. The first that does so counts."""


def _at(body: Any, path: str) -> Any:
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            index = int(part[1:-1])
            body = body[index] if isinstance(body, list) and index < len(body) else None
        else:
            body = body.get(part) if isinstance(body, dict) else None
    return body


def _text(exchange: Exchange) -> str:
    """Everything that the model said, tool calls, reasoning and vectors included."""
    said = exchange.said
    if not isinstance(said, dict):
        return ""
    parts = []
    for choice in said.get("choices") or []:
        message = choice.get("message") or {}
        calls = message.get("tool_calls") or []
        parts += [choice.get("text"), message.get("content"), message.get("reasoning")]
        parts += [call["function"].get("arguments") for call in calls if isinstance(call.get("function"), dict)]
    vectors = [each.get("embedding") for each in said.get("data") or [] if isinstance(each, dict)]
    parts += [str(vector) for vector in vectors if vector]
    return "".join(part for part in parts if isinstance(part, str))


def _shared_texts(observations: Sequence[Observation]) -> set[str]:
    """Texts that vLLM gave to more than one prompt: a gateway that mixed answers up would not be seen there."""
    prompts: dict[str, set[str]] = {}
    for seen in observations:
        guided = isinstance(seen.sent, dict) and seen.sent.keys() & GUIDED
        if isinstance(seen.sent, dict) and not guided and seen.direct.status == 200 and (text := _text(seen.direct)):
            prompts.setdefault(text, set()).add(str([seen.sent.get(name) for name in ("messages", "prompt", "input")]))
    return {text for text, asked in prompts.items() if len(asked) > 1}


@dataclass(frozen=True)
class GateFailure:
    """One run that a rule of the gate does not let pass."""

    rule: str
    run: str
    path: str
    known: str | None


def gate(results: Sequence[Result], known_issues: KnownIssues) -> list[GateFailure]:
    """What keeps LiteLLM from being signed off. Judged are the story's settings; others show what these avoid.

    A run proves nothing against LiteLLM if it is vacuous, or if vLLM itself did not answer.
    """
    return [
        GateFailure(rule.rule, result.observation.run.id, each.difference.path, each.known.id if each.known else None)
        for rule in known_issues.gate
        for result in results
        if result.observation.run.settings == "story" and matches(result.observation.run.id, rule.runs)
        if result.verdict is not Class.VACUOUS and not _silence(result.observation)
        for each in result.differences
        if matches(each.difference.path, rule.paths)
        if _unexcused(each) or (rule.known == "refused" and each.known is not None)
    ]


def _unexcused(each: Judged) -> bool:
    return each.verdict is Class.DEFECT and each.known is None


def fixed(results: Sequence[Result], known_issues: KnownIssues, version: str) -> list[KnownIssue]:
    """Known defects that no run shows although runs that they speak of were exercised: news, mostly of an upgrade.

    Of those that show only sometimes a run without them says nothing.
    """
    shown = {each.known.id for result in results for each in result.differences if each.known}
    judged = [r for r in results if r.verdict not in (Class.VACUOUS, Class.INCONCLUSIVE)]
    return [
        entry
        for entry in known_issues.defects
        if entry.shows == "always" and entry.id not in shown
        if any(entry.covers(result.observation.run.id, version) for result in judged)
    ]


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many runs there are of each class."""
    found = Counter(result.verdict.value for result in results)
    return {each.value: found[each.value] for each in Class}


def paths(result: Result) -> list[str]:
    """The shapes of the paths that differ, gravest first."""
    return list(dict.fromkeys(shape(each.difference.path) for each in result.differences))
