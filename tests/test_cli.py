"""`signoff` says what is wrong in words for a person."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import cast

import pytest

from signoff.cli import main
from signoff.commands.verify import verify
from signoff.core.errors import SignoffError
from signoff.evidence import read
from signoff.evidence.models import Backend, Cluster, End, Run, SetUpFailure
from signoff.kube.client import Kube
from signoff.kube.undo import Undo


@pytest.mark.parametrize("command", ["serve", "prepare"])
def test_missing_manifests_are_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--manifests", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert "there are no manifests here" in said
    assert str(tmp_path) in said
    assert "next:" in said


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"signoff {version('signoff')}\n"


class Stuck:
    """A change that can be made, and not undone."""

    def inverse(self, _: Kube) -> "Stuck":
        return self

    def __str__(self) -> str:
        return "uncordon k3s-worker-01"

    def make(self, _: Kube) -> None:
        pass

    def wait(self, _: Kube) -> None:
        raise SignoffError("the API server does not answer")


def test_what_could_not_be_undone_after_ctrl_c_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted_at_work(_: object) -> int:
        with Undo(cast("Kube", None)) as undo:
            undo.make(Stuck())
            raise KeyboardInterrupt

    monkeypatch.setattr("signoff.commands.cluster.status", interrupted_at_work)
    interrupted_at_work.__name__ = "status"
    assert main(["cluster", "status"]) == 130
    said = capsys.readouterr().err
    assert "signoff: what was changed on the cluster could not all be undone: uncordon k3s-worker-01: " in said
    assert "next:  do so by hand" in said


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
    assert "this command is for clusters of the suite's own" in said
    assert "Fatal" not in said


def test_a_serving_that_fails_while_its_caller_waits_ends_without_a_crash(tmp_path: Path) -> None:
    failing = (
        "import sys; from signoff import cli; from signoff.cluster import registry\n"
        "from signoff.core.errors import SignoffError\n"
        "def fail(*_): raise SignoffError('no')\n"
        "registry.open_cluster = fail; sys.exit(cli.main(['serve', '--reports', sys.argv[1]]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", failing, str(tmp_path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stderr is not None
        assert serving.stderr.read() == "signoff: no\n"
        assert serving.wait() == 1
    (folder,) = tmp_path.iterdir()
    (failure,) = read(folder).of(SetUpFailure)
    assert failure.cause.what.endswith("no")


_SERVING = """
import sys
from types import SimpleNamespace as Of
from signoff import cli
from signoff.cluster import registry
from signoff.cluster.base import ClusterFacts
from signoff.commands import serve
from signoff.evidence.models import Backend
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import Keys

class Deployment:
    def __init__(self, cluster, manifests, evidence):
        self.evidence, self.keys = evidence, Keys()
    def clear_away(self): pass
    def start_both(self): pass
    def wait_for_gateway(self): pass
    def wait_for_backend(self):
        self.evidence.add(Backend(version="1"))
        return Endpoint("http://vllm")
    def answering_gateway(self):
        return Endpoint("http://litellm")

serve.Deployment = Deployment
facts = ClusterFacts("none", "v1", (), {}, {})
registry.open_cluster = lambda *_: Of(kubeconfig="config", close=lambda: None, facts=lambda: facts)
sys.exit(cli.main(["serve", "--reports", sys.argv[1]]))
"""


def served(folder: Path) -> dict[str, str]:
    """What a caller is told that reads a line, and then goes; even where Ctrl-C is ignored, serving ends then."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVING, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as serving:
        assert serving.stdout is not None and serving.stdin is not None
        told: dict[str, str] = json.loads(serving.stdout.readline())
        serving.stdin.close()
        try:
            assert serving.wait(timeout=30) == 0
        finally:
            serving.kill()
    return told


def test_what_is_served_is_in_evidence_that_the_caller_is_told_of_with_whom_it_ends(tmp_path: Path) -> None:
    told = served(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert told["proxied"] and told["evidence"] == str(folder)
    assert [type(line.record) for line in read(folder).lines] == [Run, Cluster, Backend, End]
    assert read(folder).run.tool == "serve"
    assert list(verify(folder)) == []


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for word in ("serve", "prepare", "report", "calibrate", "pytest features/", "locust -f bench/"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["parity", "--help"], ("--cluster", "--attach", "recorder")),
        (["parity", "diff", "--help"], ("a parity.json, or its folder", "the later one")),
        (["cluster", "--help"], ("up", "status", "down", 'eval "$(signoff cluster up)"')),
        (["cluster", "up", "--help"], ("NAME", "KUBECONFIG", "pytest features/", "locust -f bench/")),
        (["cluster", "status", "--help"], ("kept", "MEMORY")),
        (["cluster", "down", "--help"], ("--all", "a running program uses")),
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
