"""A folder in which a reader of the documents may type their commands: the checkout, with some runs in reports/."""

import shutil
from pathlib import Path

import pytest

from scripts.synthetic_load import Behaviour, Synthetic
from signoff.core.paths import ROOT
from signoff.report import parity
from tests.evidence import runs

OWN = {"reports", ".git", ".venv"}


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to the checkout's files, and the runs of which the documents speak."""
    folder = tmp_path_factory.mktemp("desk")
    for path in ROOT.iterdir():
        if path.name not in OWN:
            (folder / path.name).symlink_to(path)
    reports = folder / "reports"
    signed_off = reports / "2026-11-28T10-15-00"
    runs.whole_run(signed_off)
    for name in ("now", "next"):
        (reports / name).mkdir()
        shutil.copy(signed_off / parity.FILE, reports / name)
    for name in ("load-now", "load-before"):
        Synthetic(behaviours=[Behaviour(pairs=400)]).write(reports / name)
    return folder
