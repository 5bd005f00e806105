"""A backend, the recorder before it, and a gateway that lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from signoff.parity import cases, runner
from signoff.parity.judge import Result, judge
from signoff.parity.knowledge import Knowledge
from tests.doubles.backend import Backend
from tests.doubles.liar import Liar, Lie
from tests.doubles.recorder import Recorder
from tests.doubles.serving import running

NOTHING_KNOWN = Knowledge((), (), ())
CASES = cases.load(Path(__file__).parent.parent / "parity" / "cases")


@dataclass
class Bench:
    """Everything that a matrix needs, to be told what to do."""

    backend: Backend
    liar: Liar
    sides: runner.Sides

    def ask(
        self, *patterns: str, lie: Lie | None = None, knowledge: Knowledge = NOTHING_KNOWN, version: str = "1.80.16"
    ) -> list[Result]:
        """Observe and judge the runs of these patterns while the gateway tells this lie."""
        self.liar.lie = lie or Lie()
        self.backend.moody = False
        observed = self.sides.observe(cases.runs(CASES, patterns))
        return judge(observed, knowledge, version)


@pytest.fixture(scope="package")
def bench() -> Iterator[Bench]:
    backend = Backend()
    with running(backend.app()) as direct, Recorder(direct) as recorder:
        liar = Liar(recorder.url)
        with running(liar.app()) as proxied:
            gateways = {"story": proxied, "defaults": proxied}
            yield Bench(backend, liar, runner.Sides({"chat": runner.Backend(direct, recorder)}, gateways, lanes=1))
