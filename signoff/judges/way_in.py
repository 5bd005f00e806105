"""The way in from outside: the route from the host name to LiteLLM, and what passes through it."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import (
    Exchange,
    ForwardedSeen,
    IngressTrios,
    LargePrompt,
    PacedStream,
    RouteFound,
    RouteSeen,
    SlowAnswer,
    TurnedAway,
)
from signoff.judges import answers
from signoff.judges.answers import answer_of, equal, too_few_prompts
from signoff.judges.deployment import at
from signoff.judges.paced import held_back
from signoff.judges.registry import Judgement, judge
from signoff.story.declaration import Check
from signoff.traffic.client import Answer
from signoff.traffic.wire import DONE
from signoff.verdicts.verdict import Code, Value, Verdict, failed, inconclusive, not_judged, passed

DIRECT, INGRESS, RECORDER, PLAIN_HTTP, UNKNOWN_HOST = "proxied", "ingress", "recorder", "plain HTTP", "unknown host"
"""The sides that are asked: LiteLLM itself and through the ingress, a recorder before it, and those who turn away."""


def wrong(told: str, route: RouteFound, code: Code = Code.NOT_AS_WANTED) -> Verdict:
    """A failure, with the place of the route and the cause that the ingress and cert-manager themselves name."""
    return failed("; ".join([told + at(route.file), *route.trouble]), code)


def _asked(evidence: Recorded, seq: int, arm: str, check: Check) -> Answer:
    """The answer to a request of this side.

    Raises:
        SignoffError: it was another that was asked, or that the story declares.
    """
    asked = evidence.by_seq(seq, Exchange).arm
    if asked != arm or arm not in check.arms:
        raise SignoffError(f"{asked!r} was asked for {arm!r}; the story asks for {listed(check.arms)}")
    return answer_of(evidence, seq)


def said(answer: Answer) -> str:
    """Status and the beginning of the body, in one line."""
    return " ".join(answers.said(answer).split())


# The route


def _header_of_the_gateway(answer: Answer) -> str:
    """The first header that only LiteLLM writes; empty if there is none."""
    return next((name for name in answer.headers if name.lower().startswith("x-litellm-")), "")


@judge("way-in", RouteSeen, wants=dict, keys=["host", "url"])
def way_in(seen: Sequence[RouteSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """A chat completion that is asked for under the host name is answered, and by LiteLLM."""
    for each in seen:
        yield each.case, _of_route(each, check, evidence)


def _of_route(each: RouteSeen, check: Check, evidence: Recorded) -> Verdict:
    route, url = each.route, f"https://{each.route.host}"
    if route.host != check.wants["host"]:
        return not_judged(f"{route.host} was asked, the story names {check.wants['host']}", Code.ASKED_OTHERWISE)
    if each.exchange is None:
        return wrong(f"{url} gave no answer: {each.error}", route, Code.NO_ANSWER)
    answer = _asked(evidence, each.exchange, INGRESS, check)
    if not answer.ok or not answer.text:
        return wrong(f"{url} answered {said(answer)}; expected 200 with some text", route)
    if not _header_of_the_gateway(answer):
        return wrong(f"{url} is answered by something else than LiteLLM: its answer has no header x-litellm-*", route)
    if each.url != check.wants["url"]:
        return wrong(f"{route.object} leads to {each.url}; LiteLLM's Service is {check.wants['url']}", route)
    if each.shut:
        return wrong(f"LiteLLM answers at {url}, and the way in was not open: {each.shut}", route)
    asked = f", asked {each.entered}" if each.entered else ""
    return passed(f"{route.object} leads to {each.service}:{each.port}{asked}")


# What passes through it


@judge("ingress-answers", IngressTrios, minima=["prompts"], cases=True)
def ingress_answers(seen: Sequence[IngressTrios], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Through the ingress LiteLLM says what it said twice alike when it was asked itself, prompt by prompt."""
    for each in seen:
        if too_few := too_few_prompts(each, check):
            yield each.case, too_few
        for found in equal(each, check, evidence, "LiteLLM itself", "the ingress", by=" through the ingress"):
            yield each.case, wrong(found.reason, each.route) if found.value is Value.FAILED else found


def _is_streamed(answer: Answer) -> bool:
    """Whether a stream was asked for."""
    return bool(answer.request["body"].get("stream"))


