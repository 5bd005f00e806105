"""Server-sent events and JSON as they arrive, without repairing anything on the way.

Lines end at "\\n" only, since text splitting (`str.splitlines`, `httpx.Response.iter_lines`) also breaks at U+2028 and
U+0085, which JSON strings may hold, and so makes broken chunks out of good ones.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

DONE = "[DONE]"


class Event(NamedTuple):
    """One event's data text, and the `time.monotonic()` second at which its last byte was read."""

    data: str
    at: float


class EventSplitter:
    """Cuts a byte stream into events (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes, at: float) -> Iterator[Event]:
        """Give the events that `piece` completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"), at)

    def close(self, at: float) -> Iterator[Event]:
        """Give what an ended stream left without its blank line: a browser drops it, but here it is evidence."""
        yield from self._line(self._rest.removesuffix(b"\r"), at)
        yield from self._line(b"", at)
        self._rest = b""

    def _line(self, line: bytes, at: float) -> Iterator[Event]:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif not line and self._data:
            yield Event(as_text(b"\n".join(self._data)), at)
            self._data = []


def as_text(raw: bytes) -> str:
    r"""Decode UTF-8; a byte that is not shows as `\xff`, which no JSON parser accepts, so the fault stays a fault."""
    return raw.decode("utf-8", errors="backslashreplace")


def parse_json(text: str) -> Any:
    """Parse strictly: NaN and Infinity, which Python's parser takes, are no JSON.

    Raises:
        ValueError: `text` is not JSON.
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
