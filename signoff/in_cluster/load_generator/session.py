"""A load under Locust: what its events mean, and how master and workers share the work.

One process plays both parts, or Locust's master writes what its workers send it: records, samples and invalid spans. So
a run's folder is always on the machine of the one who started it.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

import gevent
from gevent.event import Event
from locust.runners import MasterRunner, WorkerRunner

from signoff.evidence.invalid import LOOK_EVERY_SECONDS, InvalidSpan
from signoff.in_cluster.load_generator.options import settle_start
from signoff.in_cluster.load_generator.records import Record
from signoff.in_cluster.load_generator.request_sender import RequestSender
from signoff.in_cluster.load_generator.run import Sample
from signoff.in_cluster.load_generator.run_writer import Entry, RunWriter, StartSampler

MAX_POINTS = 2000
"""Of the charts in Locust's page and report; three hours have so many."""
_SECONDS_COUNTED = 60
_FINISH_GRACE_SECONDS = 5.0
_KINDS: dict[str, Any] = {"Record": Record, "Sample": Sample, "InvalidSpan": InvalidSpan}


class LoadSession:
    """What the user classes of this process share. `probe_class` is the one whose users are no load."""

    def __init__(self, environment: Any, probe_class: str, sampler: StartSampler) -> None:
        self.environment = environment
        is_worker = isinstance(environment.runner, WorkerRunner)
        self.writer = None if is_worker else RunWriter(environment, probe_class, sampler)
        self.sender: RequestSender | None = None
        self.unwritable = ""
        """Why this test's records cannot be written, which has ended it; empty if they can."""
        self._finished: dict[str, Event] = {}
        events, runner = environment.events, environment.runner
        events.test_start.add_listener(self._started)
        events.spawning_complete.add_listener(self._spawned)
        events.test_stopping.add_listener(self._stopping)
        events.test_stop.add_listener(self._stopped)
        events.quitting.add_listener(self._quitting)
        events.quit.add_listener(self._quit)
        for name in ("entries", "step", "finish", "finished"):
            runner.register_message(name, getattr(self, f"_on_{name}"), concurrent=name == "finish")
        if self.writer:
            runner.start = self._leaving_the_step(runner.start)
            gevent.spawn(self._bound_locust)
            gevent.spawn(self._sample_pods, self.writer)

    def _leaving_the_step(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """Locust's way to another number of users, for which it has no event: shapes, its page and rebalancing use it.

        From then until all users are there, requests belong to no step.
        """

        def started(*arguments: Any, **named: Any) -> Any:
            if self.writer:
                with self._writing():
                    self.writer.end_step()
            self._begin_step("")
            return start(*arguments, **named)

        return started

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write into the run's folder in this block; where that fails, on a full disk, the load ends and says so.

        It would go on for hours, and hold what it cannot write in memory.
        """
        try:
            yield
        except OSError as error:
            if not self.unwritable:
                self.unwritable = str(error)
                logging.getLogger(__name__).error("the records cannot be written (%s): the load ends here", error)
                self.environment.process_exit_code = 1
                gevent.spawn(self.environment.runner.quit)

    def _begin_step(self, name: str) -> None:
        if self.sender:
            self.sender.begin_step(name)
        elif isinstance(self.environment.runner, MasterRunner):
            self.environment.runner.send_message("step", {"name": name})

    def _bound_locust(self) -> None:
        while True:
            gevent.sleep(LOOK_EVERY_SECONDS)
            trim(self.environment.stats)

    def _sample_pods(self, writer: RunWriter) -> None:
        while True:
            gevent.sleep(LOOK_EVERY_SECONDS)
            with self._writing():
                writer.sample_pods()

    # Locust's events

    def _started(self, **_: Any) -> None:
        if self.writer:
            self.unwritable = ""
            settle_start(self.environment)
            with self._writing():
                self.writer.begin()
        if not isinstance(self.environment.runner, MasterRunner):
            self.sender = RequestSender(self.environment, self._write)

    def _spawned(self, **_: Any) -> None:
        if self.writer:
            with self._writing():
                self._begin_step(self.writer.next_step())

    def _stopping(self, **_: Any) -> None:
        """Have what is in flight end; probes, whose users Locust stops only then, belong to no step meanwhile."""
        if self.sender:
            self.sender.begin_step("")
        if self.writer:
            with self._writing():
                self.writer.end_step()
        if self.sender:
            self.sender.stop_arrivals()
        elif isinstance(self.environment.runner, MasterRunner):
            self._have_workers_finish()

    def _stopped(self, **_: Any) -> None:
        if self.sender:
            self.sender.close()
            self.sender = None
        if self.writer:
            with self._writing():
                self.writer.end()

    def _quit(self, **_: Any) -> None:
        if self.writer:
            with self._writing():
                self.writer.close()

    def _quitting(self, **_: Any) -> None:
        """Say of a load that was to begin by itself that it has not: its time may be over before its folder is made."""
        options = self.environment.parsed_options
        to_begin = options.headless or options.autostart
        if self.writer and to_begin and self.writer.folder is None and not self.unwritable:
            self.environment.process_exit_code = 1
            after = f" within its {options.run_time} s (-t)" if options.run_time else ""
            logging.getLogger(__name__).error("no load began%s, so nothing was recorded", after)

    # Between master and workers

    def _write(self, entries: list[Entry]) -> None:
        if self.writer:
            with self._writing():
                self.writer.write(entries)
        else:
            rows = [(type(each).__name__, astuple(each)) for each in entries]
            self.environment.runner.send_message("entries", {"rows": rows})

    def _on_entries(self, msg: Any, **_: Any) -> None:
        if self.writer:
            with self._writing():
                self.writer.write([_KINDS[kind](*values) for kind, values in msg.data["rows"]])

    def _on_step(self, msg: Any, **_: Any) -> None:
        if self.sender:
            self.sender.begin_step(msg.data["name"])

    def _have_workers_finish(self) -> None:
        """Wait until each worker has ended its requests and sent all its entries: Locust gives them half a second."""
        runner = self.environment.runner
        self._finished = {worker.id: Event() for worker in (*runner.clients.running, *runner.clients.spawning)}
        runner.send_message("finish")
        # First what was sent on the schedule may end, then what the users themselves have asked.
        deadline = time.monotonic() + 2 * self.environment.stop_timeout + _FINISH_GRACE_SECONDS
        for name, finished in self._finished.items():
            if not finished.wait(max(0.0, deadline - time.monotonic())) and self.writer:
                with self._writing():
                    self.writer.note(f"worker {name} did not say that it had finished: its last records may be missing")

    def _on_finish(self, **_: Any) -> None:
        self.environment.runner.stop()
        self.environment.runner.send_message("finished")

    def _on_finished(self, msg: Any, **_: Any) -> None:
        if finished := self._finished.get(msg.node_id):
            finished.set()


def trim(stats: Any) -> None:
    """Bound what Locust's statistics hold: they count the requests of each second for ever, and look at the last 12.

    Of a chart's points every second one goes when there are too many.
    """
    oldest = time.time() - _SECONDS_COUNTED
    for entry in (stats.total, *stats.entries.values()):
        for counts in (entry.num_reqs_per_sec, entry.num_fail_per_sec):
            for second in [each for each in counts if each < oldest]:
                del counts[second]
    if len(stats.history) > MAX_POINTS:
        del stats.history[::2]
