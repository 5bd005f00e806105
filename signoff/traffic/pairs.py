"""Rounds of interleaved requests: each asks vLLM, LiteLLM and vLLM again, in random order, all streamed or none.

Where LiteLLM has a way in, half of the rounds ask it through its ingress as well. Nothing that is found of the other
three rests on that: neither when the rounds end, nor whether they were warm, nor what LiteLLM adds.

Imports nothing beyond httpx, so that a pod of the LiteLLM image can run it too: `python3 -m signoff.traffic`.
"""

import math
import random
import string
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist, median
from typing import Any, Literal

from signoff.traffic.client import Answer, NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint

Arm = Literal["direct", "proxied", "control", "ingress"]
ARMS: tuple[Arm, ...] = ("direct", "proxied", "control")
"""Those of every round."""
INGRESS: Arm = "ingress"
"""LiteLLM as it is asked from outside, in a random half of each kind's rounds: in all of them it would take half a
minute, where a request takes as long as vLLM's on 2 CPUs."""

TOKENS = 8
"""Of each answer, streamed or not: seven gaps between tokens, and answers of one length on both arms."""

REST_SECONDS = 0.02
"""Before each request. A server that has just answered is quicker: vLLM's stand-in on 2 CPUs took 13.4 ms when it was
asked again at once, 14.6 after 5 ms, and 15.6 to 15.7 after 20, 50 or 100 ms. Whoever holds a request up would be
charged for that as well; after a rest, all arms meet it alike."""

WINDOW_ROUNDS = 10
WARM_UP_WINDOWS = 5
STABLE_WITHIN = 0.2
"""Warm: the median duration of a round, streamed and not, is within this part of that of the window before."""

PAIRS_FOR_P95 = 400
"""With fewer, the 95th percentile rests on less than twenty requests; so many are taken if the budget allows."""
MEDIAN_WIDTH_MS = 2.0
P95_WIDTH_MS = 10.0
"""Narrow enough: the 95 % intervals of the median difference and of the p95 shift are no wider."""
LOOK_EVERY = 100

OVERHEAD_HEADER = "x-litellm-overhead-duration-ms"

_PROMPT_LETTERS = 48
_TELL_EVERY = 50
_Z = NormalDist().inv_cdf(0.975)
"""As `signoff.stats.estimate.z`, which a pod does not have."""


@dataclass(frozen=True)
class Timing:
    """One timed request: `started` in seconds of time.monotonic(), `ms` from sending to the last byte.

    `error` is empty for a whole answer with status 200 and some text or tokens; else `ms` says when it was known.
    Rounds below 0 only warmed up. `ttft_ms` and `itl_ms` (mean time between two tokens) are those of streams, and None
    where no text came. `header_ms` is what LiteLLM says of itself. `cpu_ms` is this process's own work meanwhile,
    `waited_ms` how long it was ready to run and had no processor.

    What the answer holds: `tokens` and `prompt_tokens` as the server counts them, `characters` of text, and `pieces`,
    the events of a stream that have text. None is unknown, as in files that older versions wrote.
    """

    round: int
    position: int
    arm: Arm
    started: float
    ms: float
    error: str = ""
    streamed: bool = False
    ttft_ms: float | None = None
    itl_ms: float | None = None
    tokens: int | None = None
    header_ms: float | None = None
    cpu_ms: float = 0.0
    waited_ms: float = 0.0
    prompt_tokens: int | None = None
    pieces: int | None = None
    characters: int | None = None


Round = list[Timing]
"""The requests of a round, in the order in which they were sent: one of each of `ARMS`, perhaps one of `INGRESS`."""


@dataclass(frozen=True)
class Manner:
    """How rounds are asked. `kinds` says whether they are streamed: by default one of every two, in random order.

    `longer_rests` gives the seconds by which an arm's rests are longer than `REST_SECONDS`. `spoilt` says whether what
    lies between vLLM, LiteLLM and this process spoilt a round that began at this moment of `time.monotonic()`: it is
    asked again, and nothing is told of it.
    """

    kinds: Sequence[bool] = (False, True)
    longer_rests: Mapping[Arm, float] = field(default_factory=dict)
    spoilt: Callable[[float], bool] = lambda _: False


USUAL = Manner()


