"""What LiteLLM answered: its form, its content against vLLM's own, and how often vLLM was asked."""

import json
from collections.abc import Iterator, Sequence

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import (
    AnswersSeen,
    ClientRead,
    CounterSeen,
    Exchange,
    IngressTrios,
    PacedByGateway,
    Trio,
    TriosSeen,
)
from signoff.judges.paced import TOLERATED, held_back
from signoff.judges.registry import Judgement, judge
from signoff.parity.answers import compare, distinct
from signoff.parity.answers import said as said_by
from signoff.parity.repeated import Equality, Three, alike, equality
from signoff.story.declaration import Check
from signoff.traffic import openai_format
from signoff.traffic.client import Answer
from signoff.traffic.wire import Event
from signoff.verdicts.verdict import Code, Value, Verdict, failed, inconclusive, not_judged, passed


def answer_of(evidence: Recorded, seq: int) -> Answer:
    """An exchange as the client saw it."""
    told = evidence.by_seq(seq, Exchange)
    events = tuple(Event(chunk["data"], told.started + chunk["ms"] / 1000) for chunk in told.chunks or ())
    return Answer(
        status=told.status,
        headers=told.headers,
        body=told.body or "",
        events=events,
        started=told.started,
        ended=told.started + told.e2e_ms / 1000,
        broken=told.broken,
        request=told.request,
    )


def said(answer: Answer) -> str:
    """Status and the beginning of the body, for a sentence."""
    text = answer.body or "".join(data for data, _ in answer.events)
    return f"status {answer.status}: {text[:300]}"


def _answers(
    seen: Sequence[AnswersSeen], check: Check, evidence: Recorded
) -> Iterator[tuple[AnswersSeen, list[Answer]]]:
    """The answers that each observation is about.

    Raises:
        SignoffError: another side was asked than the story declares.
    """
    for each in seen:
        for seq in each.exchanges:
            if check.arms and (arm := evidence.by_seq(seq, Exchange).arm) not in check.arms:
                raise SignoffError(f"{arm!r} was asked; the story asks for {listed(check.arms)}")
        yield each, [answer_of(evidence, seq) for seq in each.exchanges]


