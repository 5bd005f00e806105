"""The way in from outside: each broken fact is red, in one sentence with its cause; what was not seen never passes."""

import json
from collections.abc import Callable
from types import SimpleNamespace as Of
from typing import Any

import pytest

from signoff import judges
from signoff.core.errors import SignoffError
from signoff.evidence.models import (
    Exchange,
    ForwardedSeen,
    IngressTrios,
    LargePrompt,
    Observation,
    PacedStream,
    RouteFound,
    RouteSeen,
    SlowAnswer,
    Trio,
    TurnedAway,
)
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Code, Value, Verdict
from tests.evidence.runs import completion, streamed

assert judges, "the judges register themselves"
HOST = "litellm.home.jetzinger.com"
AT = "ingressroute.yaml:17"
INSIDE = "http://litellm.ml.svc.cluster.local:4000"
ROUTE = RouteFound(host=HOST, object="IngressRoute/litellm", file=AT)
TROUBLE = "Traefik: middleware ml-strip does not exist"
TROUBLED = ROUTE.model_copy(update={"trouble": [TROUBLE]})
DECLARED: dict[str, dict[str, Any]] = {
    "way-in": {"wants": {"host": HOST, "url": INSIDE}, "arms": ("ingress",)},
    "ingress-answers": {
        "arms": ("proxied", "proxied again", "ingress"),
        "cases": ("plain", "streamed"),
        "min": {"prompts": 1},
    },
    "ingress-streams": {"wants": {"pause": 0.1}, "min": {"events": 5}, "arms": ("recorder", "ingress")},
    "slow-answers": {"wants": {"longest": 30}, "cases": ("plain", "streamed"), "arms": ("ingress",)},
    "large-prompt": {"min": {"bytes": 1000}, "arms": ("proxied", "ingress")},
    "plain-http": {"wants": HOST, "cases": ("page", "models", "chat"), "arms": ("plain HTTP",)},
    "unknown-host": {"wants": HOST, "cases": ("https models", "http page", "http chat"), "arms": ("unknown host",)},
    "forwarded-headers": {"cases": ("proto", "host", "client", "forged")},
}
OF_LITELLM = {"content-type": "application/json", "x-litellm-version": "1.80.16"}


def said(arm: str, body: Any = None, status: int = 200, **more: Any) -> Exchange:
    """A plain answer; LiteLLM's, if nothing else is said."""
    headers = more.pop("headers", OF_LITELLM)
    stream = more.pop("stream", False)
    text = body if isinstance(body, str) else json.dumps(completion("Danube") if body is None else body)
    asked = {"messages": [{"role": "user", "content": "Name a river."}], "stream": stream}
    told = {"request": {"body": asked}, "status": status, "headers": headers, "body": text}
    return Exchange.model_validate({"arm": arm, "started": 1.0, "e2e_ms": 20.0, **told, **more})


def flowed(arm: str, *, gap: float = 100.0, events: int | None = None, **more: Any) -> Exchange:
    """A stream whose events arrive so many milliseconds apart."""
    data = streamed("one two three four five")[:events]
    chunks = [{"data": each, "ms": 50 + at * gap} for at, each in enumerate(data)]
    asked = {"messages": [{"role": "user", "content": "Name a river."}], "stream": True}
    told = {"status": 200, "headers": {**OF_LITELLM, "content-type": "text/event-stream"}, "request": {"body": asked}}
    took = {"started": 1.0, "e2e_ms": 60 + len(data) * gap}
    return Exchange.model_validate({"arm": arm, "chunks": chunks, **told, **took, **more})


EVENTS = len(streamed("one two three four five"))


def judged(judge: str, seen: Observation, *exchanges: Exchange) -> dict[str, Verdict]:
    """What the judge says, case by case; the exchanges have the `seq`s 1, 2, ..."""
    check = Check(text="it is", judge=judge, **DECLARED[judge])
    evidence = Of(by_seq=lambda seq, _: exchanges[seq - 1])
    rule: Callable[..., Any] = JUDGES[judge].rule
    return dict(rule([seen], check, evidence))


def verdict_on(judge: str, seen: Observation, *exchanges: Exchange) -> Verdict:
    (verdict,) = judged(judge, seen, *exchanges).values()
    return verdict


