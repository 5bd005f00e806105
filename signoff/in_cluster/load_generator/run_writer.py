"""Writes what came of a load: a folder for each test."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from signoff.core.paths import free_folder
from signoff.core.redact import redacted_log
from signoff.evidence.chain import FILE, SCHEMA, Chain
from signoff.evidence.circumstances import circumstances
from signoff.evidence.invalid import MAX_INVALID, InvalidKind, InvalidSpan, Unrecorded
from signoff.in_cluster.load_generator.backend_clock import BackendClock
from signoff.in_cluster.load_generator.options import workload_of
from signoff.in_cluster.load_generator.records import Record
from signoff.in_cluster.load_generator.rollup import RotatingRecords
from signoff.in_cluster.load_generator.run import (
    ResourceSampler,
    Run,
    Sample,
    Step,
    files_of,
    fold,
    invalid_record,
    load_record,
    machine,
    own_versions,
    samples_file,
    step_record,
)
from signoff.in_cluster.load_generator.workload import PROBE_ANSWER_TOKENS, PROBE_PROMPT_TOKENS

Entry = Record | Sample | InvalidSpan
"""What a sender or a pod's sampler has to write."""
StartSampler = Callable[[Any, Callable[[str], None]], ResourceSampler | None]
"""Makes, of the load's options, what looks at the pods; it tells the second argument what it cannot observe."""


