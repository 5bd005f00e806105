"""The page of a load: a pure function of the run's folder, thresholds and baseline."""

from pathlib import Path

from signoff.core.whole import put
from signoff.evidence.invalid import MAX_INVALID
from signoff.load.gate import Outcome
from signoff.load.knee import CLOSED_RULE, OPEN_RULE
from signoff.report.environment import render
from signoff.report.load import PAGE, UNVOUCHED
from signoff.report.load.charts import events, overhead_chart, percentile_chart, timeline, trend_chart
from signoff.stats.estimate import Estimate


def write(outcome: Outcome, baseline: Path | None = None) -> Path:
    """Draw the page into the run's folder; gives its path.

    Raises:
        SignoffError: it cannot be written.
    """
    found = outcome.found
    run = found.loaded.run
    page = render(
        "load/page.html.j2",
        found=found,
        outcome=outcome,
        run=run,
        name=found.loaded.folder.resolve().name,
        rulings=outcome.rulings,
        baseline=baseline,
        overhead=overhead_chart(found) if sum(step.overhead.e2e is not None for step in found.steps) > 1 else None,
        curves=[(step, percentile_chart(step)) for step in found.ordered if step.groups],
        shown=found.knee.last or found.lightest,
        timeline=list(timeline(found)),
        trends=[(each, trend_chart(each, run.started) if len(each.values) else None) for each in found.trends],
        events=events(found),
        rule=CLOSED_RULE if found.lightest.planned_users is not None else OPEN_RULE,
        max_invalid=Estimate(MAX_INVALID),
        unvouched="" if found.loaded.vouched else UNVOUCHED,
    )
    path = found.loaded.folder / PAGE
    put(path, page)
    return path
