"""A disk that is full, or may not be written to: one sentence, the verdict all the same, no file half there."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.cluster.embedded.binaries import ETCD, KUBERNETES, PROGRAMS
from signoff.core.paths import ROOT
from tests.bdd.conftest import Project

Disk = Callable[[Path, str], Path]
Up = Callable[..., tuple[int, str]]


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Mounts a disk of its own at a folder, with options of mount(8) such as its size."""
    if os.getuid():
        pytest.skip("mounting needs root; all of these run in a namespace of their own instead")
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> Path:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.getuid() == 0, reason="root can mount")
def test_all_of_these_without_root(tmp_path: Path) -> None:
    """In a user namespace, where a person may mount what nobody else sees (user_namespaces(7))."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "mount", "-t", "tmpfs", "none", tmp_path], check=False).returncode:
        why = "this machine lets nobody but root mount, not even in a user namespace"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0")
        pytest.skip(why)
    command = [
        *namespace,
        sys.executable,
        "-m",
        "pytest",
        __file__,
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "--basetemp",
    ]
    done = subprocess.run([*command, tmp_path / "inside"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "mounting needs root" not in done.stdout


@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_a_report_for_which_there_is_no_room_is_one_sentence(
    project: Project, disk: Disk, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    reports = disk(project.folder / "reports", f"size={size}k")
    done = project.run()
    said = done.output + capfd.readouterr().err
    assert "INTERNALERROR" not in said and "Traceback" not in said, said
    if done.status == 4:  # not even the beginning can be written
        assert size == 4
        return
    assert "AC1" in done.output, "the verdict is said"
    assert "cannot be written" in said and "No space left on device" in said
    for path in reports.rglob("*"):
        if path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        if path.name == "junit.xml":
            assert path.read_text().rstrip().endswith("</testsuites>")
    assert not list(reports.rglob("*.draft"))


def test_a_report_where_nothing_can_be_written_is_refused(project: Project, disk: Disk) -> None:
    disk(project.folder / "reports", "ro")
    done = project.run()
    assert done.status == 4
    assert "the report's folder cannot be written: nothing can be made in" in done.output
    assert "(Read-only file system)" in done.output


# The cache


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with doubles of Kubernetes' programs, which name their versions and then wait."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in PROGRAMS:
        program(folder / name, "exec sleep 60")
    monkeypatch.setenv("SIGNOFF_KUBERNETES_BIN", str(folder))
    return folder


def program(path: Path, does: str) -> None:
    version = f"etcd Version: {ETCD}" if path.name == "etcd" else f"Kubernetes v{KUBERNETES}"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo {version}; exit; }}\n{does}\n')
    path.chmod(0o755)


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Up:
    """Runs a command that needs the cache with this one; gives its exit status and words."""

    def run(cache: Path, *command: str) -> tuple[int, str]:
        monkeypatch.setenv("SIGNOFF_CACHE", str(cache))
        capfd.readouterr()
        status = main(list(command or ("cluster", "up", "demo")))
        said = "".join(capfd.readouterr())
        assert "Traceback" not in said, said
        return status, said

    return run


def test_a_cluster_for_which_there_is_no_room_is_not_started(
    programs: Path, disk: Disk, tmp_path: Path, up: Up
) -> None:
    cache = disk(tmp_path / "cache", "size=20m")
    status, said = up(cache)
    assert status == 1
    assert "a cluster needs 0.3 GB of disk, and 0.021 GB are free" in said
    assert "set SIGNOFF_CACHE to a folder on a larger disk" in said
    assert not list((cache / "clusters").iterdir())


@pytest.mark.parametrize("command", [("cluster", "up", "demo"), ("prepare",)], ids=" ".join)
def test_programs_for_which_there_is_no_room_are_not_fetched(
    disk: Disk, tmp_path: Path, up: Up, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("SIGNOFF_KUBERNETES_BIN", raising=False)
    status, said = up(disk(tmp_path / "cache", "size=20m"), *command)
    assert status == 1
    assert f"Kubernetes v{KUBERNETES} needs 0.6 GB of disk, and 0.021 GB are free" in said


@pytest.mark.parametrize("command", [("cluster", "up", "demo"), ("prepare",)], ids=" ".join)
def test_a_cache_that_is_read_only_is_refused(disk: Disk, tmp_path: Path, up: Up, command: tuple[str, ...]) -> None:
    status, said = up(disk(tmp_path / "cache", "ro"), *command)
    assert status == 4
    assert "the cache cannot be written: nothing can be made in" in said
    assert "(Read-only file system)" in said


PANIC = """cat >&2 <<END
{{"level":"warn","msg":"starting"}}
panic: write /cache/member/wal: {why}

goroutine 1 [running]:
go.etcd.io/etcd/server/v3/main.go:12 +0x5f
END
exit 2"""


@pytest.mark.parametrize(("why", "hint"), [("no space left on device", "free some space"), ("broken", "")])
def test_what_a_part_of_the_cluster_ended_of_is_one_sentence_with_its_log(
    programs: Path, tmp_path: Path, up: Up, why: str, hint: str
) -> None:
    program(programs / "etcd", PANIC.format(why=why))
    cache = tmp_path / "cache"
    status, said = up(cache)
    assert status == 1
    assert f"signoff: etcd ended with exit code 2: panic: write /cache/member/wal: {why}\n" in said
    assert "goroutine" not in said
    log = next(line.partition("where: ")[2] for line in said.splitlines() if "where: " in line)
    assert "goroutine 1" in Path(log).read_text()
    assert (f"next:  {hint}" in said) == bool(hint)
    assert not list((cache / "clusters").iterdir())
