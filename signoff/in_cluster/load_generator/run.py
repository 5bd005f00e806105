"""What a load run says of itself beside its records: in its evidence, and in the time series `samples.csv`.

Whoever writes the evidence and whoever reads it make the same `Run` of it, record by record (`fold`), so that of a run
that was killed it holds what was true up to then: its `ended` is None. Moments are Unix seconds everywhere.
"""

import csv
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from signoff.evidence.chain import HEAD, side_file
from signoff.evidence.invalid import InvalidSpan, add, invalidating

SAMPLES = "samples.csv"
POD_SAMPLES = "samples-pods.csv"
"""The pods' of a load inside a cluster, whose own samples.csv is collected from there."""
BACKEND_CLOCK = "vLLM's own clock"
"""Whose samples hold what vLLM says of itself, in the place of a pod's name."""
_TOLD_APART = ("steps", "invalid_spans", "notes", "workers")
"""What has records of its own."""

Role = Literal["gateway", "backend", "generator"]
"""Whose a sample is."""
Arrivals = Literal["closed", "poisson", "constant"]
Shape = Literal["steady", "ramp", "spike", "sweep-users", "sweep-rate", "page"]
"""How the load changes; `page` is a load that a person set by hand in Locust's web page."""


@dataclass
class Step:
    """One stage of the load, named as its records name it ("rate=20", "users=8"; a second one of a name "rate=20 #2").

    A request belongs to the step whose whole load stood at its intended moment. Records without a step were meant for a
    moment at which users or rate were changing: before the first step, or between the end of one and the start of the
    next.

    In an open loop `planned_rate` is the arrivals per second on LiteLLM, in a closed loop `planned_users` the number of
    requests that are kept in flight at most; the other is None. `ended` is None while it lasts. Probes are not counted.
    """

    name: str
    planned_rate: float | None
    planned_users: int | None
    started: float
    ended: float | None = None


