"""Whether what was timed can be what it seems: the same work on each arm, and all of it done by vLLM.

A gateway that answers one token for vLLM's eight, or from a cache, is quick, and says nothing of what LiteLLM costs.
So a measurement passes only if its answers hold as much on each arm, vLLM counted each of them once, and the way
through LiteLLM is not quicker than the one without it. What is not known of this is never taken for granted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from signoff.overhead import estimate
from signoff.overhead.estimate import JUDGED, Overhead, Samples
from signoff.stats.estimate import CONFIDENCE, Estimate, z
from signoff.traffic.counted import Counted
from signoff.traffic.pairs import INGRESS, Round, Timing
from signoff.verdicts.verdict import Code, Verdict, failed, gravest, inconclusive

BY_CHANCE = 1e-4
"""As rarely a gateway that passes everything on is said to answer less. Prompts are random, so that a model may end an
answer early on any arm: then LiteLLM's is as often the longer one, and 14 rounds of one direction are no chance."""

_HOLDS = {
    "tokens": "tokens",
    "prompt_tokens": "tokens of its prompt",
    "pieces": "events with text",
    "characters": "characters of text",
}
"""What an answer holds, by the fields of `Timing`."""


def judge(samples: Samples, *, limit_ms: float, seed: int) -> Overhead:
    """As `signoff.overhead.estimate.judge`; what is not plausible takes a pass away, from each figure as from all."""
    result = estimate.judge(samples, limit_ms=limit_ms, seed=seed)
    if result.verdict.code is Code.NO_ANSWER and (cause := _end_of_vllm(samples.counted)):
        return replace(result, verdict=inconclusive(f"{result.verdict.reason}; {cause}", Code.BACKEND_FAILED))
    if not result.figures:
        return result
    found = tuple(doubts(samples, result.figures))
    return replace(result, verdict=gravest([result.verdict, *found]), doubts=found)


def _end_of_vllm(counted: Counted | None) -> str:
    """What vLLM itself says of a failure of its own while it was asked; empty if it says nothing."""
    if counted is None:
        return ""
    if counted.restarted:
        return "vLLM started anew meanwhile, and what failed may have been its end"
    return f"vLLM itself answered {counted.failures} with a status from 500 on" if counted.failures else ""


def doubts(samples: Samples, figures: Mapping[str, Estimate]) -> Iterator[Verdict]:
    """Why the figures may not be what they seem."""
    rounds = samples.whole_rounds()
    if unknown := _unknown(rounds):
        yield unknown
    else:
        yield from (doubt for field in _HOLDS if (doubt := _unequal(_Compared.of(rounds, field), field)))
    if doubt := _calls(samples):
        yield doubt
    if doubt := _quicker(figures):
        yield doubt


# The same work


def _unknown(rounds: Sequence[Round]) -> Verdict | None:
    asked = [(timing, field) for asked in rounds for timing in asked for field in _HOLDS]
    missing = [(timing, field) for timing, field in asked if _held(timing, field) is None]
    if not missing:
        return None
    first, field = missing[0]
    count = len({(timing.round, timing.arm) for timing, _ in missing})
    return inconclusive(
        f"it is not known whether the arms did the same work: {count} of {len(asked) // len(_HOLDS)} answers do not "
        f"tell how much they hold; the {first.arm} one of round {first.round} lacks the number of {_HOLDS[field]}",
        Code.UNEQUAL_WORK,
    )


def _held(timing: Timing, field: str) -> int | None:
    """Of this the answer has so much; a plain answer has no events, which is not unknown."""
    if field == "pieces" and not timing.streamed:
        return 0
    found: int | None = getattr(timing, field)
    return found


@dataclass(frozen=True)
class _Compared:
    """In how many of the rounds LiteLLM's answer holds less or more than vLLM's, and vLLM's control other than that."""

    rounds: int
    less: int
    more: int
    control: int
    first: str

    @classmethod
    def of(cls, rounds: Sequence[Round], field: str) -> "_Compared":
        less = more = control = 0
        first = ""
        for asked in rounds:
            held = {timing.arm: _held(timing, field) or 0 for timing in asked}
            less += held["proxied"] < held["direct"]
            more += held["proxied"] > held["direct"]
            control += held["control"] != held["direct"]
            if not first and held["proxied"] != held["direct"]:
                own = f"{held['direct']} and {held['control']}"
                first = f"in round {asked[0].round} LiteLLM's holds {held['proxied']}, vLLM's {own}"
        return cls(len(rounds), less, more, control, first)


