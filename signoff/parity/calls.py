"""The calls of a matrix as a file beside the evidence: all that was exchanged, without secrets, before it is judged."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from signoff.core.errors import SignoffError
from signoff.core.paths import writing
from signoff.core.redact import redacted
from signoff.evidence import side_file
from signoff.evidence.models import SideFile
from signoff.parity.cases import Run
from signoff.parity.runner import Observation


def write(observed: Iterable[Observation], path: Path) -> SideFile:
    """Write a JSON list with a line for each call, and name it.

    Raises:
        SignoffError: it cannot be written.
    """
    lines = [json.dumps(redacted(each.to_record()), ensure_ascii=False) for each in observed]
    with writing("the calls", path, "free some space and run again"):
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        return side_file(path)


def read(path: Path, runs: Mapping[str, Run], model: str) -> Sequence[Observation]:
    """The calls of a file; `runs` are the cases' runs by their ids, `model` is what vLLM called the model.

    Raises:
        SignoffError: a call is of none of these.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    if unknown := [each["id"] for each in told if each["id"] not in runs]:
        raise SignoffError(
            f"no case run is called {unknown[0]}", where=str(path), hint="use the cases that the calls were made with"
        )
    return [Observation.from_record(runs[each["id"]], each, model) for each in told]
