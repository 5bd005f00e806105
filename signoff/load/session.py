"""A load under Locust: who asks when, what is kept of each request, and how master and workers share the work.

One process plays both parts, or Locust's master keeps what its workers send it: records, samples and void marks. So a
run's folder is always on the machine of the one who started it.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, astuple
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust.runners import MasterRunner, WorkerRunner

from signoff.load.arrivals import Arrivals
from signoff.load.client import Asked, ChatClient
from signoff.load.mix import Question, question
from signoff.load.options import mix_of, settle_start
from signoff.load.records import Record, RecordsFile, Role
from signoff.load.run import (
    Run,
    Sample,
    Step,
    Void,
    fingerprint_of,
    machine,
    own_versions,
    samples_file,
)
from signoff.load.watch import Watch
from signoff.redact import redacted

if TYPE_CHECKING:
    from signoff.traffic.pairs import Arm

PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS = 64, 16
"""A probe asks for little, so that it shows the state of the arms and adds nothing to it."""

POD_LOOK_SECONDS = 5.0
_SEND_EVERY_SECONDS = 2.0
_FINISH_GRACE_SECONDS = 5.0
_UNFINISHED = "unfinished"
_NOT_SENT = "not sent"


class Failure(Exception):
    """How Locust shows a request that failed: by its kind."""


class Load:
    """What the user classes of this process share. `probe_class` is the one whose users are no load."""

    def __init__(self, environment: Any, probe_class: str) -> None:
        self.environment = environment
        self.keeper = None if isinstance(environment.runner, WorkerRunner) else Keeper(environment, probe_class)
        self.sender: Sender | None = None
        self._finished: dict[str, Event] = {}
        events, runner = environment.events, environment.runner
        events.test_start.add_listener(self._started)
        events.spawning_complete.add_listener(self._spawned)
        events.test_stopping.add_listener(self._stopping)
        events.test_stop.add_listener(self._stopped)
        events.quit.add_listener(self._quit)
        for name in ("kept", "step", "finish", "finished"):
            runner.register_message(name, getattr(self, f"_on_{name}"), concurrent=name == "finish")

    # Locust's events

    def _started(self, **_: Any) -> None:
        if self.keeper:
            settle_start(self.environment)
            self.keeper.begin()
        if not isinstance(self.environment.runner, MasterRunner):
            self.sender = Sender(self.environment, self._keep)

    def _spawned(self, **_: Any) -> None:
        if self.keeper:
            step = self.keeper.next_step()
            if self.sender:
                self.sender.step = step
            else:
                self.environment.runner.send_message("step", {"name": step})

    def _stopping(self, **_: Any) -> None:
        if self.sender:
            self.sender.stop_arrivals()
        elif self.keeper:
            self._have_workers_finish()

    def _stopped(self, **_: Any) -> None:
        if self.sender:
            self.sender.close()
            self.sender = None
        if self.keeper:
            self.keeper.end()

    def _quit(self, **_: Any) -> None:
        if self.keeper:
            self.keeper.close()

    # Between master and workers

    def _keep(self, kept: list["Record | Sample | Void"]) -> None:
        if self.keeper:
            self.keeper.keep(kept)
        else:
            rows = [(type(each).__name__, astuple(each)) for each in kept]
            self.environment.runner.send_message("kept", {"rows": rows})

    def _on_kept(self, msg: Any, **_: Any) -> None:
        if self.keeper:
            self.keeper.keep([_KINDS[kind](*values) for kind, values in msg.data["rows"]])

    def _on_step(self, msg: Any, **_: Any) -> None:
        if self.sender:
            self.sender.step = msg.data["name"]

    def _have_workers_finish(self) -> None:
        """Wait until each worker has ended its requests and sent what it kept: Locust gives them half a second."""
        runner = self.environment.runner
        self._finished = {worker.id: Event() for worker in (*runner.clients.running, *runner.clients.spawning)}
        runner.send_message("finish")
        deadline = time.monotonic() + self.environment.stop_timeout + _FINISH_GRACE_SECONDS
        for name, finished in self._finished.items():
            if not finished.wait(max(0.0, deadline - time.monotonic())) and self.keeper:
                self.keeper.note(f"worker {name} did not say that it had finished: its last records may be missing")

    def _on_finish(self, **_: Any) -> None:
        self.environment.runner.stop()
        self.environment.runner.send_message("finished")

    def _on_finished(self, msg: Any, **_: Any) -> None:
        if finished := self._finished.get(msg.node_id):
            finished.set()


class Sender:
    """The part of a process that sends requests, from the start of a test to its end."""

    def __init__(self, environment: Any, keep: Any) -> None:
        options, runner = environment.parsed_options, environment.runner
        index = max(0, runner.worker_index)
        self.worker = f"worker-{index}" if isinstance(runner, WorkerRunner) else "local"
        self.step = ""
        self.open_loop = options.arrivals != "closed"
        self._environment, self._keep_all = environment, keep
        self._kept: list[Record | Sample | Void] = []
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
        self._report(user, user.arm, "load", asked, never, intended, self.step, None, stream=user.stream)

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
        step, began = self.step, time.time()
        try:
            answer = self.clients[arm].chat(asked.prompt, max_tokens=asked.max_tokens, stream=stream)
        except gevent.GreenletExit:
            answer = Asked(began, (time.time() - began) * 1000, error=_UNFINISHED)
            raise
        finally:
            if intended is not None:
                self._watch.sent((answer.started - intended) * 1000)
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

    def _note(self, kept: Record | Sample | Void) -> None:
        self._kept.append(kept)

    def _deliver(self) -> None:
        while True:
            gevent.sleep(_SEND_EVERY_SECONDS)
            self._hand_over()

    def _hand_over(self) -> None:
        if self._kept:
            kept, self._kept = self._kept, []
            self._keep_all(kept)


_KINDS: dict[str, Any] = {"Record": Record, "Sample": Sample, "Void": Void}


class Keeper:
    """Writes a folder for each test: run.json, samples.csv and a file of records for each worker."""

    def __init__(self, environment: Any, probe_class: str) -> None:
        self.run: Run | None = None
        self.folder: Path | None = None
        self._environment, self._probe_class = environment, probe_class
        self._open = ExitStack()
        self._files: dict[str, RecordsFile] = {}
        self._samples: Any = None
        self._counts: Counter[str] = Counter()
        self._notes: list[str] = []
        self._pods = _pod_watch(environment.parsed_options, self.note)
        self._versions: dict[str, str] = self._pods.versions() if self._pods else {}
        if self._pods:
            self._pods.look()  # the first look costs most, so it comes before any clock runs
        self._watching: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Make the folder of a new test."""
        self.close()
        options = self._environment.parsed_options
        folder = self.folder = _new_folder(Path(options.reports))
        self._files, self._counts = {}, Counter()
        shape = self._environment.shape_class
        self.run = Run(
            seed=options.seed,
            shape=shape.name if shape else "steady" if options.headless or options.autostart else "page",
            arrivals=options.arrivals,
            proxied=self._environment.host,
            direct=options.direct,
            model=options.model,
            mix={
                **mix_of(options).describe(),
                "think_seconds": options.think_seconds,
                "probe_tokens": [PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS],
                "users": sorted(each.__name__ for each in self._environment.user_classes),
            },
            probe_every_seconds=options.probe_every,
            command=redacted({"command": sys.argv})["command"],
            started=time.time(),
            versions={**own_versions(), **self._versions},
            machine=machine(),
            notes=self._notes,
        )
        self._samples = self._open.enter_context(samples_file(folder))
        if self._pods:
            self._watching = gevent.spawn(self._look_at_pods, self._pods)
        self._write()
        print(f"raw records go to {folder}", file=sys.stderr)

    def next_step(self) -> str:
        """Begin a step at the load that there is now, unless it is the last one still; gives its name."""
        run = self.run
        assert run is not None
        counts = self._environment.runner.target_user_classes_count
        users = sum(count for name, count in counts.items() if name != self._probe_class)
        options = self._environment.parsed_options
        open_loop = options.arrivals != "closed"
        rate = round(users * options.rate_per_user, 6) if open_loop else None
        label = f"rate={rate:g}" if rate is not None else f"users={users}"
        last = run.steps[-1] if run.steps else None
        if last and last.name.partition(" #")[0] == label:
            return last.name
        now = time.time()
        if last:
            last.ended = now
        times = 1 + sum(step.name.partition(" #")[0] == label for step in run.steps)
        step = Step(label if times == 1 else f"{label} #{times}", rate, None if open_loop else users, now)
        run.steps.append(step)
        self._write()
        return step.name

    def keep(self, kept: list[Record | Sample | Void]) -> None:
        """Write what a sender has kept; void marks at once, so that they outlive a kill."""
        run, folder = self.run, self.folder
        if run is None or folder is None:
            return
        changed = False
        for each in kept:
            if isinstance(each, Record):
                if each.worker not in self._files:
                    path = folder / f"records-{each.worker}.csv"
                    self._files[each.worker] = self._open.enter_context(RecordsFile(path))
                    run.workers.append(each.worker)
                    changed = True
                self._files[each.worker].write(each)
                self._counts[each.error] += 1
            elif isinstance(each, Sample):
                self._samples.writerow(asdict(each))
            else:
                run.voids.append(each)
                changed = True
        if changed:
            self._write()

    def note(self, text: str) -> None:
        """Say in run.json what could not be observed."""
        self._notes.append(text)
        if self.run:
            self._write()

    def end(self) -> None:
        """Say that the test has ended; what workers still send is kept nevertheless."""
        run = self.run
        if run is None or run.ended:
            return
        run.ended = time.time()
        if self._watching:
            self._watching.kill()
        if run.steps:
            run.steps[-1].ended = run.ended
        self._write()
        for line in self._summary():
            print(line, file=sys.stderr)

    def close(self) -> None:
        """Close the files of the last test."""
        if self.run and not self.run.ended:
            self.end()
        self._open.close()
        self.run = None

    def _look_at_pods(self, watch: Any) -> None:
        while True:
            gevent.sleep(POD_LOOK_SECONDS)
            self.keep(list(watch.look()))

    def _write(self) -> None:
        assert self.run is not None
        assert self.folder is not None
        self.run.fingerprint = fingerprint_of(self.run)
        self.run.write(self.folder)

    def _summary(self) -> Iterator[str]:
        assert self.run is not None
        failed = {kind: count for kind, count in self._counts.items() if kind}
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(failed.items(), key=lambda each: -each[1]))
        yield f"{sum(self._counts.values())} requests in {self.folder}{f'; failed: {told}' if told else ''}"
        marks: dict[tuple[str, str], list[Void]] = {}
        for void in self.run.voids:
            marks.setdefault((void.worker, void.kind), []).append(void)
        if marks:
            yield "VOID: the load generator was the limit, so that these figures say nothing of what it asked"
            for (worker, kind), found in marks.items():
                yield f"  {worker}, {kind}, {len(found)} times; first: {found[0].reason}"
            yield "  next: a lower rate, more workers (--processes, signoff load --workers), or a machine of its own"


def _pod_watch(options: Any, note: Callable[[str], None]) -> Any:
    """What looks at the pods meanwhile; None in a pod of Locust's image, where whoever deployed it does."""
    try:
        from signoff.load import pods
    except ImportError:
        return None
    return pods.watch(options, note)


def _new_folder(reports: Path) -> Path:
    stamp = datetime.now().strftime("load-%Y-%m-%dT%H-%M-%S")
    names = (f"{stamp}{f'-{number}' if number else ''}" for number in range(1000))
    folder = next(reports / name for name in names if not (reports / name).exists())
    folder.mkdir(parents=True)
    return folder
