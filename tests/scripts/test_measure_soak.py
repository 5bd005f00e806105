"""The soak's measurement: what goes wrong while it looks is heard of, and a copy may take until all is rolled up."""

import threading
from pathlib import Path
from types import SimpleNamespace as Of
from typing import Any

import httpx
import psutil
import pytest

from scripts import measure_soak
from signoff.core.timeouts import Timeout
from signoff.core.waiting import WaitFailed
from signoff.load.distributed import Collector


def test_a_look_that_fails_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_soak, "LOOK_EVERY_SECONDS", 0.0)
    asked = threading.Event()

    def gone(_: httpx.Request) -> httpx.Response:
        asked.set()
        return httpx.Response(502)

    own = psutil.Process()
    with (
        httpx.Client(base_url="http://master", transport=httpx.MockTransport(gone)) as page,
        pytest.raises(ValueError, match="Expecting value"),
        measure_soak.watched((own, own), page, tmp_path),
    ):
        assert asked.wait(30)


def copying(there: Path, here: Path, *, after: int) -> Any:
    """A collector whose copy is whole after so many looks."""
    here.mkdir()
    left = [after]

    def copy() -> None:
        left[0] -= 1
        if left[0] == 0:
            (here / "minutes-local.csv").write_text((there / "minutes-local.csv").read_text())

    return Of(copy=copy, evidence=Of(dir=here))


def test_a_copy_is_compared_once_the_rollup_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_soak, "ROLLED_UP", Timeout(30, every=0.01))
    there = tmp_path / "there"
    there.mkdir()
    (there / "minutes-local.csv").write_text("minute")
    late: Collector = copying(there, tmp_path / "late", after=3)
    measure_soak.compare(late, there)
    monkeypatch.setattr(measure_soak, "ROLLED_UP", Timeout(0.05, every=0.01))
    never: Collector = copying(there, tmp_path / "never", after=0)
    with pytest.raises(WaitFailed, match="the copy to be what it was copied from"):
        measure_soak.compare(never, there)
