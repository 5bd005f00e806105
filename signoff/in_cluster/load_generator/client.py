"""A chat client for load: exact times of a stream at little cost, under gevent, with what Locust's own image has.

The events of a stream are not parsed one by one: the first with content is looked for, then arrivals are noted, and
only the last ones are read for the end and the usage. `python -m scripts.measure_generator` compares it with its peers.
"""

import json
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from signoff.traffic.keys import NO_KEY

CONNECT_SECONDS = 10.0
MAX_CONNECTIONS = 10_000
"""More than a process can keep busy, so that no request waits for another's connection."""
_PATH = "/v1/chat/completions"
_BLANK_LINE = b"\n\n"
_DONE = b"data: [DONE]"
_ERROR = re.compile(rb'data: \{\s*"error"')
_CONTENT = re.compile(rb'"content":\s*"[^"]')
_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True)
class Outcome:
    """What came of one request. `started` is Unix seconds, durations are milliseconds from sending.

    `error` is empty or the kind of failure: "connect", "timeout", "broken off", "not HTTP", "status 503" (any but 200),
    "malformed", "not a stream", "error event", "no [DONE]", "no text". `itl_ms` is the mean time between two tokens:
    from the first to the last, divided by the server's own count of tokens less one.
    """

    started: float
    e2e_ms: float
    status: int | None = None
    error: str = ""
    ttft_ms: float | None = None
    itl_ms: float | None = None
    tokens: int | None = None
    length: int = 0


class ChatClient:
    """Asks one server. Connections are kept for later requests; any number of greenlets may share one client.

    Proxies of the environment are ignored. `timeout` is the longest silence, in seconds, that is waited through.
    """

    def __init__(self, base_url: str, model: str, api_key: str = NO_KEY, timeout: float = 60.0) -> None:
        parts = urlsplit(base_url)
        self._path = parts.path.rstrip("/") + _PATH
        self._model = json.dumps(model)
        self._http = HTTPClient(
            parts.hostname or "",
            parts.port,
            ssl=parts.scheme == "https",
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
            concurrency=MAX_CONNECTIONS,
            connection_timeout=CONNECT_SECONDS,
            network_timeout=timeout,
            block_size=65536,
        )

    def close(self) -> None:
        """Close the connections that are idle."""
        self._http.close()

    def chat(self, prompt: str, *, max_tokens: int, stream: bool) -> Outcome:
        """Ask for one completion of one user message, greedily decoded; what the server does wrong is no exception."""
        body = self._body(prompt, max_tokens, stream=stream)
        reading = _Reading()
        try:
            response = self._http.request("POST", self._path, body)
            reading.status = response.get_code()
            if reading.status != 200:
                reading.refused(response)
            elif stream:
                reading.stream(response)
            else:
                reading.whole(response)
        except TimeoutError:
            reading.error = "timeout"
        except HTTPConnectionClosed:
            reading.error = "broken off"
        except HTTPParseError:
            reading.error = "broken off" if reading.status else "not HTTP"
        except (OSError, RuntimeError) as error:  # a name that does not resolve is either
            sent = reading.status is not None or isinstance(error, ConnectionResetError | BrokenPipeError)
            reading.error = "broken off" if sent else "connect"
        return reading.outcome()

    def _body(self, prompt: str, max_tokens: int, *, stream: bool) -> bytes:
        more = ',"stream":true,"stream_options":{"include_usage":true}' if stream else ""
        return (
            f'{{"model":{self._model},"messages":[{{"role":"user","content":{json.dumps(prompt)}}}],'
            f'"max_tokens":{max_tokens},"temperature":0{more}}}'
        ).encode()


class _Reading:
    """One answer as it comes; the clock runs from the making of this object, which is just before the sending."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.error = ""
        self._moment, self._start = time.time(), time.perf_counter()
        self._first = self._last = 0.0
        self._tokens: int | None = None
        self._length = 0

    def refused(self, response: HTTPSocketPoolResponse) -> None:
        self.error = f"status {self.status}"
        self._length = len(response.read())

    def whole(self, response: HTTPSocketPoolResponse) -> None:
        body = response.read()
        self._length = len(body)
        try:
            answer = json.loads(body)
            self._tokens = answer["usage"]["completion_tokens"]
            said = answer["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            self.error = "malformed"
            return
        # A model may end at once: an answer without text, whose end is the one token that vLLM counts.
        if not (said or self._tokens):
            self.error = "no text"

    def stream(self, response: HTTPSocketPoolResponse) -> None:
        if "text/event-stream" not in str(response.get("content-type")):
            self.error = "not a stream"
            self._length = len(response.read())
            return
        clock, readline = time.perf_counter, response.readline
        before, event, done = b"", b"", False
        while event := readline(_BLANK_LINE):
            now = clock()
            self._length += len(event)
            if event.startswith(_DONE):
                done = True
                continue
            if _CONTENT.search(event):
                self._first, self._last = self._first or now, now
            if _ERROR.match(event):
                self.error = "error event"
            before = event
        if found := _TOKENS.search(before):
            self._tokens = int(found[1])
        if not done and not self.error:
            self.error = "no [DONE]"
        elif not self._first and not self._tokens and not self.error:
            self.error = "no text"

    def outcome(self) -> Outcome:
        """What was read, once it has ended."""
        ended = time.perf_counter()
        several = self._first and self._tokens and self._tokens > 1
        return Outcome(
            started=self._moment,
            e2e_ms=(ended - self._start) * 1000,
            status=self.status,
            error=self.error,
            ttft_ms=(self._first - self._start) * 1000 if self._first else None,
            itl_ms=(self._last - self._first) * 1000 / (self._tokens - 1) if several and self._tokens else None,
            tokens=self._tokens,
            length=self._length,
        )
