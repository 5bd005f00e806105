"""Who may import the statistics, and what that costs."""

import subprocess
import sys

import pytest

from signoff.load import distributed
from signoff.parity import recorder_pod
from signoff.paths import ROOT
from signoff.prober import MODULES


@pytest.mark.parametrize("module", sorted({*MODULES, *distributed.MODULES, *recorder_pod.MODULES}))
def test_code_for_pods_has_no_statistics(module: str) -> None:
    text = (ROOT / module).read_text()
    assert "import signoff.stats" not in text and "from signoff.stats" not in text


def test_a_command_that_estimates_nothing_does_not_load_scipy() -> None:
    code = "import sys, signoff.cli, signoff.overhead, signoff.load.command; print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
