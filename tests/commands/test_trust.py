"""Every command that deploys manifests on the embedded cluster refuses a stranger's where nothing keeps them apart."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.cluster.embedded import namespaces
from signoff.core.paths import MANIFESTS, ROOT
from tests.cluster.embedded.test_confined import WITHOUT, needs_namespaces

SAID = "these manifests would run on this machine as you, and nothing would keep them from your files"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def strangers(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(namespaces, "why_not", lambda: "unshare: Operation not permitted")
    monkeypatch.delenv("SIGNOFF_TRUST", raising=False)
    return Path(shutil.copytree(MANIFESTS, here.parent / "strangers"))


@pytest.mark.parametrize("command", ["serve", "parity", "calibrate", pytest.param("load", marks=pytest.mark.locust)])
def test_it_is_refused_before_anything_is_written(
    here: Path, strangers: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--manifests", str(strangers)]) == 4
    told = capfd.readouterr().err
    assert f"signoff: {SAID}: unshare: Operation not permitted\n  where: {strangers}\n" in told
    assert "container vllm: vllm/vllm-openai-cpu" in told
    assert not list(here.iterdir())


@pytest.mark.parametrize("command", ["prepare", "init"])
def test_what_deploys_nothing_asks_nothing(
    strangers: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("signoff.cluster.embedded.provider.prepare", lambda _: None)
    monkeypatch.setattr("signoff.way_in.controllers.definitions", list)
    main([command, *(["--manifests"] if command == "prepare" else []), str(strangers)])
    assert SAID not in capfd.readouterr().err


FEATURES = f"""
{WITHOUT.rpartition("from signoff")[0]}
import pytest
sys.exit(pytest.main(["features/deploy.feature", "-q", *sys.argv[1:]]))
"""


def features(*arguments: str) -> list[str]:
    """The features on a machine that lets nobody make namespaces."""
    return [sys.executable, "-c", FEATURES, *arguments]


@needs_namespaces
def test_the_features_ask_on_a_terminal_although_pytest_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIGNOFF_TRUST", "CI"):
        monkeypatch.delenv(name, raising=False)
    strangers = shutil.copytree(MANIFESTS, tmp_path / "strangers")
    person, terminal = pty.openpty()
    command = features("--manifests", str(strangers), "--reports", str(tmp_path / "reports"))
    with subprocess.Popen(command, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal) as asking:
        os.close(terminal)
        shown = b""
        while part := _read(person):
            shown += part
            if part.endswith(b"[y/N] "):
                os.write(person, b"n\n")
    os.close(person)
    assert asking.returncode == 4, shown.decode()
    assert b"[y/N]" in shown
    assert f"{SAID}: namespaces cannot be made: unshare: No space left on device".encode() in shown
    assert not (tmp_path / "reports").exists()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody has its other end any more
        return b""
