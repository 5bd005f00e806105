"""Whether what LiteLLM adds to a request stays below the story's limit."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import OverheadTimed
from signoff.judges.registry import Judgement, judge
from signoff.story.declaration import Check
from signoff.traffic import timings_csv
from signoff.traffic.blocks import Block
from signoff.traffic.counted import Counted
from signoff.traffic.pairs import ARMS, PAIRS_FOR_P95, Timing
from signoff.verdicts.verdict import Code, Value, Verdict, not_judged

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.estimate import Ingress, Overhead, Samples


def samples(each: OverheadTimed, evidence: Recorded) -> "Samples":
    """What was timed, from its file.

    Raises:
        SignoffError: the file is not the one that was recorded.
    """
    from signoff.overhead.estimate import Samples

    path = evidence.path(each.requests)
    return Samples(_timings(path, each.requests.sha256), *_beside(each))


def _beside(each: OverheadTimed) -> tuple[tuple[Block, ...], Counted | None]:
    """What was recorded beside the timings: the blocks, and what vLLM counted."""
    counted = Counted(**each.counted.model_dump()) if each.counted else None
    return tuple(Block(**block) for block in each.blocks), counted


def measured(each: OverheadTimed, evidence: Recorded, limit_ms: float) -> "Overhead":
    """The figures of a measurement against a limit.

    Raises:
        SignoffError: its file is not the one that was recorded.
    """
    blocks, counted = _beside(each)
    return _measured(evidence.path(each.requests), each.requests.sha256, blocks, counted, each.seed, limit_ms)


def ingress(each: OverheadTimed, evidence: Recorded) -> "Ingress | None":
    """What the ingress adds, which is told and not judged; None where no round was to ask through one.

    Raises:
        SignoffError: the file is not the one that was recorded.
    """
    if not each.ingress:
        return None
    return _ingress(evidence.path(each.requests), each.requests.sha256, each.ingress, each.seed)


@lru_cache(maxsize=8)
def _ingress(path: Path, sha256: str, at: str, seed: int) -> "Ingress":
    from signoff.overhead import estimate

    return estimate.ingress_adds(estimate.Samples(_timings(path, sha256)), at=at, seed=seed)


@lru_cache(maxsize=8)
def _measured(
    path: Path, sha256: str, blocks: tuple[Block, ...], counted: Counted | None, seed: int, limit_ms: float
) -> "Overhead":
    from signoff.overhead import estimate, plausible

    samples = estimate.Samples(_timings(path, sha256), blocks, counted)
    return plausible.judge(samples, limit_ms=limit_ms, seed=seed)


@lru_cache(maxsize=8)
def _timings(path: Path, _sha256: str) -> tuple[Timing, ...]:
    """The lines of the file; the hash tells one file of a name from another."""
    return timings_csv.read(path)


@judge("overhead", OverheadTimed, wants=dict, keys=["limit_ms"], minima=["pairs"], cases=True)
def overhead_below(seen: Sequence[OverheadTimed], check: Check, evidence: Recorded) -> Iterator[Judgement]:
    """Each figure lies below the limit with confidence, of pairs enough, in which every arm took part."""
    limit = float(check.wants["limit_ms"])
    for each in seen:
        timed = samples(each, evidence)
        result = measured(each, evidence, limit)
        for figure in check.cases:
            yield figure, _of(figure, timed, result, each, check)


def _of(figure: str, timed: "Samples", result: "Overhead", each: OverheadTimed, check: Check) -> Verdict:
    limit, wanted = result.limit_ms, check.min["pairs"]
    arms = {timing.arm for timing in timed.timings}
    if timed.errors(*ARMS):
        return result.verdict
    if missing := [arm for arm in (check.arms or ARMS) if arm not in arms]:
        return not_judged(f"nothing was timed on the arm {listed(missing)}", Code.TOO_FEW)
    if figure not in result.figures:
        needs = f"; it needs {PAIRS_FOR_P95} pairs" if figure == "p95_shift" else ""
        return not_judged(f"{_words(figure)} cannot be estimated from {result.pairs} pairs{needs}", Code.TOO_FEW)
    verdict = result.of(figure)
    if verdict.value is not Value.PASSED:
        return verdict
    if result.pairs < wanted:
        return not_judged(f"{result.pairs} pairs were timed; the story asks for {wanted:g}", Code.TOO_FEW)
    if each.limit_asked_ms != limit:
        told = f"the feature's limit is {each.limit_asked_ms:g} ms, the story's {limit:g} ms"
        return not_judged(told, Code.ASKED_OTHERWISE)
    return verdict


def _words(figure: str) -> str:
    return figure.replace("_", " ")
