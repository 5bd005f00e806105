"""A kept cluster outlives its run, is found again by the next one, and shows that one nothing of its past."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.cluster_registry import running
from signoff.cluster.embedded.processes import descendants, start_time
from signoff.cluster.embedded.sweep import short_path
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.paths import ROOT, cache_dir
from signoff.kube.client import Kube
from tests.embedded import IMAGE, container, own_cache, pod, processes_of, status, wait_for
from tests.processes import said_until, start

pytestmark = pytest.mark.cluster
SLEEP = "import time; time.sleep(600)"
OTHERS = (Node("nuc"), Node("tower", {"card": "rtx3090"}))


@pytest.fixture(scope="module", autouse=True)
def own_clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody else finds what these tests keep."""
    with pytest.MonkeyPatch.context() as patch:
        own_cache(tmp_path_factory.mktemp("cache"), patch)
        yield
        main(["cluster", "down", "--all"])


@pytest.fixture(scope="module")
def kept(own_clusters: None) -> EmbeddedCluster:
    done = start([sys.executable, "-m", "signoff.cli", "cluster", "up", "demo"], ROOT)
    output, _ = done.communicate(timeout=60)  # ends although the cluster lives on: nothing holds the pipe
    assert done.returncode == 0, output
    assert f"export KUBECONFIG={cache_dir()}/clusters/demo/kubeconfig" in output
    return EmbeddedCluster.attach(Path("demo"))


def test_up_leaves_a_cluster_that_status_and_up_find(kept: EmbeddedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "up"]) == 0
    assert capsys.readouterr().out == f"export KUBECONFIG={kept.kubeconfig}\n"
    assert len(running()) == 1
    assert main(["cluster", "status"]) == 0
    said = capsys.readouterr().out
    headings, row = (line.split() for line in said.splitlines()[:2])
    assert headings[:7] == ["NAME", "PROVIDER", "STATE", "AGE", "NODES", "PODS", "MEMORY"]
    assert row[:3] == ["demo", "embedded", "kept"]
    assert row[4:6] == ["3/3", "0/0"]
    assert f"export KUBECONFIG={kept.kubeconfig}" in said


def test_a_name_is_given_once_and_has_a_form(kept: EmbeddedCluster) -> None:
    with pytest.raises(SignoffError, match="there is a cluster called demo already"):
        EmbeddedCluster.start(lambda *_: None, name="demo")
    assert kept.failure() is None
    assert main(["cluster", "up", "Not/this"]) == 4


def test_one_run_at_a_time_uses_it(kept: EmbeddedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    first = EmbeddedCluster.reuse(lambda _, text: said.append(text))
    assert first is not None
    assert first.dir == kept.dir
    assert "using the kept cluster demo" in said[-1]
    assert EmbeddedCluster.reuse(lambda _, text: said.append(text)) is None
    assert f"in use by pid {os.getpid()}" in said[-1]
    assert main(["cluster", "down", "demo"]) == 1
    assert "in use" in capsys.readouterr().err
    first.close()
    assert kept.failure() is None


def test_a_cluster_that_other_settings_started_is_left_alone(
    kept: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_RECIPES", "/elsewhere")
    said: list[str] = []
    assert EmbeddedCluster.reuse(lambda _, text: said.append(text)) is None
    assert "left alone" in said[-1]


def test_a_cluster_of_other_nodes_is_left_alone_and_refused(
    kept: EmbeddedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    assert EmbeddedCluster.reuse(lambda _, text: said.append(text), nodes=OTHERS) is None
    assert "demo is left alone: it has other nodes: its nodes are k3s-worker-01, " in said[-1]
    with pytest.raises(SignoffError, match=r"demo has other nodes: .*; the settings want nuc, tower card=rtx3090"):
        EmbeddedCluster.attach(Path("demo"), OTHERS)
    named = ["--allowed-nodes=nuc", "--forbidden-nodes=tower", "--backend-nodes=tower"]
    assert main(["cluster", "up", "demo", *named, *(f"--nodes={each}" for each in OTHERS)]) == 1
    assert "demo has other nodes" in capsys.readouterr().err


def test_down_ends_it_and_removes_all(kept: EmbeddedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "down", "nobody"]) == 4
    assert "running: demo" in capsys.readouterr().err
    assert main(["cluster", "down"]) == 0
    assert capsys.readouterr().out == "ended demo\n"
    assert not kept.dir.exists()
    assert not short_path(kept.dir).is_symlink()
    assert start_time(kept.supervisor_pid) is None
    assert processes_of(kept.dir) == []
    assert main(["cluster", "status"]) == 0
    assert "no cluster is running" in capsys.readouterr().out


def test_a_killed_supervisor_takes_even_the_children_of_pods_with_it() -> None:
    cluster = EmbeddedCluster.start(images=[IMAGE])
    try:
        kube = Kube(cluster.kubeconfig)
        kube.wait_for_namespace("default")
        code = f"import subprocess as s, sys; s.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
        kube.core.create_namespaced_pod("default", pod(container(code)))
        wait_for("the pod to run", lambda: status(kube, "default").phase == "Running")
        all_of_it = [*descendants(cluster.supervisor_pid), *processes_of(cluster.dir)]
        os.kill(cluster.supervisor_pid, signal.SIGKILL)
        wait_for(
            "nothing to be left", lambda: not any(start_time(pid) for pid in all_of_it) and not cluster.dir.exists()
        )
        assert processes_of(cluster.dir) == []
    finally:
        cluster.close()


def test_a_run_keeps_its_cluster_though_it_is_interrupted_and_others_use_it(tmp_path: Path) -> None:
    features = [sys.executable, "-m", "pytest", "features/deploy.feature", "--reports", str(tmp_path)]
    first = start([*features, "--keep-cluster"], ROOT)
    said_until(first, "deploy:")
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    (left,) = running()
    assert left.kept
    assert f"signoff cluster down {left.name}" in output
    for command in (features, [sys.executable, "-m", "signoff.cli", "serve"]):  # Locust starts the latter
        other = start(command, ROOT)
        assert f"using the kept cluster {left.name}" in said_until(other, "deploy:")
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=60)
    assert [each.name for each in running()] == [left.name]
    assert main(["cluster", "down"]) == 0
