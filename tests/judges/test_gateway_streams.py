"""Whether LiteLLM passes on each token when it comes, by real streams of a recorder that pauses between two of them."""

import json
from types import SimpleNamespace as Of
from typing import Any

import pytest

from doubles.gateway import Gateway
from doubles.recorder import Recorder
from doubles.serving import running
from signoff.core.errors import SignoffError
from signoff.evidence.models import Exchange, PacedByGateway
from signoff.in_cluster.received import Fault
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.verdicts.verdict import Code, Value, Verdict
from tests.pair import Pair

PAUSE = 0.02
TOKENS = 24
DIRECT, PROXIED = "direct, by a recorder", "proxied, by a recorder"
CHECK = Check(
    text="they do", judge="gateway-streams", arms=(DIRECT, PROXIED), wants={"pause": PAUSE}, min={"events": 8}
)


def streams(pair: Pair, tampering: str | None, tokens: int = TOKENS) -> tuple[Exchange, Exchange]:
    """The same stream from the recorder and through a gateway before it."""
    with Recorder(pair.direct) as recorder, recorder.recording("route0", Fault(pause=PAUSE)):
        own = recorder.url("route0")
        with running(Gateway(own, tampering).app()) as proxied:
            return asked(own, DIRECT, tokens), asked(proxied, PROXIED, tokens)


def asked(url: str, arm: str, tokens: int) -> Exchange:
    prompt = "echo " + " ".join(f"word{number}" for number in range(tokens))
    with OpenAIClient(Endpoint(url)) as client:
        return Exchange(arm=arm, **client.chat(prompt, stream=True, max_tokens=tokens).to_record())


def judged(*exchanges: Exchange, pause: float = PAUSE) -> Verdict:
    evidence = Of(by_seq=lambda seq, _: exchanges[seq])
    seen = PacedByGateway(check="gateway-streams", recorder=0, exchange=1, pause=pause)
    rule: Any = JUDGES["gateway-streams"].rule
    ((_, verdict),) = rule([seen], CHECK, evidence)
    return verdict  # type: ignore[no-any-return]


def with_moments(exchange: Exchange, moments: list[float]) -> Exchange:
    chunks = [{**chunk, "ms": ms} for chunk, ms in zip(exchange.chunks or (), moments, strict=True)]
    return exchange.model_copy(update={"chunks": chunks})


def even(exchange: Exchange) -> Exchange:
    """As it would have come on a machine without other work."""
    return with_moments(exchange, [20.0 * place for place in range(len(exchange.chunks or ()))])


def test_a_gateway_that_passes_each_token_on_passes(pair: Pair) -> None:
    own, through = streams(pair, None)
    assert all("ms" in chunk for chunk in through.chunks or ())
    verdict = judged(even(own), even(through))
    assert (verdict.value, verdict.reason) == (Value.PASSED, f"{TOKENS} events, 20 ms apart")


@pytest.mark.parametrize("tampering", ["batches", "changing_model"])
def test_a_gateway_that_passes_on_eight_at_a_time_or_all_at_once_fails(pair: Pair, tampering: str) -> None:
    own, through = streams(pair, tampering)
    verdict = judged(even(own), through)
    assert (verdict.value, verdict.code) == (Value.FAILED, Code.NOT_AS_WANTED)
    assert "LiteLLM holds a stream back" in verdict.reason


def test_a_gateway_that_puts_all_tokens_into_one_event_fails(pair: Pair) -> None:
    own, through = streams(pair, None)
    text = "".join(f"{'' if number == 0 else ' '}word{number}" for number in range(TOKENS))
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "length"}]})
    joined = through.model_copy(update={"chunks": [{"data": chunk, "ms": 500.0}]})
    assert judged(even(own), joined).value is Value.FAILED


def test_a_client_that_reads_late_proves_nothing(pair: Pair) -> None:
    own, through = (with_moments(each, [500.0] * len(each.chunks or ())) for each in streams(pair, None))
    assert (judged(own, through).value, judged(own, through).code) == (Value.INCONCLUSIVE, Code.PROVES_NOTHING)


def test_too_few_tokens_are_inconclusive(pair: Pair) -> None:
    verdict = judged(*streams(pair, None, tokens=5))
    assert (verdict.value, verdict.code) == (Value.INCONCLUSIVE, Code.TOO_FEW)


def test_a_stream_that_broke_off_fails(pair: Pair) -> None:
    own, through = streams(pair, None)
    assert judged(own, through.model_copy(update={"broken": "ReadError"})).value is Value.FAILED


def test_a_shorter_pause_than_the_storys_is_not_judged(pair: Pair) -> None:
    assert judged(*streams(pair, None), pause=0.005).value is Value.NOT_JUDGED


def test_another_side_is_refused(pair: Pair) -> None:
    own, through = streams(pair, None)
    with pytest.raises(SignoffError, match="was asked; the story asks for"):
        judged(through.model_copy(update={"arm": "proxied"}), own)
