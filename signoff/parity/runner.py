"""Runs the cases: vLLM twice, LiteLLM once, and the recorder's word on what reached the backend."""

import queue
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.in_cluster.received import Fault, Received, RecorderFailed, Records, Seen
from signoff.parity import rates
from signoff.parity.cases import Case, Run
from signoff.parity.consumer import KINDS, Consumer
from signoff.parity.exchange import Exchange
from signoff.parity.repeated import MARGIN_OF_ONE, Three, alike, equality, in_rounds
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint

ROUTES = 16
"""Cases side by side: more only queue, on two cores."""
KEY = "sk-parity-clients-own-key"
"""What a client sends where no other key is given: the master key of the LiteLLM that the suite sets one for."""
INNOCENT = {"messages": [{"role": "user", "content": "And who asked for nothing wrong?"}], "max_tokens": 4}


@dataclass
class Observation:
    """Everything that one run brought to light, before it is judged."""

    run: Run
    sent: Any
    direct: Exchange
    again: Exchange
    proxied: Exchange
    received: Sequence[Received] | None
    """What reached the backend; None where no recorder stood before it."""
    clients: tuple[dict[str, Any], ...] = ()
    stopped: tuple[bool, bool] | None = None
    """Whether the backend of each side noticed that its client left."""
    too_late: bool = False
    """Whether the answer to LiteLLM was whole before the client left."""
    follow_up: tuple[Exchange, Exchange] | None = None
    mismatch: rates.Rates | None = None
    seconds: float = 0.0
    route: str = ""
    unseen: str = ""
    """Why nothing can be said, if the recorder itself failed: neither vLLM nor LiteLLM is to blame."""
    model: str = ""
    """What vLLM calls the model."""
    key_arrived: bool = False
    """Whether the client's own key reached the backend; told here since records hold no keys."""
    key: str = field(default=KEY, repr=False)
    """What LiteLLM was asked with, which must never reach the backend; not part of the record.

    Empty where it is the backend's key too, so that nobody can tell whose key arrived.
    """

    @property
    def leaks_key(self) -> bool:
        """Whether the client's own key reached the backend."""
        received = self.received or ()
        arrived = any(self.key in value for each in received for value in each.headers.values())
        return self.key_arrived or (bool(self.key) and arrived)

    @classmethod
    def from_record(cls, run: Run, record: Mapping[str, Any], model: str) -> "Observation":
        """The observation behind a run of a matrix, to be judged again; without its secrets.

        `model` is what vLLM called the model.
        """
        direct, again, proxied = map(Exchange.from_record, record["exchanges"].values())
        innocent = [Exchange.from_record(each) for each in record["follow_up"]]
        stopped = record["stopped"]
        return cls(
            run,
            run.body(model),
            direct,
            again,
            proxied,
            received=[Received(**each, at=0.0) for each in record["upstream"]] if record["recorded"] else None,
            clients=tuple(record["client"].values()),
            stopped=(stopped[0], stopped[1]) if stopped else None,
            too_late=record["too_late"],
            follow_up=(innocent[0], innocent[1]) if innocent else None,
            seconds=record["seconds"],
            route=record["lane"],
            model=model,
            unseen=record.get("unseen", ""),
            key_arrived=record.get("key_arrived", False),
            mismatch=rates.Rates.from_record(record["rates"]) if record.get("rates") else None,
        )

    def to_record(self) -> dict[str, Any]:
        """What was exchanged, in JSON types."""
        return {
            "id": self.run.id,
            "seconds": self.seconds,
            "client": dict(zip(("direct", "direct_again", "proxied"), self.clients, strict=False)),
            "unseen": self.unseen,
            "key_arrived": self.leaks_key,
            "rates": self.mismatch.to_record() if self.mismatch else None,
            "exchanges": {
                "direct": self.direct.to_record(),
                "direct_again": self.again.to_record(),
                "proxied": self.proxied.to_record(),
            },
            "upstream": [received.to_record() for received in self.received or ()],
            "recorded": self.received is not None,
            "lane": self.route,
            "stopped": self.stopped,
            "too_late": self.too_late,
            "follow_up": [each.to_record() for each in self.follow_up or ()],
        }