@judge("ingress-streams", PacedStream, wants=dict, keys=["pause"], minima=["events"])
def ingress_streams(seen: Sequence[PacedStream], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """The events of a stream arrive through the ingress as they were sent: one by one, with a pause between them.

    The recorder itself is asked as well. Where its events arrive together too, it was the client that was late.
    """
    for each in seen:
        yield each.case, _paced(each, check, evidence)


def _paced(each: PacedStream, check: Check, evidence: Recorded) -> Verdict:
    ingress, own = (_asked(evidence, *of, check) for of in ((each.ingress, INGRESS), (each.recorder, RECORDER)))
    count, pause = len(ingress.events), each.pause
    if not ingress.ok:
        return wrong(f"a stream through the ingress is not whole: {ingress.broken or said(ingress)}", each.route)
    if count != each.events:
        return wrong(f"of a stream's {each.events} events {count} arrived through the ingress", each.route)
    if pause < check.wants["pause"]:
        told = f"{pause:g} s lay between two events; the story asks for {check.wants['pause']:g} s"
        return not_judged(told, Code.ASKED_OTHERWISE)
    if count < check.min["events"]:
        return not_judged(f"{count} events; the story asks for {check.min['events']:g}", Code.TOO_FEW)
    if not own.ok:
        return inconclusive("the recorder's own stream is not whole", Code.PROVES_NOTHING)
    arrivals, of_its_own = ([event.at for event in answer.events] for answer in (ingress, own))
    found = held_back(arrivals, of_its_own, pause, "the ingress", "through the ingress")
    if found.value is Value.FAILED:
        return wrong(f"{found.reason}; take out what buffers or compresses answers", each.route)
    return found


@judge("slow-answers", SlowAnswer, wants=dict, keys=["longest"], cases=True)
def slow_answers(seen: Sequence[SlowAnswer], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """An answer that takes longer than the time-outs of the ingress arrives whole.

    Those are meant that are no longer than LiteLLM's own, `longest` in seconds: later nothing comes that could be cut.
    """
    for each in seen:
        yield each.case, _slow(each, check, evidence)


def _slow(each: SlowAnswer, check: Check, evidence: Recorded) -> Verdict:
    own = {name: seconds for name, seconds in each.timeouts.items() if seconds > 0}
    limits = {name: seconds for name, seconds in own.items() if seconds <= check.wants["longest"]}
    named = listed([f"{name} {seconds:g} s" for name, seconds in limits.items()])
    beside = f"; its time-outs are {named}" if named else ""
    if each.exchange is None:
        told = f"an answer of {each.seconds:g} s never came through the ingress: {each.error}{beside}"
        return wrong(told, each.route, Code.NO_ANSWER)
    answer = _asked(evidence, each.exchange, INGRESS, check)
    took = answer.e2e_ms / 1000
    if _is_streamed(answer) is not (each.case == "streamed"):
        return not_judged("the request is not what the case names", Code.ASKED_OTHERWISE)
    if problem := _not_whole(answer, each):
        told = f"an answer of {each.seconds:g} s ended after {took:.1f} s through the ingress: {problem}{beside}"
        return wrong(told, each.route)
    if not own:
        return not_judged("nothing tells the ingress' time-outs, so that no answer is known to outlast them")
    if not limits:
        return passed(f"{took:.1f} s; its time-outs are longer than LiteLLM's own")
    if took <= max(limits.values()):
        return not_judged(f"the answer took {took:.1f} s, which does not outlast {named}", Code.TOO_FEW)
    return passed(f"{took:.1f} s, beyond {named}")


def _not_whole(answer: Answer, each: SlowAnswer) -> str:
    """What an answer lacks; empty if it is whole."""
    if not answer.ok:
        return answer.broken or said(answer)
    if answer.streamed and (not answer.events or answer.events[-1].data != DONE):
        return f"its stream has no {DONE}"
    if answer.streamed and len(answer.events) != each.events:
        return f"{len(answer.events)} of {each.events} events arrived"
    if not answer.finish_reason:
        return "it names no finish_reason"
    return "" if each.whole else "what was passed on to the ingress was not the whole answer"


@judge("large-prompt", LargePrompt, minima=["bytes"])
def large_prompt(seen: Sequence[LargePrompt], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """All of a large prompt arrives behind the ingress, and is answered or refused as LiteLLM itself does it."""
    for each in seen:
        yield each.case, _large(each, check, evidence)


def _large(each: LargePrompt, check: Check, evidence: Recorded) -> Verdict:
    size = f"a prompt of {each.sent_bytes} bytes"
    if each.sent_bytes < check.min["bytes"]:
        return not_judged(f"{size}; the story asks for {check.min['bytes']:g}", Code.TOO_FEW)
    if each.ingress is None:
        return wrong(f"{size} got no answer through the ingress: {each.error}", each.route, Code.NO_ANSWER)
    own, ingress = (_asked(evidence, *of, check) for of in ((each.direct, DIRECT), (each.ingress, INGRESS)))
    if own.status >= 500 or own.broken:
        return inconclusive(f"LiteLLM itself fails at {size}: {said(own)}", Code.PROVES_NOTHING)
    problems = [
        f"{name} is {seen!r} through the ingress, LiteLLM itself says {wanted!r}"
        for name, wanted in _refusal(own).items()
        if (seen := _refusal(ingress).get(name)) != wanted
    ]
    if each.arrived_bytes != each.sent_bytes:
        problems.append(f"{each.arrived_bytes} of its bytes arrived behind the ingress")
    elif each.arrived_sha256 != each.sent_sha256:
        problems.append("other bytes arrived behind the ingress")
    told = f"{size}: {'; '.join(problems)}"
    return wrong(told, each.route) if problems else passed(f"{size}: status {ingress.status}")


def _refusal(answer: Answer) -> dict[str, Any]:
    """What a client learns of a refusal."""
    body = answer.json if isinstance(answer.json, dict) else {}
    error = body["error"] if isinstance(body.get("error"), dict) else {}
    return {"status": answer.status, **{f"error.{name}": error.get(name) for name in ("type", "message")}}


# Who must not get in


PATHS = {"page": "/", "models": "/v1/models", "chat": "/v1/chat/completions"}
"""What each case asks for by plain HTTP."""
_REDIRECTS = (301, 302, 303, 307, 308)
_REFUSED = ("refused", "alert", "reset")
"""Words of an error by which a server refuses a connection, and not the way to it."""
_BODY_OF_AN_API = frozenset({"error", "detail", "object"})


@judge("plain-http", TurnedAway, wants=str, cases=True)
def plain_http(seen: Sequence[TurnedAway], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Plain HTTP is redirected to https under the same host name, or refused; LiteLLM is not reached."""
    for each in seen:
        told = _urlsplit(each.asked)
        if (told.scheme, told.path) != ("http", PATHS.get(each.case)) or each.host != check.wants:
            told_of = f"{each.asked} was asked as {each.host}, which is not what the case names"
            yield each.case, not_judged(told_of, Code.ASKED_OTHERWISE)
        else:
            yield each.case, _turned_away(each, check, evidence, PLAIN_HTTP, _of_plain_http)


def _of_plain_http(answer: Answer, host: str) -> str:
    """Why an answer to plain HTTP, which is not LiteLLM's, is none that sends the client away; empty if it is."""
    if answer.status in _REDIRECTS:
        location = answer.headers.get("location", "")
        to = _urlsplit(location)
        astray = (to.scheme, to.hostname) != ("https", host)
        return f"plain HTTP is redirected to {location or 'nowhere'}; expected https://{host}" if astray else ""
    if 400 <= answer.status < 500:
        return ""
    return f"plain HTTP is answered, not redirected: {said(answer)}"


@judge("unknown-host", TurnedAway, wants=str, cases=True)
def unknown_host(seen: Sequence[TurnedAway], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Who asks for a host name that has no route gets the ingress' own 404 or no connection; LiteLLM is not reached.

    A case is a scheme and what is asked for ("https chat"): a rule without a host may be for one path alone.
    """
    for each in seen:
        asked, (scheme, _, what) = _urlsplit(each.asked), each.case.partition(" ")
        if (asked.scheme, asked.path) != (scheme, PATHS.get(what)) or each.host == check.wants:
            told = f"{each.asked} was asked as {each.host}, which is not what the case names"
            yield each.case, not_judged(told, Code.ASKED_OTHERWISE)
        else:
            yield each.case, _turned_away(each, check, evidence, UNKNOWN_HOST, _of_unknown_host)


def _of_unknown_host(answer: Answer, _: str) -> str:
    """Why an answer to who asks for an unknown host, which is not LiteLLM's, is none that sends the client away."""
    return "" if answer.status == 404 else f"an unknown host is answered, not by 404: {said(answer)}"


def _turned_away(
    each: TurnedAway, check: Check, evidence: Recorded, arm: str, problem: Callable[[Answer, str], str]
) -> Verdict:
    """Who asked was turned away: without reaching LiteLLM, and with an answer in which there is no `problem`."""
    asked = f"{each.asked} as {each.host}"
    if each.exchange is None:
        if any(word in each.error.lower() for word in _REFUSED):
            return passed("no connection")
        return inconclusive(f"{asked} was neither refused nor answered: {each.error}", Code.PROVES_NOTHING)
    answer = _asked(evidence, each.exchange, arm, check)
    if _is_the_gateways(answer):
        return wrong(f"{asked} reaches LiteLLM: {said(answer)}{_remedy(each, arm)}", each.route)
    if told := problem(answer, each.host):
        return wrong(told, each.route)
    to = answer.headers.get("location", "")
    return passed(f"status {answer.status}" + (f" to {to}" if to else ""))


def _remedy(each: TurnedAway, arm: str) -> str:
    """How one keeps Traefik from serving a route by plain HTTP as well."""
    if arm != PLAIN_HTTP:
        return ""
    at = {
        "Ingress": "annotate it with traefik.ingress.kubernetes.io/router.entrypoints: websecure",
        "IngressRoute": "write entryPoints: [websecure]",
        "HTTPRoute": "name the listener of https as its sectionName",
    }.get(each.route.object.partition("/")[0], "serve it by https alone")
    return f"; {at}, or redirect to https"


def _is_the_gateways(answer: Answer) -> bool:
    """Whether LiteLLM has written an answer, also one of its web server's own."""
    server = answer.headers.get("server", "").lower()
    an_api = isinstance(answer.json, dict) and not _BODY_OF_AN_API.isdisjoint(answer.json)
    return bool(_header_of_the_gateway(answer)) or server == "uvicorn" or an_api


@dataclass(frozen=True)
class _Url:
    scheme: str = ""
    hostname: str = ""
    path: str = ""


def _urlsplit(url: str) -> _Url:
    """The parts of a URL; of one that is none, nothing."""
    try:
        parts = urlsplit(url)
        return _Url(parts.scheme, parts.hostname or "", parts.path or "/")
    except ValueError:
        return _Url()


# What LiteLLM is told


@judge("forwarded-headers", ForwardedSeen, cases=True)
def forwarded_headers(seen: Sequence[ForwardedSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """LiteLLM is told how, by which name and from where it was asked, and nothing that a client made up.

    Source: https://doc.traefik.io/traefik/routing/entrypoints/#forwarded-headers
    """
    for each in seen:
        for case in check.cases:
            told = _FORWARDED[case](each) if case in _FORWARDED else not_judged(f"no header is judged for {case!r}")
            yield case, told


def _proto(each: ForwardedSeen) -> Verdict:
    told = f"LiteLLM is told {_told(each, 'X-Forwarded-Proto')}; expected https"
    return passed() if each.headers.get("x-forwarded-proto") == "https" else wrong(told, each.route)


def _host(each: ForwardedSeen) -> Verdict:
    host = each.headers.get("x-forwarded-host", "").partition(":")[0]
    told = f"LiteLLM is told {_told(each, 'X-Forwarded-Host')}; expected {each.host}"
    return passed() if host == each.host else wrong(told, each.route)


def _told(each: ForwardedSeen, *names: str) -> str:
    """What LiteLLM is told by these headers, for a sentence."""
    values = {name: each.headers.get(name.lower(), "") for name in names}
    return "; ".join(f"{name}: {value}" if value else f"no {name}" for name, value in values.items())


def _client(each: ForwardedSeen) -> Verdict:
    both = ("X-Forwarded-For", "X-Real-Ip")
    values = {each.headers.get(name.lower(), "") for name in both}
    if len(values) == 1 and _is_address(address := values.pop()):
        return passed(f"{address}, asked {each.entered}" if each.entered else address)
    return wrong(f"LiteLLM is told {_told(each, *both)}; expected the client's one address in both", each.route)


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _forged(each: ForwardedSeen) -> Verdict:
    if not each.sent:
        return not_judged("the client made up no header", Code.ASKED_OTHERWISE)
    passed_on = [
        name for name, value in each.headers.items() if any(made_up in value for made_up in each.sent.values())
    ]
    if passed_on:
        told = (
            f"LiteLLM is told what a client made up ({_told(each, *passed_on)}); let the entry point trust no client: "
            f"take forwardedHeaders.insecure out of it, and clients' addresses out of its trustedIPs"
        )
        return wrong(told, each.route)
    return passed()


_FORWARDED: Mapping[str, Callable[[ForwardedSeen], Verdict]] = {
    "proto": _proto,
    "host": _host,
    "client": _client,
    "forged": _forged,
}
