"""Whether an answer is in OpenAI's format: JSON Schemas of the bodies, and the order of a stream's events.

The fields and types are those of OpenAI's API reference (chat completion object, chat completion chunk object, list
models, errors). Fields beyond them are allowed: every server has some, and no client breaks on them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from signoff.traffic.wire import Event, parse_json

DONE = "[DONE]"
FINISH_REASONS = ["stop", "length", "tool_calls", "content_filter", "function_call"]

_COUNT = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_USAGE = {
    "type": "object",
    "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT},
}
_HEAD = {
    "id": {"type": "string", "minLength": 1},
    "created": {"type": "integer"},
    "model": {"type": "string", "minLength": 1},
    "system_fingerprint": _TEXT_OR_NULL,
}
CHAT_COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        **_HEAD,
        "object": {"const": "chat.completion"},
        "usage": _USAGE,
        "choices": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "index": _COUNT,
                    "finish_reason": {"enum": FINISH_REASONS},
                    "logprobs": {"type": ["object", "null"]},
                    "message": {
                        "type": "object",
                        "required": ["role", "content"],
                        "properties": {
                            "role": {"const": "assistant"},
                            "content": _TEXT_OR_NULL,
                            "refusal": _TEXT_OR_NULL,
                            "tool_calls": {"type": ["array", "null"]},
                        },
                    },
                },
            },
        },
    },
}
CHUNK = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        **_HEAD,
        "object": {"const": "chat.completion.chunk"},
        "usage": {"anyOf": [_USAGE, {"type": "null"}]},
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "delta"],
                "properties": {
                    "index": _COUNT,
                    "finish_reason": {"enum": [*FINISH_REASONS, None]},
                    "logprobs": {"type": ["object", "null"]},
                    "delta": {
                        "type": "object",
                        "properties": {
                            "role": {"enum": ["assistant", None]},
                            "content": _TEXT_OR_NULL,
                            "refusal": _TEXT_OR_NULL,
                            "tool_calls": {"type": ["array", "null"]},
                        },
                    },
                },
            },
        },
    },
}
MODEL_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "object", "created", "owned_by"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "object": {"const": "model"},
                    "created": {"type": "integer"},
                    "owned_by": {"type": "string"},
                },
            },
        },
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": _TEXT_OR_NULL,
                "param": _TEXT_OR_NULL,
                # OpenAI names strings; vLLM and LiteLLM repeat the HTTP status here.
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}


@dataclass(frozen=True)
class Violation:
    """What is wrong, and where as a JSON path."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def violations(body: Any) -> list[Violation]:
    """What is wrong with a body that is not a stream: a chat completion, a list of models, or an error."""
    if not isinstance(body, dict):
        return [Violation("$", "not a JSON object")]
    if "error" in body:
        schema = ERROR
    else:
        schema = MODEL_LIST if body.get("object") == "list" or "data" in body else CHAT_COMPLETION
    return _against(schema, body, "$")


def stream_violations(events: Sequence[Event]) -> list[Violation]:
    """What is wrong with the events of a streamed chat completion, each alone and in their order."""
    if not events:
        return [Violation("$", "the stream has no events")]
    return [*_framing(events), *_contents(events)]


def _against(schema: dict[str, Any], body: Any, root: str) -> list[Violation]:
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(body), key=lambda error: error.json_path)
    return [Violation(root + error.json_path.removeprefix("$"), error.message[:300]) for error in errors]


def _framing(events: Sequence[Event]) -> Iterator[Violation]:
    ends = [index for index, (data, _) in enumerate(events) if data == DONE]
    if not ends:
        yield Violation(f"$[{len(events) - 1}]", f"the stream does not end with {DONE}")
    elif ends != [len(events) - 1]:
        yield Violation(f"$[{ends[0]}]", f"{DONE} is not the last event, or comes more than once")


def _contents(events: Sequence[Event]) -> Iterator[Violation]:
    """The rules that hold over several chunks: the same id, a role first, one end for each choice, nothing after."""
    order = _Order()
    for index, (data, _) in enumerate(events):
        if data == DONE:
            continue
        path = f"$[{index}]"
        try:
            chunk = parse_json(data)
        except ValueError as error:
            yield Violation(path, f"not JSON: {error}")
            continue
        if isinstance(chunk, dict) and "error" in chunk:
            yield Violation(path, f"the stream ends in an error: {str(chunk['error'])[:200]}")
            order.failed = True
            continue
        wrong = _against(CHUNK, chunk, path)
        yield from wrong or order.follow(chunk, path)
    yield from order.close(f"$[{len(events) - 1}]")


class _Order:
    """What the chunks so far allow of the next one."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._usage_seen = False
        self.failed = False

    def follow(self, chunk: dict[str, Any], path: str) -> Iterator[Violation]:
        if self._id not in (None, chunk["id"]):
            yield Violation(f"{path}.id", f"the id changes within the stream: {self._id} became {chunk['id']}")
        self._id = chunk["id"]
        if self._usage_seen:
            yield Violation(path, "a chunk follows the one with the usage")
        if not chunk["choices"]:
            if not chunk.get("usage"):
                yield Violation(f"{path}.choices", "neither a choice nor the usage")
            self._usage_seen = True
        for choice in chunk["choices"]:
            yield from self._follow_choice(choice, f"{path}.choices[{choice['index']}]")

    def _follow_choice(self, choice: dict[str, Any], path: str) -> Iterator[Violation]:
        index, delta = choice["index"], choice["delta"]
        if index not in self._begun:
            self._begun.add(index)
            if delta.get("role") != "assistant":
                yield Violation(f"{path}.delta.role", "the first delta does not name the role assistant")
        if index in self._ended and (delta.get("content") or choice.get("finish_reason")):
            yield Violation(path, "the choice goes on after its finish_reason")
        if choice.get("finish_reason"):
            self._ended.add(index)

    def close(self, path: str) -> Iterator[Violation]:
        if self.failed:
            return
        if not self._begun:
            yield Violation(path, "the stream holds no choice")
        for index in sorted(self._begun - self._ended):
            yield Violation(path, f"choice {index} ends without a finish_reason")
