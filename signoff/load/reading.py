"""A load as its folder tells of it: the run, and whether the files beside its evidence are those that were written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError
from signoff.evidence import FILE, Recorded, read
from signoff.evidence.integrity import see_unchanged
from signoff.evidence.invalid import InvalidSpan
from signoff.evidence.legacy import current_load
from signoff.evidence.models import LoadFiles
from signoff.in_cluster.load_generator.run import Run, Step, fold, sample_files
from signoff.settings import shown

_FILE_OF_BEFORE = "run.json"
_SCHEMA_OF_BEFORE = 2
_HINT = "name the folder of a load: reports/load-..."
_OLDER = "report it with the signoff that wrote it; its records are unchanged"


def read_run(folder: Path) -> Run:
    """The run that was written into this folder, by a signoff of before as run.json.

    Raises:
        SignoffError: there is none, or it is damaged.
    """
    if not (folder / FILE).is_file():
        return _read_of_before(folder)
    return run_of(read(folder))


def read_settings(folder: Path) -> Mapping[str, Any]:
    """The settings as this run recorded them; none where it is of a signoff that recorded none.

    Raises:
        SignoffError: the evidence is damaged.
    """
    return read(folder).run.settings if (folder / FILE).is_file() else {}


def limit_of(settings: Mapping[str, Any]) -> float:
    """What LiteLLM has to add less than to a request, in milliseconds, by the recorded settings of a run."""
    return float(shown.value_in(settings, "overhead_limit_ms"))


def run_of(recorded: Recorded) -> Run:
    """The run that evidence tells of.

    Raises:
        SignoffError: it tells of none.
    """
    run, where = None, recorded.folder / FILE
    for number, line in enumerate(recorded.lines, start=1):
        try:
            run = fold(run, line.record.model_dump(mode="json"))
        except (TypeError, ValueError) as error:
            raise SignoffError(f"line {number} of the evidence holds no load: {error}", where=str(where)) from error
    if run is None:
        raise SignoffError("the evidence holds no load", where=str(where), hint=_HINT)
    return run


def check_files(folder: Path) -> bool:
    """Whether the evidence names the files with the samples of this run: those that are there are then the same.

    That of a load which was killed, or which still runs, names none.

    Raises:
        SignoffError: one is not the file that the evidence names, one is there that it does not name, or the evidence
            itself was changed.
    """
    if not (folder / FILE).is_file():
        return False
    recorded = read(folder)
    see_unchanged(recorded)
    named = recorded.last(LoadFiles)
    if named is None:
        return False
    for each in named.files:
        recorded.path(each)
    if more := {path.name for path in sample_files(folder)} - {each.name for each in named.files}:
        raise SignoffError(f"the evidence names no file {min(more)}", where=str(folder), hint="take it out")
    return True


def _read_of_before(folder: Path) -> Run:
    path = folder / _FILE_OF_BEFORE
    try:
        told = current_load(json.loads(path.read_text(encoding="utf-8")))
        if (schema := told.pop("schema")) != _SCHEMA_OF_BEFORE:
            found = f"{path.name} has schema {schema}, not {_SCHEMA_OF_BEFORE}"
            raise SignoffError(found, where=str(path), hint=_OLDER)
        told.pop("fingerprint")
        steps = [Step(**each) for each in told.pop("steps")]
        spans = [InvalidSpan(**each) for each in told.pop("invalid_spans")]
        return Run(**told, steps=steps, invalid_spans=spans)
    except FileNotFoundError:
        raise SignoffError("there is no evidence of a load", where=str(folder), hint=_HINT) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignoffError(f"{path.name} is damaged: {error}", where=str(path)) from error
