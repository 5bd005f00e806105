"""Whether the answer is vLLM's own, and what the way through LiteLLM costs."""

import secrets
from dataclasses import asdict, dataclass

import pytest
from pytest_bdd import parsers, then, when

from signoff import overhead, parity, story
from signoff.attribution import attribute
from signoff.console import progress
from signoff.deployment import Deployment
from signoff.evidence import Evidence
from signoff.traffic.client import Answer
from signoff.verdicts import Inconclusive, Verdict
from steps.chat import ask, is_streamed
from steps.tables import Rows, rows


@dataclass(frozen=True)
class Trio:
    """One prompt's answers: vLLM's own, asked twice, and LiteLLM's."""

    prompt: str
    first: Answer
    second: Answer
    proxied: Answer


@dataclass(frozen=True)
class Timed:
    """The timed rounds, and the seed of their prompts and of the bootstrap: a new one for each run."""

    samples: overhead.Samples
    seed: int


@when(parsers.parse("I send the same {kind} chat completions to vLLM twice and to LiteLLM"), target_fixture="trios")
def send_to_both(backend: str, gateway: str, evidence: Evidence, kind: str, datatable: Rows) -> list[Trio]:
    stream = is_streamed(kind)
    trios = []
    for row in rows(datatable):
        prompt, stop = row["prompt"], {"stop": row["stop"]} if row["stop"] else {}
        answers = [
            ask(evidence, arm, url, prompt, stream=stream, **stop)
            for arm, url in (("direct", backend), ("direct again", backend), ("proxied", gateway))
        ]
        trios.append(Trio(prompt, *answers))
    return trios


@then("vLLM itself ended answers for each of these reasons")
def ended_for_each_reason(trios: list[Trio], datatable: Rows) -> None:
    seen = {trio.first.finish_reason for trio in trios}
    if missing := {row["finish_reason"] for row in rows(datatable)} - seen:
        raise Inconclusive(f"no answer of vLLM ended with {', '.join(sorted(missing))}, so LiteLLM was not tried on it")


@then("the answers of vLLM differ from prompt to prompt")
def answers_differ(trios: list[Trio]) -> None:
    verdict = parity.distinct([trio.first for trio in trios])
    if verdict is not Verdict.PASSED:
        raise Inconclusive("vLLM gave distinct prompts the same answer, so equality with it would prove nothing")


@then("LiteLLM's text, finish_reason and usage equal vLLM's")
def answers_equal(trios: list[Trio], evidence: Evidence) -> None:
    results = {trio.prompt: parity.compare(trio.first, trio.second, trio.proxied) for trio in trios}
    for prompt, result in results.items():
        evidence.record(
            "parity", prompt=prompt, verdict=result.verdict.value, differences=[asdict(d) for d in result.differences]
        )
    differences = {prompt: r.differences for prompt, r in results.items() if r.verdict is Verdict.FAILED}
    assert not differences
    unsure = [prompt for prompt, result in results.items() if result.verdict is Verdict.INCONCLUSIVE]
    if unsure:
        raise Inconclusive(f"vLLM does not repeat itself, or leaves out what is compared, for {unsure}")


@when("I time interleaved pairs of direct and proxied chat completions", target_fixture="timed")
def time_pairs(
    request: pytest.FixtureRequest, deployment: Deployment, backend: str, gateway: str, evidence: Evidence
) -> Timed:
    pairs, seed = request.config.getoption("--overhead-pairs"), secrets.randbelow(2**31)
    evidence.record("overhead-plan", pairs=pairs, seed=seed)
    progress("overhead", f"at most {pairs} interleaved pairs, and as many direct against direct")
    with evidence.phase("time the overhead"):
        samples, place = deployment.time_pairs(pairs, seed)
    samples.to_csv(evidence.dir / "overhead.csv")
    evidence.record("timing-place", place=place)
    return Timed(samples, seed)


@then(parsers.parse("the overhead is below {limit_ms:d} ms with 95 % confidence"))
def overhead_is_below(timed: Timed, evidence: Evidence, limit_ms: int) -> None:
    assert limit_ms == story.OVERHEAD_LIMIT_MS, "the feature and the story disagree on NFR66"
    result = overhead.judge(timed.samples, limit_ms=limit_ms, seed=timed.seed)
    summary = {**asdict(result), "verdict": result.verdict.value}
    evidence.record("overhead", summary=summary, csv="overhead.csv", limit_ms=limit_ms)
    if split := attribute(timed.samples.blocks):
        evidence.record("attribution", **asdict(split), parts=split.parts())
    if result.verdict is Verdict.INCONCLUSIVE:
        raise Inconclusive(result.reason)
    assert result.verdict is Verdict.PASSED, result.reason
