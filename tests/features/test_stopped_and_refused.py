"""`pytest features/` as a user meets it when something is wrong: a clear word, a report, and nothing left running."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from signoff.cluster.embedded.kept import clusters_dir
from signoff.core.paths import MANIFESTS, ROOT
from signoff.verdicts import ExitStatus
from tests.embedded import cluster_in, processes_of, run_features, wait_for
from tests.processes import said_until


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cluster", "existing"], "existing"),
        (["--vllm-image", "example.test/none:1"], "no recipe for image example.test/none:1"),
        (["--manifests", "nowhere"], "nowhere"),
        (["--attach", "nothing"], "nothing"),
        (["--attach", "nothing", "--fresh-cluster"], "leave out one or the other"),
    ],
)
def test_what_an_option_gets_wrong_is_said_at_once_and_once(tmp_path: Path, options: list[str], told: str) -> None:
    output, status = finished(run_features(tmp_path / "reports", *options))
    assert status == ExitStatus.USAGE, output
    assert output.count("next:") == 1, output
    assert told in output
    assert "Traceback" not in output
    assert "cluster:" not in output
    assert not (tmp_path / "reports").exists()


def test_a_variable_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CLUSTER", "foo")
    output, status = finished(run_features(tmp_path / "reports"))
    assert status == ExitStatus.USAGE
    assert "SIGNOFF_CLUSTER=foo" in output
    assert "--cluster" not in output
    assert not (tmp_path / "reports").exists()


def test_broken_yaml_is_said_before_a_cluster_starts(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    (manifests / "litellm" / "configmap.yaml").write_text("kind: [unclosed\n")
    output, status = finished(run_features(tmp_path / "reports", "--manifests", str(manifests)))
    assert status == ExitStatus.USAGE
    assert "not valid YAML" in output
    assert str(manifests / "litellm" / "configmap.yaml") in output
    assert "Traceback" not in output
    assert not (tmp_path / "reports").exists()


def finished(process: "subprocess.Popen[str]") -> tuple[str, int]:
    """Its output, and its exit status."""
    output, _ = process.communicate(timeout=60)
    return output, process.returncode


@pytest.mark.cluster
def test_serving_ends_with_its_caller_though_it_still_starts() -> None:
    command = [sys.executable, "-m", "signoff.cli", "serve"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdin
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if "deploy:" in line:
            break
    process.stdin.close()
    seen += process.stdout.read()
    assert process.wait(timeout=30) == 0, seen
    assert "Traceback" not in seen
    cluster = cluster_in(seen)
    assert not cluster.exists()
    assert not processes_of(cluster)


@pytest.mark.cluster
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_nothing_running(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = run_features(tmp_path / "reports")
    seen = said_until(process, "deploy:")
    cluster = cluster_in(seen)
    assert cluster.parent == clusters_dir()
    assert processes_of(cluster)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    wait_for("nothing to be left", lambda: not processes_of(cluster) and not cluster.exists())
    (evidence,) = (tmp_path / "reports").glob("*/evidence.jsonl")
    assert '"kind": "cluster"' in evidence.read_text()
