"""A small OpenAI client that keeps the evidence: status, headers, raw body, and each event with its time of arrival.

The official client repairs, retries and drops what it does not know; a judge must see what was sent.
"""

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx

from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.wire import Event, EventSplitter, as_text, parse_json

KEEP_ALIVE_SECONDS = 4.0
"""Below uvicorn's 5 s (LiteLLM and vLLM both run on it), so that we never write into a connection it is closing."""

LEFT = "left"
"""What broke an answer that the client itself left."""

Messages = Sequence[Mapping[str, Any]]


class NoAnswer(SignoffError):
    """No status line came back: refused, reset, timed out or unresolved. A body that breaks off is an `Answer`."""


@dataclass(frozen=True)
class Answer:
    """One answer as it came. Times are `time.monotonic()` seconds.

    `broken` says why the body ended early, and is empty when it ended as the protocol wants. `first_token_at` is the
    arrival of the first event that carries content: gateways drop or delay the empty role chunk, so that it says
    nothing of the model.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    events: tuple[Event, ...]
    started: float
    ended: float
    broken: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes = field(default=b"", repr=False)
    """The body's bytes, of which `body` is the text."""

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None if it is none, as with a stream."""
        try:
            return parse_json(self.body)
        except ValueError:
            return None

    @cached_property
    def chunks(self) -> tuple[dict[str, Any], ...]:
        """The stream's events that are JSON objects; the format rules report the others."""
        return tuple(chunk for _, chunk in _timed_chunks(self.events))

    @property
    def ok(self) -> bool:
        """Whether the answer is a whole one with status 200."""
        return self.status == 200 and not self.broken

    @property
    def streamed(self) -> bool:
        """Whether the server answered with an event stream, asked or not."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def text(self) -> str:
        """What the model said in its first choice."""
        if self.streamed:
            return "".join(_content(_first_choice(chunk).get("delta")) for chunk in self.chunks)
        return _content(_first_choice(self.json).get("message"))

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; the last reason named, if a stream names several."""
        bodies = self.chunks if self.streamed else (self.json,)
        reasons = [reason for body in bodies if (reason := _first_choice(body).get("finish_reason")) is not None]
        return str(reasons[-1]) if reasons else None

    @property
    def usage(self) -> dict[str, Any] | None:
        """The token counts, from the body or from the stream's last chunk that holds them."""
        bodies = self.chunks if self.streamed else (self.json,)
        found = [body["usage"] for body in bodies if isinstance(body, dict) and isinstance(body.get("usage"), dict)]
        return found[-1] if found else None

    @property
    def tokens(self) -> int | None:
        """How many tokens the model made, as the server counted; None if it did not say."""
        return self._counted("completion_tokens")

    @property
    def prompt_tokens(self) -> int | None:
        """How many tokens the prompt has, as the server counted; None if it did not say."""
        return self._counted("prompt_tokens")

    def _counted(self, name: str) -> int | None:
        count = (self.usage or {}).get(name)
        return count if isinstance(count, int) else None

    @cached_property
    def token_times(self) -> tuple[float, ...]:
        """When each event with content arrived."""
        return tuple(at for at, chunk in _timed_chunks(self.events) if _content(_first_choice(chunk).get("delta")))

    @property
    def first_token_at(self) -> float | None:
        """When the first event with content arrived; None if nothing was streamed."""
        return self.token_times[0] if self.token_times else None

    @property
    def e2e_ms(self) -> float:
        """Milliseconds from sending the request to the last byte of the answer."""
        return (self.ended - self.started) * 1000

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds from sending the request to the first token; None if nothing was streamed."""
        return None if self.first_token_at is None else (self.first_token_at - self.started) * 1000

    @property
    def itl_ms(self) -> float | None:
        """Mean milliseconds between two tokens of a stream; None below two of them.

        The time between the first and the last event with content, shared among the tokens that the server counted
        after the first (else those events): a gateway that passes on several tokens at once does not make them slower.
        """
        times, tokens = self.token_times, self.tokens or len(self.token_times)
        return (times[-1] - times[0]) * 1000 / (tokens - 1) if len(times) > 1 and tokens > 1 else None

    def to_record(self) -> dict[str, Any]:
        """Everything of the exchange in JSON types; event times are milliseconds since the request was sent."""
        record: dict[str, Any] = {
            "request": dict(self.request),
            "status": self.status,
            "headers": dict(self.headers),
            "started": self.started,
            "e2e_ms": self.e2e_ms,
            "ttft_ms": self.ttft_ms,
            "broken": self.broken,
        }
        if self.streamed:
            record["chunks"] = [{"data": data, "ms": (at - self.started) * 1000} for data, at in self.events]
        else:
            record["body"] = self.body
        return record


class OpenAIClient:
    """Asks one server over kept-alive connections. Safe to share between threads.

    Proxies of the environment are ignored: the way to the cluster is part of what is measured.

    Raises:
        SignoffError: the endpoint's authorities are no certificates.
    """

    def __init__(
        self, endpoint: Endpoint, timeout: float = REQUEST.seconds, *, trusted: ssl.SSLContext | None = None
    ) -> None:
        """Ask there; `trusted` says whom HTTPS trusts instead of the endpoint's own authorities."""
        self.base_url, self._model, self._endpoint = endpoint.url.rstrip("/"), endpoint.model, endpoint
        # httpcore sends this name in TLS' handshake, and Python's ssl checks the certificate against it:
        # https://www.python-httpx.org/advanced/extensions/#sni_hostname
        self._extensions = {"sni_hostname": endpoint.host} if endpoint.host else {}
        # Requests are built by httpx's client and sent by its transport alone: what lies between them (redirects,
        # cookies, authentication, hooks) has nothing to do here, and takes 0.2 ms of each request.
        self._transport = httpx.HTTPTransport(
            trust_env=False,
            verify=trusted or authorities(endpoint.authorities),
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        )
        named = {"Host": endpoint.host} if endpoint.host else {}
        self._http = httpx.Client(
            base_url=self.base_url,
            headers=named | ({"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}),
            timeout=timeout,
            transport=self._transport,
        )

    def models(self) -> Answer:
        """Ask for the list of models.

        Raises:
            NoAnswer: the server could not be reached.
        """
        return self.get("/v1/models")

    def chat(self, messages: Messages | str, *, model: str = "", stream: bool = False, **params: Any) -> Answer:
        """Ask the endpoint's model, or this one, for a chat completion.

        A plain text is one user message, and `params` go into the body as they are.

        Raises:
            NoAnswer: the server could not be reached.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        body = {
            "model": model or self._model,
            "messages": list(messages),
            **({"stream": True} if stream else {}),
            **params,
        }
        return self._ask("POST", "/v1/chat/completions", body)

    def get(self, path: str) -> Answer:
        """Ask for any path of the server, such as a health page.

        Raises:
            NoAnswer: the server could not be reached.
        """
        return self._ask("GET", path, None)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        leave_after: float | None = None,
    ) -> Answer:
        """Send any request, a wrong one too: a text is sent as it is, all else as JSON.

        A header of None is not sent at all. With `leave_after` the client closes the connection so many seconds after
        it asked; the answer is then what came until then, broken by "left".

        Raises:
            NoAnswer: the server could not be reached.
        """
        return self._ask(method, path, body, headers or {}, leave_after)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str | None] = MappingProxyType({}),
        leave_after: float | None = None,
    ) -> Answer:
        asked = {"method": method, "url": self.base_url + path, "body": body}
        if self._endpoint.host:
            asked["host"] = self._endpoint.host
        content = {"content": body} if isinstance(body, str) else {"json": body} if body is not None else {}
        request = self._http.build_request(method, path, extensions=self._extensions, **content)
        for name, value in headers.items():
            request.headers.pop(name, None)
            if value is not None:
                request.headers[name] = value
        started = time.monotonic()
        if leave_after is not None:
            # The read that outlasts it ends the exchange, and httpx then closes the connection.
            request.extensions["timeout"] = {**request.extensions["timeout"], "read": leave_after}
        leave_at = None if leave_after is None else started + leave_after
        try:
            response = self._transport.handle_request(request)
        except httpx.ReadTimeout as error:
            if leave_at is None:
                raise _no_answer(method, path, error, self._endpoint) from error
            return Answer(0, {}, "", (), started, time.monotonic(), broken=LEFT, request=asked)
        except httpx.TransportError as error:
            raise _no_answer(method, path, error, self._endpoint) from error
        response.request = request
        try:
            return _read(response, started, asked, leave_at)
        finally:
            response.close()


@cache
def authorities(pem: str = "") -> ssl.SSLContext:
    """Whom HTTPS trusts: the usual roots, or these; read once, since it takes 20 ms, and most servers here speak HTTP.

    Raises:
        SignoffError: these are no certificates.
    """
    if not pem:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise SignoffError(f"the roots to be trusted are no certificates in PEM: {error}") from None


@cache
def anybody() -> ssl.SSLContext:
    """Trusts whatever certificate is served, to see what a server does with a name that it has none for."""
    return httpx.create_ssl_context(verify=False, trust_env=False)


def _no_answer(method: str, path: str, error: Exception, asked: Endpoint) -> NoAnswer:
    told = f"no answer to {method} {path}"
    if refused := _refused_certificate(error):
        name = asked.host or httpx.URL(asked.url).host
        return NoAnswer(
            f"{told}: its certificate is not trusted as that of {name}: {refused}",
            where=str(asked),
            hint=f"the certificate must be valid now and for {name}, and come from a root that is trusted here",
        )
    return NoAnswer(
        f"{told}: {_describe(error)}",
        where=str(asked),
        hint="check that the server's pod is Ready and its Service has an endpoint",
    )


def _refused_certificate(error: BaseException | None) -> str:
    """Why TLS refused the server's certificate, in OpenSSL's words; empty if that is not what went wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message.rstrip(".")
        error = error.__cause__ or error.__context__  # httpcore raises it "from None"
    return ""


def _read(response: httpx.Response, started: float, request: Mapping[str, Any], leave_at: float | None) -> Answer:
    pieces: list[tuple[bytes, float]] = []
    broken = ""
    assert isinstance(response.stream, httpx.SyncByteStream)
    body = response.iter_bytes() if "content-encoding" in response.headers else response.stream
    try:
        # Nothing else while it comes: what this loop does is timed with the answer.
        for piece in body:
            now = time.monotonic()
            pieces.append((piece, now))
            if leave_at is not None and now >= leave_at:
                broken = LEFT
                break
    except (httpx.TransportError, httpx.DecodingError) as error:
        left = leave_at is not None and isinstance(error, httpx.ReadTimeout)
        broken = LEFT if left else _describe(error)
    ended = time.monotonic()
    events: list[Event] = []
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        splitter = EventSplitter()
        events = [event for piece, at in pieces for event in splitter.feed(piece, at)]
        events.extend(splitter.close(ended))
    raw = b"".join(piece for piece, _ in pieces)
    return Answer(
        status=response.status_code,
        headers=dict(response.headers),
        body=as_text(raw),
        events=tuple(events),
        started=started,
        ended=ended,
        broken=broken,
        request=request,
        raw=raw,
    )


def _timed_chunks(events: Sequence[Event]) -> Iterator[tuple[float, dict[str, Any]]]:
    for data, at in events:
        try:
            chunk = parse_json(data)
        except ValueError:
            continue
        if isinstance(chunk, dict):
            yield at, chunk


def _first_choice(body: Any) -> dict[str, Any]:
    choices = body.get("choices") if isinstance(body, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") == 0:
            return choice
    return {}


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