def is_told(verdict: Verdict, value: Value, words: str) -> None:
    """A failure is one sentence that names the place of the route."""
    assert verdict.value is value, verdict.reason
    assert words in verdict.reason, verdict.reason
    assert "\n" not in verdict.reason
    if value is Value.FAILED:
        assert AT in verdict.reason, verdict.reason


# The route


def route(**more: Any) -> RouteSeen:
    told = {"check": "c", "route": ROUTE, "service": "litellm", "url": INSIDE, "port": 4000, "exchange": 1}
    return RouteSeen.model_validate({**told, **more})


@pytest.mark.parametrize(
    ("exchange", "value", "words"),
    [
        (said("ingress"), Value.PASSED, "IngressRoute/litellm leads to litellm:4000"),
        (
            said("ingress", "404 page not found\n", 404, headers={"content-type": "text/plain"}),
            Value.FAILED,
            f"https://{HOST} answered status 404: 404 page not found; expected 200 with some text",
        ),
        (said("ingress", completion("")), Value.FAILED, "expected 200 with some text"),
        (said("ingress", broken="ReadError"), Value.FAILED, "expected 200 with some text"),
        (said("ingress", headers={"server": "uvicorn"}), Value.FAILED, "answered by something else than LiteLLM"),
    ],
)
def test_a_route_leads_to_litellm(exchange: Exchange, value: Value, words: str) -> None:
    is_told(verdict_on("way-in", route(), exchange), value, words)


def test_a_route_that_gives_no_answer_is_told_with_the_cause_that_the_ingress_names() -> None:
    verdict = verdict_on("way-in", route(route=TROUBLED, exchange=None, error="ConnectError: refused"))
    is_told(verdict, Value.FAILED, "gave no answer: ConnectError: refused")
    assert verdict.code is Code.NO_ANSWER and verdict.reason.endswith(f"; {TROUBLE}")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"service": "litellm-staging", "url": "http://litellm-staging.ml.svc.cluster.local:4000"},
            f"leads to http://litellm-staging.ml.svc.cluster.local:4000; LiteLLM's Service is {INSIDE}",
        ),
        ({"shut": "another route has the host"}, "and the way in was not open: another route has the host"),
    ],
)
def test_another_litellm_and_a_way_that_did_not_open_are_red_though_something_answers(
    more: dict[str, Any], words: str
) -> None:
    is_told(verdict_on("way-in", route(**more), said("ingress")), Value.FAILED, words)


def test_a_route_at_another_host_is_not_the_storys() -> None:
    other = ROUTE.model_copy(update={"host": "other.example"})
    is_told(verdict_on("way-in", route(route=other), said("ingress")), Value.NOT_JUDGED, f"the story names {HOST}")


def test_litellm_itself_is_not_the_way_in() -> None:
    with pytest.raises(SignoffError, match="'proxied' was asked for 'ingress'"):
        verdict_on("way-in", route(), said("proxied"))


# What passes through it


def trios(case: str = "plain", prompt: str = "Name a river.", route: RouteFound = ROUTE) -> IngressTrios:
    trio = Trio(prompt=prompt, direct=1, again=2, proxied=3)
    return IngressTrios(check="c", case=case, route=route, trios=[trio])


ARMS = ("proxied", "proxied again", "ingress")


@pytest.mark.parametrize(
    ("through", "value", "words"),
    [
        (said("ingress"), Value.PASSED, ""),
        (said("ingress", completion("Inn")), Value.FAILED, "text is 'Inn', LiteLLM itself said 'Danube'"),
        (said("ingress", completion("Danube", "stop")), Value.FAILED, "finish_reason is 'stop', LiteLLM itself said"),
        (
            said("ingress", completion("Danube") | {"usage": {"prompt_tokens": 1}}),
            Value.FAILED,
            "usage.prompt_tokens is 1, LiteLLM itself said 5",
        ),
        (said("ingress", "Bad Gateway", 502), Value.FAILED, "status is 502, LiteLLM itself said 200"),
        (said("ingress", stream=True), Value.NOT_JUDGED, "not what the case names"),
    ],
)
def test_an_answer_through_the_ingress_is_litellms_own(through: Exchange, value: Value, words: str) -> None:
    own = [said(arm) for arm in ARMS[:2]]
    is_told(verdict_on("ingress-answers", trios(route=TROUBLED), *own, through), value, words)


