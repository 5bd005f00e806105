"""Whether the answer is vLLM's own, and what the way through LiteLLM costs."""

import secrets
from dataclasses import asdict, dataclass

from pytest_bdd import parsers, then, when

from signoff.bdd.observing import observes
from signoff.core.console import progress
from signoff.evidence import Evidence, side_file
from signoff.evidence.models import OverheadTimed, Trio, TriosSeen
from signoff.gateway.deployment import Deployment
from signoff.options import Chosen
from signoff.overhead import measure
from signoff.traffic.blocks import Block
from signoff.traffic.endpoint import Endpoint
from steps.chat import ask, is_streamed
from steps.tables import Rows, rows

TIMINGS = "overhead.csv"


@dataclass(frozen=True)
class Trios:
    """The answers to the same questions, and whether they were streamed ("plain" or "streamed")."""

    kind: str
    each: list[Trio]


@dataclass(frozen=True)
class Timed:
    """What was timed, where, and the seed of prompts and bootstrap: a new one for each run."""

    blocks: list[Block]
    place: str
    seed: int
    pairs: int
    ingress: Endpoint | None


@when(parsers.parse("I send the same {kind} chat completions to vLLM twice and to LiteLLM"), target_fixture="trios")
def send_to_both(backend: Endpoint, gateway: Endpoint, evidence: Evidence, kind: str, datatable: Rows) -> Trios:
    stream = is_streamed(kind)
    trios = []
    for row in rows(datatable):
        prompt, stop = row["prompt"], {"stop": row["stop"]} if row["stop"] else {}
        first, again, proxied = (
            ask(evidence, arm, url, prompt, stream=stream, **stop).seq
            for arm, url in (("direct", backend), ("direct again", backend), ("proxied", gateway))
        )
        trios.append(Trio(prompt=prompt, direct=first, again=again, proxied=proxied))
    return Trios(kind, trios)


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
        blocks, place = measure.time_pairs(deployment, pairs, seed, evidence.dir / TIMINGS, ingress=timed_ingress)
    return Timed(blocks, place, seed, pairs, timed_ingress)


@then("the overhead is below its limit with 95 % confidence")
@observes("overhead")
def overhead_is_below(timed: Timed, deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(
        OverheadTimed(
            check="overhead",
            requests=side_file(evidence.dir / TIMINGS),
            blocks=[asdict(block) for block in timed.blocks],
            seed=timed.seed,
            pairs_asked=timed.pairs,
            limit_asked_ms=deployment.settings.overhead_limit_ms,
            place=timed.place,
            gateway_image=deployment.manifests.gateway_image,
            ingress=str(timed.ingress or ""),
        )
    )
