"""A run that was signed off, written once."""

from pathlib import Path

import pytest

from tests.evidence import runs


@pytest.fixture(scope="package")
def signed_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "2026-01-01-abc"
    assert runs.whole_run(folder).signed_off
    return folder
