"""Synthetic loads: what a run leaves in its folder when arms, gateway and generator behave as told."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from signoff.evidence.chain import FILE, SCHEMA, Chain
from signoff.evidence.invalid import InvalidSpan
from signoff.in_cluster.load_generator.records import COLUMNS
from signoff.in_cluster.load_generator.run import (
    BACKEND_CLOCK,
    SAMPLE_COLUMNS,
    SAMPLES,
    Arrivals,
    Run,
    Sample,
    Shape,
    Step,
    files_of,
    invalid_record,
    load_record,
    step_record,
)

BEGAN = 1_800_000_000.0
MACHINE = {"cores": 2, "cpu": "a processor", "memory_gib": 8, "load_average": 0.3, "system": "Linux"}


@dataclass(frozen=True)
class Behaviour:
    """How the arms behave in one step. Durations are ms; `capacity` is what LiteLLM answers per second."""

    direct_ms: float = 30.0
    added_ms: float = 12.0
    streamed_ms: float | None = None
    """What is added to the probes' streams, where that is not `added_ms`."""
    noise_ms: float = 2.0
    capacity: float = float("inf")
    error_share: float = 0.0
    error: str = "status 503"
    pairs: int = 120
    probe_errors: int = 0
    calls: int = 1
    """How often LiteLLM sends vLLM each request."""
    backend_ms: float | None = None
    """What vLLM says that a request takes, where that is not `direct_ms`."""


