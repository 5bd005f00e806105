"""What a matrix says, from its evidence alone: the classes of all calls, and whether LiteLLM passes."""

from pathlib import Path

from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.evidence import Recorded
from signoff.evidence.models import ParityMatrix
from signoff.parity import calls, cases
from signoff.parity import judge as judging
from signoff.parity.known_issues import KnownIssues
from signoff.parity.matrix import Matrix, matrix, unproven
from signoff.settings.shown import value_in
from signoff.verdicts import Code, Verdict
from signoff.verdicts.verdict import failed, inconclusive, passed

CASES = "cases"
"""The setting of the run that names the folder of its cases, below the repository's root where it is there."""


def matrix_of(recorded: Recorded) -> Matrix:
    """The matrix, judged by what is known of LiteLLM's differences now.

    Raises:
        SignoffError: the evidence tells of none, or its calls are not those that were recorded.
    """
    line = next((line for line in reversed(recorded.lines) if isinstance(line.record, ParityMatrix)), None)
    if line is None:
        raise SignoffError("the evidence holds no parity matrix", where=str(recorded.folder))
    asked = line.record
    assert isinstance(asked, ParityMatrix)
    folder = ROOT / Path(recorded.run.settings[CASES])
    runs = {run.id: run for run in cases.runs(cases.load(folder))}
    model = value_in(recorded.run.settings, "model")
    observed = calls.read(recorded.path(asked.calls_file), runs, model)
    known_issues = KnownIssues.read()
    results = judging.judge(observed, known_issues, asked.version)
    made = matrix(
        results,
        known_issues,
        version=asked.version,
        image=asked.image,
        seconds=asked.seconds,
        whole=asked.whole,
        settings=recorded.run.settings,
    )
    return {**made, "at": line.at}


def judge(recorded: Recorded) -> Verdict:
    """Whether the gate passes, on enough calls that prove something.

    Raises:
        SignoffError: the evidence tells of no matrix, or its calls are not those that were recorded.
    """
    return verdict_on(matrix_of(recorded))


def verdict_on(found: Matrix) -> Verdict:
    """The same of a matrix that is judged already."""
    if not found["gate"]["passed"]:
        first, *more = found["gate"]["failures"]
        rest = f", and {len(more)} more" if more else ""
        return failed(f"the gate fails: {first['rule']}: {first['run']} at {first['path']}{rest}")
    if why := unproven(found):
        return inconclusive(why, Code.PROVES_NOTHING)
    return passed("no difference fails the gate")
