"""The verdict on each scenario, on the embedded cluster and on kind, side by side; exit status 1 when they disagree.

    python -m scripts.compare_clusters                                  # runs features/ on both, one after the other
    python -m scripts.compare_clusters --runs reports/A reports/B       # compares two runs that were made before
    python -m scripts.compare_clusters -- --manifests path/to/manifests # options for both runs

A scenario that was not run on one of them disagrees, and so does one that was skipped on either without saying why.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff import evidence
from signoff.console import progress
from signoff.errors import SignoffError
from signoff.paths import ROOT
from signoff.verdicts import NOT_RUN

CLUSTERS = ("embedded", "kind")
Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One scenario and its record on either cluster; a run that never planned it has none."""

    name: str
    first: Record
    second: Record

    @property
    def fault(self) -> str:
        """Why the two do not agree; empty if they do."""
        one, other = outcome(self.first), outcome(self.second)
        if NOT_RUN in (one, other):
            return "not run on both"
        silent = [record for record in (self.first, self.second) if outcome(record) == "skipped" and not reason(record)]
        if silent:
            return "skipped without a reason"
        return "" if one == other else "different verdicts"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the table, and say what disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs=2, type=Path, metavar="RUN", help="folders of two runs, instead of new ones")
    parser.add_argument("options", nargs="*", help="options for pytest, after --")
    options = parser.parse_args(arguments)
    try:
        folders = options.runs or [run(cluster, options.options) for cluster in CLUSTERS]
        records = [evidence.read(folder)[0] for folder in folders]
    except SignoffError as error:
        print(f"compare_clusters: {error}", file=sys.stderr)
        return 2
    names = [cluster_of(each) for each in records]
    lines = compare(*records)
    for line in table(lines, names):
        print(line)
    faults = [line for line in lines if line.fault]
    print(f"\n{len(lines)} scenarios, {len(faults)} disagreements ({names[0]}: {folders[0]}, {names[1]}: {folders[1]})")
    return 1 if faults or not lines else 0


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


def compare(first: Sequence[Record], second: Sequence[Record]) -> list[Line]:
    """Every scenario that either run planned, with both outcomes."""
    one, other = _by_id(first), _by_id(second)
    return [
        Line(_name(one.get(key) or other[key]), one.get(key, {}), other.get(key, {}))
        for key in dict.fromkeys([*one, *other])
    ]


def _by_id(records: Sequence[Record]) -> dict[str, Record]:
    planned = {each["id"]: each for record in records if record["kind"] == "plan" for each in record["scenarios"]}
    return planned | {record["id"]: record for record in records if record["kind"] == "scenario"}


def _name(record: Record) -> str:
    example = str(record["id"]).partition("[")[2]
    return f"{Path(record['feature']).stem}: {record['name']}" + (f" [{example}" if example else "")


def outcome(record: Record) -> str:
    """The word for how it went."""
    return str(record.get("outcome", NOT_RUN))


def reason(record: Record) -> str:
    """Why it did not pass, as one line."""
    return " ".join(str(record.get("reason", "")).split())


def cluster_of(records: Sequence[Record]) -> str:
    """Which cluster the run was on, by its own word."""
    return next((str(record["provider"]) for record in records if record["kind"] == "cluster"), "no cluster")


def table(lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    """The lines as a Markdown table."""
    rows = [f"| scenario | {names[0]} | {names[1]} | |", "| --- | --- | --- | --- |"]
    for line in lines:
        reasons = dict.fromkeys(reason(record)[:160] for record in (line.first, line.second) if reason(record))
        said = "; ".join([*([f"**{line.fault}**"] if line.fault else []), *reasons]).replace("|", "\\|")
        rows.append(f"| {line.name} | {outcome(line.first)} | {outcome(line.second)} | {said} |")
    return rows


if __name__ == "__main__":
    sys.exit(main())
