"""`signoff report`: a run's verdict and pages, drawn again from its evidence."""

import argparse
from pathlib import Path
from typing import Any

from signoff import report
from signoff.errors import SignoffError
from signoff.evidence import read
from signoff.report import sums
from signoff.verdicts.run import Result


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("report", help="draw a run's report again", description=draw.__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="the run's folder, such as reports/2026-...")
    parser.set_defaults(run=draw)


def draw(options: argparse.Namespace) -> int:
    """Draw verdict and pages of a run again, from its evidence alone; ends with the run's exit status."""
    result = judged(options.run_dir)
    report.write(result)
    sums.drawn_again(options.run_dir, report.drawn(result))
    *_, headline, place = (line for line, _ in report.terminal_lines(result))
    print(f"{headline}\n{place}")
    return int(result.status)


def judged(folder: Path) -> Result:
    """The run of a folder, judged anew.

    Raises:
        SignoffError: there is none, or it is one that judges no story.
    """
    evidence = read(folder)
    if evidence.run.story is None:
        raise SignoffError(f"a run of signoff {evidence.run.tool}, which judges no story", where=str(folder))
    return Result(evidence)
