"""A folder for credentials goes with its process, however that ends, and with no other one's."""

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from signoff.core.paths import private_folder, write_private

HOLDS = "import sys\nfrom signoff.core.paths import private_folder\n" + (
    "with private_folder() as folder:\n    print(folder, flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process, and its folder with a key in it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        write_private(folder / "key", b"private")
        try:
            yield process, folder
        finally:
            process.kill()


def test_it_is_for_one_user_and_goes_with_its_block() -> None:
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        write_private(folder / "key", b"private")
    assert not folder.exists()


def test_that_of_a_killed_process_goes_with_the_next_one() -> None:
    with holder() as (process, left):
        with private_folder():
            assert (left / "key").exists()  # it lives, whatever its number is to others
        process.kill()
        process.wait()
        assert (left / "key").exists()
        with private_folder():
            assert not left.exists()


def test_nobody_sweeps_one_that_is_just_being_made() -> None:
    def make(_: int) -> bool:
        with private_folder() as folder:
            write_private(folder / "key", b"private")
            return (folder / "key").exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(make, range(400)))


def test_what_is_no_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "signoff-private-link").symlink_to(tmp_path / "theirs")
    with private_folder():
        pass
    assert (tmp_path / "theirs").exists()
    assert (tmp_path / "signoff-private-link").is_symlink()
