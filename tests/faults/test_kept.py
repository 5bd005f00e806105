"""A kept cluster is looked at before it is used again: what is lost comes back, or it is left alone and told why."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.cli import main
from signoff.cluster.embedded import EmbeddedCluster, health
from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.cluster.embedded.processes import start_time
from signoff.core import console
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT, cache_dir
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube, is_ready
from tests.embedded import container, own_cache, pod, wait_for
from tests.processes import start

pytestmark = pytest.mark.cluster
NODE = "k3s-worker-01"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, recipes: None) -> Iterator[Kube]:
    """The API of one in a cache of this module's own, whose path holds a space."""
    with pytest.MonkeyPatch.context() as patch:
        own_cache(tmp_path_factory.mktemp("with a space"), patch)
        done = start([sys.executable, "-m", "signoff.cli", "cluster", "up", "demo"], ROOT)
        output, _ = done.communicate(timeout=300)
        assert done.returncode == 0, output
        exported = next(line for line in output.splitlines() if line.startswith("export "))
        assert shlex.split(exported)[1] == f"KUBECONFIG={cache_dir()}/clusters/demo/kubeconfig"
        yield Kube(cache_dir() / "clusters" / "demo" / "kubeconfig")
        main(["cluster", "down", "--all"])


def process_of_node(kube: Kube) -> int:
    return int(kube.core.read_node(NODE).metadata.annotations[AGENT_PID])


def log_of(kube: Kube) -> str:
    """What the pod has said, as its node's kubelet tells it; nothing while its container starts."""
    try:
        return str(kube.core.read_namespaced_pod_log("pod", "default"))
    except ApiException as error:
        if error.status != 400:
            raise
        return ""


def reused() -> tuple[EmbeddedCluster | None, str]:
    """The kept cluster, if a run would use it, and what is said of it."""
    said: list[str] = []
    found = EmbeddedCluster.reuse(lambda _, text: said.append(text))
    return found, "\n".join(said)


def test_a_lost_node_comes_back_with_its_pods(kept: Kube) -> None:
    kept.wait_for_namespace("default")
    kept.core.create_namespaced_pod(
        "default", pod(container("import time; print('anew'); time.sleep(600)"), nodeName=NODE)
    )
    wait_for("the pod", lambda: is_ready(kept.core.read_namespaced_pod("pod", "default")))
    before = process_of_node(kept)
    os.kill(before, signal.SIGKILL)
    wait_for("its end", lambda: start_time(before) is None)
    found, said = reused()
    assert found is not None, said
    found.close()
    assert f"demo: the node {NODE} is not Ready; what was lost of it is started again" in said
    assert "using the kept cluster demo" in said
    assert process_of_node(kept) != before
    wait_for("the pod to run again", lambda: "anew" in log_of(kept))
    wait_for("the pod", lambda: is_ready(kept.core.read_namespaced_pod("pod", "default")))


def test_up_hands_out_what_it_has_looked_at(kept: Kube, capsys: pytest.CaptureFixture[str]) -> None:
    before = process_of_node(kept)
    os.kill(before, signal.SIGKILL)
    wait_for("its end", lambda: start_time(before) is None)
    assert main(["cluster", "up"]) == 0
    told = capsys.readouterr()
    assert "clusters/demo/kubeconfig" in told.out
    assert process_of_node(kept) != before


def test_a_cluster_that_a_program_uses_is_looked_at_and_not_mended(
    kept: Kube, capsys: pytest.CaptureFixture[str]
) -> None:
    using, said = reused()
    assert using is not None, said
    before = process_of_node(kept)
    os.kill(before, signal.SIGKILL)
    wait_for("its end", lambda: start_time(before) is None)
    assert main(["cluster", "up", "demo"]) == 1
    assert f"the cluster is not well: the node {NODE} is not Ready" in capsys.readouterr().err
    assert process_of_node(kept) == before
    using.close()
    assert main(["cluster", "up", "demo"]) == 0
    assert process_of_node(kept) != before


def test_a_cluster_that_stays_unwell_is_left_alone(
    kept: Kube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "NODES_READY", Timeout(1))
    stopped = process_of_node(kept)
    os.kill(stopped, signal.SIGSTOP)
    try:
        found, said = reused()
        assert found is None, said
        assert f"the kept cluster demo is left alone: the node {NODE} is not Ready" in said
        with pytest.raises(SignoffError, match=f"the cluster is not well: the node {NODE} is not Ready"):
            EmbeddedCluster.attach(Path("demo"))
        assert main(["cluster", "up", "demo"]) == 1
        assert f"the cluster is not well: the node {NODE} is not Ready" in capsys.readouterr().err
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_the_setting_that_differs_is_named(kept: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_KUBERNETES_BIN", "/opt/kubernetes")
    found, said = reused()
    assert found is None, said
    assert said == "the kept cluster demo is left alone: SIGNOFF_KUBERNETES_BIN was unset and is /opt/kubernetes"
    told: list[str] = []
    monkeypatch.setattr(console, "_write", told.append)
    EmbeddedCluster.attach(Path("demo")).close()
    assert "demo is used as it is: SIGNOFF_KUBERNETES_BIN was unset and is /opt/kubernetes" in told[-1]
