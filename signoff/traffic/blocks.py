"""Blocks of requests to a single arm, with vLLM's own clock read around each: where a request's time goes.

vLLM's counters do not tell one caller from another, so that each block has the backend for itself. Requests are not
streamed, since LiteLLM tells its own part only there. Imports nothing beyond httpx, as `signoff.traffic.pairs` does.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from signoff.core.errors import SignoffError
from signoff.core.timeouts import COUNTER_GROWS
from signoff.core.waiting import Hopeless, NotYet, WaitFailed, eventually
from signoff.traffic import metrics
from signoff.traffic.client import Answer, NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import REST_SECONDS, TOKENS, fault, header_ms, random_prompt

LATENCY = "vllm:e2e_request_latency_seconds"
"""vLLM's histogram of whole requests, from their arrival at its engine to their last token: `_sum` and `_count`."""
DOES_NOTHING = "/health/liveliness"
"""LiteLLM answers this one by itself, from no database and no model: the way to it and back."""

BLOCKS = 5
"""Of each arm, in turn."""
MAX_REQUESTS = 20
MIN_REQUESTS = 5

BlockArm = Literal["direct", "proxied", "hop"]


@dataclass(frozen=True)
class Block:
    """Means over the requests of a block, in milliseconds.

    `client_ms` is from sending to the last byte, `backend_ms` the same requests by vLLM's own clock, `header_ms` what
    LiteLLM says that it added. What nobody told is None, and `note` says why. The arm "hop" asks LiteLLM for nothing.
    """

    arm: BlockArm
    requests: int
    client_ms: float
    backend_ms: float | None = None
    header_ms: float | None = None
    note: str = ""


def time_blocks(direct: Endpoint, proxied: Endpoint, *, pairs: int, seed: int) -> Iterator[Block]:
    """Time `BLOCKS` blocks of each arm in turn, of a size that goes with the number of pairs; a failure ends it."""
    requests = max(MIN_REQUESTS, min(MAX_REQUESTS, pairs // MAX_REQUESTS))
    rng = random.Random(seed)
    with OpenAIClient(direct) as backend, OpenAIClient(proxied) as gateway:
        for _ in range(BLOCKS):
            try:
                yield _chats(backend, "direct", direct.url, requests, rng)
                yield _chats(gateway, "proxied", direct.url, requests, rng)
                hop = [_rested(lambda: gateway.get(DOES_NOTHING)) for _ in range(requests)]
            except NoAnswer:
                return
            if all(answer.status == 200 for answer in hop):
                yield Block("hop", requests, _mean_ms(hop))


def _chats(client: OpenAIClient, arm: BlockArm, backend: str, requests: int, rng: random.Random) -> Block:
    before, note = _latency(backend)
    answers = [
        _rested(lambda: client.chat(random_prompt(rng), temperature=0, max_tokens=TOKENS)) for _ in range(requests)
    ]
    if faults := [found for answer in answers if (found := fault(answer, stream=False))]:
        raise NoAnswer(faults[0])
    told = [ms for answer in answers if (ms := header_ms(answer)) is not None]
    backend_ms = None
    if before is not None:
        backend_ms, note = _backend_ms(backend, before, requests)
    header = fmean(told) if len(told) == requests else None
    return Block(arm, requests, _mean_ms(answers), backend_ms, header, note)


def _rested(ask: Callable[[], Answer]) -> Answer:
    time.sleep(REST_SECONDS)
    return ask()


def _backend_ms(backend: str, before: tuple[float, float], requests: int) -> tuple[float | None, str]:
    """The mean by vLLM's clock, once it has counted the last request; None if others were counted too."""

    def look() -> float:
        after, note = _latency(backend)
        if after is None:
            raise Hopeless(note, grace=0)
        seconds, count = after[0] - before[0], after[1] - before[1]
        if count == requests:
            return seconds / count * 1000
        told = f"vLLM counted {count:g} requests where {requests} were sent: somebody else uses it too"
        raise Hopeless(told, grace=0) if count > requests else NotYet(told)

    try:
        return eventually(f"vLLM to count {requests} requests", COUNTER_GROWS, look), ""
    except WaitFailed as failed:
        return None, failed.observation


def _latency(backend: str) -> tuple[tuple[float, float] | None, str]:
    try:
        # The count first: vLLM adds to the sum before it counts.
        count = metrics.counter(backend, f"{LATENCY}_count")
        return (metrics.counter(backend, f"{LATENCY}_sum"), count), ""
    except SignoffError as error:
        return None, error.what


def _mean_ms(answers: list[Answer]) -> float:
    return fmean(answer.e2e_ms for answer in answers)
