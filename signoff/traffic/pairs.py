"""Rounds of interleaved requests: each asks vLLM, LiteLLM and vLLM again, in random order.

Imports nothing beyond httpx, so that a pod of the LiteLLM image can run it too: `python3 -m signoff.traffic.pairs`.
"""

import argparse
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from signoff.traffic.client import Answer, NoAnswer, OpenAIClient

Arm = Literal["direct", "proxied", "control"]
ARMS: tuple[Arm, ...] = ("direct", "proxied", "control")

TOKENS = 4
WARM_UP_ROUNDS = 10

_PROMPT_LETTERS = 48
_TELL_EVERY = 50


@dataclass(frozen=True)
class Timing:
    """One timed request: `started` in seconds of time.monotonic(), `ms` from sending to the last byte.

    `error` is empty for a whole answer with status 200 and some text or tokens; else `ms` says when it was known.
    """

    round: int
    position: int
    arm: Arm
    started: float
    ms: float
    error: str = ""


def measure(
    direct_url: str, proxied_url: str, *, pairs: int, seed: int, progress: Callable[[str], None] = lambda _: None
) -> Iterator[Timing]:
    """Time this many rounds, after some that only warm connections and caches up; a failed request ends it.

    Gives the requests in the order in which they were sent. Prompts are random letters of one length, so that no arm
    finds in a prefix cache what another one left there.
    """
    chance = random.Random(seed)
    with OpenAIClient(direct_url) as direct, OpenAIClient(proxied_url) as proxied:
        clients: dict[Arm, OpenAIClient] = {"direct": direct, "proxied": proxied, "control": direct}
        for number in range(-WARM_UP_ROUNDS, pairs):
            order = chance.sample(ARMS, len(ARMS))
            asked = [_time(clients[arm], arm, number, place, chance) for place, arm in enumerate(order)]
            failed = any(timing.error for timing in asked)
            if number >= 0 or failed:
                yield from asked
            if failed:
                return
            if number > 0 and number % _TELL_EVERY == 0:
                progress(f"{number} of {pairs} pairs")


def _time(client: OpenAIClient, arm: Arm, number: int, place: int, chance: random.Random) -> Timing:
    prompt = "".join(chance.choices(string.ascii_lowercase, k=_PROMPT_LETTERS))
    started = time.monotonic()
    try:
        answer = client.chat(prompt, temperature=0, max_tokens=TOKENS)
    except NoAnswer as error:
        return Timing(number, place, arm, started, (time.monotonic() - started) * 1000, error.what)
    return Timing(number, place, arm, answer.started, answer.e2e_ms, _fault(answer))


def _fault(answer: Answer) -> str:
    if not answer.ok:
        return f"status {answer.status}: {answer.broken or answer.body[:200]}"
    # A model may end at once: an answer without text, whose end is the one token that vLLM counts.
    said = answer.text or (answer.finish_reason and (answer.usage or {}).get("completion_tokens"))
    return "" if said else f"an answer without text or tokens: {answer.body[:200]}"


def main() -> None:
    """Measure, and write a line of JSON for each request: to standard output, which a pod's log keeps."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--direct", required=True, help="vLLM's base URL")
    parser.add_argument("--proxied", required=True, help="LiteLLM's base URL")
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    timed = measure(options.direct, options.proxied, pairs=options.pairs, seed=options.seed, progress=print)
    for timing in list(timed):  # written when all are taken
        print(json.dumps(asdict(timing)))


if __name__ == "__main__":
    main()
