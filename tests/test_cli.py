"""`signoff` says what is wrong in words for a person."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from signoff.cli import main


@pytest.mark.parametrize("command", ["serve", "prepare"])
def test_missing_manifests_are_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--manifests", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert "the folder of manifests has no litellm/ and no vllm/" in said
    assert str(tmp_path) in said
    assert "next:" in said


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"signoff {version('signoff')}\n"


@pytest.mark.parametrize("arguments", [["parity", "--list"], ["cluster", "status"]])
def test_a_reader_that_has_gone_ends_it_quietly(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)  # before anything is written, however small
    done = subprocess.run(
        [sys.executable, "-m", "signoff.cli", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "SIGNOFF_CACHE": str(tmp_path)},
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_caller_that_waits_is_no_reason_to_crash(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "signoff.cli", "serve", "--cluster", "existing"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SIGNOFF_CACHE": str(tmp_path)},
    ) as serving:
        assert serving.stderr is not None
        said = serving.stderr.read()
        assert serving.wait() == 4
    assert "cannot run on a cluster of kind 'existing' yet\n  where: --cluster existing" in said
    assert "Fatal" not in said


def test_a_serving_that_fails_while_its_caller_waits_ends_without_a_crash() -> None:
    failing = (
        "import sys; from signoff import cli; from signoff.errors import SignoffError\n"
        "def fail(*_): raise SignoffError('no')\n"
        "cli.open_cluster = fail; sys.exit(cli.main(['serve']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", failing], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stderr is not None
        assert serving.stderr.read() == "signoff: no\n"
        assert serving.wait() == 1


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for word in ("serve", "prepare", "report", "calibrate", "pytest features/", "locust -f bench/"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["parity", "--help"], ("kept embedded cluster",)),
        (["parity", "diff", "--help"], ("a parity.json, or its folder", "the later one")),
        (["cluster", "--help"], ("up", "status", "down", 'eval "$(signoff cluster up)"')),
        (["cluster", "up", "--help"], ("NAME", "KUBECONFIG", "pytest features/", "locust -f bench/")),
        (["cluster", "status", "--help"], ("kept", "MEMORY")),
        (["cluster", "down", "--help"], ("--all", "2 seconds")),
    ],
)
def test_help_on_a_command_teaches(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    said = capsys.readouterr().out
    for word in words:
        assert word in said
