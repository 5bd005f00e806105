"""Whether the answer is vLLM's own, and what the way through LiteLLM costs."""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from pytest_bdd import parsers, then, when

from signoff.bdd.observing import observes
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence, side_file
from signoff.evidence.models import CallsCounted, OverheadTimed, Trio, TriosSeen
from signoff.gateway.deployment import Deployment
from signoff.options import Chosen
from signoff.overhead import measure
from signoff.traffic.endpoint import Endpoint
from steps.chat import Asked, ask, is_streamed, trios_of
from steps.tables import Rows, rows

TIMINGS = "overhead.csv"
WORD = 3
FEW_TOKENS = 4
"""Fewer than any answer has to a question that wants a sentence."""


@dataclass(frozen=True)
class Trios:
    """The answers to the same questions, and whether they were streamed ("plain" or "streamed")."""

    kind: str
    each: list[Trio]


@dataclass(frozen=True)
class Timed:
    """What was timed, and the seed of prompts and bootstrap: a new one for each run."""

    taken: measure.Taken
    seed: int
    pairs: int
    ingress: Endpoint | None


@when(parsers.parse("I send the same {kind} chat completions to vLLM twice and to LiteLLM"), target_fixture="trios")
def send_to_both(backend: Endpoint, gateway: Endpoint, evidence: Evidence, kind: str, datatable: Rows) -> Trios:
    stream = is_streamed(kind)
    params = {row["prompt"]: _ended_by(row["ends by"], row["prompt"], backend, evidence) for row in rows(datatable)}
    arms = (("direct", backend), ("direct again", backend), ("proxied", gateway))

    def ask_side(prompt: str, side: int) -> Asked:
        return ask(evidence, *arms[side], prompt, stream=stream, **params[prompt])

    return Trios(kind, trios_of(list(params), ask_side, f"{kind} answers"))


def _ended_by(reason: str, prompt: str, backend: Endpoint, evidence: Evidence) -> dict[str, Any]:
    """Parameters with which any model that says more than a few words ends its answer for this reason.

    It stops at what it was seen to say. One that said nothing of the kind is asked without, and ends as it does.
    """
    if not reason:
        return {}
    if reason == "length":
        return {"max_tokens": FEW_TOKENS}
    if reason != "stop":
        raise SignoffError(f"no answer can be made to end by {reason!r}", hint='write "length", "stop" or nothing')
    said = ask(evidence, "direct, to find a stop", backend, prompt).answer.text
    return {"stop": word} if (word := stop_within(said)) else {}


def stop_within(said: str) -> str:
    """A letter or digit at which the same answer stops after some text; empty if there is none.

    It comes early, since a model that does not repeat itself leaves its path late rather than soon, but behind a word.
    """
    text = said.lstrip()
    places = [at for at in range(1, len(text)) if text[at].isalnum() and text[at] not in text[:at]]
    return next((text[at] for at in [*(at for at in places if at > WORD), *places]), "")


@then("vLLM itself ended answers for each of these reasons")
@observes("finish-reasons")
def ended_for_each_reason(trios: Trios, evidence: Evidence, datatable: Rows) -> None:
    asked = [row["finish_reason"] for row in rows(datatable)]
    evidence.add(TriosSeen(check="finish-reasons", case=trios.kind, trios=trios.each, asked=asked))


@then("the answers of vLLM differ from prompt to prompt")
@observes("answers-differ")
def answers_differ(trios: Trios, evidence: Evidence) -> None:
    evidence.add(TriosSeen(check="answers-differ", case=trios.kind, trios=trios.each))


@then("LiteLLM's text, finish_reason and usage equal vLLM's")
@observes("equal-answers")
def answers_equal(trios: Trios, evidence: Evidence) -> None:
    evidence.add(TriosSeen(check="equal-answers", case=trios.kind, trios=trios.each))


@when("I time interleaved pairs of direct and proxied chat completions", target_fixture="timed")
def time_pairs(
    chosen: Chosen,
    deployment: Deployment,
    backend: Endpoint,
    gateway: Endpoint,
    timed_ingress: Endpoint | None,
    evidence: Evidence,
) -> Timed:
    pairs, seed = chosen.settings.overhead_pairs, secrets.randbelow(2**31)
    progress("overhead", f"at most {pairs} interleaved pairs, and as many direct against direct")
    with evidence.phase("time the overhead"):
        taken = measure.time_pairs(deployment, pairs, seed, evidence.dir / TIMINGS, ingress=timed_ingress)
    return Timed(taken, seed, pairs, timed_ingress)


@then("the overhead is below its limit with 95 % confidence")
@observes("overhead")
def overhead_is_below(timed: Timed, deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(
        OverheadTimed(
            check="overhead",
            requests=side_file(evidence.dir / TIMINGS),
            blocks=[asdict(block) for block in timed.taken.blocks],
            seed=timed.seed,
            pairs_asked=timed.pairs,
            limit_asked_ms=deployment.settings.overhead_limit_ms,
            place=timed.taken.place,
            left_out=timed.taken.left_out,
            gateway_image=deployment.manifests.gateway_image,
            ingress=str(timed.ingress or ""),
            counted=CallsCounted(**asdict(timed.taken.counted)) if timed.taken.counted else None,
        )
    )
