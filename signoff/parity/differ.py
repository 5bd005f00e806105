"""Where LiteLLM's answer differs from vLLM's, path by path; only where vLLM agrees with itself is equality asked.

Normalised away, and documented here alone: ids and times (`VOLATILE`), numbers beyond three digits after the point
(a batch of other size adds up in another order), where one event of a stream ends and the next begins as long as the
same pieces come in the same order, headers other than the content type (of cases about headers: those of the one
connection, `OF_A_CONNECTION`), and the fields that `known.yaml` allows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from signoff.parity.exchange import NOT_JSON, VARIES, Exchange, parse, profile
from signoff.parity.knowledge import shape
from signoff.traffic import openai_format
from signoff.traffic.openai_format import SCHEMAS
from signoff.traffic.wire import Event

VOLATILE = {
    "body.id",
    "body.created",
    "body.created_at",
    "body.choices[].message.tool_calls[].id",
    "body.data[].created",
    "body.data[].permission",
    "chunks[].id",
    "chunks[].created",
}
"""Of these only presence and type are compared, as of everything that vLLM does not repeat."""

OF_A_CONNECTION = {
    "date",
    "server",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "vary",
}
"""Response headers that each server writes for itself; the content type is compared without its parameters."""

MISSING = "(missing)"
_TOLERANCE = 1e-3
_REMEMBERED = 16
"""Answers whose violations are remembered: vLLM's are asked for more than once, and take longest to find."""
_ASSEMBLED = ("delta", "logprobs", "usage", "text", "finish_reason", "stop_reason", "token_ids", "error")
"""Parts of chunks whose values the assembled answer compares; of the chunks only their presence counts."""


@dataclass(frozen=True)
class Difference:
    """One path that differs. `kind` is lost, added, changed, retyped, sometimes (there in some chunks only),
    violation, dropped or renamed (of a request's parameter). `standing` is the field's in OpenAI's schema."""

    path: str
    kind: str
    direct: Any
    proxied: Any
    standing: str = ""

    def to_record(self) -> dict[str, Any]:
        """In JSON types."""
        return asdict(self)


@dataclass
class Noise:
    """The paths on which vLLM does not repeat itself."""

    paths: set[str] = field(default_factory=set)


def differences(
    sides: tuple[Exchange, Exchange, Exchange], kind: str, clients: tuple[dict[str, Any], ...], *, all_headers: bool
) -> tuple[list[Difference], Noise]:
    """Every difference between an answer, the last of the three, and the two that vLLM gave.

    `clients` is what the official client saw of each. The headers are compared only if all of them are asked for.
    """
    direct, again, proxied = sides
    noise = Noise()
    once, twice, through = (_facts(each, all_headers=all_headers) for each in sides)
    found = list(_diff(once, twice, through, "", kind, noise))
    if direct.streamed and proxied.streamed:
        found += _profiles(profile(direct.chunks), profile(again.chunks), profile(proxied.chunks), kind, noise)
    found += _violations(direct, proxied, kind)
    if clients:
        found += _diff(clients[0], clients[1], clients[2], "client", "", noise)
    return found, noise


def _facts(exchange: Exchange, *, all_headers: bool) -> dict[str, Any]:
    own = {name: value for name, value in exchange.headers.items() if all_headers and name not in OF_A_CONNECTION}
    facts: dict[str, Any] = {
        "status": exchange.status,
        "complete": exchange.complete,
        "headers": {"content-type": exchange.media_type, **own},
        "body": exchange.said,
    }
    if exchange.streamed:
        facts["stream"] = {
            "usage_choices": any(isinstance(c, dict) and c.get("usage") and c.get("choices") for c in exchange.chunks),
        }
    return facts


def _diff(direct: Any, again: Any, proxied: Any, path: str, kind: str, noise: Noise) -> Iterator[Difference]:
    if isinstance(direct, dict) and isinstance(again, dict) and isinstance(proxied, dict):
        for key in [*direct, *(key for key in proxied if key not in direct)]:
            below = f"{path}.{key}" if path else str(key)
            yield from _diff(
                direct.get(key, MISSING), again.get(key, MISSING), proxied.get(key, MISSING), below, kind, noise
            )
    elif isinstance(direct, list) and isinstance(again, list) and isinstance(proxied, list):
        for index in range(max(len(direct), len(proxied))):
            one, two, through = (each[index] if index < len(each) else MISSING for each in (direct, again, proxied))
            yield from _diff(one, two, through, f"{path}[{index}]", kind, noise)
    else:
        yield from _leaf(direct, again, proxied, path, kind, noise)


