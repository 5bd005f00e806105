"""A folder to work in, and an environment in which nothing of the suite's is set."""

import os
from pathlib import Path

import pytest

from signoff.settings.model import PREFIX


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