def measure(
    direct: Endpoint,
    proxied: Endpoint,
    *,
    ingress: Endpoint | None = None,
    pairs: int,
    seed: int,
    manner: Manner = USUAL,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Timing]:
    """Time at most this many rounds, after some that only warm connections and caches up.

    A failed request ends it; one through the ingress ends only the asking of the ingress. Where LiteLLM's alone failed,
    one more round shows whether vLLM still answers.

    From `PAIRS_FOR_P95` rounds on, it ends when the intervals are narrow enough. That rule looks at their width and
    never at where they lie, which keeps them valid (Chow and Robbins, On the asymptotic theory of fixed-width
    sequential confidence intervals for the mean, Annals of Mathematical Statistics 36, 1965).

    Gives the requests in the order in which they were sent, each after a rest. Prompts are random letters of one
    length, so that no arm finds in a prefix cache what another one left there; each arm has one kept-alive connection,
    used at most once a round.
    """
    asked: dict[Arm, Endpoint] = {"direct": direct, "proxied": proxied, "control": direct}
    if ingress is not None:
        asked[INGRESS] = ingress
    with ExitStack() as stack:
        clients = {arm: stack.enter_context(OpenAIClient(endpoint)) for arm, endpoint in asked.items()}
        ask = _Asking(clients, manner, random.Random(seed))
        for warming in _warm_up(ask):
            yield from warming
            if failed(warming):
                yield from _looked_at_again(ask, warming)
                return
        taken: list[Round] = []
        while len(taken) < pairs:
            timed = ask(len(taken))
            yield from timed
            if failed(timed):
                yield from _looked_at_again(ask, timed)
                return
            taken.append(timed)
            if len(taken) % _TELL_EVERY == 0:
                progress(f"{len(taken)} of at most {pairs} pairs")
            if len(taken) >= PAIRS_FOR_P95 and len(taken) % LOOK_EVERY == 0 and is_narrow(taken):
                return


def _looked_at_again(ask: Callable[[int], Round], asked: Round) -> Round:
    """The round after one in which a request failed, if vLLM's own did not: it may have ended in between."""
    if any(timing.error for timing in asked if timing.arm in ("direct", "control")):
        return []
    return ask(asked[0].round + 1)


class _Asking:
    """Asks one round after the other, of the arms that have a client; an ingress that fails is asked no more."""

    def __init__(self, clients: dict[Arm, OpenAIClient], manner: Manner, rng: random.Random) -> None:
        self._clients, self._manner, self._rng = clients, manner, rng
        self._streamed = _in_turn(manner.kinds, rng)
        # Turns of their own for each kind, and for the warm-up, so that it is half of the timed rounds of each.
        self._halves: dict[tuple[bool, bool], Iterator[bool]] = defaultdict(lambda: _in_turn((False, True), rng))

    def __call__(self, number: int) -> Round:
        stream = next(self._streamed)
        with_ingress = INGRESS in self._clients and next(self._halves[stream, number < 0])
        arms = (*ARMS, INGRESS) if with_ingress else ARMS
        started, timings = time.monotonic(), self._ask(arms, number, stream=stream)
        while self._manner.spoilt(started):
            started, timings = time.monotonic(), self._ask(arms, number, stream=stream)
        if any(timing.arm == INGRESS and timing.error for timing in timings):
            del self._clients[INGRESS]
        return timings

    def _ask(self, arms: Sequence[Arm], number: int, *, stream: bool) -> Round:
        timings = []
        for place, arm in enumerate(self._rng.sample(arms, len(arms))):
            time.sleep(REST_SECONDS + self._manner.longer_rests.get(arm, 0.0))
            timings.append(_time(self._clients[arm], arm, number, place, self._rng, stream=stream))
        return timings


def _in_turn(kinds: Sequence[bool], rng: random.Random) -> Iterator[bool]:
    """What each round is (streamed or not, say): all kinds, then all again, each time in random order."""
    while True:
        yield from rng.sample(kinds, len(kinds))


def _warm_up(ask: Callable[[int], Round]) -> Iterator[Round]:
    """Rounds, numbered up to -1 at most, until two successive windows agree, or the windows are used up."""
    before: list[Round] = []
    for window in range(-WARM_UP_WINDOWS, 0):
        now: list[Round] = []
        for number in range(window * WINDOW_ROUNDS, (window + 1) * WINDOW_ROUNDS):
            now.append(ask(number))
            yield now[-1]
        if before and is_stable(before, now):
            return
        before = now


def is_stable(before: Sequence[Round], now: Sequence[Round]) -> bool:
    """Whether rounds took about as long in one window as in the window before."""
    return all(
        abs(_duration(now, streamed) - _duration(before, streamed)) <= STABLE_WITHIN * _duration(before, streamed)
        for streamed in {asked[0].streamed for asked in now}
    )


def _duration(rounds: Sequence[Round], streamed: bool) -> float:
    of_all = (sum(each.ms for each in asked if each.arm in ARMS) for asked in rounds if asked[0].streamed == streamed)
    return median(of_all)


def is_narrow(rounds: Sequence[Round]) -> bool:
    """Whether the 95 % intervals of the median difference (the mean of both kinds') and of the p95 shift are narrow.

    The intervals here are those between order statistics (Conover, Practical Nonparametric Statistics, 3rd edition,
    3.2), with the normal approximation of the ranks; they need no resampling, which pays while requests wait.
    """
    by_arm = [{each.arm: each.ms for each in asked} for asked in rounds]
    differences: dict[bool, list[float]] = {}
    for asked, row in zip(rounds, by_arm, strict=True):
        differences.setdefault(asked[0].streamed, []).append(row["proxied"] - row["direct"])
    medians = [_width(each, 0.5) for each in differences.values()]
    tails = [_width([row[arm] for row in by_arm], 0.95) for arm in ("direct", "proxied")]
    return math.hypot(*medians) / len(medians) <= MEDIAN_WIDTH_MS and math.hypot(*tails) <= P95_WIDTH_MS


def _width(values: list[float], quantile: float) -> float:
    count, ordered = len(values), sorted(values)
    reach = _Z * math.sqrt(count * quantile * (1 - quantile))
    low, high = math.floor(count * quantile - reach), math.ceil(count * quantile + reach)
    return ordered[min(high, count - 1)] - ordered[max(low, 0)]


def failed(asked: Sequence[Timing]) -> bool:
    """Whether a request of these failed that was not sent through the ingress."""
    return any(timing.error for timing in asked if timing.arm in ARMS)


def _time(client: OpenAIClient, arm: Arm, number: int, place: int, rng: random.Random, *, stream: bool) -> Timing:
    prompt = random_prompt(rng)
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    cpu, waited = time.process_time(), _waited_seconds()
    started = time.monotonic()
    try:
        answer = client.chat(prompt, stream=stream, temperature=0, max_tokens=TOKENS, **options)
    except NoAnswer as error:
        taken = (time.monotonic() - started) * 1000
        return Timing(number, place, arm, started, taken, error.what, streamed=stream)
    cpu, waited = time.process_time() - cpu, _waited_seconds() - waited
    return Timing(
        number,
        place,
        arm,
        answer.started,
        answer.e2e_ms,
        fault(answer, stream=stream),
        streamed=stream,
        ttft_ms=answer.ttft_ms,
        itl_ms=answer.itl_ms,
        tokens=answer.tokens,
        header_ms=header_ms(answer),
        cpu_ms=cpu * 1000,
        waited_ms=waited * 1000,
        prompt_tokens=answer.prompt_tokens,
        pieces=len(answer.token_times) if stream else None,
        characters=len(answer.text),
    )


def random_prompt(rng: random.Random) -> str:
    """A prompt that nobody has sent before, as long as all others."""
    return "".join(rng.choices(string.ascii_lowercase, k=_PROMPT_LETTERS))


def header_ms(answer: Answer) -> float | None:
    """What LiteLLM says that it added; it says nothing on streams."""
    try:
        return float(answer.headers[OVERHEAD_HEADER])
    except (KeyError, ValueError):
        return None


def fault(answer: Answer, *, stream: bool) -> str:
    """What is wrong with an answer to a timed request; empty if nothing is."""
    if not answer.ok:
        return f"status {answer.status}: {answer.broken or answer.body[:200]}"
    if answer.streamed != stream:
        return f"{'no stream' if stream else 'a stream'} came: {answer.body[:200]}"
    # A model may end at once: an answer without text, whose end is the one token that vLLM counts.
    said = answer.text or (answer.finish_reason and answer.tokens)
    return "" if said else f"an answer without text or tokens: {answer.body[:200]}"


def _waited_seconds() -> float:
    """How long this thread has waited for a processor while it could run; 0.0 where Linux does not tell.

    The second number of https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat, in nanoseconds.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="utf-8").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
