"""What tests of several packages share: a run that was signed off, both arms as doubles, and a parity bench."""

from pathlib import Path

import pytest

from tests.doubles.bench import bench
from tests.doubles.pair import never_void, pair
from tests.evidence import runs

__all__ = ["bench", "never_void", "pair", "signed_off"]


@pytest.fixture(scope="package")
def signed_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "2026-01-01-abc"
    assert runs.whole_run(folder).signed_off
    return folder
