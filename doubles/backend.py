"""A double of vLLM: predictable answers in its wire format, and its request counter.

The answer is a function of the messages: words drawn from their hash, or the text behind "echo " word for word. With
`tool_choice` it calls the function named there, with `logprobs` it tells probabilities, and it names each request.
`python -m doubles.backend --host 127.0.0.1 --port 8000`
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from doubles.serving import serve

MODEL = "Qwen/Qwen2.5-7B-Instruct-AWQ"
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "junco", "kelp", "larch")
DEFAULT_MAX_TOKENS = 16


@dataclass
class Backend:
    """Its settings and what it has seen.

    `delay_ms` and `jitter_ms` (exponential) stand for the model's work, `token_delay_ms` for that on each later token
    of a stream. A `drowsy` one works so much longer for each second that it has been idle.

    So many of the next requests as `failing` are answered with status 500, as by an engine that has died.

    With the chance `moody` the same question gets another answer, as from a model that does not repeat itself. With
    `speechless` all answers end with their first token, which has no text.
    """

    model: str = MODEL
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    token_delay_ms: float = 0.0
    drowsy: float = 0.0
    moody: float = 0.0
    speechless: bool = False
    failing: float = 0
    failed: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    slots: int = 0
    """How many requests it works on at a time; 0 for any number."""
    held: int = 0
    """Those that it works on, or that wait."""
    worked_seconds: float = 0.0
    idle_since: float = field(default_factory=time.monotonic)
    _free: asyncio.Semaphore | None = None
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)
    _random: random.Random = field(default_factory=lambda: random.Random(14))

    def app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(name_the_request)
        app.router.add_get("/health", self.health)
        app.router.add_get("/health/liveliness", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/completions", self.completions)
        app.router.add_post("/v1/embeddings", self.embeddings)
        return app

    async def health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def metrics(self, request: web.Request) -> web.Response:
        lines = [
            "# HELP vllm:request_success_total Count of successfully processed requests.",
            "# TYPE vllm:request_success_total counter",
        ]
        for reason in ("stop", "length", "abort", "error"):
            labels = f'engine="0",finished_reason="{reason}",model_name="{self.model}"'
            lines.append(f"vllm:request_success_total{{{labels}}} {float(self.finished[reason])}")
        for status, count in (("2xx", self.finished.total()), ("5xx", self.failed)):
            labels = f'handler="/v1/chat/completions",method="POST",status="{status}"'
            lines.append(f"http_requests_total{{{labels}}} {float(count)}")
        engine = f'engine="0",model_name="{self.model}"'
        lines.append("# TYPE vllm:e2e_request_latency_seconds histogram")
        lines.append(f"vllm:e2e_request_latency_seconds_sum{{{engine}}} {self.worked_seconds}")
        lines.append(f"vllm:e2e_request_latency_seconds_count{{{engine}}} {float(self.finished.total())}")
        lines.append("# TYPE vllm:num_requests_running gauge")
        lines.append(f"vllm:num_requests_running{{{engine}}} {float(self.held)}")
        lines.append(f"vllm:num_requests_waiting{{{engine}}} 0.0")
        return web.Response(text="\n".join(lines) + "\n")

    async def models(self, request: web.Request) -> web.Response:
        card = {
            "id": self.model,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": "/models/tiny",
            "parent": None,
            "max_model_len": 1024,
            "permission": [],
        }
        return web.json_response({"object": "list", "data": [card]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            messages = body["messages"]
        except (ValueError, KeyError) as error:
            return refusal(400, f"bad request: {error!r}", "BadRequestError")
        self.seen.append(body)
        if self.failing > 0:
            self.failing, self.failed = self.failing - 1, self.failed + 1
            return refusal(500, "EngineCore encountered an issue", "InternalServerError")
        if body.get("model", self.model) != self.model:
            return refusal(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        work = (self.delay_ms + self._random.expovariate(1) * self.jitter_ms) / 1000
        work += self.drowsy * (time.monotonic() - self.idle_since)
        took = await self._work(work)
        self.worked_seconds += took
        self.idle_since = time.monotonic()
        tokens, reason = self._reply(messages, body.get("max_tokens") or DEFAULT_MAX_TOKENS)
        tokens, reason = stopped(tokens, reason, body.get("stop") or "")
        usage = usage_of(messages, tokens)
        self.finished[reason] += 1
        head = {"id": f"chatcmpl-{next(self._serial):08x}", "created": int(time.time()), "model": self.model}
        call = called(body, tokens)
        told = logprobs_of(tokens, body.get("top_logprobs") or 0) if body.get("logprobs") else None
        if body.get("stream"):
            with_usage = (body.get("stream_options") or {}).get("include_usage", False)
            chunks = call_chunks(call) if call else chat_chunks(tokens, reason, told)
            return await stream(request, head, chunks, usage if with_usage else None, self.token_delay_ms)
        return web.json_response(completion(head, "".join(tokens), reason, usage, call, told))

    async def _work(self, seconds: float) -> float:
        """Work so long, once there is a slot; gives the time that both took."""
        if self.slots and self._free is None:
            self._free = asyncio.Semaphore(self.slots)
        came = time.monotonic()
        self.held += 1
        try:
            async with self._free or nullcontext():
                await asyncio.sleep(seconds)
        finally:
            self.held -= 1
        return time.monotonic() - came if self.slots else seconds

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked = [{"role": "user", "content": body["prompt"]}]
        tokens, reason = self._reply(asked, body.get("max_tokens") or DEFAULT_MAX_TOKENS)
        self.finished[reason] += 1
        head = {
            "id": f"cmpl-{next(self._serial):08x}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.model,
        }

        def choice(text: str, end: str | None, said: list[str]) -> dict[str, Any]:
            told = None
            if body.get("logprobs"):
                told = {
                    "text_offset": [0] * len(said),
                    "token_logprobs": [logprob(token) for token in said],
                    "tokens": said,
                    "top_logprobs": [{token: logprob(token)} for token in said],
                }
            return {"index": 0, "text": text, "logprobs": told, "finish_reason": end, "stop_reason": None}

        if not body.get("stream"):
            usage = usage_of(asked, tokens)
            return web.json_response({**head, "choices": [choice("".join(tokens), reason, tokens)], "usage": usage})
        ends = [None] * (len(tokens) - 1) + [reason]
        chunks = [{"choices": [choice(token, end, [token])]} for token, end in zip(tokens, ends, strict=True)]
        return await stream(request, head, chunks, usage_of(asked, tokens))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vectors = [[byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:4]] for text in texts]
        data = [{"index": i, "object": "embedding", "embedding": vector} for i, vector in enumerate(vectors)]
        counted = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": counted, "total_tokens": counted, "completion_tokens": 0}
        return web.json_response({"object": "list", "model": self.model, "data": data, "usage": usage})

    def _reply(self, messages: list[dict[str, Any]], max_tokens: int) -> tuple[list[str], str]:
        if self.speechless:
            return [""], "stop"
        question = str(messages[-1]["content"]) if messages else ""
        if question.startswith("echo "):
            words = question.removeprefix("echo ").split(" ")
        else:
            in_a_mood = self._random.random() < self.moody
            seed = json.dumps(messages) + (str(next(self._serial)) if in_a_mood else "")
            digest = hashlib.sha256(seed.encode()).digest()
            words = [WORDS[byte % len(WORDS)] for byte in digest[: 8 + digest[0] % 16]]
        tokens = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
        return tokens[:max_tokens], "length" if len(tokens) > max_tokens else "stop"


def stopped(tokens: list[str], reason: str, stop: str) -> tuple[list[str], str]:
    """The tokens before the one that holds the text at which to stop, with what of it comes before that."""
    for at, token in enumerate(tokens):
        if stop and stop in token:
            return [*tokens[:at], token.partition(stop)[0]], "stop"
    return tokens, reason


def usage_of(messages: list[dict[str, Any]], tokens: list[str]) -> dict[str, Any]:
    asked = sum(len(str(message["content"]).split()) for message in messages)
    return {
        "prompt_tokens": asked,
        "total_tokens": asked + len(tokens),
        "completion_tokens": len(tokens),
        "prompt_tokens_details": None,
    }


async def name_the_request(request: web.Request, response: web.StreamResponse) -> None:
    if "X-Request-Id" in request.headers:
        response.headers["X-Request-Id"] = request.headers["X-Request-Id"]


def called(body: dict[str, Any], tokens: list[str]) -> dict[str, Any] | None:
    """The call of the function that `tool_choice` names; its argument depends on the messages."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return None
    arguments = json.dumps({"city": tokens[0], "day": tokens[-1].strip()})
    return {
        "id": "call-1",
        "type": "function",
        "function": {"name": choice["function"]["name"], "arguments": arguments},
    }


