"""A double of vLLM: predictable answers in its wire format, and its request counter.

The answer is a function of the messages: words drawn from their hash, or the text behind "echo " word for word.
`python -m tests.doubles.backend --host 127.0.0.1 --port 8000`
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.doubles.serving import serve

MODEL = "Qwen/Qwen2.5-7B-Instruct-AWQ"
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "junco", "kelp", "larch")
DEFAULT_MAX_TOKENS = 16


@dataclass
class Backend:
    """Its settings and what it has seen.

    `delay_ms` and `jitter_ms` (exponential) stand for the model's work, `token_delay_ms` for that on each later token
    of a stream.

    With `moody` the same question gets another answer each time, with `speechless` all answers end with their first
    token, which has no text.
    """

    model: str = MODEL
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    token_delay_ms: float = 0.0
    moody: bool = False
    speechless: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    worked_seconds: float = 0.0
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)
    _random: random.Random = field(default_factory=lambda: random.Random(14))

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self.health)
        app.router.add_get("/health/liveliness", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
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
        engine = f'engine="0",model_name="{self.model}"'
        lines.append("# TYPE vllm:e2e_request_latency_seconds histogram")
        lines.append(f"vllm:e2e_request_latency_seconds_sum{{{engine}}} {self.worked_seconds}")
        lines.append(f"vllm:e2e_request_latency_seconds_count{{{engine}}} {float(self.finished.total())}")
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
        if body.get("model", self.model) != self.model:
            return refusal(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        work = (self.delay_ms + self._random.expovariate(1) * self.jitter_ms) / 1000
        await asyncio.sleep(work)
        self.worked_seconds += work
        tokens, reason = self._reply(messages, body.get("max_tokens") or DEFAULT_MAX_TOKENS)
        usage = usage_of(messages, tokens)
        self.finished[reason] += 1
        head = {"id": f"chatcmpl-{next(self._serial):08x}", "created": int(time.time()), "model": self.model}
        if body.get("stream"):
            with_usage = (body.get("stream_options") or {}).get("include_usage", False)
            return await stream(request, head, tokens, reason, usage if with_usage else None, self.token_delay_ms)
        return web.json_response(completion(head, "".join(tokens), reason, usage))

    def _reply(self, messages: list[dict[str, Any]], max_tokens: int) -> tuple[list[str], str]:
        if self.speechless:
            return [""], "stop"
        question = str(messages[-1]["content"]) if messages else ""
        if question.startswith("echo "):
            words = question.removeprefix("echo ").split(" ")
        else:
            seed = json.dumps(messages) + (str(next(self._serial)) if self.moody else "")
            digest = hashlib.sha256(seed.encode()).digest()
            words = [WORDS[byte % len(WORDS)] for byte in digest[: 8 + digest[0] % 16]]
        tokens = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
        return tokens[:max_tokens], "length" if len(tokens) > max_tokens else "stop"


def usage_of(messages: list[dict[str, Any]], tokens: list[str]) -> dict[str, Any]:
    asked = sum(len(str(message["content"]).split()) for message in messages)
    return {
        "prompt_tokens": asked,
        "total_tokens": asked + len(tokens),
        "completion_tokens": len(tokens),
        "prompt_tokens_details": None,
    }


def completion(head: dict[str, Any], text: str, reason: str, usage: dict[str, Any]) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": None,
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reason,
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


async def stream(
    request: web.Request,
    head: dict[str, Any],
    tokens: list[str],
    reason: str,
    usage: dict[str, Any] | None,
    token_delay_ms: float = 0.0,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)

    async def send(choices: list[dict[str, Any]], **more: Any) -> None:
        chunk = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        await response.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())

    def choice(delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        extra = {"stop_reason": None, "token_ids": None} if "role" not in delta else {}
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **extra}]

    await send(choice({"role": "assistant", "content": ""}), prompt_token_ids=None)
    for i, token in enumerate(tokens):
        if i and token_delay_ms:
            await asyncio.sleep(token_delay_ms / 1000)
        await send(choice({"content": token}, reason if i == len(tokens) - 1 else None))
    if usage is not None:
        await send([], usage=usage)
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
