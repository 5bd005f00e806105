"""What a load run says of itself beside its records: `run.json`, and the time series `samples.csv`.

`run.json` is written anew at each change, whole and in one move, so that a run that was killed leaves a true file up to
then: its `ended` is null. Moments are Unix seconds everywhere.
"""

import csv
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import psutil

from signoff.errors import SignoffError

FILE = "run.json"
SAMPLES = "samples.csv"
POD_SAMPLES = "samples-pods.csv"
"""The pods' of a load inside a cluster, whose own samples.csv is collected from there."""
SCHEMA = 2

LOOK_EVERY_SECONDS = 5.0
"""Between two looks at the pods, and between two of a generator at itself: what a sample or a void mark speaks of."""
MOST_VOIDS = 200
"""A run holds so many void marks at most: each is written with all the others."""
MOST_VOID = 0.01
"""Share of a step's time that marks may cover before the step is void. What is judged is p95 at most: 5 % of the time.

So one busy moment of the machine ends no soak of hours; a step of minutes is void with its first mark."""
_TOUCHING_SECONDS = 1.0
"""Looks follow one another at once, but for what a busy machine takes between them."""

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
class Void:
    """Why the load generator, not what it asked, was the limit in this time; the run's figures are then void.

    `kind` is "cpu" (the generator's own use of one core), "loop lag" (how late its event loop woke up),
    "schedule lag" (how late requests were sent) or "backlog" (more requests in flight than it may hold). A mark stands
    for one or more `looks` that found so; `reason` is that of the worst, `worst` what it saw: a share of a core,
    milliseconds, or requests. `seconds` is the time that they looked at, less than from `began` to `ended` where marks
    were joined; where it is not told, all of that.
    """

    began: float
    ended: float
    worker: str
    kind: str
    reason: str
    worst: float = 0.0
    looks: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Fill in the time that was looked at."""
        self.seconds = self.seconds or self.ended - self.began

    def follows(self, earlier: "Void") -> bool:
        """Whether no look that found nothing lies between the two."""
        return self.began - earlier.ended <= _TOUCHING_SECONDS

    def absorb(self, later: "Void") -> None:
        """Speak of both; of the time between as well where the one follows the other."""
        self.seconds += later.seconds
        if later.follows(self):
            self.seconds += later.began - self.ended
        self.ended, self.looks = max(self.ended, later.ended), self.looks + later.looks
        if later.worst > self.worst:
            self.worst, self.reason = later.worst, later.reason


def mark(voids: list[Void], found: Void) -> None:
    """Add a mark; one that goes on where the last of its worker and kind ended becomes one with it.

    So do the two of a worker and kind that have least time between them when there are more than `MOST_VOIDS`: a mark
    then holds clean time, which its `seconds` leave out.
    """
    last = next((each for each in reversed(voids) if _source(each) == _source(found)), None)
    if last and found.follows(last):
        last.absorb(found)
        return
    voids.append(found)
    if len(voids) > MOST_VOIDS and (pairs := list(_neighbours(voids))):
        earlier, later = min(pairs, key=lambda pair: pair[1].began - pair[0].ended)
        earlier.absorb(later)
        voids[:] = [each for each in voids if each is not later]


def hiding(voids: Sequence[Void], began: float, ended: float) -> tuple[Void, ...]:
    """The marks that make this time void: those that touch it, if together they cover more of it than `MOST_VOID`.

    Time that several cover counts once. A mark that holds clean time covers a share of each moment, and may have all of
    its `seconds` in the part that touches: so the sum may be too high, never too low.
    """
    touching = sorted(
        (each for each in voids if began < each.ended and each.began < ended), key=lambda each: each.began
    )
    parts = [(max(each.began, began), min(each.ended, ended), each.seconds) for each in touching]
    shares = [(low, high, min(1.0, seconds / (high - low))) for low, high, seconds in parts if high > low]
    moments = sorted({end for low, high, _ in shares for end in (low, high)})
    covered = 0.0
    for now, then in pairwise(moments):
        covered += (then - now) * min(1.0, sum(share for low, high, share in shares if low <= now and then <= high))
    return tuple(touching) if covered > MOST_VOID * (ended - began) else ()


def _source(void: Void) -> tuple[str, str]:
    return void.worker, void.kind


def _neighbours(voids: list[Void]) -> Iterator[tuple[Void, Void]]:
    """Marks of one worker and kind that follow one another."""
    before: dict[tuple[str, str], Void] = {}
    for void in voids:
        if _source(void) in before:
            yield before[_source(void)], void
        before[_source(void)] = void


@dataclass
class Run:
    """One load. `machine` is the generator's: cores, cpu, memory_gib, load_average at the start, system.

    `versions` maps python, locust, litellm, vllm, litellm_image and vllm_image to text, those that are known.
    `fingerprint` holds what must be equal before two runs may be compared: see `fingerprint_of`. `notes` says what
    could not be observed, such as a pod without metrics. `workers` are those that wrote records.
    """

    seed: int
    shape: Shape
    arrivals: Arrivals
    proxied: str
    direct: str
    model: str
    mix: dict[str, Any]
    """The lengths of prompts and answers: `source`, its figures, `max_tokens`, the share of streamed requests."""
    probe_every_seconds: float
    command: list[str]
    started: float
    ended: float | None = None
    steps: list[Step] = field(default_factory=list)
    voids: list[Void] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    step_seconds: float | None = None
    """How long each step was planned to take: a stage of a shape, or the whole of a steady load; None for no limit."""
    fingerprint: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def void_in(self) -> dict[str, tuple[Void, ...]]:
        """The steps that are void, with the marks that say why; a step that has not ended lasts until the last mark."""
        until = max((void.ended for void in self.voids), default=0.0)
        spans = [(each, each.ended or self.ended or max(until, each.started)) for each in self.steps]
        found = {step.name: hiding(self.voids, step.started, ended) for step, ended in spans}
        return {name: voids for name, voids in found.items() if voids}

    def write(self, folder: Path) -> None:
        """Put it into the folder's `run.json`, in one move."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{FILE}"
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        draft.replace(folder / FILE)


def read_run(folder: Path) -> Run:
    """The run that was written into this folder.

    Raises:
        SignoffError: there is none, or it was not written by this version.
    """
    path = folder / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.get("schema") != SCHEMA:
            raise SignoffError(
                f"{FILE} has schema {told.get('schema')}, not {SCHEMA}",
                where=str(path),
                hint="another version of signoff wrote it, which can report it: the records are as they were",
            )
        steps = [Step(**each) for each in told.pop("steps")]
        voids = [Void(**each) for each in told.pop("voids")]
        return Run(**told, steps=steps, voids=voids)
    except FileNotFoundError:
        raise SignoffError(
            f"there is no {FILE}", where=str(folder), hint="name the folder of a load: reports/load-..."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignoffError(f"{FILE} is damaged: {error}", where=str(path)) from error


def fingerprint_of(run: Run) -> dict[str, Any]:
    """What must match for a comparison of two runs: the same load on the same software on the same kind of machine."""
    return {
        "shape": run.shape,
        "arrivals": run.arrivals,
        "steps": [step.name for step in run.steps],
        "step_seconds": run.step_seconds,
        "model": run.model,
        "mix": run.mix,
        "probe_every_seconds": run.probe_every_seconds,
        "cores": run.machine.get("cores"),
        "cpu": run.machine.get("cpu"),
        "vllm": run.versions.get("vllm") or run.versions.get("vllm_image", ""),
        "locust": run.versions.get("locust", ""),
    }


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
    with Path("/proc/cpuinfo").open() as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


@dataclass(frozen=True)
class Sample:
    """One line of `samples.csv`; what does not apply or could not be observed is None or empty.

    `pod` is a pod's name ("litellm-6f...", or "litellm" where only its /metrics page could be read) or
    "generator <worker>". `cpu_seconds` only grows, as a counter does, and starts anew with a process. `event` is the
    text of a pod's event ("Killing: ..."). `cpu_share` (of one core, 0 to 1), `loop_lag_ms` and `schedule_lag_ms` (the
    worst since the last sample) are the generator's.
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


SAMPLE_COLUMNS = [each.name for each in fields(Sample)]


@contextmanager
def samples_file(folder: Path, name: str = SAMPLES) -> Iterator["csv.DictWriter[str]"]:
    """Write samples with `writerow(asdict(sample))`; each line is with the operating system at once."""
    with (folder / name).open("w", newline="", buffering=1) as file:
        lines = csv.DictWriter(file, SAMPLE_COLUMNS)
        lines.writeheader()
        yield lines
