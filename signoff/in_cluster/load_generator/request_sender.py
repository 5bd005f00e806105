"""The part of a load that sends requests: when each is due, what it asks, and what came of it."""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from locust.runners import WorkerRunner

from signoff.in_cluster.load_generator.arrivals import Arrivals
from signoff.in_cluster.load_generator.client import Asked, ChatClient
from signoff.in_cluster.load_generator.generator_health import Watch
from signoff.in_cluster.load_generator.options import mix_of
from signoff.in_cluster.load_generator.records import Record, Role
from signoff.in_cluster.load_generator.run_writer import Kept
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


class Sender:
    """The part of a process that sends requests, from the start of a test to its end."""

    def __init__(self, environment: Any, keep: Callable[[list[Kept]], None]) -> None:
        options, runner = environment.parsed_options, environment.runner
        index = max(0, runner.worker_index)
        self.worker = f"worker-{index}" if isinstance(runner, WorkerRunner) else "local"
        self._steps: deque[tuple[float, str]] = deque(maxlen=_STEPS_REMEMBERED)
        self.open_loop = options.arrivals != "closed"
        self._environment, self._keep_all = environment, keep
        self._kept: list[Kept] = []
        self._urls = {"proxied": environment.host, "direct": options.direct}
        self.clients = {arm: ChatClient(url, options.model, options.api_key) for arm, url in self._urls.items() if url}
        self._chance = random.Random(f"{options.seed}/{index}/load")
        self._think: float = options.think_seconds
        self._probe_every: float = options.probe_every
        self._pauses = random.Random(f"{options.seed}/{index}/pauses")
        self._probe_chance = random.Random(f"{options.seed}/{index}/probe")
        self._questions = mix_of(options).questions(self._chance)
        self._watch = Watch(self.worker, self._note, self._note)
        self._users: list[Any] = []
        self._rate_per_user = options.rate_per_user
        self._pairs = 0
        self._arrivals = Arrivals(
            self._arrive,
            self._overflow,
            chance=random.Random(f"{options.seed}/{index}/arrivals"),
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
        return self._pauses.uniform(0.5, 1.5) * self._think

    def pause_between_pairs(self) -> float:
        """Seconds between two probes."""
        return self._pauses.uniform(0.5, 1.5) * self._probe_every

    def stop_arrivals(self) -> None:
        """Send nothing more in an open loop; what is in flight has Locust's stop timeout to end in."""
        self._arrivals.stop(self._environment.stop_timeout)

    def close(self) -> None:
        """End it, and hand over what was kept."""
        self._watch.stop()
        self._delivery.kill()
        self._hand_over()
        for client in self.clients.values():
            client.close()

    def ask(self, user: Any, intended: float | None = None) -> None:
        """Send one request of the load in this user's way."""
        self._ask(user, user.arm, "load", next(self._questions), stream=user.stream, intended=intended)

    def probe(self, user: Any) -> None:
        """Ask both arms the like in random order: one pair."""
        self._pairs += 1
        arms: list[Arm] = self._probe_chance.sample(["direct", "proxied"], 2)
        stream = self._pairs % 2 == 0
        for arm in arms:
            asked = question(self._probe_chance, PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS)
            self._ask(user, arm, "probe", asked, stream=stream, pair=self._pairs)

    def _arrive(self, intended: float) -> None:
        user = self._chance.choice(self._users)
        self.ask(user, intended)

    def _overflow(self, intended: float) -> None:
        self._watch.overflowed()
        user = self._chance.choice(self._users)
        asked = next(self._questions)
        never = Asked(time.time(), 0.0, error=_NOT_SENT)
        step = self._step_at(intended)
        self._report(user, user.arm, "load", asked, never, intended, step, None, stream=user.stream)

    def _ask(
        self,
        user: Any,
        arm: "Arm",
        role: Role,
        asked: Question,
        *,
        stream: bool,
        intended: float | None = None,
        pair: int | None = None,
    ) -> None:
        began = time.time()
        step = self._step_at(intended or began)
        if intended is not None:
            self._watch.sent((began - intended) * 1000)
        try:
            answer = self.clients[arm].chat(asked.prompt, max_tokens=asked.max_tokens, stream=stream)
        except gevent.GreenletExit:
            answer = Asked(began, (time.time() - began) * 1000, error=_UNFINISHED)
            raise
        finally:
            self._report(user, arm, role, asked, answer, intended or answer.started, step, pair, stream=stream)

    def _report(
        self,
        user: Any,
        arm: "Arm",
        role: Role,
        asked: Question,
        answer: Asked,
        intended: float,
        step: str,
        pair: int | None,
        *,
        stream: bool,
    ) -> None:
        record = Record(
            worker=self.worker,
            user=type(user).__name__,
            role=role,
            arm=arm,
            streamed=stream,
            step=step,
            pair=pair,
            intended=intended,
            started=answer.started,
            e2e_ms=answer.e2e_ms,
            ttft_ms=answer.ttft_ms,
            itl_ms=answer.itl_ms,
            tokens=answer.tokens,
            prompt_chars=len(asked.prompt),
            status=answer.status,
            error=answer.error,
        )
        self._note(record)
        self._show(record, answer.length)

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

    def _note(self, kept: Kept) -> None:
        self._kept.append(kept)

    def _deliver(self) -> None:
        while True:
            gevent.sleep(_HAND_OVER_SECONDS)
            self._hand_over()

    def _hand_over(self) -> None:
        if self._kept:
            kept, self._kept = self._kept, []
            self._keep_all(kept)
