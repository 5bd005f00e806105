"""Who may import the statistics, and what that costs."""

import subprocess
import sys
from functools import cache

import pytest

from signoff.core.paths import ROOT
from signoff.kube import shipping
from signoff.load import distributed
from signoff.overhead import timing_job
from signoff.parity import recorder_pod

PROGRAMS = (timing_job.PROGRAM, distributed.LOCUSTFILE, recorder_pod.PROGRAM)


STEPS = sorted(f"steps.{path.stem}" for path in (ROOT / "steps").glob("*.py"))


@cache
def loaded_by(*modules: str) -> list[str]:
    """All that a process has loaded which imported these."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()


@pytest.mark.parametrize("module", sorted({module for program in PROGRAMS for module in shipping.modules(program)}))
def test_code_for_pods_has_no_statistics(module: str) -> None:
    text = (ROOT / module).read_text()
    assert "import signoff.stats" not in text and "from signoff.stats" not in text


@pytest.mark.parametrize("slow", ["scipy", "matplotlib"])
def test_a_command_that_estimates_and_draws_nothing_does_not_load(slow: str) -> None:
    assert slow not in loaded_by("signoff.cli", "signoff.report", "signoff.commands.load_report")


def test_a_run_that_timed_nothing_does_not_load_numpy() -> None:
    assert "numpy" not in loaded_by("signoff.bdd.suite", "signoff.bdd.plugin", "signoff.commands.verify", *STEPS)
