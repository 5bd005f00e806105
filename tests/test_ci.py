"""What continuous integration runs ends at once when CI cancels it, and finds the browser that a runner brings."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

from scripts import browser
from signoff.core.paths import ROOT
from tests.processes import said_until, start

CLEANS_UP = """
import time
try:
    print("testing", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.2)
    open("cleaned-up", "w").close()
    print("cleaned up", flush=True)
    raise
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with commands of its own behind `make`, on a machine with a browser."""
    for name in (".ci/run", "scripts/browser.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    program(tmp_path / "bin" / "chromium", "echo Chromium 140")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/local/bin:/usr/bin:/bin")
    return tmp_path


def program(path: Path, does: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


def make_tests(checkout: Path, test: str, acceptance: str = "open('acceptance', 'w')") -> None:
    (checkout / "test.py").write_text(test)
    (checkout / "acceptance.py").write_text(acceptance)
    (checkout / "Makefile").write_text(
        f"test:\n\t@{sys.executable} test.py\nacceptance:\n\t@{sys.executable} acceptance.py\n"
    )


CANCELS = pytest.mark.parametrize(("cancels", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@CANCELS
@pytest.mark.parametrize("during", ["test", "acceptance"])
def test_a_job_that_is_cancelled_cleans_up_and_goes_on_to_nothing(
    checkout: Path, cancels: signal.Signals, status: int, during: str
) -> None:
    if during == "test":
        make_tests(checkout, CLEANS_UP)
    else:
        make_tests(checkout, "", acceptance=CLEANS_UP)
    job = start([str(checkout / ".ci" / "run")], checkout)
    said_until(job, "testing")
    job.send_signal(cancels)
    said, _ = job.communicate(timeout=30)
    assert job.returncode == status, said
    assert "cleaned up" in said
    assert (checkout / "cleaned-up").exists()
    assert not (checkout / "acceptance").exists()


@CANCELS
@pytest.mark.parametrize(
    ("moment", "test"),
    [
        *((moment, "import time; time.sleep(60)") for moment in ("run tests", '    "$@" &', "    running=$!")),
        *((moment, "") for moment in ("tests=$?", "run make")),
    ],
)
def test_a_job_that_is_cancelled_between_two_commands_begins_no_further_one(
    checkout: Path, cancels: signal.Signals, status: int, moment: str, test: str
) -> None:
    """The script signals itself just before this line of its own."""
    script = checkout / ".ci" / "run"
    before, line, after = script.read_text().partition(f"\n{moment}")
    assert line
    script.write_text(f"{before}\nkill -s {cancels.name.removeprefix('SIG')} $${line}{after}")
    make_tests(checkout, test)
    job = start([str(script)], checkout)
    said, _ = job.communicate(timeout=30)
    assert job.returncode == status, said
    assert "unbound" not in said
    assert not (checkout / "acceptance").exists()


@pytest.mark.parametrize(("test", "status"), [("print('1 passed in 2 s')", 0), ("exit(1)", 2)])
def test_the_story_is_judged_whatever_the_tests_end_with(checkout: Path, test: str, status: int) -> None:
    make_tests(checkout, test)
    job = start([str(checkout / ".ci" / "run")], checkout)
    said, _ = job.communicate(timeout=30)
    assert bool(job.returncode) == bool(status), said
    assert (checkout / "acceptance").exists()
    assert said.count("1 passed in 2 s") == (2 if status == 0 else 0)


# The browser


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "only"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize("name", ["chromium", "google-chrome", "google-chrome-stable"])
def test_the_browser_of_a_distribution_or_runner_is_found(bin_folder: Path, name: str) -> None:
    program(bin_folder / name, "echo 140")
    assert browser.find() == str(bin_folder / name)


def test_a_program_that_only_says_to_install_a_snap_is_no_browser(bin_folder: Path) -> None:
    program(bin_folder / "chromium-browser", "echo requires the chromium snap to be installed >&2; exit 10")
    assert browser.find() is None
    program(bin_folder / "google-chrome", "echo 140")
    assert browser.find() == str(bin_folder / "google-chrome")