def _leaf(direct: Any, again: Any, proxied: Any, path: str, kind: str, noise: Noise) -> Iterator[Difference]:
    volatile = shape(path) in VOLATILE
    if not volatile and not _same(direct, again):
        noise.paths.add(path)
        volatile = True
    if _same(direct, proxied) or (volatile and _alike(direct, proxied)):
        return
    word = "lost" if proxied == MISSING else "added" if direct == MISSING else "retyped"
    if word == "retyped" and _type(direct) == _type(proxied):
        word = "changed"
    if volatile and not _same(direct, again) and MISSING in (direct, again):
        return
    yield Difference(path, word, direct, proxied, _standing(path, kind))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _alike(one: Any, other: Any) -> bool:
    """Whether two volatile values are of one type and both hold something, or neither does."""
    if MISSING in (one, other) or VARIES in (one, other):
        return bool(one == other)
    return _type(one) == _type(other) and bool(one) == bool(other)


def _type(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _profiles(
    direct: dict[str, Any], again: dict[str, Any], proxied: dict[str, Any], kind: str, noise: Noise
) -> Iterator[Difference]:
    for path in [*direct, *(path for path in proxied if path not in direct)]:
        one, two, through = direct.get(path), again.get(path), proxied.get(path)
        standing = _standing(path, f"{kind}.chunk")
        parts = path.replace("[]", "").split(".")
        inner = [index for index, part in enumerate(parts) if part in _ASSEMBLED]
        if inner and len(parts) > inner[0] + (2 if parts[inner[0]] == "delta" else 1):
            continue
        if one is None or through is None:
            if (one is None) == (two is None):
                sides = (one or {}).get("value", "(something)"), (through or {}).get("value", "(something)")
                lost = through is None
                yield Difference(
                    path, "lost" if lost else "added", MISSING if one is None else sides[0],
                    MISSING if lost else sides[1], standing,
                )  # fmt: skip
            continue
        if one["presence"] != through["presence"]:
            kind_of = "sometimes" if through["presence"] == "sometimes" else "always"
            yield Difference(path, kind_of, one["presence"], through["presence"], standing)
        if not inner and "value" in one and two and "value" in two:
            yield from _leaf(one["value"], two["value"], through.get("value", MISSING), path, f"{kind}.chunk", noise)


def _standing(path: str, kind: str) -> str:
    root, _, rest = path.partition(".")
    names = tuple(shape(rest).replace("[]", "").split(".")) if rest else ()
    if root == "body" and names[:1] == ("error",):
        kind = "error"
    if root not in ("body", "chunks[]") or kind not in SCHEMAS or not names:
        return ""
    return openai_format.standing(kind, names)


def _violations(direct: Exchange, proxied: Exchange, kind: str) -> Iterator[Difference]:
    """What LiteLLM adds to vLLM's own violations of OpenAI's schema; vLLM's are `own_violations`."""
    ours = _violated(direct, kind)
    for path, messages in _violated(proxied, kind).items():
        for message in messages:
            if message not in ours.get(path, ()):
                yield Difference(f"schema.{path}", "violation", "", message)


def own_violations(exchange: Exchange, kind: str) -> dict[str, str]:
    """The strict violations of one answer, by the shape of their path."""
    return {path: "; ".join(messages) for path, messages in _violated(exchange, kind).items()}


def _violated(exchange: Exchange, kind: str) -> Mapping[str, Sequence[str]]:
    """Each path's messages, each once."""
    if kind not in SCHEMAS or not exchange.status:
        return {}
    return _violated_by(exchange.events if exchange.streamed else exchange.body, kind)


@lru_cache(maxsize=_REMEMBERED)
def _violated_by(said: str | tuple[str, ...], kind: str) -> Mapping[str, Sequence[str]]:
    """The same of a body, or of a stream's events."""
    if isinstance(said, tuple):
        found = openai_format.stream_violations([Event(data, 0.0) for data in said], kind, strict=True)
    elif (parsed := parse(said)) in (None, NOT_JSON):
        return {"$": ["not JSON"]}
    else:
        found = openai_format.violations(parsed, kind, strict=True)
    messages: dict[str, list[str]] = {}
    for violation in found:
        several = messages.setdefault(shape(violation.path), [])
        if violation.message not in several:
            several.append(violation.message)
    return messages
