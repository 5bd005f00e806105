"""Sends a load's requests: when each is due, what it asks, and what came of it."""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
from locust.runners import WorkerRunner

from signoff.in_cluster.load_generator.arrivals import Arrivals
from signoff.in_cluster.load_generator.client import ChatClient, Outcome
from signoff.in_cluster.load_generator.generator_health import GeneratorHealth
from signoff.in_cluster.load_generator.options import workload_of
from signoff.in_cluster.load_generator.records import Record, Role
from signoff.in_cluster.load_generator.run_writer import Entry
from signoff.in_cluster.load_generator.workload import (
    PROBE_ANSWER_TOKENS,
    PROBE_PROMPT_TOKENS,
    Question,
    question,
)

if TYPE_CHECKING:
    from signoff.traffic.pairs import Arm

_HAND_OVER_SECONDS = 1.0
_UNFINISHED = "unfinished"
_NOT_SENT = "not sent"
_STEPS_REMEMBERED = 16
"""More than may begin and end while a sending is late."""


class Failure(Exception):
    """How Locust shows a request that failed: by its kind."""


@dataclass(frozen=True)
class Request:
    """One request before it is sent. `user` is the class of the user who sends it.

    `intended` is when the schedule wants it sent; None in a closed loop. `pair` is a probe's.
    """

    user: str
    arm: "Arm"
    role: Role
    question: Question
    streamed: bool
    intended: float | None = None
    pair: int | None = None


