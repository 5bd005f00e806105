"""`pytest features/` as a user meets it when something is wrong: a clear word, a report, and nothing left running."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from signoff.cluster.embedded.kept import clusters_dir
from signoff.paths import MANIFESTS, ROOT
from tests.embedded.conftest import processes_of, wait_for
from tests.processes import start

FEATURE = "features/deploy.feature"


def run_features(reports: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pytest", FEATURE, "--fresh-cluster", "--reports", str(reports), *arguments]
    return start(command, ROOT)


def test_broken_yaml_is_said_before_a_cluster_starts(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    (manifests / "litellm" / "configmap.yaml").write_text("kind: [unclosed\n")
    process = run_features(tmp_path / "reports", "--manifests", str(manifests))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "not valid YAML" in output
    assert str(manifests / "litellm" / "configmap.yaml") in output
    assert "cluster:" not in output
    assert "Traceback" not in output
    (page,) = (tmp_path / "reports").glob("*/signoff.html")
    assert "not valid YAML" in page.read_text()


def test_a_cluster_that_is_not_built_yet_is_refused(tmp_path: Path) -> None:
    output, _ = run_features(tmp_path / "reports", "--cluster", "existing").communicate(timeout=60)
    assert "cannot run on a cluster of kind 'existing' yet" in output
    assert "next:" in output


def test_an_image_without_a_recipe_ends_the_run_early_and_leaves_nothing(tmp_path: Path) -> None:
    process = run_features(tmp_path / "reports", "--vllm-image", "example.test/none:1")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "no recipe for image example.test/none:1" in output
    assert "gave up early, since waiting does not mend this" in output
    found = re.search(r"\((\S*/clusters/\w+)\)", output)
    assert found, output
    assert not processes_of(Path(found[1]))
    assert not Path(found[1]).exists()


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
    found = re.search(r"\((\S*/clusters/\w+)\)", seen)
    assert found, seen
    assert not Path(found[1]).exists()
    assert not processes_of(Path(found[1]))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_nothing_running(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = run_features(tmp_path / "reports")
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if "deploy:" in line:
            break
    found = re.search(r"\((\S*/clusters/\w+)\)", seen)
    assert found, seen
    cluster = Path(found[1])
    assert cluster.parent == clusters_dir()
    assert processes_of(cluster)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    wait_for("nothing to be left", lambda: not processes_of(cluster) and not cluster.exists())
    (evidence,) = (tmp_path / "reports").glob("*/evidence.jsonl")
    assert '"kind": "cluster"' in evidence.read_text()