@judge("model-list", AnswersSeen, wants=str)
def model_list(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """An OpenAI model list that holds the story's model."""
    for each, answers in _answers(seen, check, evidence):
        for answer in answers:
            if answer.status != 200:
                yield each.case, failed(f"/v1/models answered {said(answer)}")
            elif found := openai_format.violations(answer.json):
                yield each.case, failed(f"/v1/models is no OpenAI model list: {found[0]}")
            else:
                models = [model["id"] for model in answer.json["data"]]
                wanted = f"LiteLLM lists {listed(models) or 'no model'}; expected {check.wants}"
                yield each.case, passed() if check.wants in models else failed(wanted)


@judge("some-text", AnswersSeen)
def some_text(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """The last answer has status 200 and some text."""
    for each, answers in _answers(seen, check, evidence):
        if not answers:
            yield each.case, not_judged("nothing was asked", Code.TOO_FEW)
        elif not answers[-1].ok or not answers[-1].text:
            yield each.case, failed(f"LiteLLM answered {said(answers[-1])}; expected 200 with some text")
        else:
            yield each.case, passed()


@judge("openai-format", AnswersSeen)
def openai_form(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Answers in the form of OpenAI's API document, streamed if and only if that was asked."""
    for each, answers in _answers(seen, check, evidence):
        for answer in answers:
            yield each.case, _form(answer, streamed=each.case == "streamed")


_NOT_PLAIN = "LiteLLM streamed the answer, though a plain one was asked for"
_NOT_STREAMED = "LiteLLM sent a plain answer, though a stream was asked for"


def _form(answer: Answer, *, streamed: bool) -> Verdict:
    asked = bool(answer.request["body"].get("stream"))
    if asked is not streamed:
        return not_judged("the request is not what the case names", Code.ASKED_OTHERWISE)
    if answer.status != 200:
        return failed(f"LiteLLM answered {said(answer)}")
    if answer.streamed is not asked:
        return failed(_NOT_PLAIN if answer.streamed else _NOT_STREAMED)
    if answer.broken:
        return failed(f"the answer broke off: {answer.broken}")
    found = openai_format.stream_violations(answer.events) if answer.streamed else openai_format.violations(answer.json)
    return failed("; ".join(str(violation) for violation in found)) if found else passed()


def openai_error(answer: Answer) -> str:
    """Why the answer is no OpenAI error of a client or server; empty if it is one."""
    if not 400 <= answer.status < 600:
        return f"expected an error, LiteLLM answered {said(answer)}"
    if found := openai_format.violations(answer.json):
        return f"no OpenAI error: {found[0]}"
    if not isinstance(answer.json, dict) or "error" not in answer.json:
        return f"no OpenAI error: {said(answer)}"
    return "" if answer.json["error"]["message"].strip() else "the OpenAI error says nothing"


@judge("error-names", AnswersSeen)
def error_names(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """An OpenAI error whose text names the case."""
    for each, answers in _answers(seen, check, evidence):
        for answer in answers:
            if problem := openai_error(answer):
                yield each.case, failed(problem)
            else:
                message = json.dumps(answer.json["error"], ensure_ascii=False)
                told = f"the error does not name {each.case}: {message}"
                yield each.case, passed() if each.case in message else failed(told)


OWN_KEY = "own"
"""The case in which the gateway is asked with its own key; in all others with another, or none."""


@judge("key-asked", AnswersSeen, cases=True)
def key_asked(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Some text for who sends the gateway's own key; for all others an OpenAI error that says it is theirs.

    It is 401 by OpenAI's word; without a database LiteLLM 1.80.16 says 400 of a key that it does not know.
    """
    for each, answers in _answers(seen, check, evidence):
        for answer in answers:
            if each.case == OWN_KEY:
                served = answer.ok and bool(answer.text)
                told = f"with its own key LiteLLM answered {said(answer)}; expected 200 with some text"
                yield each.case, passed() if served else failed(told)
            elif problem := openai_error(answer):
                yield each.case, failed(f"with {'no' if each.case == 'missing' else 'a wrong'} key: {problem}")
            elif answer.status >= 500:
                yield each.case, failed(f"LiteLLM calls a {each.case} key its own fault: {said(answer)}")
            else:
                yield each.case, passed(f"status {answer.status}")


@judge("error-in-time", AnswersSeen, wants=dict, keys=["seconds"])
def error_in_time(seen: Sequence[AnswersSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """An OpenAI error, within the seconds that the story names."""
    limit = check.wants["seconds"]
    for each, answers in _answers(seen, check, evidence):
        for answer in answers:
            if problem := openai_error(answer):
                yield each.case, failed(problem)
            elif each.asked.get("seconds") != limit:
                asked = each.asked.get("seconds")
                yield each.case, not_judged(f"the feature allows {asked} s, the story {limit} s", Code.ASKED_OTHERWISE)
            elif answer.e2e_ms >= limit * 1000:
                told = f"the caller waited {answer.e2e_ms / 1000:.1f} s for an error; expected at most {limit} s"
                yield each.case, failed(told, Code.LIMIT_EXCEEDED)
            else:
                yield each.case, passed(f"after {answer.e2e_ms / 1000:.1f} s")


@judge("counter", CounterSeen, minima=["requests"])
def counter(seen: Sequence[CounterSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """vLLM's own counter grew by what was sent, and no other backend's, and so much was sent."""
    for each in seen:
        yield each.case, _counted(each, each.requests, check.min["requests"])


@judge("nothing-arrives", CounterSeen, minima=["requests"])
def nothing_arrives(seen: Sequence[CounterSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """So much was sent, and vLLM's own counter stands still."""
    for each in seen:
        yield each.case, _counted(each, 0, check.min["requests"])


def _counted(each: CounterSeen, expected: int, wanted: float) -> Verdict:
    if each.grown != expected:
        asked = f" for {each.model}" if each.model else ""
        return failed(f"vLLM finished {each.grown} requests{asked}, expected {expected} ({each.metric})")
    if wrong := [f"{service} finished {grown}" for service, grown in each.elsewhere.items() if grown]:
        return failed(f"what was asked for {each.model} reached other backends: {listed(wrong)} ({each.metric})")
    if each.requests < wanted:
        return not_judged(f"{each.requests} requests were sent; the story asks for {wanted:g}", Code.TOO_FEW)
    return passed(f"{each.grown} of {each.requests} requests")


@judge("gateway-streams", PacedByGateway, wants=dict, keys=["pause"], minima=["events"])
def gateway_streams(seen: Sequence[PacedByGateway], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """The tokens of a stream arrive through LiteLLM as vLLM's were sent to it: one by one, with a pause between them.

    Events with text are looked at, since LiteLLM makes the others itself.
    """
    for each in seen:
        yield each.case, _paced(each, check, evidence)


def _paced(each: PacedByGateway, check: Check, evidence: Recorded) -> Verdict:
    for seq in (each.recorder, each.exchange):
        if (arm := evidence.by_seq(seq, Exchange).arm) not in check.arms:
            raise SignoffError(f"{arm!r} was asked; the story asks for {listed(check.arms)}")
    own, through = answer_of(evidence, each.recorder), answer_of(evidence, each.exchange)
    sent, arrived = own.token_times, through.token_times
    if each.pause < check.wants["pause"]:
        told = f"{each.pause:g} s lay between two events; the story asks for {check.wants['pause']:g} s"
        return not_judged(told, Code.ASKED_OTHERWISE)
    if not through.ok:
        return failed(f"a stream through LiteLLM is not whole: {through.broken or said(through)}")
    if not own.ok or len(sent) < check.min["events"]:
        told = f"vLLM's own stream has {len(sent)} events with text, the story asks for {check.min['events']:g}"
        return inconclusive(told, Code.TOO_FEW)
    if len(arrived) < max(check.min["events"], (1 - TOLERATED) * len(sent)):
        told = f"of vLLM's {len(sent)} events with text {len(arrived)} arrived through LiteLLM"
        return failed(f"{told}, with all of it") if through.text == own.text else inconclusive(told, Code.TOO_FEW)
    return held_back(arrived, sent, each.pause, "LiteLLM", "through LiteLLM")


@judge("client-reads", ClientRead)
def client_reads(seen: Sequence[ClientRead], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The client makes the same of both answers, and something at all of vLLM's."""
    for each in seen:
        if "error" in each.direct:
            yield (
                each.case,
                inconclusive(f"{each.client} reads vLLM's own answer as {each.direct['error']}", Code.PROVES_NOTHING),
            )
        elif not each.direct.get("text"):
            yield each.case, inconclusive("vLLM's own answer says nothing", Code.PROVES_NOTHING)
        elif each.direct != each.proxied or len(each.rounds) > 1:
            yield each.case, _read_otherwise(each)
        else:
            yield each.case, passed(each.client)


def _read_otherwise(each: ClientRead) -> Verdict:
    """What is to be said where the client reads other things from LiteLLM, of a model that may answer so itself."""
    if error := next((own["error"] for read in each.rounds for own in (read.direct, read.again) if "error" in own), ""):
        return inconclusive(f"{each.client} reads an answer of vLLM's own as {error}", Code.PROVES_NOTHING)
    unread = next((read for read in each.rounds if read.direct.keys() != read.proxied.keys()), None)
    if len(each.rounds) > 1 and not unread:
        rounds = [Three(each.client, read.direct, read.again, read.proxied) for read in each.rounds]
        return by_rates(equality(rounds), "vLLM", "LiteLLM")
    direct, proxied = (unread.direct, unread.proxied) if unread else (each.direct, each.proxied)
    names = [name for name in {**direct, **proxied} if direct.get(name) != proxied.get(name)]
    told = [f"{name} {proxied.get(name)!r} instead of {direct.get(name)!r}" for name in names]
    return failed(f"{each.client} reads from LiteLLM {'; '.join(told)}")


def by_rates(found: Equality, own: str, other: str, by: str = "") -> Verdict:
    """The verdict on answers that were asked for in rounds; the rest as in `equal`."""
    if found.broken:
        several = (f"{name!r}{by}: {d.path} is {d.proxied!r}, {own} said {d.direct!r}" for name, d in found.broken)
        return failed("; ".join(dict.fromkeys(several)))
    sentence = found.sentence(own, other)
    if found.value is Value.FAILED:
        return failed(sentence)
    if found.value is Value.INCONCLUSIVE:
        told = f"{own} does not repeat itself: {found.spoilt}" if found.spoilt else sentence
        return inconclusive(told, Code.PROVES_NOTHING)
    return passed(sentence, code=Code.BY_RATES)


def trio_of(trio: Trio, check: Check, evidence: Recorded) -> tuple[Answer, Answer, Answer]:
    """The three answers to a prompt.

    Raises:
        SignoffError: they are not of the arms that the story declares, or to another prompt.
    """
    exchanges = [evidence.by_seq(seq, Exchange) for seq in (trio.direct, trio.again, trio.proxied)]
    arms = tuple(each.arm for each in exchanges)
    if check.arms and arms != check.arms:
        raise SignoffError(f"{listed(arms)} were asked; the story asks for {listed(check.arms)}")
    if len({trio.direct, trio.again, trio.proxied}) < len(exchanges):
        raise SignoffError(f"{trio.prompt!r} was not asked three times")
    asked = {str(each.request["body"]["messages"][-1]["content"]) for each in exchanges}
    if asked != {trio.prompt}:
        raise SignoffError(f"the answers to {trio.prompt!r} are to {listed(sorted(asked))}")
    first, again, proxied = (answer_of(evidence, seq) for seq in (trio.direct, trio.again, trio.proxied))
    return first, again, proxied


def _prompts(each: TriosSeen | IngressTrios) -> int:
    return len({trio.prompt for trio in each.trios})


def too_few_prompts(each: TriosSeen | IngressTrios, check: Check) -> Verdict | None:
    """That fewer prompts were asked than the story wants, if so."""
    wanted = check.min["prompts"]
    if _prompts(each) >= wanted:
        return None
    return not_judged(f"{_prompts(each)} prompts were asked; the story asks for {wanted:g}", Code.TOO_FEW)


def equal(
    each: TriosSeen | IngressTrios, check: Check, evidence: Recorded, own: str, other: str, by: str = ""
) -> Iterator[Verdict]:
    """Whether the last of three answers is what the first two are, prompt by prompt; by rates where they differ.

    `own` is who gave the first two, `other` who gave the last, and `by` what to say behind a prompt of the latter's.
    """
    answers = [(trio.prompt, trio_of(trio, check, evidence)) for trio in each.trios]
    rounds = [Three(prompt, *map(said_by, three)) for prompt, three in answers]
    streamed = each.case == "streamed"
    if any(bool(answer.request["body"].get("stream")) is not streamed for _, three in answers for answer in three):
        yield not_judged("the requests are not what the case names", Code.ASKED_OTHERWISE)
    elif len(answers) == _prompts(each) or all(map(alike, rounds)):
        yield from (_once(prompt, three, own, by) for prompt, three in answers)
    elif all(answer.ok for _, (first, again, _) in answers for answer in (first, again)):
        yield by_rates(equality(rounds), own, other, by)
    else:
        yield inconclusive(f"{own} did not answer well each time", Code.PROVES_NOTHING)


def _once(prompt: str, three: tuple[Answer, Answer, Answer], own: str, by: str) -> Verdict:
    """The same of a prompt that was asked in a single round."""
    result = compare(*three)
    if result.value is Value.FAILED:
        told = "; ".join(f"{d.path} is {d.proxied!r}, {own} said {d.direct!r}" for d in result.differences)
        return failed(f"{prompt!r}{by}: {told}")
    if result.value is Value.INCONCLUSIVE:
        told = f"{prompt!r}: {own} does not repeat itself, or leaves out what is compared"
        return inconclusive(told, Code.PROVES_NOTHING)
    return passed()


@judge("equal-answers", TriosSeen, minima=["prompts"])
def equal_answers(seen: Sequence[TriosSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """LiteLLM says what vLLM said twice alike, prompt by prompt; or differs no more often than vLLM from itself."""
    for each in seen:
        if too_few := too_few_prompts(each, check):
            yield each.case, too_few
        yield from ((each.case, verdict) for verdict in equal(each, check, evidence, "vLLM", "LiteLLM"))


@judge("answers-differ", TriosSeen, minima=["prompts"])
def answers_differ(seen: Sequence[TriosSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """vLLM gave each prompt a text of its own."""
    for each in seen:
        if too_few := too_few_prompts(each, check):
            yield each.case, too_few
        first_round = {trio.prompt: trio for trio in reversed(each.trios)}.values()
        if distinct([trio_of(trio, check, evidence)[0] for trio in first_round]):
            yield each.case, passed(f"{_prompts(each)} prompts")
        else:
            told = "vLLM gave distinct prompts the same answer, so equality with it would prove nothing"
            yield each.case, inconclusive(told, Code.PROVES_NOTHING)


@judge("finish-reasons", TriosSeen, wants=list)
def finish_reasons(seen: Sequence[TriosSeen], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """vLLM ended an answer for each of the reasons."""
    for each in seen:
        found = {answer.finish_reason for trio in each.trios for answer in trio_of(trio, check, evidence)[:2]}
        if missing := [reason for reason in check.wants if reason not in found]:
            told = f"no answer of vLLM ended with {listed(missing)}, so LiteLLM was not tried on it"
            yield each.case, inconclusive(told, Code.PROVES_NOTHING)
        elif sorted(each.asked) != sorted(check.wants):
            told = f"the feature asks for {listed(each.asked)}, the story for {listed(check.wants)}"
            yield each.case, not_judged(told, Code.ASKED_OTHERWISE)
        else:
            yield each.case, passed()
