"""One exchange with one side, and what it says once a stream's deltas are put together."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from signoff.core.redact import redacted
from signoff.traffic.client import Answer
from signoff.traffic.openai_format import DONE
from signoff.traffic.wire import parse_json

NOT_JSON = "not JSON"
_TEXTS = ("content", "reasoning", "reasoning_content", "refusal", "text")
VARIES = "(varies)"
TOLD = ("chunks[].model",)
"""Paths of which one wrong value among right ones must be seen."""


@dataclass(frozen=True)
class Exchange:
    """What was asked of one side and what it answered. `status` 0 means that no answer came; `broken` says why.

    What it says is found once, however often it is compared: nothing may be written into it.
    """

    request: dict[str, Any]
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    events: tuple[str, ...] = ()
    broken: str = ""
    seconds: float = 0.0
    raw: bytes = field(default=b"", repr=False)
    """The body as it was received, with the framing of its events; not part of the record."""

    @classmethod
    def of(cls, answer: Answer) -> "Exchange":
        """The exchange behind an answer, without its credentials."""
        return cls(
            request=dict(answer.request),
            status=answer.status,
            headers=redacted(dict(answer.headers)),
            body="" if answer.events else answer.body,
            events=tuple(event.data for event in answer.events),
            broken=answer.broken,
            seconds=round(answer.ended - answer.started, 4),
            raw=answer.raw,
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Exchange":
        """What `to_record` wrote."""
        return cls(**{**record, "events": tuple(record["events"])})

    def to_record(self) -> dict[str, Any]:
        """In JSON types."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "raw"}

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def streamed(self) -> bool:
        """Whether the answer is an event stream."""
        return self.media_type == "text/event-stream"

    @cached_property
    def parsed(self) -> Any:
        """The body as JSON; NOT_JSON for what is none, None for an empty one."""
        return parse(self.body) if self.body else None

    @cached_property
    def chunks(self) -> list[Any]:
        """The events but the last `[DONE]`, as JSON."""
        return [parse(data) for data in self.events if data != DONE]

    @cached_property
    def complete(self) -> bool:
        """Whether it is a whole answer to a client: no break, no error (in mid-stream neither), every choice ended."""
        if self.broken or not 200 <= self.status < 400:
            return False
        if not self.streamed:
            return bool(self.parsed != NOT_JSON)
        choices = self.assembled.get("choices", [])
        failed = any(isinstance(chunk, dict) and "error" in chunk for chunk in self.chunks)
        return (
            bool(choices)
            and not failed
            and self.events[-1:] == (DONE,)
            and all(choice.get("finish_reason") for choice in choices)
        )

    @cached_property
    def assembled(self) -> dict[str, Any]:
        """The answer in the form of one that is not streamed: its choices and its usage."""
        return assemble(chunk for chunk in self.chunks if isinstance(chunk, dict))

    @cached_property
    def profile(self) -> dict[str, Any]:
        """What the chunks of a stream have in common (`profile`)."""
        return profile(self.chunks)

    @property
    def said(self) -> Any:
        """The JSON that is compared: the body, or what the stream adds up to."""
        return self.assembled if self.streamed else self.parsed


def parse(text: str) -> Any:
    """What the text says in JSON, or NOT_JSON."""
    try:
        return parse_json(text)
    except ValueError:
        return NOT_JSON