def version_of(observed: Sequence[Observation], image: str) -> str:
    """What LiteLLM says of itself, since a tag may move; else the version that its image's tag names, if one."""
    versions = (each.proxied.headers.get("x-litellm-version") for each in observed)
    if version := next(filter(None, versions), ""):
        return version
    named = re.search(r"(?:^|v|-)(\d+\.\d+\.\d+(?:[.-]?rc\.?\d+)?)", image.partition("@")[0].rpartition(":")[2])
    return named[1] if named else "unknown"


def routes_for(runs: Sequence[Run]) -> int:
    """How many routes LiteLLM has to be set up with for these runs."""
    return ROUTES + sum(_spoils_its_route(run) for run in runs)


def _spoils_its_route(run: Run) -> bool:
    """Whether LiteLLM may still act on the route afterwards, so that no other run can be sent there.

    It comes back for a client that has left, and by default it takes a backend out of service after an error.
    """
    fails = run.case.fault is not None or run.case.status >= 400
    return run.case.leave_after is not None or (fails and run.settings == "defaults")


def model_name(prefix: str, route: int) -> str:
    """What LiteLLM calls the model that speaks through one prefix and one route."""
    return f"{prefix}-{route}"


def embeddings_name(prefix: str, route: int) -> str:
    """The same of the model that embeds."""
    return f"embeddings-{prefix}-{route}"


@dataclass(frozen=True)
class Backend:
    """One vLLM, and the recorder between LiteLLM and it, if there is one.

    Without it nothing is known of what reached the backend, and cases with a fault or a client that leaves cannot be
    run. `named` is LiteLLM's name for the model that speaks to it through a prefix and a route.
    """

    url: str
    recorder: Records | None
    named: Callable[[str, int], str] = model_name

    def url_for(self, case: Case, route: str) -> str:
        """Where the case is asked directly.

        Raises:
            SignoffError: it needs a recorder, and there is none.
        """
        if not case.needs_recorder:
            return self.url
        if self.recorder is None:
            raise SignoffError(f"{case.name} cannot be run without a recorder before vLLM", hint="choose another case")
        return self.recorded_url(route)

    def recorded_url(self, route: str) -> str:
        """Where the recorder before vLLM is asked directly.

        Raises:
            SignoffError: there is none.
        """
        if self.recorder is None:
            raise SignoffError("no recorder stands before vLLM")
        return self.recorder.url(route)

    def recording(self, route: str, fault: Fault | None) -> AbstractContextManager[Seen]:
        """What the route receives inside this block; nothing without a recorder."""
        return self.recorder.recording(route, fault) if self.recorder else nullcontext(list)