@dataclass
class Synthetic:
    """A run that can be written into a folder. `loads` are rates of an open loop, or users of a closed one."""

    loads: Sequence[float] = (20.0,)
    behaviours: Sequence[Behaviour] = (Behaviour(),)
    arrivals: Arrivals = "poisson"
    shape: Shape = "sweep-rate"
    seconds: float = 60.0
    seed: int = 1
    invalid_spans: list[InvalidSpan] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    clock: bool = False
    """Whether vLLM's own word is read."""
    ended: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As the first line of evidence records them."""
    versions: dict[str, str] = field(default_factory=lambda: {"litellm": "1.80.16", "vllm": "0.32.0", "locust": "2.40"})

    def name(self, number: int) -> str:
        """Of a step."""
        return f"{'users' if self.arrivals == 'closed' else 'rate'}={self.loads[number]:g}"

    def start_of(self, number: int) -> float:
        """Of a step."""
        return BEGAN + number * self.seconds

    def records(self) -> pd.DataFrame:
        """All requests of the load and of the probes."""
        rng = np.random.default_rng(self.seed)
        tables = []
        for number in range(len(self.loads)):
            behaviour = self.behaviours[min(number, len(self.behaviours) - 1)]
            tables += [self._load(number, behaviour, rng), self._probes(number, behaviour, rng)]
        return pd.concat(tables, ignore_index=True)[COLUMNS]

    def records_csv(self) -> str:
        """The records as a file holds them."""
        return _records_csv(tuple(self.loads), tuple(self.behaviours), self.arrivals, self.seconds, self.seed)

    def _load(self, number: int, behaviour: Behaviour, rng: np.random.Generator) -> pd.DataFrame:
        took = behaviour.direct_ms + behaviour.added_ms
        closed = self.arrivals == "closed"
        rate = self.loads[number] if not closed else min(behaviour.capacity, 1000 * self.loads[number] / took)
        intended = np.cumsum(rng.exponential(1 / rate, int(rate * self.seconds * 1.5 + 20)))
        intended = intended[intended < self.seconds]
        ready = intended if closed else _queued(intended, behaviour.capacity)
        if closed:
            took = max(took, 1000 * self.loads[number] / rate)
        own = np.maximum(1.0, took + rng.normal(0, behaviour.noise_ms, len(intended)))
        e2e = (ready - intended) * 1000 + own
        begin = self.start_of(number)
        return self._table(number, begin + intended, e2e, rng, role="load", arm="proxied", user="ChatUser").assign(
            error=np.where(rng.random(len(e2e)) < behaviour.error_share, behaviour.error, "")
        )

    def _probes(self, number: int, behaviour: Behaviour, rng: np.random.Generator) -> pd.DataFrame:
        moments = self.start_of(number) + np.linspace(0.01, self.seconds - 0.5, behaviour.pairs)
        shared = rng.normal(0, behaviour.noise_ms, behaviour.pairs)
        of_streams = behaviour.added_ms if behaviour.streamed_ms is None else behaviour.streamed_ms
        added = np.where(np.arange(behaviour.pairs) % 2 == 1, of_streams, behaviour.added_ms)
        tables = []
        for arm, base in (("direct", 0 * added), ("proxied", added)):
            took = behaviour.direct_ms + base + shared + rng.normal(0, behaviour.noise_ms / 2, behaviour.pairs)
            table = self._table(number, moments, np.maximum(1.0, took), rng, role="probe", arm=arm, user="Probe")
            table["pair"] = np.arange(1, behaviour.pairs + 1)
            table["streamed"] = table["pair"] % 2 == 0
            table.loc[~table["streamed"], ["ttft_ms", "itl_ms"]] = np.nan
            if arm == "proxied":
                table.loc[: behaviour.probe_errors - 1, "error"] = "timeout"
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _table(self, number: int, intended: Any, e2e: Any, rng: np.random.Generator, **fixed: Any) -> pd.DataFrame:
        count = len(e2e)
        return pd.DataFrame(
            {
                "worker": "local",
                "streamed": rng.random(count) < 0.5,
                "step": self.name(number),
                "pair": np.nan,
                "intended": intended,
                "started": intended + 1e-4,
                "e2e_ms": e2e,
                "ttft_ms": e2e * 0.6,
                "itl_ms": e2e * 0.4 / 15,
                "tokens": 16,
                "prompt_chars": 200,
                "status": 200,
                "error": "",
                **fixed,
            }
        )

    def write(self, folder: Path) -> Path:
        """Put the run into a folder, as a load does; gives the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        closed = self.arrivals == "closed"
        steps = [
            Step(
                self.name(number),
                None if closed else load,
                int(load) if closed else None,
                self.start_of(number),
                self.start_of(number + 1) if self.ended or number + 1 < len(self.loads) else None,
            )
            for number, load in enumerate(self.loads)
        ]
        run = Run(
            seed=self.seed,
            shape=self.shape,
            arrivals=self.arrivals,
            proxied="http://127.0.0.1:4000",
            direct="http://127.0.0.1:8000",
            model="a-model",
            workload={"source": "synthetic", "max_tokens": 16},
            probe_every_seconds=0.5,
            command=["locust", "-f", "bench/"],
            started=BEGAN,
            ended=self.start_of(len(self.loads)) if self.ended else None,
            steps=steps,
            invalid_spans=self.invalid_spans,
            workers=["local"],
            versions=dict(self.versions),
            machine=dict(MACHINE),
        )
        write_evidence(run, folder, settings=self.settings)
        (folder / "records-local.csv").write_text(self.records_csv(), encoding="utf-8")
        with (folder / SAMPLES).open("w", newline="", encoding="utf-8") as file:
            lines = csv.DictWriter(file, SAMPLE_COLUMNS)
            lines.writeheader()
            lines.writerows(map(vars, [*self.samples, *(self._clock() if self.clock else ())]))
        return folder

    def _clock(self) -> Iterator[Sample]:
        """What vLLM says every five seconds."""
        records = self.records()
        number = ((records["started"] - BEGAN) // self.seconds).clip(0, len(self.loads) - 1).astype(int)
        of = [self.behaviours[min(each, len(self.behaviours) - 1)] for each in number]
        calls = np.where(records["arm"] == "proxied", [each.calls for each in of], 1)
        own = np.array([each.direct_ms if each.backend_ms is None else each.backend_ms for each in of]) / 1000
        ends = records["started"] + records["e2e_ms"] / 1000
        for at in np.arange(BEGAN, self.start_of(len(self.loads)), 5.0):
            ended, began = ends <= at, records["started"] <= at
            finished = float(calls[ended].sum())
            held = float(calls[began & ~ended].sum())
            seconds = float((calls * own)[ended].sum())
            yield Sample(
                at, BACKEND_CLOCK, role="backend", finished=finished, held=held, timed=finished, timed_seconds=seconds
            )


@lru_cache(maxsize=32)
def _records_csv(
    loads: Sequence[float], behaviours: Sequence[Behaviour], arrivals: Arrivals, seconds: float, seed: int
) -> str:
    """The same each time, and so written once where a run is made several times; a soak's are some MB."""
    run = Synthetic(loads, behaviours, arrivals, seconds=seconds, seed=seed)
    return run.records().to_csv(index=False)


def write_evidence(
    run: Run, folder: Path, *, sealed: bool = False, settings: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Put a run into the folder's evidence, in the place of what is there; `sealed` names the files too."""
    (folder / FILE).unlink(missing_ok=True)
    with closing(Chain(folder / FILE)) as chain:
        chain.append({"kind": "run", "schema": SCHEMA, "tool": "load", "settings": dict(settings)})
        for record in (load_record(run), *map(step_record, run.steps), *map(invalid_record, run.invalid_spans)):
            chain.append(record)
        for worker in run.workers:
            chain.append({"kind": "load-worker", "worker": worker})
        for note in run.notes:
            chain.append({"kind": "note", "text": note})
        if sealed:
            chain.append({"kind": "load-files", "files": files_of(folder)})


def _queued(arrivals: Any, capacity: float) -> Any:
    """When each arrival reaches the front of a single queue that serves so many per second."""
    if capacity == float("inf"):
        return arrivals
    service = 1 / capacity
    # Lindley's recursion, unrolled: the start is the latest over the earlier arrivals of theirs plus the work since.
    ahead = np.arange(len(arrivals)) * service
    return np.maximum.accumulate(arrivals - ahead) + ahead


def pod_memory(
    slope_mib_per_hour: float,
    *,
    hours: float,
    noise_mib: float = 0.5,
    every: float = 10.0,
    seed: int = 3,
    pod: str = "litellm-0",
) -> list[Sample]:
    """Samples of a pod whose memory wanders (autocorrelated) about a line."""
    rng = np.random.default_rng(seed)
    count = int(hours * 3600 / every)
    wave, state = [], 0.0
    for shock in rng.normal(0, noise_mib, count):
        state = 0.9 * state + shock
        wave.append(state)
    return [
        Sample(
            BEGAN + at * every,
            pod,
            cpu_seconds=0.3 * at * every,
            rss_mib=300 + slope_mib_per_hour * at * every / 3600 + wave[at],
            restarts=0,
        )
        for at in range(count)
    ]
