"""`signoff` refuses what it is asked for wrongly before anything is started or written, and ends with status 4."""

import os
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.commands import load

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--attach", "nobody"], "no embedded cluster is running there\n  where: --attach nobody"),
        (["serve", "--manifests", "nowhere"], "the folder of manifests is not there\n  where: nowhere"),
        (["prepare", "--manifests", "nowhere"], "the folder of manifests is not there"),
        (["report", "nowhere"], "there is no evidence\n  where: nowhere"),
        (["serve", "--cluster", "foo"], "there is no kind of cluster called 'foo'\n  where: --cluster foo"),
        (["serve", "--namespace", "ML"], "--namespace: 'ML' is not the name of a namespace\n  where: --namespace ML"),
        (["cluster", "up", "--cluster", "foo"], "there is no kind of cluster called 'foo'"),
        (["load", "--settings", "none.toml"], "the settings cannot be read: No such file"),
        (["parity", "--only", "nothing"], "no case run is called nothing"),
        (["parity", "--image", "example.test/none:1"], "no recipe for image example.test/none:1"),
        (["parity", "--cases", "nowhere"], "there are no cases\n  where: nowhere"),
        (["parity", "--out", "/dev/null"], "the report's folder cannot be written: /dev/null is no folder"),
        (["parity", "diff", "now", "next"], "no parity matrix"),
        (["calibrate", "--pairs", "0"], "--pairs 0 times nothing"),
        (["calibrate", "--delay", "inf"], "--delay takes milliseconds, not inf"),
        (["calibrate", "--url", "vllm:8000"], "--url vllm:8000 is no http:// URL"),
        (["calibrate", "--out", "."], "the output folder already exists\n  where: --out ."),
        (["calibrate", "--out", "/dev/null/x"], "the report's folder cannot be written: /dev/null is no folder"),
        (["load-report", "nowhere"], "there is no evidence of a load\n  where: nowhere"),
        (["load-report", "nowhere", "--thresholds", "none.toml"], "the thresholds cannot be read"),
        (["cluster", "up", "Not/this"], "a cluster cannot be called 'Not/this'"),
        (["cluster", "down", "nobody"], "no cluster is called nobody"),
        (["cluster", "status", "nobody"], "no cluster is called nobody"),
    ],
)
def test_what_cannot_be_done_is_refused(here: Path, capfd: Capture, arguments: list[str], said: str) -> None:
    assert main(arguments) == 4
    told = capfd.readouterr()
    assert told.err.startswith(f"signoff: {said}")
    assert "\n  next:  " in told.err
    assert told.out == ""
    assert not list(here.iterdir())


def test_a_folder_that_lacks_a_controller_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("SIGNOFF_PEBBLE_BIN", "/proc")
    assert main(["prepare"]) == 4
    assert capfd.readouterr().err.startswith("signoff: the folder that SIGNOFF_PEBBLE_BIN names lacks pebble")
    assert not list(here.iterdir())


@pytest.mark.parametrize("arguments", [["serve"], ["prepare"], ["parity"], ["calibrate"], ["load"], ["cluster", "up"]])
def test_a_cache_that_cannot_be_written_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture, arguments: list[str]
) -> None:
    monkeypatch.setenv("SIGNOFF_CACHE", os.devnull)
    monkeypatch.setattr(load, "_check_for_locust", lambda *_: 0)  # it is given no option here
    assert main(arguments) == 4
    told = capfd.readouterr().err
    assert told.startswith(f"signoff: the cache cannot be written: {os.devnull} is no folder\n  where: SIGNOFF_CACHE=")
    assert not list(here.iterdir())


def test_a_command_line_that_cannot_be_read_keeps_status_2(here: Path) -> None:
    for arguments in (["serve", "--keep"], ["calibrate", "--pairs", "many"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, with a cache beside it that would have to be made."""
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