def assemble(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Put a stream's deltas together, as a client does: texts and lists joined, tool calls by their index.

    Of any other field the last value that is not null counts. Source: OpenAI's streaming guide and the accumulators
    of its clients.
    """
    choices: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            if isinstance(choice, dict) and isinstance(choice.get("index"), int):
                _add_choice(choices.setdefault(choice["index"], {"index": choice["index"]}), choice)
        if "usage" in chunk and (chunk["usage"] is not None or "usage" not in whole):
            whole["usage"] = chunk["usage"]
        if "error" in chunk:
            whole["error"] = chunk["error"]
    return {"choices": [choices[index] for index in sorted(choices)], **whole}


def _add_choice(into: dict[str, Any], choice: dict[str, Any]) -> None:
    for key, value in choice.items():
        if key == "delta" and isinstance(value, dict):
            _add_delta(into.setdefault("message", {}), value)
        elif key == "logprobs" and isinstance(value, dict):
            into["logprobs"] = _joined(into.get("logprobs"), value)
        elif key != "index":
            _add(into, key, value)


def _add_delta(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls" and isinstance(value, list):
            _add_calls(into.setdefault("tool_calls", []), value)
        elif key == "role" and into.get("role"):
            continue
        else:
            _add(into, key, value)


def _add(into: dict[str, Any], key: str, value: Any) -> None:
    before = into.get(key)
    if (key in _TEXTS and _both(str, before, value)) or _both(list, before, value):
        into[key] = before + value
    elif value is not None or key not in into:
        into[key] = value


def _both(kind: type, one: Any, other: Any) -> bool:
    return isinstance(one, kind) and isinstance(other, kind)


def _add_calls(into: list[dict[str, Any]], calls: Sequence[Any]) -> None:
    for call in calls:
        if not isinstance(call, dict):
            continue
        index = call.get("index", len(into))
        while len(into) <= index and len(into) < 1000:
            into.append({"function": {"arguments": ""}})
        target = into[index]
        for key in ("id", "type"):
            if call.get(key):
                target[key] = call[key]
        function = call.get("function") or {}
        target["function"]["arguments"] += function.get("arguments") or ""
        if function.get("name"):
            target["function"]["name"] = target["function"].get("name", "") + function["name"]


def _joined(before: Any, more: dict[str, Any]) -> dict[str, Any]:
    joined = dict(before) if isinstance(before, dict) else {}
    for key, value in more.items():
        _add(joined, key, value)
    return joined


def profile(chunks: Sequence[Any]) -> dict[str, Any]:
    """What the chunks of a stream have in common: for each path, how often it is there and what it holds.

    A path stands for every chunk and every choice (`chunks[].choices[].finish_reason`). `presence` is "always" or
    "sometimes" among the objects that could hold it, `value` the one value that it has everywhere, or VARIES; several
    of a path that is `TOLD` are listed.
    """
    there: dict[str, int] = {}
    could: dict[str, int] = {}
    values: dict[str, set[str]] = {}

    def visit(value: Any, path: str) -> None:
        if isinstance(value, dict):
            could[path] = could.get(path, 0) + 1
            for key, each in value.items():
                below = f"{path}.{key}"
                there[below] = there.get(below, 0) + 1
                visit(each, below)
        elif isinstance(value, list):
            for each in value:
                visit(each, f"{path}[]")
        else:
            values.setdefault(path, set()).add(json.dumps(value))

    for chunk in chunks:
        visit(chunk, "chunks[]")
    return {
        path: {
            "presence": "always" if count == could[path.rpartition(".")[0]] else "sometimes",
            **_constant(values.get(path, set()), told=path in TOLD),
        }
        for path, count in there.items()
    }


def _constant(values: set[str], *, told: bool) -> dict[str, Any]:
    if not values:
        return {}
    if told and len(values) > 1:
        return {"value": [json.loads(value) for value in sorted(values)]}
    return {"value": json.loads(next(iter(values))) if len(values) == 1 else VARIES}


def content_deltas(chunks: Sequence[Any]) -> int:
    """How many chunks carry something of the answer: text, reasoning or a part of a tool call."""

    def carries(choice: Any) -> bool:
        if not isinstance(choice, dict):
            return False
        delta = choice.get("delta", choice)
        if not isinstance(delta, dict):
            return False
        return any(delta.get(key) for key in (*_TEXTS, "tool_calls"))

    return sum(
        any(carries(choice) for choice in chunk.get("choices") or []) for chunk in chunks if isinstance(chunk, dict)
    )
