"""The small project that the plugin's own tests run, and a temporary folder that shows what is left."""

from pathlib import Path

import pytest

from tests.bdd.conftest import project

__all__ = ["project", "temporary"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs that this test starts make their temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder
