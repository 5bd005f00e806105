"""The load's client against doubles: exact times, and a kind for each way in which an answer fails."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from aiohttp import web

from doubles.backend import MODEL
from doubles.serving import running
from signoff.in_cluster.load_generator.client import ChatClient
from tests.pair import Pair

GAP_SECONDS = 0.2
SLOW_TOKENS = 5


def slow_stream() -> web.Application:
    """Streams a role, then tokens with equal gaps, the first after one gap; a silent one never answers."""

    async def chat(request: web.Request) -> web.StreamResponse:
        if "silent" in await request.text():
            await asyncio.sleep(5)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n')
        for _ in range(SLOW_TOKENS):
            await asyncio.sleep(GAP_SECONDS)
            await answer.write('data: {"choices":[{"index":0,"delta":{"content":"\u2028x"}}]}\n\n'.encode())
        await asyncio.sleep(2 * GAP_SECONDS)
        await answer.write(b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}\n\n')
        usage = b'data: {"choices":[],"usage":{"completion_tokens":%d}}\n\n' % SLOW_TOKENS
        await answer.write(usage + b"data: [DONE]\n\n")
        return answer

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    return app


@pytest.fixture
def slow() -> Iterator[str]:
    with running(slow_stream()) as url:
        yield url


def test_the_first_token_counts_and_not_the_role(slow: str) -> None:
    asked = ChatClient(slow, MODEL).chat("x", max_tokens=8, stream=True)
    assert asked.error == ""
    assert asked.tokens == SLOW_TOKENS
    assert asked.ttft_ms is not None
    assert asked.itl_ms is not None
    gap, gaps = GAP_SECONDS * 1000, SLOW_TOKENS - 1
    # The last token comes two gaps before the end: a busy machine may be late with any of them, by less than a gap.
    assert gap <= asked.ttft_ms <= asked.e2e_ms - (gaps + 1) * gap
    assert 0.9 * gap <= asked.itl_ms <= (asked.e2e_ms - asked.ttft_ms - gap) / gaps
    assert abs(asked.started + asked.e2e_ms / 1000 - time.time()) < 1


def test_an_answer_that_is_not_streamed_has_tokens_but_no_first_one(pair: Pair) -> None:
    asked = ChatClient(pair.direct, MODEL).chat("echo one two three", max_tokens=8, stream=False)
    assert (asked.error, asked.tokens, asked.ttft_ms, asked.itl_ms) == ("", 3, None, None)


@pytest.mark.parametrize(
    ("tampering", "stream", "error"),
    [
        ("server_error", True, "status 500"),
        ("server_error", False, "status 500"),
        ("cut", True, "broken off"),
        ("no_done", True, "no [DONE]"),
        ("error_event", True, "error event"),
        ("no_choices", False, "malformed"),
    ],
)
def test_a_failure_has_its_kind_and_the_time_it_took(pair: Pair, tampering: str, stream: bool, error: str) -> None:
    pair.backend.delay_ms = 30.0
    pair.gateway.tampering = tampering
    asked = ChatClient(pair.proxied, MODEL).chat("x", max_tokens=8, stream=stream)
    assert asked.error == error
    assert asked.e2e_ms > (0.1 if tampering == "server_error" else 30)


def test_a_server_that_is_not_there_or_says_nothing(slow: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert ChatClient(f"http://127.0.0.1:{port}", MODEL).chat("x", max_tokens=8, stream=True).error == "connect"
    silent = ChatClient(slow, MODEL, timeout=0.3).chat("silent", max_tokens=8, stream=True)
    assert silent.error == "timeout"
    assert silent.e2e_ms >= 290
