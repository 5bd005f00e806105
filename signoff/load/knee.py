"""From which load on the gateway stops keeping up, and whether that is its own doing.

Open loop: a step is kept up with when requests are answered at the rate at which they arrive. If answers fall behind,
the queue grows as long as the load lasts (R. M. Loynes, "The stability of a queue with non-independent inter-arrival
and service times", 1962), whatever the latencies in a short step look like. Judged is the share of arrivals that was
not answered in the same time: above `MAX_SHORTFALL` it has fallen behind, unless its interval includes zero, when the
step was too short to tell.

Closed loop: the number in flight is fixed, so that nothing falls behind. The knee is the step of the greatest power,
answers per second over the time that one takes: L. Kleinrock, "Power and deterministic rules of thumb for probabilistic
problems in computer communications" (ICC 1979). Beyond it, more in flight buys mostly waiting. A step of which
more than `MAX_SHORTFALL` fails has fallen behind as well.

A step of which less than twice the time of an answer is left after its settling is too short to tell of either.

A step at which the direct probes of vLLM take twice as long as at the lightest one tells of the backend or the machine,
not of LiteLLM, if vLLM's own clock says the same, and its counters that it was sent no more than was asked: a gateway
that multiplies calls has fallen behind, and where vLLM's word is not known it is not known whose doing that is. Twice
is what a half-used queue of random arrivals takes (M/M/1, where the same paper's power peaks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from signoff.load.analysis import StepResult, StepState
from signoff.verdicts.below import is_above
from signoff.verdicts.verdict import Value

MAX_SHORTFALL = 0.05
LESS_POWER = 0.9
"""A step is past the knee when its power is below this share of the greatest: less is noise."""
DEGRADED = 2.0
SLOWER = 1.5
"""How many times as long as at the lightest step vLLM itself has to take for a request where it is the limit."""

OPEN_RULE = f"at least {1 - MAX_SHORTFALL:.0%} of the requests are answered at the rate at which they arrive"
CLOSED_RULE = (
    f"answers per second over the time of one stay above {LESS_POWER:.0%} of their greatest, and at least "
    f"{1 - MAX_SHORTFALL:.0%} of the requests are answered"
)


@dataclass(frozen=True)
class Knee:
    """`step` is the lightest that LiteLLM did not keep up with, `last` the heaviest before it; either may be None.

    `text` says it in words, as the end of a sentence about LiteLLM.
    """

    step: StepResult | None
    last: StepResult | None
    text: str
    own: bool
    """Whether `step` is LiteLLM's own knee: the direct probes had not degraded since a lighter step, which it kept."""


def with_states(steps: Sequence[StepResult]) -> list[StepResult]:
    """The steps, each with its state; the verdict of one that was not kept up with is inconclusive.

    There the overhead depends on how long the step took, and on whose queue grew.
    """
    lightest = min(steps, key=lambda step: step.load, default=None)
    strongest = max((step for step in steps if not step.invalidated_by), key=_power, default=None)
    found = [replace(step, state=_state(step, lightest, strongest)) for step in steps]
    return [
        step
        if step.state in (StepState.KEPT_UP, StepState.INVALID)
        else replace(step, verdict=Value.INCONCLUSIVE, reason=step.state.words)
        for step in found
    ]


def _state(step: StepResult, lightest: StepResult | None, strongest: StepResult | None) -> StepState:
    if step.invalidated_by:
        return StepState.INVALID
    if lightest and _degraded(step, lightest):
        return _whose_doing(step, lightest)
    if step.too_short or not step.offered:
        return StepState.TOO_SHORT
    if step.planned_users is not None and strongest is not None and _is_past(step, strongest):
        return StepState.FELL_BEHIND
    load = step.groups.get("load")
    lacking = step.shortfall if step.planned_users is None or load is None else load.error_rate
    if lacking.value <= MAX_SHORTFALL:
        return StepState.KEPT_UP
    return StepState.FELL_BEHIND if is_above(lacking, 0.0) else StepState.TOO_SHORT


def _is_past(step: StepResult, strongest: StepResult) -> bool:
    return step.load > strongest.load and _power(step) < LESS_POWER * _power(strongest)


def _power(step: StepResult) -> float:
    load = step.groups.get("load")
    median = float(np.quantile(load.waits, 0.5)) if load and len(load.waits) else 0.0
    return step.achieved.value / median if median else 0.0


def _whose_doing(step: StepResult, lightest: StepResult) -> StepState:
    """Why the direct probes have degraded, by vLLM's own word."""
    now, then = step.backend, lightest.backend
    if now is None or then is None:
        return StepState.UNEXPLAINED
    if now.is_multiplied or then.is_multiplied:
        return StepState.FELL_BEHIND
    if now.seconds is None or then.seconds is None:  # it ended nothing, though it was sent no more than was asked
        return StepState.SATURATED if now.seconds is None else StepState.UNEXPLAINED
    probe = step.groups.get("direct")
    slower = now.seconds >= SLOWER * then.seconds or (probe is not None and is_above(probe.error_rate, 0.5))
    return StepState.SATURATED if slower else StepState.UNEXPLAINED


def _degraded(step: StepResult, lightest: StepResult) -> bool:
    """Whether the direct probes take twice as long as at the lightest step, with 95 % confidence, or mostly fail."""
    probe = step.groups.get("direct")
    if probe and is_above(probe.error_rate, 0.5):
        return True
    now, then = step.overhead.direct, lightest.overhead.direct
    if step is lightest or now is None or then is None:
        return False
    return is_above(now - then.scaled(DEGRADED), 0.0)


def find(steps: Sequence[StepResult]) -> Knee:
    """The knee of steps that have their states."""
    ordered = sorted(steps, key=lambda step: step.load)
    kept: StepResult | None = None
    for step in ordered:
        if step.state is StepState.KEPT_UP:
            kept = step
        elif step.state is StepState.FELL_BEHIND:
            return Knee(step, kept, _stops(step, kept, ordered), own=kept is not None)
        elif step.state is StepState.SATURATED:
            return Knee(step, kept, f"meets a backend or machine that is saturated at {step.at()}", own=False)
        elif step.state is StepState.UNEXPLAINED:
            return Knee(step, kept, f"meets a slow vLLM at {step.at()}, by whose doing is not known", own=False)
    if kept is None:
        return Knee(None, None, "was not seen long enough, at a load that the generator could make", own=False)
    return Knee(None, kept, f"keeps up at {kept.at()}, the most that was asked of it", own=False)


def _stops(step: StepResult, kept: StepResult | None, ordered: Sequence[StepResult]) -> str:
    if step.backend and step.backend.is_multiplied:
        return f"sends vLLM more requests than it is sent at {step.at()}"
    if kept is None:  # nothing tells how long vLLM takes when it is not asked too much itself
        return f"does not keep up at {step.at()}; whether by LiteLLM or vLLM needs a lighter step"
    if step.planned_users is not None:
        return f"is past its knee at {step.at()}"
    text = f"stops keeping up at {step.at()}"
    between = [each for each in ordered if kept.load < each.load < step.load]
    hidden = [each for each in between if each.state in (StepState.INVALID, StepState.TOO_SHORT)]
    return f"{text} (or already at {hidden[0].at()}, which was {hidden[0].state.words})" if hidden else text
