"""A cluster belongs to who started it: nobody else can use it, and it ends with its owner, however that ends."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import yaml

from signoff.cluster import embedded
from signoff.cluster.embedded import EmbeddedCluster, controlplane, namespaces, postmortem
from signoff.cluster.embedded.address_range import free_ports
from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.cluster.embedded.cluster_registry import FACTS_FILE
from signoff.cluster.embedded.controlplane import Children
from signoff.cluster.embedded.processes import descendants, start_time
from signoff.cluster.embedded.sweep import make_cluster_dir, remove, short_path, supervisor_of
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT, cache_dir
from signoff.kube.client import Kube
from tests.embedded import container, own_cache, pod, processes_of, status, wait_for
from tests.processes import start
from tests.sampling import sampled

OWNER = """
import sys, time
from signoff.cluster.embedded import EmbeddedCluster
cluster = EmbeddedCluster.start()
print(cluster.dir, cluster.supervisor_pid, flush=True)
time.sleep(600)
"""


def test_three_nodes_are_ready_and_said(cluster: EmbeddedCluster, kube: Kube) -> None:
    names = {node.metadata.name for node in kube.core.list_node().items}
    facts = cluster.facts()
    assert names == set(facts.nodes) == {"k3s-worker-01", "k3s-worker-02", "k3s-gpu-worker"}
    assert facts.kubernetes_version.startswith("v1.")
    assert facts.start_seconds["total"] > 0


def test_a_node_whose_agent_is_stopped_is_silent_at_once(cluster: EmbeddedCluster, kube: Kube) -> None:
    nodes = cluster.facts().nodes
    assert kube.silent_nodes(nodes) == []
    agent = int(kube.core.read_node(nodes[0]).metadata.annotations[AGENT_PID])
    os.kill(agent, signal.SIGSTOP)
    try:
        assert kube.silent_nodes(nodes) == [nodes[0]]
    finally:
        os.kill(agent, signal.SIGCONT)
    assert kube.silent_nodes(nodes) == []


def test_strangers_are_turned_away(cluster: EmbeddedCluster) -> None:
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0
    assert cluster.dir.stat().st_mode & 0o077 == 0
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    assert httpx.get(f"{server}/api/v1/nodes", verify=trusting, trust_env=False).status_code == 401


def test_two_clusters_do_not_meet(cluster: EmbeddedCluster, kube: Kube) -> None:
    second = EmbeddedCluster.start()
    try:
        other = Kube(second.kubeconfig)
        other.core.create_namespace({"metadata": {"name": "only-there"}})
        assert second.facts().details["address_range"] != cluster.facts().details["address_range"]
        assert "only-there" not in {each.metadata.name for each in kube.core.list_namespace().items}
        other.wait_for_namespace("only-there")
        other.core.create_namespaced_pod("only-there", pod(container("import time; time.sleep(600)")))
        wait_for("the pod to run", lambda: status(other, "only-there").phase == "Running")
    finally:
        second.close()
    assert not second.dir.exists()
    assert processes_of(second.dir) == []
    assert kube.core.list_node().items


def test_attaching_leaves_a_cluster_running(cluster: EmbeddedCluster) -> None:
    attached = EmbeddedCluster.attach(cluster.dir)
    attached.close()
    assert cluster.failure() is None
    with pytest.raises(SignoffError, match="no embedded cluster is running there"):
        EmbeddedCluster.attach(cluster.dir / "nothing")


def started_owner() -> tuple["subprocess.Popen[str]", Path, int]:
    owner = start([sys.executable, "-c", OWNER], ROOT)
    assert owner.stdout is not None
    found = next(line for line in owner.stdout if line.startswith("/"))
    folder, supervisor = found.split()
    return owner, Path(folder), int(supervisor)


@pytest.mark.cluster
@pytest.mark.parametrize("number", sampled([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], every=3))
def test_a_cluster_ends_with_its_owner(number: signal.Signals) -> None:
    owner, folder, _ = started_owner()
    assert processes_of(folder)
    owner.send_signal(number)
    owner.wait(30)
    wait_for("nothing to be left", lambda: not processes_of(folder) and not folder.exists())
    assert not short_path(folder).is_symlink()


def guardians(supervisor: int, folder: Path) -> list[int]:
    """The only child of a supervisor that does not carry the cluster's mark."""
    return [pid for pid in descendants(supervisor) if pid not in processes_of(folder)]