def test_a_stream_through_the_ingress_is_litellms_own() -> None:
    verdict = verdict_on("ingress-answers", trios("streamed"), *(flowed(arm) for arm in ARMS))
    is_told(verdict, Value.PASSED, "")
    cut = flowed("ingress", events=EVENTS - 3)
    own = [flowed(arm) for arm in ARMS[:2]]
    verdict = verdict_on("ingress-answers", trios("streamed"), *own, cut)
    is_told(verdict, Value.FAILED, "finish_reason is None, LiteLLM itself said 'length'")


def test_a_litellm_that_does_not_repeat_itself_proves_nothing() -> None:
    others = [said("proxied"), said("proxied again", completion("Inn")), said("ingress")]
    is_told(
        verdict_on("ingress-answers", trios(), *others), Value.INCONCLUSIVE, "LiteLLM itself does not repeat itself"
    )


def paced(**more: Any) -> PacedStream:
    told = {"check": "c", "route": ROUTE, "recorder": 1, "ingress": 2, "pause": 0.1, "events": EVENTS}
    return PacedStream.model_validate({**told, **more})


def in_pairs(exchange: Exchange) -> Exchange:
    """The same with every second event held back until the next one comes."""
    chunks = [dict(each) for each in exchange.chunks or ()]
    for one, other in zip(chunks[::2], chunks[1::2], strict=False):
        one["ms"] = other["ms"]
    return exchange.model_copy(update={"chunks": chunks})


def one_late(exchange: Exchange) -> Exchange:
    """The same with one event that the client read when the next one had come."""
    chunks = [dict(each) for each in exchange.chunks or ()]
    chunks[3]["ms"] = chunks[4]["ms"]
    return exchange.model_copy(update={"chunks": chunks})


@pytest.mark.parametrize(
    ("own", "through", "more", "value", "words"),
    [
        (flowed("recorder"), flowed("ingress"), {}, Value.PASSED, f"{EVENTS} events, 100 ms apart"),
        (flowed("recorder"), one_late(flowed("ingress")), {}, Value.PASSED, f"{EVENTS} events"),
        (
            flowed("recorder"),
            flowed("ingress", gap=0.2),
            {},
            Value.FAILED,
            f"the ingress holds a stream back: {EVENTS - 1} of {EVENTS} events arrived together with the one before",
        ),
        (flowed("recorder"), in_pairs(flowed("ingress")), {}, Value.FAILED, "the ingress holds a stream back"),
        (flowed("recorder", gap=0.2), flowed("ingress", gap=0.2), {}, Value.INCONCLUSIVE, "did not come through the"),
        (flowed("recorder"), flowed("ingress", broken="ReadError: "), {}, Value.FAILED, "is not whole: ReadError"),
        (flowed("recorder"), flowed("ingress", events=4), {}, Value.FAILED, f"{EVENTS} events 4 arrived"),
        (flowed("recorder"), flowed("ingress"), {"pause": 0.01}, Value.NOT_JUDGED, "0.01 s lay between two events"),
        (flowed("recorder"), flowed("ingress", events=4), {"events": 4}, Value.NOT_JUDGED, "4 events; the story asks"),
    ],
)
def test_events_arrive_one_by_one(
    own: Exchange, through: Exchange, more: dict[str, Any], value: Value, words: str
) -> None:
    is_told(verdict_on("ingress-streams", paced(**more), own, through), value, words)


def slow(case: str = "plain", **more: Any) -> SlowAnswer:
    timeouts = {"readTimeout": 5.0, "writeTimeout": 5.0, "idleTimeout": 0}
    told = {"exchange": 1, "seconds": 7, "timeouts": timeouts, "whole": True, "events": EVENTS}
    return SlowAnswer.model_validate({"check": "c", "case": case, "route": ROUTE, **told, **more})