def call_chunks(call: dict[str, Any]) -> list[dict[str, Any]]:
    """The call in a stream: its name first, then its arguments in pieces."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    first = {"index": 0, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [arguments[start : start + 8] for start in range(0, len(arguments), 8)]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}, {"tool_calls": [first]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    return [*(chat_chunk(delta) for delta in deltas), chat_chunk({}, finish="tool_calls")]


def logprob(token: str) -> float:
    return -(hashlib.sha256(token.encode()).digest()[0] + 1) / 64


def logprobs_of(tokens: list[str], top: int) -> list[dict[str, Any]]:
    def told(token: str) -> dict[str, Any]:
        return {"token": token, "logprob": logprob(token), "bytes": list(token.encode())}

    others = [[told(token), *(told(word) for word in WORDS[: top - 1])][:top] for token in tokens]
    return [{**told(token), "top_logprobs": other} for token, other in zip(tokens, others, strict=True)]


def completion(
    head: dict[str, Any],
    text: str,
    reason: str,
    usage: dict[str, Any],
    call: dict[str, Any] | None = None,
    logprobs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": None if call else text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": None,
        **({"tool_calls": [call]} if call else {}),
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": logprobs} if logprobs else None,
        "finish_reason": "tool_calls" if call else reason,
        "stop_reason": None,
        "token_ids": None,
    }
    return {
        **head,
        "object": "chat.completion",
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": usage,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def chat_chunk(
    delta: dict[str, Any], finish: str | None = None, logprobs: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    extra = {"stop_reason": None, "token_ids": None} if "role" not in delta else {}
    told = {"content": logprobs} if logprobs else None
    choice = {"index": 0, "delta": delta, "logprobs": told, "finish_reason": finish, **extra}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def chat_chunks(tokens: list[str], reason: str, logprobs: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The role, then the tokens; the last one ends the choice."""
    first = {**chat_chunk({"role": "assistant", "content": ""}), "prompt_token_ids": None}
    last = len(tokens) - 1
    said = [
        chat_chunk({"content": token}, reason if i == last else None, logprobs[i : i + 1] if logprobs else None)
        for i, token in enumerate(tokens)
    ]
    return [first, *said]


async def stream(
    request: web.Request,
    head: dict[str, Any],
    chunks: list[dict[str, Any]],
    usage: dict[str, Any] | None,
    token_delay_ms: float = 0.0,
) -> web.StreamResponse:
    """The chunks, each with the head, then the usage if there is one; the delay is before each token but the first."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)

    if usage is not None:
        chunks = [
            *chunks,
            {**({"object": chunks[0]["object"]} if "object" in chunks[0] else {}), "choices": [], "usage": usage},
        ]
    for i, chunk in enumerate(chunks):
        if i > 1 and chunk["choices"] and token_delay_ms:
            await asyncio.sleep(token_delay_ms / 1000)
        await response.write(f"data: {json.dumps({**head, **chunk}, ensure_ascii=False)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


def refusal(status: int, message: str, kind: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    args = parser.parse_args()
    serve(Backend(delay_ms=args.delay_ms, jitter_ms=args.jitter_ms).app(), args.host, args.port)


if __name__ == "__main__":
    main()