def _unequal(seen: _Compared, field: str) -> Verdict | None:
    """The sign test of LiteLLM's answers against vLLM's.

    Tokens are what was asked for, a number of them alike: fewer is LiteLLM's failure. What a prompt or a text holds
    differs from prompt to prompt, and a gateway may put several tokens into one event: that is not to be held against
    it, but leaves open whether the arms did the same.
    """
    differ = seen.less + seen.more
    told = (
        f"of {seen.rounds} rounds LiteLLM's answer holds fewer {_HOLDS[field]} than vLLM's in {seen.less}, and more in "
        f"{seen.more}; {seen.first}"
    )
    if _by_chance(seen.less, differ) <= BY_CHANCE:
        return failed(told, Code.UNEQUAL_WORK) if field == "tokens" else inconclusive(told, Code.UNEQUAL_WORK)
    # A number that vLLM itself never changes is no matter of chance, however seldom LiteLLM does.
    if field == "tokens" and (_by_chance(seen.more, differ) <= BY_CHANCE or (differ and not seen.control)):
        return inconclusive(told, Code.UNEQUAL_WORK)
    return None


def _by_chance(count: int, of: int) -> float:
    """How probable so many or more heads are of so many throws."""
    from scipy.special import bdtrc

    return float(bdtrc(count - 1, of, 0.5)) if count else 1.0


# All of it done by vLLM


def _calls(samples: Samples) -> Verdict | None:
    counted = samples.counted
    if counted is None:
        return inconclusive("what vLLM counted while it was timed is not in the evidence", Code.NOT_COUNTED)
    if counted.answered is None:
        return inconclusive(f"vLLM's own counter cannot be read: {counted.note}", Code.NOT_COUNTED)
    if counted.restarted:
        told = "another vLLM counted at the end than at the beginning: it started anew, or there are several"
        return inconclusive(told, Code.NOT_COUNTED)
    through = sum(timing.arm in ("proxied", INGRESS) and not timing.error for timing in samples.timings)
    surplus = counted.answered - counted.sent
    told = f"vLLM counted {counted.answered} requests where {counted.sent} were answered"
    if surplus > counted.uncertain:
        if surplus % through == 0 and _shown_by_blocks(samples):
            return failed(f"{told}, {through} of them by LiteLLM: it asks more than once for each", Code.UNEQUAL_WORK)
        return inconclusive(f"{told}: LiteLLM asks more than once, or somebody else asks it too", Code.NOT_COUNTED)
    if surplus < 0:
        if -surplus <= through and _shown_by_blocks(samples):
            told = f"{told}, {through} of them by LiteLLM: it answers without vLLM, from a cache say"
            return failed(told, Code.UNEQUAL_WORK)
        return inconclusive(f"{told}: some answers did not come from it, or there are several", Code.NOT_COUNTED)
    return None


def _shown_by_blocks(samples: Samples) -> bool:
    """Whether vLLM counted as many as were sent in each block that asked vLLM itself, and in none that asked LiteLLM.

    Blocks of both follow each other in turn: somebody else, or another vLLM, would show in both kinds.
    """
    as_sent = {
        arm: [block.backend_ms is not None for block in samples.blocks if block.arm == arm]
        for arm in ("direct", "proxied")
    }
    return bool(as_sent["direct"] and as_sent["proxied"]) and all(as_sent["direct"]) and not any(as_sent["proxied"])


# Not quicker than without LiteLLM


def _quicker(figures: Mapping[str, Estimate]) -> Verdict | None:
    """Each interval is made wider for the number of figures (Bonferroni): so that one lies below 0 by chance as rarely.

    Wider in proportion, as if they were normal.
    """
    family = {name: figures[name] for name in JUDGED if name in figures and figures[name].high is not None}
    for name, figure in family.items():
        wider = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / len(family)) / z()
        high = figure.value + wider * (figure.ends[1] - figure.value)
        if high < 0:
            return inconclusive(
                f"the proxied arm does less: {name.replace('_', ' ')} is {figure.value:.1f} ms, below 0 with 95 % "
                "confidence, and nobody passes a request on in less time than it takes without",
                Code.DOES_LESS,
            )
    return None
