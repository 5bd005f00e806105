"""A sweep ends all of a dead cluster, whatever happens meanwhile, and nothing of a living one."""

import importlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from signoff.cluster.embedded.cluster_registry import FACTS_FILE, running
from signoff.cluster.embedded.processes import MARK, descendants, marked
from signoff.cluster.embedded.sweep import (
    PID_FILE,
    make_cluster_dir,
    remove,
    short_path,
    supervisor_of,
    sweep,
)
from signoff.core import console
from signoff.core.timeouts import Timeout
from tests.embedded import processes_of, wait_for

MODULE = importlib.import_module("signoff.cluster.embedded.sweep")
BREEDER = "for each in $(seq 200); do sleep 30 & sleep 0.002; done; wait"


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a cluster of a cache of this test's own would be."""
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path))
    return tmp_path / "clusters" / "demo"


@pytest.fixture
def dead(demo: Path) -> Path:
    """The folder of one whose supervisor has died."""
    demo.mkdir(parents=True)
    (demo / PID_FILE).write_text("1 1")
    return demo


@pytest.fixture
def orphan(dead: Path) -> Iterator[int]:
    """A process of the dead one."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: str(dead)})
    wait_for("its start", lambda: processes_of(dead))
    yield process.pid
    process.kill()
    process.wait()


def test_a_sweep_leaves_not_even_what_is_born_meanwhile(demo: Path) -> None:
    demo.mkdir(parents=True)
    for _ in range(5):
        breeder = subprocess.Popen(["sh", "-c", BREEDER], env={**os.environ, MARK: str(demo)})
        wait_for("it to have children", lambda: len(descendants(breeder.pid)) > 3)  # noqa: B023 - called at once
        sweep(demo.parent)
        assert processes_of(demo) == []
        breeder.wait()


def test_a_cluster_made_again_during_a_sweep_is_left_alone(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def marked_while_another_starts_it() -> Iterator[tuple[int, Path]]:
        monkeypatch.setattr(MODULE, "marked", marked)
        remove(dead)
        make_cluster_dir(dead)
        return marked()

    monkeypatch.setattr(MODULE, "marked", marked_while_another_starts_it)
    assert sweep(dead.parent) == []
    assert supervisor_of(dead) == os.getpid()
    assert short_path(dead).readlink() == dead
    remove(dead)


def test_a_cluster_that_is_being_taken_down_is_no_killed_one(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cluster_dir(demo)
    (demo / FACTS_FILE).write_text('{"supervisor_pid": 0}')
    assert running()
    swept = []

    def removed_while_others_look(folder: Path, **options: Any) -> None:
        monkeypatch.undo()
        monkeypatch.setenv("SIGNOFF_CACHE", str(demo.parent.parent))
        assert running() == []
        (folder / PID_FILE).unlink()
        swept.extend(sweep(demo.parent))
        shutil.rmtree(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", removed_while_others_look)
    remove(demo)
    assert swept == []
    assert list(demo.parent.iterdir()) == []
    assert not short_path(demo).is_symlink()


def test_the_short_names_of_a_killed_run_are_removed_even_where_its_cache_is_gone(demo: Path) -> None:
    killed, gone, lives = (demo.with_name(name) for name in ("killed", "gone", "lives"))
    for cluster in (killed, gone, lives):
        make_cluster_dir(cluster)
    (killed / PID_FILE).write_text("1 1")
    shutil.rmtree(gone)
    assert short_path(gone).is_symlink()
    assert sweep(demo.parent) == [killed]
    assert [each.name for each in (killed, gone, lives) if short_path(each).is_symlink()] == ["lives"]
    remove(lives)


@pytest.fixture
def short_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own in the place of /tmp."""
    monkeypatch.setattr(MODULE, "_SHORT_PATHS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("signoff-somedata", "/nowhere/clusters/demo"),
        ("signoff-0123abcd", "/nowhere/data"),
        ("signoff-0123abcd", f"clusters/{'x' * 300}"),  # stat(2) fails, as in a private folder
    ],
)
def test_a_link_that_need_not_be_a_killed_run_s_stays(short_paths: Path, dead: Path, name: str, target: str) -> None:
    (short_paths / name).symlink_to(short_paths / target)
    assert sweep(dead.parent) == [dead]
    assert (short_paths / name).is_symlink()


def test_a_link_of_another_user_is_not_even_followed(
    short_paths: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = short_paths / "signoff-0123abcd"
    link.symlink_to("/nowhere/clusters/demo")
    followed: list[Path] = []
    monkeypatch.setattr(os, "getuid", lambda: link.lstat().st_uid + 1)
    monkeypatch.setattr(Path, "exists", lambda path, **_: followed.append(path))
    MODULE._remove_loose_links()
    assert link.is_symlink() and not followed


def test_what_a_process_died_over_is_removed(demo: Path) -> None:
    for stage in (".new", ".old"):
        (demo.parent / f"{stage}-demo-1-1").mkdir(parents=True)
    assert len(sweep(demo.parent)) == 2
    assert list(demo.parent.iterdir()) == []


def test_a_process_that_shows_no_environment_for_a_moment_is_found(
    dead: Path, orphan: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marked_while_it_is_being_executed() -> Iterator[tuple[int, Path]]:
        monkeypatch.setattr(MODULE, "marked", marked)
        return iter(())

    monkeypatch.setattr(MODULE, "marked", marked_while_it_is_being_executed)
    assert sweep(dead.parent) == [dead]
    wait_for("its end", lambda: processes_of(dead) == [])


@contextmanager
def process_with(**variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """One whose environment has these as well."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, **variables})
    try:
        wait_for("its start", Path(f"/proc/{process.pid}/environ").read_bytes)
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_an_older_version_has_left_is_swept_too(dead: Path) -> None:
    with process_with(SIGNOFF_CLUSTER=str(dead)) as left:
        assert sweep(dead.parent) == [dead]
        assert left.wait(10) == -signal.SIGKILL


def test_a_process_is_no_cluster_s_because_a_person_asks_for_a_kind_of_cluster() -> None:
    with process_with(SIGNOFF_CLUSTER="kind") as process:
        assert process.pid not in dict(marked())


def test_the_mark_leaves_the_option_as_it_was(demo: Path) -> None:
    with process_with(SIGNOFF_CLUSTER="kind", **{MARK: str(demo)}) as process:
        assert dict(marked())[process.pid] == demo
        assert b"SIGNOFF_CLUSTER=kind" in Path(f"/proc/{process.pid}/environ").read_bytes()


def test_a_process_that_does_not_end_is_told(dead: Path, orphan: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(MODULE, "kill", lambda _: None)  # stands for one that the kernel does not let go
    monkeypatch.setattr(MODULE, "CLUSTER_DOWN", Timeout(0.05, every=0.01))
    monkeypatch.setattr(console, "_write", told.append)
    assert sweep(dead.parent) == [dead]
    assert f"PID {orphan}" in told[0]
