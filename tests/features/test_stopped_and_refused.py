"""`pytest features/` as a user meets it when something is wrong: a clear word, a report, and nothing left running."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.cluster.embedded.cluster_registry import clusters_dir
from signoff.core.paths import MANIFESTS, ROOT
from signoff.verdicts import ExitStatus
from tests.embedded import cluster_in, processes_of, run_features, wait_for
from tests.processes import said_until

Refused = Callable[..., str]


@pytest.fixture
def refused(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs features in this process with options of which one is wrong; gives what is said, nothing being written."""
    monkeypatch.chdir(ROOT)
    reports = pytester.path / "reports"

    def run(*options: str) -> str:
        done = pytester.runpytest_inprocess("features/deploy.feature", "--reports", str(reports), *options)
        assert done.ret == ExitStatus.USAGE
        assert not reports.exists()
        return "\n".join((*done.outlines, *done.errlines))

    return run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cluster", "existing"], "which cluster is meant?"),
        (["--vllm-image", "example.test/none:1"], "no recipe for image example.test/none:1"),
        (["--manifests", "nowhere"], "nowhere"),
        (["--attach", "nothing"], "nothing"),
        (["--attach", "nothing", "--fresh-cluster"], "leave out one or the other"),
    ],
)
def test_what_an_option_gets_wrong_is_said_at_once_and_once(refused: Refused, options: list[str], told: str) -> None:
    output = refused(*options)
    assert output.count("next:") == 1, output
    assert told in output
    assert "Traceback" not in output
    assert "cluster:" not in output


def test_a_variable_that_is_wrong_is_named(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CLUSTER", "foo")
    output = refused()
    assert "SIGNOFF_CLUSTER=foo" in output
    assert "--cluster" not in output


def test_broken_yaml_is_said_before_a_cluster_starts(refused: Refused, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    (manifests / "litellm" / "configmap.yaml").write_text("kind: [unclosed\n", encoding="utf-8")
    output = refused("--manifests", str(manifests))
    assert "not valid YAML" in output
    assert str(manifests / "litellm" / "configmap.yaml") in output
    assert "Traceback" not in output


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
