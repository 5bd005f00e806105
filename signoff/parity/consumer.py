"""The official `openai` client reading an answer, byte for byte, as a user's program would.

The bytes that were received are replayed to it instead of asked for again, so that it judges the very answer that was
compared. Of the headers it gets the content type alone; a compressed body comes to it as it was before.
"""

from collections.abc import Iterator
from typing import Any

import httpx

from signoff.parity.exchange import Exchange

KINDS = ("chat", "completion", "embeddings", "models")
"""The kinds of call that the client has."""


class _Replayed(httpx.SyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        yield self._exchange.raw
        if self._exchange.broken:
            raise httpx.RemoteProtocolError(self._exchange.broken)


class Consumer:
    """One client for any number of replays. Not for several threads at once."""

    def __init__(self) -> None:
        import openai  # takes a second, which only those who consume should wait for

        self._exchange: Exchange | None = None
        http = httpx.Client(transport=httpx.MockTransport(self._answer), trust_env=False)
        self._client = openai.OpenAI(api_key="none", base_url="http://replay/v1", http_client=http, max_retries=0)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert self._exchange is not None
        kept = {"content-type": self._exchange.headers.get("content-type", "")}
        return httpx.Response(self._exchange.status, headers=kept, stream=_Replayed(self._exchange), request=request)

    def consume(self, exchange: Exchange, kind: str, *, stream: bool) -> dict[str, Any]:
        """What a program gets to see: `outcome` ("ok" or the exception's name), and what was said until then."""
        if not exchange.status:
            return {"outcome": "APIConnectionError"}
        self._exchange = exchange
        seen: dict[str, Any] = {}
        try:
            if kind == "chat":
                self._chat(seen, stream=stream)
            elif kind == "completion":
                self._completion(seen, stream=stream)
            elif kind == "embeddings":
                made = self._client.embeddings.create(model="m", input="x", encoding_format="float")
                seen["vectors"] = [len(each.embedding) for each in made.data]
            else:
                seen["models"] = len(self._client.models.list().data)
        except Exception as error:
            # Whatever a program would have to catch, the client's own slips included, is the outcome.
            return {**seen, "outcome": type(error).__name__}
        return {**seen, "outcome": "ok"}

    def _chat(self, seen: dict[str, Any], *, stream: bool) -> None:
        calls = seen["tool_calls"] = {}
        if not stream:
            whole = self._client.chat.completions.create(model="m", messages=[])
            seen["text"] = {str(choice.index): choice.message.content or "" for choice in whole.choices}
            seen["finish"] = {str(choice.index): choice.finish_reason for choice in whole.choices}
            for choice in whole.choices:
                for number, call in enumerate(choice.message.tool_calls or []):
                    if call.type == "function":
                        calls[f"{choice.index}.{number}"] = f"{call.function.name} {call.function.arguments}"
            return
        text, finish = seen.setdefault("text", {}), seen.setdefault("finish", {})
        for chunk in self._client.chat.completions.create(model="m", messages=[], stream=True):
            for part in chunk.choices:
                index = str(part.index)
                text[index] = text.get(index, "") + (part.delta.content or "")
                finish[index] = part.finish_reason or finish.get(index)
                for piece in part.delta.tool_calls or []:
                    key = f"{index}.{piece.index}"
                    name = f"{piece.function.name} " if piece.function and piece.function.name else ""
                    calls[key] = calls.get(key, "") + name + ((piece.function and piece.function.arguments) or "")

    def _completion(self, seen: dict[str, Any], *, stream: bool) -> None:
        text, finish = seen.setdefault("text", {}), seen.setdefault("finish", {})
        made: Any = self._client.completions.create(model="m", prompt="", stream=stream)
        for part in made if stream else [made]:
            for choice in part.choices:
                index = str(choice.index)
                text[index] = text.get(index, "") + choice.text
                finish[index] = choice.finish_reason or finish.get(index)
