"""A cache of its own, since what is refused writes nothing, and no settings of this shell's."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of a set's file."""
    for variable in [each for each in os.environ if each.startswith("SIGNOFF_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGNOFF_TRUST", "yes")
