"""What a load run says of itself beside its records: `run.json`, and the time series `samples.csv`.

`run.json` is written anew at each change, whole and in one move, so that a run that was killed leaves a true file up to
then: its `ended` is null. Moments are Unix seconds everywhere.
"""

import csv
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

from signoff.errors import SignoffError

FILE = "run.json"
SAMPLES = "samples.csv"
POD_SAMPLES = "samples-pods.csv"
"""The pods' of a load inside a cluster, whose own samples.csv is collected from there."""
SCHEMA = 1

Arrivals = Literal["closed", "poisson", "constant"]
Shape = Literal["steady", "ramp", "spike", "sweep-users", "sweep-rate", "page"]
"""How the load changes; `page` is a load that a person set by hand in Locust's web page."""


@dataclass
class Step:
    """One stage of the load, named as its records name it ("rate=20", "users=8"; a second one of a name "rate=20 #2").

    Records without a step were sent while the first users were still being started.

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
    """Why the load generator, not what it asked, was the limit at this moment; the run's figures are then void.

    `kind` is "cpu" (the generator's own use of one core), "loop lag" (how late its event loop woke up),
    "schedule lag" (how late requests were sent) or "backlog" (more requests in flight than it may hold).
    """

    at: float
    worker: str
    kind: str
    reason: str


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
            raise SignoffError(f"{FILE} has schema {told.get('schema')}, not {SCHEMA}", where=str(path))
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