@dataclass
class Sides:
    """Where to ask: each vLLM by its name in `cases.BACKENDS`, and LiteLLM by its settings."""

    backends: Mapping[str, Backend]
    gateways: Mapping[str, str]
    model: str
    """What vLLM calls the model."""
    routes: int = ROUTES
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What each LiteLLM is asked with, by its settings; `KEY` where there is none."""
    backend_key: str = field(default=KEY, repr=False)
    _free: "queue.Queue[int]" = field(init=False, default_factory=queue.Queue)
    _once: "queue.Queue[int]" = field(init=False, default_factory=queue.Queue)
    """Routes for one run each (`_spoils_its_route`)."""

    def __post_init__(self) -> None:
        for route in range(self.routes):
            (self._free if route < ROUTES else self._once).put(route)

    def observe(self, runs: Sequence[Run], progress: Callable[[int, int], None] = lambda _done, _all: None) -> list[
        Observation
    ]:  # fmt: skip
        """Observe every run, several side by side, those that wait for LiteLLM's retries first; in the given order."""
        done: dict[str, Observation] = {}
        with ThreadPoolExecutor(ROUTES, thread_name_prefix="route") as pool:
            ordered = sorted(runs, key=lambda run: not _is_slow(run))
            for observation in pool.map(self._observe, ordered):
                done[observation.run.id] = observation
                progress(len(done), len(runs))
        return [done[run.id] for run in runs]

    def ask_again(self, observed: Sequence[Observation]) -> None:
        """Ask those whose answers differ in what a model may say otherwise in further rounds, and note their rates."""
        alpha = rates.ALPHA / max(1, len(observed))
        with ThreadPoolExecutor(ROUTES, thread_name_prefix="again") as pool:
            for _ in pool.map(lambda each: self._rates(each, alpha), filter(_is_moody, observed)):
                pass

    def _rates(self, seen: Observation, alpha: float) -> None:
        run, key = seen.run, self.keys.get(seen.run.settings, KEY)
        asked = Endpoint(self.backends[run.case.backend].url, api_key=self.backend_key)
        with OpenAIClient(asked) as direct, OpenAIClient(Endpoint(self.gateways[run.settings], api_key=key)) as proxied:

            def ask(_: str, side: int) -> Exchange:
                if side == 2:
                    return _ask(proxied, run, run.body(seen.route, self.model), key)
                return _ask(direct, run, seen.sent, self.backend_key)

            first = Three(run.id, seen.direct, seen.again, seen.proxied)
            rounds = in_rounds([run.id], ask, _content, run.id, begun=[first])
        found = equality([_contents(each) for each in rounds]).whole
        seen.mismatch = rates.of(found.n, found.control, found.proxied, alpha=alpha, margin=MARGIN_OF_ONE)

    def _observe(self, run: Run) -> Observation:
        self.backends[run.case.backend].url_for(run.case, "")  # raises before anybody waits for a route
        routes = self._once if _spoils_its_route(run) else self._free
        try:
            route = routes.get(block=routes is self._free)
        except queue.Empty:
            hint = "set LiteLLM up with as many as `routes_for` says"
            raise SignoffError(f"{run.id} needs a route to itself, and none is left", hint=hint) from None
        started = time.monotonic()
        try:
            observation = self._ask_both(run, route)
        except RecorderFailed as error:
            nothing = Exchange({}, status=0, broken=error.what)
            observation = Observation(
                run,
                run.body(self.model),
                nothing,
                nothing,
                nothing,
                None,
                unseen=" ".join(str(error).split()),
                model=self.model,
            )
        finally:
            if routes is self._free:
                routes.put(route)
        observation.seconds = round(time.monotonic() - started, 3)
        return observation

    def _own(self, key: str) -> str:
        """The key, unless the backend was given the same one."""
        return "" if KEY != key == self.backend_key else key

    def _ask_both(self, run: Run, route: int) -> Observation:
        case = run.case
        backend = self.backends[case.backend]
        name = backend.named(run.prefix, route)
        through, beside = f"route{route}", f"direct{route}"
        with ExitStack() as stack:
            direct = stack.enter_context(
                OpenAIClient(Endpoint(backend.url_for(case, beside), api_key=self.backend_key))
            )
            key = self.keys.get(run.settings, KEY)
            proxied = stack.enter_context(OpenAIClient(Endpoint(self.gateways[run.settings], api_key=key)))
            sent = run.body(self.model)
            answers: list[Exchange] = []
            left: list[bool] = []
            for _ in range(2):
                with backend.recording(beside, case.fault) as seen:
                    answers.append(_ask(direct, run, sent, self.backend_key))
                    left.append(_was_left(seen) if case.leave_after is not None else False)
                    _heard(seen)
            with backend.recording(through, case.fault) as seen:
                answers.append(_ask(proxied, run, run.body(name, self.model), key))
                too_late = case.leave_after is not None and any(received.whole for received in seen())
                left.append(_was_left(seen) if case.leave_after is not None else False)
                received = _heard(seen) if backend.recorder else None
            observation = Observation(
                run,
                sent,
                answers[0],
                answers[1],
                answers[2],
                received,
                route=name,
                model=self.model,
                key=self._own(key),
            )
            if case.leave_after is not None:
                observation.stopped, observation.too_late = (left[0] and left[1], left[2]), too_late
            if case.follow_up:
                observation.follow_up = _innocent(direct, self.model), _innocent(proxied, name)
            if case.repeats:
                observation.mismatch = rates.compare(
                    _texts(direct, run, sent, self.backend_key),
                    _texts(direct, run, sent, self.backend_key),
                    _texts(proxied, run, run.body(name, self.model), key),
                )
        if case.kind in KINDS and case.leave_after is None and case.expect is None:
            consumer = Consumer()
            stream = run.mode == "streamed"
            observation.clients = tuple(consumer.consume(each, case.kind, stream=stream) for each in answers)
        return observation