class RequestSender:
    """Sends the requests of this process from the start of a test to its end; `write` gets what came of them."""

    def __init__(self, environment: Any, write: Callable[[list[Entry]], None]) -> None:
        options, runner = environment.parsed_options, environment.runner
        index = max(0, runner.worker_index)
        self.worker = f"worker-{index}" if isinstance(runner, WorkerRunner) else "local"
        self._steps: deque[tuple[float, str]] = deque(maxlen=_STEPS_REMEMBERED)
        self.open_loop = options.arrivals != "closed"
        self._environment, self._write = environment, write
        self._entries: list[Entry] = []
        self._urls = {"proxied": environment.host, "direct": options.direct}
        keys = {"proxied": options.api_key, "direct": options.vllm_key}
        models = {"proxied": options.model, "direct": options.direct_model or options.model}
        self.clients = {arm: ChatClient(url, models[arm], keys[arm]) for arm, url in self._urls.items() if url}
        self._rng = random.Random(f"{options.seed}/{index}/load")
        self._think: float = options.think_seconds
        self._probe_every: float = options.probe_every
        self._pause_rng = random.Random(f"{options.seed}/{index}/pauses")
        self._probe_rng = random.Random(f"{options.seed}/{index}/probe")
        self._questions = workload_of(options).questions(self._rng)
        self._health = GeneratorHealth(self.worker, self._note, self._note)
        self._users: list[Any] = []
        self._rate_per_user = options.rate_per_user
        self._pairs = 0
        self._arrivals = Arrivals(
            self._arrive,
            self._overflow,
            rng=random.Random(f"{options.seed}/{index}/arrivals"),
            poisson=options.arrivals == "poisson",
            phase=index / max(1, options.expect_workers),
        )
        self._delivery = gevent.spawn(self._deliver)

    def begin_step(self, name: str) -> None:
        """What is meant for moments from now on belongs to this step; to none, where the name is empty."""
        self._steps.append((time.time(), name))

    def _step_at(self, moment: float) -> str:
        return next((name for began, name in reversed(self._steps) if began <= moment), "")

    def joined(self, user: Any) -> None:
        """Take a user into the load; in an open loop each stands for a rate of arrivals."""
        self._users.append(user)
        if self.open_loop:
            self._arrivals.rate = len(self._users) * self._rate_per_user

    def left(self, user: Any) -> None:
        """Take a user out of the load."""
        if user in self._users:
            self._users.remove(user)
        if self.open_loop:
            self._arrivals.rate = len(self._users) * self._rate_per_user

    def pause(self) -> float:
        """Seconds that a user thinks about an answer."""
        return self._pause_rng.uniform(0.5, 1.5) * self._think

    def pause_between_pairs(self) -> float:
        """Seconds between two probes."""
        return self._pause_rng.uniform(0.5, 1.5) * self._probe_every

    def stop_arrivals(self) -> None:
        """Send nothing more in an open loop; what is in flight has Locust's stop timeout to end in."""
        self._arrivals.stop(self._environment.stop_timeout)

    def close(self) -> None:
        """End it, and hand over what is still here."""
        self._health.stop()
        self._delivery.kill()
        self._hand_over()
        for client in self.clients.values():
            client.close()

    def ask(self, user: Any, intended: float | None = None) -> None:
        """Send one request of the load in this user's way."""
        self._send(self._request(user, intended))

    def probe(self, user: Any) -> None:
        """Ask both arms the like in random order: one pair."""
        self._pairs += 1
        arms: list[Arm] = self._probe_rng.sample(["direct", "proxied"], 2)
        for arm in arms:
            asked = question(self._probe_rng, PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS)
            self._send(Request(type(user).__name__, arm, "probe", asked, self._pairs % 2 == 0, pair=self._pairs))

    def _arrive(self, intended: float) -> None:
        self.ask(self._rng.choice(self._users), intended)

    def _overflow(self, intended: float) -> None:
        self._health.overflowed()
        request = self._request(self._rng.choice(self._users), intended)
        self._report(request, Outcome(time.time(), 0.0, error=_NOT_SENT), self._step_at(intended))

    def _request(self, user: Any, intended: float | None) -> Request:
        return Request(type(user).__name__, user.arm, "load", next(self._questions), user.stream, intended)

    def _send(self, request: Request) -> None:
        began, asked = time.time(), request.question
        step = self._step_at(request.intended or began)
        if request.intended is not None:
            self._health.sent((began - request.intended) * 1000)
        try:
            client = self.clients[request.arm]
            outcome = client.chat(asked.prompt, max_tokens=asked.max_tokens, stream=request.streamed)
        except gevent.GreenletExit:
            outcome = Outcome(began, (time.time() - began) * 1000, error=_UNFINISHED)
            raise
        finally:
            self._report(request, outcome, step)

    def _report(self, request: Request, outcome: Outcome, step: str) -> None:
        record = Record(
            worker=self.worker,
            user=request.user,
            role=request.role,
            arm=request.arm,
            streamed=request.streamed,
            step=step,
            pair=request.pair,
            intended=request.intended or outcome.started,
            started=outcome.started,
            e2e_ms=outcome.e2e_ms,
            ttft_ms=outcome.ttft_ms,
            itl_ms=outcome.itl_ms,
            tokens=outcome.tokens,
            prompt_chars=len(request.question.prompt),
            status=outcome.status,
            error=outcome.error,
        )
        self._note(record)
        self._show(record, outcome.length)

    def _show(self, record: Record, length: int) -> None:
        """Show it in Locust. A user waits from the intended moment on, so that is what Locust's table shows."""
        probe = "probe " if record.role == "probe" else ""
        waited = (record.started - record.intended) * 1000
        self._environment.events.request.fire(
            request_type=record.arm,
            name=f"{probe}chat streamed" if record.streamed else f"{probe}chat",
            response_time=waited + record.e2e_ms,
            response_length=length,
            exception=Failure(record.error) if record.error else None,
            context={"record": record},
            start_time=record.intended,
            url=self._urls[record.arm],
        )
        # Not as requests of their own, which would count into Locust's Aggregated row and its requests per second.
        entries = self._environment.stats.entries
        if record.ttft_ms is not None:
            entries[f"{probe}TTFT", record.arm].log(waited + record.ttft_ms, 0)
        if record.itl_ms is not None:
            entries[f"{probe}inter-token", record.arm].log(record.itl_ms, 0)
        if record.tokens and not record.error:
            entries[f"{probe}tokens/s (a rate, not ms)", record.arm].log(record.tokens / record.e2e_ms * 1000, 0)

    def _note(self, entry: Entry) -> None:
        self._entries.append(entry)

    def _deliver(self) -> None:
        while True:
            gevent.sleep(_HAND_OVER_SECONDS)
            self._hand_over()

    def _hand_over(self) -> None:
        if self._entries:
            entries, self._entries = self._entries, []
            self._write(entries)
