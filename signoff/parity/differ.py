"""Where LiteLLM's answer differs from vLLM's, path by path; only where vLLM agrees with itself is equality asked.

Normalised away, and documented here alone: ids and times (`VOLATILE`), numbers beyond three digits after the point
(a batch of other size adds up in another order), where one event of a stream ends and the next begins as long as the
same pieces come in the same order, headers other than the content type (of cases about headers: those of the one
connection, `OF_A_CONNECTION`), and the fields that `known.yaml` allows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from signoff.parity.exchange import NOT_JSON, VARIES, Exchange, parse
from signoff.parity.known_issues import shape
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
SOMETHING = "(something)"
"""Stands for an object or a list, whose parts have paths of their own."""
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
        return dict(vars(self))


class Sides(NamedTuple):
    """What is at one place of vLLM's two answers and of LiteLLM's."""

    direct: Any
    again: Any
    proxied: Any

    def are(self, kind: type) -> bool:
        """Whether all three are of this type."""
        return all(isinstance(each, kind) for each in self)

    def member(self, key: str) -> "Sides":
        """What three objects have under the key, or MISSING."""
        return Sides(*(each.get(key, MISSING) for each in self))

    def item(self, index: int) -> "Sides":
        """What three lists have at the index, or MISSING."""
        return Sides(*(each[index] if index < len(each) else MISSING for each in self))

    def keys(self) -> list[str]:
        """vLLM's keys in its order, then those that LiteLLM alone has."""
        return [*self.direct, *(key for key in self.proxied if key not in self.direct)]


def differences(
    sides: tuple[Exchange, Exchange, Exchange], kind: str, clients: tuple[dict[str, Any], ...], *, all_headers: bool
) -> tuple[list[Difference], set[str]]:
    """Every difference between an answer, the last of the three, and the two that vLLM gave; and the noise: the paths
    on which vLLM does not repeat itself.

    `clients` is what the official client saw of each. The headers are compared only if all of them are asked for.
    """
    direct, _, proxied = sides
    noise: set[str] = set()
    found = list(_Differ(kind, noise).values(Sides(*(_facts(each, all_headers=all_headers) for each in sides)), ""))
    if direct.streamed and proxied.streamed:
        found += _Differ(f"{kind}.chunk", noise).profiles(Sides(*(each.profile for each in sides)))
    found += _violations(direct, proxied, kind)
    if clients:
        found += _Differ("", noise).values(Sides(*clients), "client")
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


@dataclass(frozen=True)
class _Differ:
    """Compares what is of one kind in OpenAI's schema, and adds to the noise."""

    kind: str
    noise: set[str]

    def values(self, sides: Sides, path: str) -> Iterator[Difference]:
        """The differences at the path and below it."""
        if sides.are(dict):
            for key in sides.keys():  # noqa: SIM118
                yield from self.values(sides.member(key), f"{path}.{key}" if path else str(key))
        elif sides.are(list):
            for index in range(max(len(sides.direct), len(sides.proxied))):
                yield from self.values(sides.item(index), f"{path}[{index}]")
        else:
            yield from self._leaf(sides, path)

    def profiles(self, sides: Sides) -> Iterator[Difference]:
        """The differences of three streams' profiles."""
        for path in sides.keys():  # noqa: SIM118
            if (aspect := _aspect(path)) is not _Aspect.NOTHING:
                yield from self._profile(sides.member(path), path, aspect)

    def _leaf(self, sides: Sides, path: str) -> Iterator[Difference]:
        direct, again, proxied = sides
        repeated = _same(direct, again)
        volatile = shape(path) in VOLATILE
        if not volatile and not repeated:
            self.noise.add(path)
            volatile = True
        if _same(direct, proxied) or (volatile and _alike(direct, proxied)):
            return
        if volatile and not repeated and MISSING in (direct, again):
            return
        yield Difference(path, _change(direct, proxied), direct, proxied, self._standing(path))

    def _profile(self, sides: Sides, path: str, aspect: "_Aspect") -> Iterator[Difference]:
        direct, again, proxied = sides
        if MISSING in (direct, proxied):
            if (direct == MISSING) == (again == MISSING):
                one, other = (each if each == MISSING else each.get("value", SOMETHING) for each in (direct, proxied))
                yield Difference(path, _change(direct, proxied), one, other, self._standing(path))
            return
        if direct["presence"] != proxied["presence"]:
            yield Difference(path, proxied["presence"], direct["presence"], proxied["presence"], self._standing(path))
        if aspect is _Aspect.VALUE and "value" in direct and again != MISSING and "value" in again:
            yield from self._leaf(sides.member("value"), path)

    def _standing(self, path: str) -> str:
        root, _, rest = path.partition(".")
        names = tuple(shape(rest).replace("[]", "").split(".")) if rest else ()
        kind = "error" if root == "body" and names[:1] == ("error",) else self.kind
        if root not in ("body", "chunks[]") or kind not in SCHEMAS or not names:
            return ""
        return openai_format.standing(kind, names)


class _Aspect(Enum):
    """What of a path in the chunks of a stream is compared, beside the assembled answer."""

    VALUE = "presence and value"
    PRESENCE = "presence"
    NOTHING = "nothing"


def _aspect(path: str) -> _Aspect:
    parts = path.replace("[]", "").split(".")
    place = next((index for index, part in enumerate(parts) if part in _ASSEMBLED), None)
    if place is None:
        return _Aspect.VALUE
    below, shown = len(parts) - place - 1, 1 if parts[place] == "delta" else 0
    return _Aspect.PRESENCE if below <= shown else _Aspect.NOTHING


def _change(direct: Any, proxied: Any) -> str:
    """How two values that differ do so."""
    if proxied == MISSING:
        return "lost"
    if direct == MISSING:
        return "added"
    return "changed" if _type(direct) == _type(proxied) else "retyped"


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