def _is_moody(seen: Observation) -> bool:
    """Whether the answers differ in what a model may say otherwise the next time.

    Of an answer that was broken off on purpose only so much is compared as is left.
    """
    case = seen.run.case
    other_than_whole = case.fault is not None or case.leave_after is not None or case.expect is not None
    if other_than_whole or case.repeats or seen.unseen or case.kind not in ("chat", "completion"):
        return False
    return not alike(_contents(Three(seen.run.id, seen.direct, seen.again, seen.proxied)))


def _content(exchange: Exchange) -> dict[str, Any]:
    return rates.content_of(exchange.said)


def _contents(three: Three[str, Exchange]) -> Three[str, dict[str, Any]]:
    return Three(three.question, _content(three.first), _content(three.again), _content(three.other))


def _is_slow(run: Run) -> bool:
    """Whether LiteLLM will retry, or the fault itself waits."""
    case = run.case
    return case.fault is not None or case.status >= 400 or case.leave_after is not None or case.repeats > 0


def _texts(client: OpenAIClient, run: Run, body: Any, key: str) -> list[str]:
    return [rates.text_of(_ask(client, run, body, key).said) for _ in range(run.case.repeats)]


def _ask(client: OpenAIClient, run: Run, body: Any, key: str) -> Exchange:
    case = run.case
    try:
        answer = client.send(case.method, case.path, body, headers=run.headers(key), leave_after=case.leave_after)
    except NoAnswer as error:
        request = {"method": case.method, "url": client.base_url + case.path, "body": body}
        return Exchange(request, status=0, broken=error.what)
    return Exchange.of(answer)


def _innocent(client: OpenAIClient, model: str) -> Exchange:
    try:
        return Exchange.of(client.send("POST", "/v1/chat/completions", {"model": model, **INNOCENT}))
    except NoAnswer as error:
        return Exchange({"body": INNOCENT}, status=0, broken=error.what)


def _heard(seen: Seen) -> Sequence[Received]:
    """What was received.

    Raises:
        RecorderFailed: the backend had no answer for one of them; what LiteLLM made of that is not its own doing.
    """
    received = seen()
    for each in received:
        if each.failed:
            raise RecorderFailed(
                f"vLLM did not answer the recorder: {each.failed}",
                where=f"{each.method} {each.path}",
                hint="see vLLM's log: has it run out of memory, or been restarted?",
            )
    return received


def _was_left(seen: Seen) -> bool:
    """Whether the side that asked the backend closes its connection soon."""

    def look() -> None:
        received = seen()
        if not (received and received[-1].left):
            raise NotYet("its connection is open")

    try:
        eventually("the asking side to leave", timeouts.LEAVING_NOTICED, look)
    except WaitFailed:
        return False
    return True