@pytest.mark.parametrize(
    ("case", "exchange", "more", "value", "words"),
    [
        ("plain", said("ingress", e2e_ms=7100), {}, Value.PASSED, "7.1 s, beyond readTimeout 5 s and writeTimeout 5 s"),
        ("streamed", flowed("ingress", gap=900), {}, Value.PASSED, "s, beyond readTimeout 5 s"),
        (
            "plain",
            said("ingress", e2e_ms=7100),
            {"timeouts": {"responseHeaderTimeout": 60}},
            Value.PASSED,
            "its time-outs are longer than LiteLLM's own",
        ),
        ("plain", said("ingress", e2e_ms=4900), {}, Value.NOT_JUDGED, "took 4.9 s, which does not outlast readTimeout"),
        ("plain", said("ingress", e2e_ms=7100), {"timeouts": {}}, Value.NOT_JUDGED, "nothing tells the ingress' time-"),
        (
            "plain",
            said("ingress", e2e_ms=7100),
            {"timeouts": {"idleTimeout": 0}},
            Value.NOT_JUDGED,
            "nothing tells the ingress' time-outs",
        ),
        (
            "plain",
            said("ingress", "Gateway Timeout", 504, e2e_ms=5000),
            {},
            Value.FAILED,
            "an answer of 7 s ended after 5.0 s through the ingress: status 504: Gateway Timeout; its time-outs are",
        ),
        (
            "streamed",
            flowed("ingress", gap=900, events=4, broken="RemoteProtocolError: peer closed"),
            {},
            Value.FAILED,
            "RemoteProtocolError: peer closed; its time-outs are readTimeout 5 s",
        ),
        ("streamed", flowed("ingress", gap=1900, events=4), {}, Value.FAILED, "its stream has no [DONE]"),
        ("streamed", flowed("ingress", gap=900), {"events": 99}, Value.FAILED, f"{EVENTS} of 99 events arrived"),
        ("plain", said("ingress", {"choices": []}, e2e_ms=7100), {}, Value.FAILED, "it names no finish_reason"),
        ("plain", said("ingress", e2e_ms=7100), {"whole": False}, Value.FAILED, "was not the whole answer"),
        ("plain", said("ingress", e2e_ms=7100, stream=True), {}, Value.NOT_JUDGED, "not what the case names"),
    ],
)
def test_an_answer_that_outlasts_every_time_out_arrives_whole(
    case: str, exchange: Exchange, more: dict[str, Any], value: Value, words: str
) -> None:
    is_told(verdict_on("slow-answers", slow(case, **more), exchange), value, words)


def test_an_answer_that_never_comes_is_told_with_the_time_outs() -> None:
    verdict = verdict_on("slow-answers", slow(exchange=None, error="ReadError", route=TROUBLED))
    is_told(verdict, Value.FAILED, "never came through the ingress: ReadError; its time-outs are readTimeout 5 s")
    assert verdict.code is Code.NO_ANSWER and TROUBLE in verdict.reason


TOO_LONG = {"error": {"message": "4096 tokens at most", "type": "BadRequestError", "param": None, "code": "400"}}


def prompt(**more: Any) -> LargePrompt:
    told = {"direct": 1, "ingress": 2, "sent_bytes": 1024, "sent_sha256": "ab"}
    arrived = {"arrived_bytes": 1024, "arrived_sha256": "ab"}
    return LargePrompt.model_validate({"check": "c", "route": ROUTE, **told, **arrived, **more})


def refusing(arm: str, status: int = 400, **error: Any) -> Exchange:
    return said(arm, {"error": {**TOO_LONG["error"], **error}}, status)


@pytest.mark.parametrize(
    ("through", "more", "value", "words"),
    [
        (refusing("ingress"), {}, Value.PASSED, "a prompt of 1024 bytes: status 400"),
        (
            said("ingress", "Request Entity Too Large", 413, headers={}),
            {"arrived_bytes": 0, "arrived_sha256": ""},
            Value.FAILED,
            "status is 413 through the ingress, LiteLLM itself says 400",
        ),
        (refusing("ingress", type="other"), {}, Value.FAILED, "error.type is 'other' through the ingress"),
        (refusing("ingress", message="no"), {}, Value.FAILED, "error.message is 'no' through the ingress"),
        (refusing("ingress"), {"arrived_bytes": 1000}, Value.FAILED, "1000 of its bytes arrived behind the ingress"),
        (refusing("ingress"), {"arrived_sha256": "cd"}, Value.FAILED, "other bytes arrived behind the ingress"),
        (refusing("ingress"), {"sent_bytes": 999}, Value.NOT_JUDGED, "999 bytes; the story asks for 1000"),
    ],
)
def test_a_large_prompt_arrives_and_is_refused_as_litellm_refuses_it(
    through: Exchange, more: dict[str, Any], value: Value, words: str
) -> None:
    is_told(verdict_on("large-prompt", prompt(**more), refusing("proxied"), through), value, words)


