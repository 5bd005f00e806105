"""The verdict on each scenario and check, on the embedded cluster and on kind, side by side; exit status 1 when they
disagree.

    python -m scripts.compare_clusters                                  # runs features/ on both, one after the other
    python -m scripts.compare_clusters --runs reports/A reports/B       # compares two runs that were made before
    python -m scripts.compare_clusters -- --manifests path/to/manifests # options for both runs

A scenario that was not run on one of them disagrees, and so does one that was skipped on either without saying why. A
check disagrees where its verdicts differ, unless the story says of one of the clusters that it is outside its reach.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signoff import evidence
from signoff.commands.report import judged
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.evidence.models import Cluster
from signoff.judges.run import Judged, Result, Scenario, State
from signoff.verdicts.verdict import Value

CLUSTERS = ("embedded", "kind")
NOT_DECLARED = "not declared"


@dataclass(frozen=True)
class Outcome:
    """How a scenario or a check went on one cluster, in a word, and why it did not pass."""

    word: str
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """A scenario or a check, how it went on either cluster, and why the two do not agree; empty if they do."""

    name: str
    first: Outcome
    second: Outcome
    fault: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the tables, and say what disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs=2, type=Path, metavar="RUN", help="folders of two runs, instead of new ones")
    parser.add_argument("options", nargs="*", help="options for pytest, after --")
    options = parser.parse_args(arguments)
    try:
        folders = options.runs or [run(cluster, options.options) for cluster in CLUSTERS]
        one, other = (judged(evidence.read(folder)) for folder in folders)
    except SignoffError as error:
        print(f"compare_clusters: {error}", file=sys.stderr)
        return 2
    names = [cluster_of(each) for each in (one, other)]
    scenarios, checks = compare_scenarios(one, other), compare_checks(one, other)
    print("\n".join([*table("scenario", scenarios, names), "", *table("check", checks, names)]))
    faults = [line for line in (*scenarios, *checks) if line.fault]
    print(
        f"\n{len(scenarios)} scenarios and {len(checks)} checks, {len(faults)} disagreements "
        f"({names[0]}: {folders[0]}, {names[1]}: {folders[1]})"
    )
    return 1 if faults or not scenarios else 0


def run(cluster: str, options: Sequence[str]) -> Path:
    """Run features/ on this cluster; gives the run's folder.

    Raises:
        SignoffError: the run left no evidence.
    """
    reports = Path(tempfile.mkdtemp(prefix=f"signoff-{cluster}-"))
    progress(cluster, f"runs features/; its report will be below {reports}")
    command = [sys.executable, "-m", "pytest", "features/", "--cluster", cluster, "--reports", str(reports), *options]
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
    found = list(reports.glob(f"*/{evidence.FILE}"))
    if not found:
        raise SignoffError("the run left no evidence", where=" ".join(command), hint="its own message is above")
    return found[0].parent


def compare_scenarios(one: Result, other: Result) -> list[Line]:
    """Every scenario that either run planned."""
    first, second = ({each.planned.id: each for each in result.scenarios} for result in (one, other))
    lines = []
    for key in dict.fromkeys([*first, *second]):
        pair = _scenario(first.get(key)), _scenario(second.get(key))
        lines.append(Line(_name(first.get(key) or second[key]), *pair, _fault_of_scenario(pair)))
    return lines


def _scenario(found: Scenario | None) -> Outcome:
    return Outcome(found.state, found.reason) if found else Outcome(State.NOT_RUN)


def _name(scenario: Scenario) -> str:
    planned = scenario.planned
    example = planned.id.partition("[")[2]
    return f"{Path(planned.feature).stem}: {planned.name}" + (f" [{example}" if example else "")


def _fault_of_scenario(pair: Sequence[Outcome]) -> str:
    words = {each.word for each in pair}
    if State.NOT_RUN in words:
        return "not run on both"
    if any(each.word == State.SKIPPED and not each.reason for each in pair):
        return "skipped without a reason"
    return "different states" if len(words) > 1 else ""


def compare_checks(one: Result, other: Result) -> list[Line]:
    """Every check that either run's story declares."""
    lines = []
    for name in dict.fromkeys([*one.checks, *other.checks]):
        pair = _check(name, one.checks), _check(name, other.checks)
        words = {each.word for each in pair}
        differ = len(words - {Value.OUTSIDE_REACH}) > 1 or NOT_DECLARED in words
        lines.append(Line(name, *pair, "different verdicts" if differ else ""))
    return lines


def _check(name: str, checks: Mapping[str, Judged]) -> Outcome:
    if name not in checks:
        return Outcome(NOT_DECLARED)
    verdict = checks[name].verdict
    return Outcome(verdict.value, "" if verdict.value is Value.PASSED else verdict.reason)


def cluster_of(result: Result) -> str:
    """Which cluster the run was on, by its own word."""
    cluster = result.evidence.first(Cluster)
    return cluster.provider if cluster else "no cluster"


def table(what: str, lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    """The lines as a Markdown table."""
    rows = [f"| {what} | {names[0]} | {names[1]} | |", "| --- | --- | --- | --- |"]
    for line in lines:
        reasons = dict.fromkeys(" ".join(each.reason.split())[:160] for each in (line.first, line.second))
        faults = [f"**{line.fault}**"] if line.fault else []
        said = "; ".join([*faults, *filter(None, reasons)]).replace("|", "\\|")
        rows.append(f"| {line.name} | {line.first.word} | {line.second.word} | {said} |")
    return rows


if __name__ == "__main__":
    sys.exit(main())