@dataclass
class Run:
    """One load. `machine` is the generator's: cores, cpu, memory_gib, load_average at the start, system.

    `versions` maps python, locust, litellm, vllm, litellm_image and vllm_image to text, those that are known.
    `notes` says what could not be observed, such as a pod without metrics. `workers` are those that wrote records.
    """

    seed: int
    shape: Shape
    arrivals: Arrivals
    proxied: str
    direct: str
    model: str
    workload: dict[str, Any]
    """The lengths of prompts and answers: `source`, its figures, `max_tokens`, the share of streamed requests."""
    probe_every_seconds: float
    command: list[str]
    started: float
    ended: float | None = None
    steps: list[Step] = field(default_factory=list)
    invalid_spans: list[InvalidSpan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    step_seconds: float | None = None
    """How long each step was planned to take: a stage of a shape, or the whole of a steady load; None for no limit."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must match for a comparison of two runs: the same load on the same software on like machines."""
        return {
            "shape": self.shape,
            "arrivals": self.arrivals,
            "steps": [step.name for step in self.steps],
            "step_seconds": self.step_seconds,
            "model": self.model,
            "workload": self.workload,
            "probe_every_seconds": self.probe_every_seconds,
            "cores": self.machine.get("cores"),
            "cpu": self.machine.get("cpu"),
            "vllm": self.versions.get("vllm") or self.versions.get("vllm_image", ""),
            "locust": self.versions.get("locust", ""),
        }

    def invalid_steps(self) -> dict[str, tuple[InvalidSpan, ...]]:
        """The invalid steps, with the spans that say why; a step that has not ended lasts until the last span."""
        until = max((span.ended for span in self.invalid_spans), default=0.0)
        times = [(each, each.ended or self.ended or max(until, each.started)) for each in self.steps]
        found = {step.name: invalidating(self.invalid_spans, step.started, ended) for step, ended in times}
        return {name: spans for name, spans in found.items() if spans}


def load_record(run: Run) -> dict[str, Any]:
    """How evidence tells that a load began."""
    return {"kind": "load", "run": {key: each for key, each in asdict(run).items() if key not in _TOLD_APART}}


def step_record(step: Step) -> dict[str, Any]:
    """How evidence tells that a step began or ended."""
    return {"kind": "load-step", **asdict(step)}


def invalid_record(span: InvalidSpan) -> dict[str, Any]:
    """How evidence records an invalid span."""
    told = asdict(span)
    return {"kind": "load-invalid", "what": told.pop("kind"), **told}


def files_of(folder: Path) -> list[dict[str, Any]]:
    """The files of a load's samples, as evidence names them once nothing more is written to them."""
    return [side_file(path) for path in sample_files(folder)]


def sample_files(folder: Path) -> list[Path]:
    """The time series and records of a load, drafts left out."""
    return [path for path in sorted(folder.glob("*.csv")) if not path.name.startswith(".")]


def fold(run: Run | None, record: Mapping[str, Any]) -> Run | None:
    """The run once this record is known too; there is none before its first, and other records change nothing.

    Raises:
        TypeError, ValueError: the record holds what a run has not.
    """
    told = {key: each for key, each in record.items() if key not in ("kind", *HEAD)}
    if record["kind"] == "load":
        return Run(**told["run"]) if run is None else replace(run, **told["run"])
    if run is None:
        return None
    match record["kind"]:
        case "load-step":
            step = Step(**told)
            names = [each.name for each in run.steps]
            place = names.index(step.name) if step.name in names else len(names)
            run.steps[place : place + 1] = [step]
        case "load-invalid":
            add(run.invalid_spans, InvalidSpan(kind=told.pop("what"), **told))
        case "load-worker":
            run.workers.append(told["worker"])
        case "note":
            run.notes.append(told["text"])
    return run


def machine() -> dict[str, Any]:
    """This machine, as far as it matters to a figure taken on it."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_name(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
    }


def own_versions() -> dict[str, str]:
    """Of Python and Locust."""
    return {"python": platform.python_version(), "locust": metadata.version("locust")}


def _cpu_name() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


@dataclass(frozen=True)
class Sample:
    """One line of `samples.csv`; what does not apply or could not be observed is None or empty.

    `pod` is a pod's name ("litellm-6f...", or "litellm" where only its /metrics page could be read) or
    "generator <worker>", and `role` says whose it is. `cpu_seconds` only grows, as a counter does, and starts from 0
    with each process. `event` is the text of a pod's event ("Killing: ..."). `cpu_share` (of one core, 0 to 1),
    `loop_lag_ms` and `schedule_lag_ms` (the worst since the last sample) are the generator's.
    """

    at: float
    pod: str
    cpu_seconds: float | None = None
    rss_mib: float | None = None
    restarts: int | None = None
    event: str = ""
    cpu_share: float | None = None
    loop_lag_ms: float | None = None
    schedule_lag_ms: float | None = None
    role: Role | None = None
    """None in a file of a signoff that knew no other pods than those called as the story's."""
    finished: float | None = None
    """vLLM's own: the requests that it ended, those that it holds, and count and seconds of those that it timed."""
    held: float | None = None
    timed: float | None = None
    timed_seconds: float | None = None


class ResourceSampler(Protocol):
    """Looks at what is under load."""

    def look(self) -> list[Sample]:
        """What it uses now, and what has happened since the last look."""
        ...

    def versions(self) -> dict[str, str]:
        """Images or versions, for the evidence."""
        ...


SAMPLE_COLUMNS = [each.name for each in fields(Sample)]


@contextmanager
def samples_file(folder: Path, name: str = SAMPLES) -> Iterator["csv.DictWriter[str]"]:
    """Write samples with `writerow(asdict(sample))`; each line is with the operating system at once."""
    with (folder / name).open("w", newline="", buffering=1, encoding="utf-8") as file:
        lines = csv.DictWriter(file, SAMPLE_COLUMNS)
        lines.writeheader()
        yield lines