def test_a_large_prompt_that_gets_no_answer_fails_and_one_at_which_litellm_fails_proves_nothing() -> None:
    verdict = verdict_on("large-prompt", prompt(ingress=None, error="WriteError"), refusing("proxied"))
    is_told(verdict, Value.FAILED, "a prompt of 1024 bytes got no answer through the ingress: WriteError")
    both = refusing("proxied", 500), refusing("ingress", 500)
    is_told(verdict_on("large-prompt", prompt(), *both), Value.INCONCLUSIVE, "LiteLLM itself fails")


# Who must not get in


def turned_away(case: str = "page", **more: Any) -> TurnedAway:
    url = {"page": "/", "models": "/v1/models", "chat": "/v1/chat/completions"}[case]
    told = {"case": case, "asked": f"http://127.0.0.1:8080{url}", "host": HOST, "exchange": 1}
    return TurnedAway.model_validate({"check": "c", "route": ROUTE, **told, **more})


def of_ingress(status: int, body: str = "404 page not found", **headers: str) -> Exchange:
    return said("plain HTTP", body, status, headers={"content-type": "text/plain", **headers})


@pytest.mark.parametrize(
    ("exchange", "value", "words"),
    [
        (of_ingress(404), Value.PASSED, "status 404"),
        (of_ingress(308, "", location=f"https://{HOST}/"), Value.PASSED, f"status 308 to https://{HOST}/"),
        (of_ingress(301, "", location=f"https://{HOST}:8443/"), Value.PASSED, "status 301"),
        (of_ingress(302, "", location="https://other.example/"), Value.FAILED, "is redirected to https://other.exampl"),
        (of_ingress(302, "", location=f"http://{HOST}/ui"), Value.FAILED, f"expected https://{HOST}"),
        (of_ingress(307, ""), Value.FAILED, "plain HTTP is redirected to nowhere"),
        (of_ingress(200, "hello"), Value.FAILED, "plain HTTP is answered, not redirected: status 200: hello"),
        (of_ingress(502, "Bad Gateway"), Value.FAILED, "not redirected: status 502: Bad Gateway"),
        (said("plain HTTP", {"data": []}, 200), Value.FAILED, "reaches LiteLLM: status 200"),
        (said("plain HTTP", TOO_LONG, 401, headers={}), Value.FAILED, "reaches LiteLLM: status 401"),
        (said("plain HTTP", {"detail": "Not Found"}, 404, headers={}), Value.FAILED, "reaches LiteLLM: status 404"),
        (said("plain HTTP", "", 307, headers={"server": "uvicorn"}), Value.FAILED, "reaches LiteLLM: status 307"),
    ],
)
def test_plain_http_is_sent_to_https_or_away(exchange: Exchange, value: Value, words: str) -> None:
    for case in DECLARED["plain-http"]["cases"]:
        is_told(verdict_on("plain-http", turned_away(case), exchange), value, words)


@pytest.mark.parametrize("judge", ["plain-http", "unknown-host"])
@pytest.mark.parametrize(
    ("error", "value", "words"),
    [
        ("ConnectError: [Errno 111] Connection refused", Value.PASSED, "no connection"),
        ("ConnectError: [SSL: TLSV1_UNRECOGNIZED_NAME] tlsv1 alert unrecognized name", Value.PASSED, "no connection"),
        ("ConnectTimeout: timed out", Value.INCONCLUSIVE, "was neither refused nor answered: ConnectTimeout"),
        ("", Value.INCONCLUSIVE, "was neither refused nor answered"),
    ],
)
def test_a_refused_connection_is_turned_away_and_one_that_hangs_proves_nothing(
    judge: str, error: str, value: Value, words: str
) -> None:
    seen = turned_away(exchange=None, error=error)
    if judge == "unknown-host":
        seen = seen.model_copy(update={"case": f"http {seen.case}", "host": "nobody.example"})
    is_told(verdict_on(judge, seen), value, words)


@pytest.mark.parametrize(
    "changed", [{"asked": f"https://{HOST}/"}, {"asked": "http://127.0.0.1/other"}, {"host": "other.example"}]
)
def test_what_is_not_the_case_of_plain_http_is_not_judged(changed: dict[str, Any]) -> None:
    verdict = verdict_on("plain-http", turned_away(**changed), of_ingress(404))
    is_told(verdict, Value.NOT_JUDGED, "which is not what the case names")


def unknown(**more: Any) -> TurnedAway:
    told = {"case": "https models", "asked": "https://127.0.0.1:8443/v1/models", "host": "nobody.example"}
    return TurnedAway.model_validate({"check": "c", "route": ROUTE, "exchange": 1, **told, **more})


