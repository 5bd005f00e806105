"""The gate of the parity matrix, on the calls that the features send."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache

from signoff.core.errors import SignoffError
from signoff.evidence import Recorded
from signoff.evidence.models import CallsCompared
from signoff.judges.registry import Judgement, judge
from signoff.parity import cases
from signoff.parity.judge import Class, Result, gate
from signoff.parity.judge import judge as judge_runs
from signoff.parity.known_issues import KnownIssues
from signoff.parity.runner import Observation
from signoff.settings.shown import value_in
from signoff.story.declaration import Check
from signoff.verdicts.verdict import Code, Value, Verdict, failed, inconclusive, not_judged, passed


@lru_cache(maxsize=1)
def known_issues() -> KnownIssues:
    """What is known of LiteLLM's differences, read once."""
    return KnownIssues.read()


@lru_cache(maxsize=1)
def _runs() -> dict[str, cases.Run]:
    return {run.id: run for run in cases.runs(cases.load())}


@lru_cache(maxsize=8)
def _judged(content: bytes, name: str, only: tuple[str, ...], version: str, model: str) -> list[Result]:
    """Calls of a file of this content, judged together; `model` is what vLLM called the model."""
    told = json.loads(content)
    records = {each["id"]: each for each in (told["runs"] if isinstance(told, dict) else told)}
    known_runs = _runs()
    names = only or tuple(records)
    if gone := [name for name in names if name not in records or name not in known_runs]:
        raise SignoffError(f"this version knows no call {gone[0]!r}, which {name} is to hold")
    observed = [Observation.from_record(known_runs[name], records[name], model) for name in names]
    return judge_runs(observed, known_issues(), version)


def results(each: CallsCompared, evidence: Recorded) -> list[Result]:
    """The calls of one comparison, judged.

    Raises:
        SignoffError: their file is not the one that was recorded.
    """
    path = evidence.path(each.calls_file)
    model = value_in(evidence.run.settings, "model")
    return _judged(path.read_bytes(), path.name, tuple(each.only), each.version, model)


def call_of(result: Result) -> str:
    """A call as the declaration names it: its case and mode."""
    run = result.observation.run
    return f"{run.case.name}/{run.mode}"


@judge("parity-gate", CallsCompared, cases=True)
def parity_gate(seen: Sequence[CallsCompared], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """No difference of a call is one that gate.yaml refuses, or a defect that known.yaml does not know."""
    for each in seen:
        yield from ((call_of(result), _through_the_gate(result)) for result in results(each, evidence))


@judge("parity-recorded", CallsCompared, cases=True)
def parity_recorded(seen: Sequence[CallsCompared], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """The same of calls of which a recorder before vLLM kept what arrived."""
    for each in seen:
        for result in results(each, evidence):
            verdict = _through_the_gate(result)
            if verdict.value is Value.PASSED and result.observation.received is None:
                verdict = not_judged("no recorder saw what reached vLLM", Code.ASKED_OTHERWISE)
            yield call_of(result), verdict


def _through_the_gate(result: Result) -> Verdict:
    found = gate([result], known_issues())
    mismatch = result.observation.mismatch
    by_rates = f"{result.observation.run.id}, judged by rates of mismatch: {mismatch.sentence}" if mismatch else ""
    if found:
        told = [f"{failure.rule}: {failure.run} at {failure.path}" for failure in found]
        return failed("; ".join([*told, by_rates] if by_rates else told))
    if mismatch and mismatch.verdict is Value.INCONCLUSIVE:
        return inconclusive(by_rates, Code.PROVES_NOTHING)
    return passed(by_rates, code=Code.BY_RATES) if mismatch else passed()


@judge("parity-exercised", CallsCompared, cases=True)
def parity_exercised(seen: Sequence[CallsCompared], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """vLLM answered each call as the case wants it, and repeated itself."""
    for each in seen:
        for result in results(each, evidence):
            if result.verdict in (Class.VACUOUS, Class.INCONCLUSIVE):
                told = f"{result.observation.run.id}: {result.reason}"
                yield call_of(result), inconclusive(told, Code.PROVES_NOTHING)
            else:
                yield call_of(result), passed()
