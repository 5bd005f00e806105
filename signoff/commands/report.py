"""`signoff report`: a run's verdict and pages, drawn again from its evidence."""

import argparse
from pathlib import Path
from typing import Any

from signoff import report
from signoff.core.errors import SignoffError, refusing
from signoff.evidence import Recorded, read
from signoff.evidence.integrity import see_unchanged
from signoff.judges.run import Result
from signoff.parity.verdict import matrix_of, verdict_on
from signoff.report import parity, sums
from signoff.settings.shown import headline, not_the_storys
from signoff.verdicts import Value


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("report", help="draw a run's report again", description=draw.__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="the run's folder, such as reports/2026-...")
    parser.set_defaults(run=draw)


def draw(options: argparse.Namespace) -> int:
    """Draw verdict and pages of a run again, from its evidence alone; ends with the run's exit status."""
    with refusing():
        evidence = read(options.run_dir)
    see_unchanged(evidence)
    if evidence.run.tool == "parity":
        return _draw_matrix(evidence)
    result = judged(evidence)
    report.write(result)
    sums.drawn_again(options.run_dir, report.drawn(result))
    *_, headline, place = (line for line, _ in report.terminal_lines(result))
    print(f"{headline}\n{place}")
    return int(result.status)


def _draw_matrix(evidence: Recorded) -> int:
    found = matrix_of(evidence)
    parity.save(found, evidence.folder)
    sums.drawn_again(evidence.folder, parity.drawn(found))
    verdict = verdict_on(found)
    told = headline(f"{verdict.value.value}: {verdict.reason}", not_the_storys(evidence.run.settings))
    print(f"{told}\nreport: {evidence.folder / parity.PAGE}")
    return 0 if verdict.value is Value.PASSED else 1


def judged(evidence: Recorded) -> Result:
    """The run of this evidence, judged again.

    Raises:
        SignoffError: it is one that judges no story.
    """
    if evidence.run.story is None:
        hint = "draw it with: signoff load-report RUN" if evidence.run.tool == "load" else ""
        told = f"a run of signoff {evidence.run.tool}, which judges no story"
        raise SignoffError(told, where=str(evidence.folder), hint=hint)
    return Result(evidence)