def to_unknown(status: int, body: Any = "404 page not found", **headers: str) -> Exchange:
    return said("unknown host", body, status, headers=headers)


@pytest.mark.parametrize(
    ("more", "exchange", "value", "words"),
    [
        ({}, to_unknown(404), Value.PASSED, "status 404"),
        ({"case": "http page", "asked": "http://127.0.0.1/"}, to_unknown(404), Value.PASSED, "status 404"),
        ({}, to_unknown(200, "welcome"), Value.FAILED, "an unknown host is answered, not by 404: status 200: welcome"),
        ({}, to_unknown(404, {"detail": "Not Found"}), Value.FAILED, "as nobody.example reaches LiteLLM: status 404"),
        ({}, to_unknown(404, "", **{"x-litellm-version": "1"}), Value.FAILED, "reaches LiteLLM"),
        ({"case": "https chat"}, to_unknown(404), Value.NOT_JUDGED, "which is not what the case names"),
        ({"host": HOST}, to_unknown(404), Value.NOT_JUDGED, "which is not what the case names"),
        ({"case": "http models"}, to_unknown(404), Value.NOT_JUDGED, "which is not what the case names"),
    ],
)
def test_an_unknown_host_gets_404_and_never_litellm(
    more: dict[str, Any], exchange: Exchange, value: Value, words: str
) -> None:
    is_told(verdict_on("unknown-host", unknown(**more), exchange), value, words)


# What LiteLLM is told


MADE_UP = {"x-forwarded-for": "203.0.113.7", "x-real-ip": "203.0.113.7", "x-forwarded-host": "forged.example"}
TOLD = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "copy.example",
    "x-forwarded-for": "10.244.0.1",
    "x-real-ip": "10.244.0.1",
}


def forwarded(sent: dict[str, str] | None = None, **changed: str) -> ForwardedSeen:
    headers = {**TOLD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    told = {name: value for name, value in headers.items() if value}
    made_up = MADE_UP if sent is None else sent
    return ForwardedSeen(check="c", route=ROUTE, host="copy.example", headers=told, sent=made_up)


def test_litellm_is_told_who_asked_and_how() -> None:
    for seen in (forwarded(), forwarded(x_forwarded_host="copy.example:8443")):
        told = judged("forwarded-headers", seen)
        assert {case: each.value for case, each in told.items()} == dict.fromkeys(told, Value.PASSED)
        assert tuple(told) == DECLARED["forwarded-headers"]["cases"]


@pytest.mark.parametrize(
    ("seen", "red", "words"),
    [
        (forwarded(x_forwarded_proto="http"), {"proto"}, "X-Forwarded-Proto: http; expected https"),
        (forwarded(x_forwarded_proto=""), {"proto"}, "told no X-Forwarded-Proto"),
        (forwarded(x_forwarded_host="litellm"), {"host"}, "X-Forwarded-Host: litellm; expected copy.example"),
        (forwarded(x_forwarded_host=""), {"host"}, "told no X-Forwarded-Host"),
        (forwarded(x_forwarded_for=""), {"client"}, "told no X-Forwarded-For; X-Real-Ip: 10.244.0.1"),
        (forwarded(x_real_ip=""), {"client"}, "; no X-Real-Ip; expected the client's one address"),
        (forwarded(x_real_ip="10.9.9.9"), {"client"}, "expected the client's one address in both"),
        (forwarded(x_forwarded_for="unknown", x_real_ip="unknown"), {"client"}, "X-Forwarded-For: unknown"),
        (
            forwarded(x_forwarded_for="203.0.113.7, 10.244.0.1"),
            {"client", "forged"},
            "LiteLLM is told what a client made up (x-forwarded-for: 203.0.113.7, 10.244.0.1)",
        ),
        (forwarded(x_forwarded_host="forged.example"), {"host", "forged"}, "take forwardedHeaders.insecure out"),
    ],
)
def test_a_header_that_is_not_the_ingress_own_is_red(seen: ForwardedSeen, red: set[str], words: str) -> None:
    told = judged("forwarded-headers", seen)
    assert {case for case, each in told.items() if each.value is not Value.PASSED} == red
    for case in red:
        is_told(told[case], Value.FAILED, "")
    assert any(words in told[case].reason for case in red), told


def test_who_made_no_header_up_has_not_tried_it() -> None:
    assert judged("forwarded-headers", forwarded({}))["forged"].value is Value.NOT_JUDGED