class RunWriter:
    """Writes a folder for each test: its evidence, samples.csv and a file of records for each worker.

    `run` is what the evidence tells of the test, and changes with it alone.
    """

    def __init__(self, environment: Any, probe_class: str, sampler: StartSampler) -> None:
        self.run: Run | None = None
        self.folder: Path | None = None
        self.ended = False
        """Whether the test of this folder has ended; one that still begins has not."""
        self.deployment: Path | None = None
        """The folder with the evidence of the deployment, if one was started for the load."""
        self.settings: Mapping[str, Any] = {}
        """What the run records of the settings, where they are known."""
        self._environment, self._probe_class = environment, probe_class
        self._open = ExitStack()
        self._chain: Chain | None = None
        self._records: Any = None
        self._samples: Any = None
        self._counts: Counter[str] = Counter()
        self._unrecorded = Unrecorded()
        self._unobserved: list[str] = []
        self._backend: BackendClock | None = None
        self._pods = sampler(environment.parsed_options, self._blind)
        self._versions: dict[str, str] = self._pods.versions() if self._pods else {}
        if self._pods:
            self._pods.look()  # the first look costs most, so it comes before any clock runs

    def begin(self) -> None:
        """Make the folder of a new test."""
        options = self._environment.parsed_options
        # What takes a while comes first: a load whose time is over meanwhile has not begun, and leaves no folder.
        command = [redacted_log(each) for each in sys.argv]
        about = {"tool": "load", "argv": command[1:], **circumstances(self.settings)}
        shape = self._environment.shape_class
        run = Run(
            seed=options.seed,
            shape=shape.name if shape else "steady" if options.headless or options.autostart else "page",
            arrivals=options.arrivals,
            proxied=self._environment.host,
            direct=options.direct,
            model=options.model,
            workload={
                **workload_of(options).describe(),
                "think_seconds": options.think_seconds,
                "probe_tokens": [PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS],
                "users": sorted(each.__name__ for each in self._environment.user_classes),
            },
            probe_every_seconds=options.probe_every,
            command=command,
            started=time.time(),
            step_seconds=options.stage_seconds if shape else options.run_time,
            versions={**own_versions(), **self._versions},
            machine=machine(),
        )
        self.close()
        self.ended = False
        folder = free_folder(Path(options.reports), "load")
        folder.mkdir(parents=True)
        self.folder = folder
        self._counts, self._unrecorded = Counter(), Unrecorded()
        self._backend = BackendClock(options.direct) if options.direct else None
        # All that may fail on a full disk comes before the run, so that where there is a run there are its files.
        self._records = self._open.enter_context(closing(RotatingRecords(folder, options.keep_records)))
        self._samples = self._open.enter_context(samples_file(folder))
        self._chain = Chain(folder / FILE)
        self._tell({"kind": "run", "schema": SCHEMA, **about})
        self._tell(load_record(run))
        if self.deployment:
            self._tell({"kind": "load-deployment", "folder": self.deployment.name})
        for text in self._unobserved:
            self.note(text)
        print(f"raw records go to {folder}", file=sys.stderr)

    def next_step(self) -> str:
        """Begin a step at the load that there is now, unless it is the last one still; gives its name.

        That is empty where no test could begin.
        """
        run = self.run
        if run is None:
            return ""
        counts = self._environment.runner.target_user_classes_count
        users = sum(count for name, count in counts.items() if name != self._probe_class)
        options = self._environment.parsed_options
        open_loop = options.arrivals != "closed"
        rate = round(users * options.rate_per_user, 6) if open_loop else None
        label = f"rate={rate:g}" if rate is not None else f"users={users}"
        last = run.steps[-1] if run.steps else None
        if last and last.name.partition(" #")[0] == label:
            self._tell(step_record(replace(last, ended=None)))
            return last.name
        self.end_step()
        times = 1 + sum(step.name.partition(" #")[0] == label for step in run.steps)
        step = Step(label if times == 1 else f"{label} #{times}", rate, None if open_loop else users, time.time())
        self._tell(step_record(step))
        return step.name

    def write(self, entries: list[Entry]) -> None:
        """Write what a sender hands over, and the invalid spans that are due."""
        if self.run is None:
            return
        for each in entries:
            if isinstance(each, Record):
                if each.worker not in self.run.workers:
                    self._tell({"kind": "load-worker", "worker": each.worker})
                self._records.write(each)
                self._counts[each.error] += 1
            elif isinstance(each, Sample):
                self._samples.writerow(asdict(each))
            else:
                self._unrecorded.add(each)
        self._tell_spans(self._unrecorded.due(time.time()))

    def note(self, text: str) -> None:
        """Say something in this test's evidence."""
        if self.run:
            self._tell({"kind": "note", "text": text})

    def _blind(self, text: str) -> None:
        """Say in each test's evidence what cannot be observed: that is told once."""
        self._unobserved.append(text)
        self.note(text)

    def end_step(self) -> None:
        """End the last step, unless it has ended: what is still in flight has time to end after it."""
        if self.run and self.run.steps and self.run.steps[-1].ended is None:
            self._tell_spans(self._unrecorded.rest())
            self._tell(step_record(replace(self.run.steps[-1], ended=time.time())))

    def end(self) -> None:
        """Say that the test has ended; what workers still send is written nevertheless."""
        run = self.run
        if run is None or run.ended:
            return
        self.end_step()
        self._tell_spans(self._unrecorded.rest())
        self._tell({"kind": "load", "run": {"ended": time.time()}})
        self.ended = True
        for line in self._summary():
            print(line, file=sys.stderr)

    def close(self) -> None:
        """Close the files of the last test, and name those with its samples in its evidence."""
        try:
            if self.run:
                self.end()
                self._tell_spans(self._unrecorded.rest())
                self._open.close()
                assert self.folder is not None
                self._tell({"kind": "load-files", "files": files_of(self.folder)})
                self._tell({"kind": "end"})
        finally:
            self.run = None
            self._open.close()
            if self._chain:
                self._chain.close()

    def sample_pods(self) -> None:
        """Write a sample of each pod and of what vLLM says of itself, while a test runs."""
        for looked in (self._backend, self._pods):
            if looked and self.run and not self.run.ended:
                self.write(list(looked.look()))

    def _tell(self, record: Mapping[str, Any]) -> None:
        """Write a record, and know it."""
        assert self._chain is not None
        self.run = fold(self.run, self._chain.append(record))

    def _tell_spans(self, spans: list[InvalidSpan]) -> None:
        for span in spans:
            self._tell(invalid_record(span))

    def _summary(self) -> Iterator[str]:
        assert self.run is not None
        failed = {kind: count for kind, count in self._counts.items() if kind}
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(failed.items(), key=lambda each: -each[1]))
        yield f"{sum(self._counts.values())} requests in {self.folder}{f'; failed: {told}' if told else ''}"
        yield f"judge them with: signoff load-report {self.folder}"
        spans: dict[tuple[str, InvalidKind], list[InvalidSpan]] = {}
        for span in self.run.invalid_spans:
            spans.setdefault((span.worker, span.kind), []).append(span)
        if spans:
            yield (
                f"INVALID at {', '.join(hidden)}: the load generator was the limit, so these figures say nothing"
                if (hidden := self.run.invalid_steps())
                else f"the load generator was the limit for less than {MAX_INVALID:.0%} of the time, which stands"
            )
            for (worker, kind), found in spans.items():
                worst = max(found, key=lambda each: each.worst)
                yield f"  {worker}, {kind.words}, {sum(each.looks for each in found)} times; at worst: {worst.reason}"
            yield "  next: a lower rate, more workers (--processes, signoff load --workers), or a machine of its own"
