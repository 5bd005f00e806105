"""Who may import the statistics, and what that costs."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from signoff.core.paths import ROOT
from signoff.kube import shipping
from signoff.load import distributed
from signoff.overhead import timing_job
from signoff.parity import recorder_pod

PROGRAMS = (timing_job.PROGRAM, distributed.LOCUSTFILE, recorder_pod.PROGRAM)


STEPS = sorted(f"steps.{path.stem}" for path in (ROOT / "steps").glob("*.py"))


def loaded_by(*steps: Sequence[str]) -> list[list[str]]:
    """All that one process has loaded after each of these steps, in which it imports some more."""
    code = "\n".join(f"import sys, {', '.join(modules)}; print(*sys.modules)" for modules in steps)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("module", sorted({module for program in PROGRAMS for module in shipping.modules(program)}))
def test_code_for_pods_has_no_statistics(module: str) -> None:
    text = (ROOT / module).read_text()
    assert "import signoff.stats" not in text and "from signoff.stats" not in text


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """No numpy by a run that timed nothing, and no more than that by a command that estimates and draws nothing."""
    of_a_run = ["signoff.bdd.suite", "signoff.bdd.plugin", "signoff.commands.verify", *STEPS]
    of_a_command = ["signoff.cli", "signoff.report", "signoff.commands.load_report"]
    by_a_run, by_both = loaded_by(of_a_run, of_a_command)
    assert "numpy" not in by_a_run
    assert "numpy" in by_both, "else this looks at nothing"
    assert not {"scipy", "matplotlib"}.intersection(by_both)
