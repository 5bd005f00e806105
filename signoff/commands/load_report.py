"""`signoff load-report`: what a load's records say, as a page, in a few lines and as an exit status."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signoff.core.console import progress
from signoff.core.errors import UsageError, refusing
from signoff.core.paths import check_writable
from signoff.load import gate, soak
from signoff.load.conclusions import Conclusions, conclude
from signoff.load.gate import FIGURES, Outcome
from signoff.load.reading import limit_of, read_run, read_settings
from signoff.report.load import PAGE, UNVOUCHED
from signoff.verdicts.verdict import Value

_SHOWN = 12


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "load-report",
        help="judge a load: overhead, knee, soak; gate it, and compare it with a baseline",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            f"Draw {PAGE} into a load's folder from its raw records, and judge it by the thresholds.\n"
            "Also of a run that was killed, which never passes. Exits 0 only if the page says that the load passed:\n"
            "every rule at every required step, and a soak's memory; 1 if one failed or could not be judged."
        ),
        epilog=f"{gate.__doc__}\nFigures:\n"
        + "\n".join(f"  {name:22} {text}" for name, text in FIGURES.items())
        + "\n\nIn CI: signoff load-report reports/load-now --thresholds load.toml --baseline reports/load-before",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="the load's folder, such as reports/load-2026-...")
    parser.add_argument(
        "--thresholds",
        type=Path,
        default=gate.THRESHOLDS,
        metavar="FILE",
        help="rules (default: the overhead's limit, which is NFR66's unless the run had another, and 1 %% errors)",
    )
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="a load of the same kind to compare with")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw and judge; returns 1 unless the load passed."""
    from signoff.report.load.page import write  # with Matplotlib, for which no other command should wait

    if options.baseline and options.baseline.resolve() == options.run_dir.resolve():
        where = f"{options.run_dir} --baseline {options.baseline}"
        raise UsageError("a load does not differ from itself", where=where, hint="name an earlier load as the baseline")
    with refusing():
        thresholds = gate.read_thresholds(options.thresholds, limit_of(read_settings(options.run_dir)))
        for folder in filter(None, (options.run_dir, options.baseline)):
            read_run(folder)
    check_writable(options.run_dir, "the report", str(options.run_dir), "copy the folder to where you may write")
    progress("load", f"reading and judging {options.run_dir}")
    limit = thresholds.upper_limit("memory_mib_per_hour")
    memory_limit = soak.MEMORY_LIMIT_MIB_PER_HOUR if limit is None else limit
    found = conclude(options.run_dir, memory_limit, thresholds.required_rate)
    baseline = conclude(options.baseline, memory_limit, thresholds.required_rate) if options.baseline else None
    outcome = Outcome(found, gate.judge(found, thresholds, baseline))
    print("\n".join(lines(outcome)), flush=True)
    write(outcome, options.baseline)
    print(f"report: {options.run_dir / PAGE}")
    return outcome.status


def lines(outcome: Outcome) -> Iterator[str]:
    """The terminal's short form of the page."""
    found, rulings = outcome.found, outcome.rulings
    yield found.sentence
    yield found.verdict[1]
    yield from _reservations(found)
    yield ""
    columns = "step", "offered/s", "achieved/s", "overhead ms", "p95 wait ms", "errors"
    yield f"{columns[0]:16} {columns[1]:>10} {columns[2]:>10} {columns[3]:>22} {columns[4]:>12} {columns[5]:>7}  state"
    for step in found.ordered:
        overhead, load = step.overhead.e2e, step.groups.get("load")
        told = f"{overhead.value:.1f}" if overhead else "-"
        if overhead and overhead.low is not None:
            told += f" ({overhead.low:.1f} to {overhead.high:.1f})"
        p95 = f"{load.e2e['p95'].value:.1f}" if load and load.e2e else "-"
        failed = f"{load.error_rate.value:.1%}" if load else "-"
        yield (
            f"{step.name:16} {step.offered:10.1f} {step.achieved.value:10.1f} {told:>22} {p95:>12} {failed:>7}"
            f"  {step.state.words}"
        )
    yield ""
    for ruling in sorted(rulings, key=lambda each: each.verdict is Value.PASSED)[:_SHOWN]:
        yield f"gate {ruling.verdict.value:13} {ruling.words}"
    if len(rulings) > _SHOWN:
        yield f"... and {len(rulings) - _SHOWN} more in the report"
    words = Counter(ruling.verdict.value for ruling in rulings)
    yield f"gate: {', '.join(f'{count} {word}' for word, count in words.items())}"
    yield outcome.sentence


def _reservations(found: Conclusions) -> Iterator[str]:
    """What a reader has to know beside the verdict on the overhead."""
    yield from (each.as_line for each in found.not_the_storys)
    for trend in found.trends:
        if trend.verdict:
            yield f"{trend.name} {trend.verdict.value}: {trend.reason}"
    if found.invalid:
        yield f"INVALID {found.invalid}: the generator was the limit there, and nothing is judged"
    if found.loaded.run.ended is None:
        yield "the run did not end by itself: this is its report up to then"
    if found.unsampled:
        yield found.unsampled
    if not found.loaded.vouched:
        yield UNVOUCHED