@pytest.mark.cluster
def test_what_a_killed_supervisor_left_is_swept_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache(tmp_path, monkeypatch)  # any other start would sweep it first
    living = cache_dir() / "clusters" / "living"
    make_cluster_dir(living)
    owner, folder, supervisor = started_owner()
    os.kill(owner.pid, signal.SIGSTOP)
    for each in (*guardians(supervisor, folder), supervisor):
        os.kill(each, signal.SIGKILL)
    wait_for("its end", lambda: start_time(supervisor) is None)
    said: list[str] = []
    EmbeddedCluster.start(lambda subject, text: said.append(text)).close()
    owner.kill()
    owner.wait()
    assert any(folder.name in text for text in said)
    assert processes_of(folder) == []
    assert not folder.exists()
    assert supervisor_of(living) == os.getpid()
    remove(living)


@pytest.mark.cluster
def test_why_a_cluster_ended_is_told_later(tmp_path: Path) -> None:
    own = EmbeddedCluster.start()
    os.kill(json.loads((own.dir / FACTS_FILE).read_text())["pids"]["kube-scheduler"], signal.SIGKILL)
    wait_for("its end", lambda: not own.dir.exists())
    failure = own.failure()
    assert failure is not None
    assert "kube-scheduler was killed by signal 9" in failure.what
    own.export_logs(tmp_path)
    assert (tmp_path / "kube-apiserver.log").exists()
    with pytest.raises(SignoffError, match="kube-scheduler was killed"):
        EmbeddedCluster.attach(own.dir)
    own.close()


WAITS_IN_VAIN = "import os, sys, time; there = os.path.exists('{0}'); open('{0}', 'w'); time.sleep(9 if there else 0.5)"


@pytest.fixture
def soon_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter than `WAITS_IN_VAIN` waits."""
    monkeypatch.setattr(controlplane, "_PATIENCE_SECONDS", 0.3)


@pytest.mark.usefixtures("soon_in_vain")
def test_a_program_that_waited_in_vain_is_started_again_while_the_cluster_starts(tmp_path: Path) -> None:
    async def run() -> None:
        children = Children(tmp_path)
        await children.start("patient", [sys.executable, "-c", WAITS_IN_VAIN.format(tmp_path / "seen")], patient=True)
        first = children.pids["patient"]
        while children.pids["patient"] == first:  # noqa: ASYNC110 - a task of Children writes it
            await asyncio.sleep(0.05)
        children.all_started()
        os.kill(children.pids["patient"], signal.SIGKILL)
        assert "patient was killed by signal 9" in (await children.first_end()).what

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.usefixtures("soon_in_vain")
def test_a_program_that_waits_for_nobody_is_not_started_again(tmp_path: Path) -> None:
    async def run() -> SignoffError:
        children = Children(tmp_path)
        await children.start("etcd", [sys.executable, "-c", WAITS_IN_VAIN.format(tmp_path / "seen")])
        return await children.first_end()

    assert asyncio.run(asyncio.wait_for(run(), 20)).what.startswith("etcd ended")


def test_a_new_cluster_has_not_ended_because_one_of_its_name_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmortem, "cache_dir", lambda: tmp_path)
    folder = tmp_path / "clusters" / "mine"
    postmortem.note_end(folder, SignoffError("etcd was killed"))
    assert postmortem.reason_of_end(folder)
    # Stands for the start of a supervisor, which is not needed to see whose end is told.
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: SimpleNamespace(stdout=[]))
    monkeypatch.setattr(embedded, "_end", lambda *_: None)
    monkeypatch.setattr(namespaces, "why_not", lambda: "")
    monkeypatch.setattr(embedded, "clusters_dir", lambda: tmp_path / "clusters")
    monkeypatch.setattr(embedded, "sweep", lambda _: [])
    with pytest.raises(SignoffError, match="the supervisor of the embedded cluster died"):
        EmbeddedCluster.start(name="mine")
    assert postmortem.reason_of_end(folder) is None


def test_a_program_that_ends_at_once_is_not_started_again(tmp_path: Path) -> None:
    async def run() -> SignoffError:
        children = Children(tmp_path)
        await children.start("broken", [sys.executable, "-c", "raise SystemExit('bad flag')"])
        return await children.first_end()

    error = asyncio.run(asyncio.wait_for(run(), 20))
    assert error.what == "broken ended with exit code 1: bad flag"
    assert error.where.endswith("logs/broken.log")


def test_ports_that_are_asked_for_together_differ() -> None:
    assert len(set(free_ports("127.0.0.1", 500))) == 500
