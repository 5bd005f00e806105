"""A backend, the recorder before it, and a gateway that tampers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from doubles.backend import Backend
from doubles.faulty_gateway import FaultyGateway, Tampering
from doubles.recorder import Recorder
from doubles.serving import running
from signoff import story
from signoff.parity import cases, runner
from signoff.parity.judge import Result, judge
from signoff.parity.known_issues import KnownIssues

NOTHING_KNOWN = KnownIssues((), (), ())
CASES = cases.load(Path(__file__).parent / "parity" / "cases")


@dataclass
class Bench:
    """Everything that a matrix needs, to be told what to do."""

    backend: Backend
    faulty_gateway: FaultyGateway
    sides: runner.Sides

    def ask(
        self,
        *patterns: str,
        tampering: Tampering | None = None,
        known_issues: KnownIssues = NOTHING_KNOWN,
        version: str = "1.80.16",
    ) -> list[Result]:
        """Observe and judge the runs of these patterns while the gateway tampers so."""
        self.faulty_gateway.tampering = tampering or Tampering()
        observed = self.sides.observe(cases.runs(CASES, patterns))
        return judge(observed, known_issues, version)


@pytest.fixture
def bench(bench_of_all: Bench) -> Bench:
    """As it was at first, whatever the test before told it to do."""
    bench_of_all.faulty_gateway.tampering, bench_of_all.backend.moody = Tampering(), 0.0
    return bench_of_all


@pytest.fixture(scope="package")
def bench_of_all() -> Iterator[Bench]:
    backend = Backend()
    with running(backend.app()) as direct, Recorder(direct) as recorder:
        faulty_gateway = FaultyGateway(recorder.url)
        with running(faulty_gateway.app()) as proxied:
            gateways = {"story": proxied, "defaults": proxied}
            asked = {"chat": runner.Backend(direct, recorder)}
            yield Bench(backend, faulty_gateway, runner.Sides(asked, gateways, story.MODEL, routes=1))
