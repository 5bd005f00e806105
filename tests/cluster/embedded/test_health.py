"""A cluster's processes are known by more than their PID, and what another version noted of them is not trusted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff.cli import main
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.cluster_registry import FACTS_FILE
from signoff.cluster.embedded.health import _revive
from signoff.cluster.embedded.processes import MARK, is_that, start_time
from signoff.cluster.embedded.sweep import make_cluster_dir, remove
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from tests.embedded import processes_of, wait_for


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process of no cluster, which SIGHUP would end."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_pid_that_is_another_s_now_is_not_taken_for_the_process_that_had_it(stranger: int, tmp_path: Path) -> None:
    started = start_time(stranger)
    assert started is not None
    assert is_that(stranger, started, tmp_path)
    assert not is_that(stranger, started - 1, tmp_path)
    assert not is_that(stranger, None, tmp_path), "it has no mark"
    with pytest.raises(ProcessLookupError):
        _revive(stranger, started - 1, tmp_path)
    assert start_time(stranger) == started, "it has not been sent a signal"


def test_a_process_of_which_an_older_version_noted_no_start_is_known_by_its_mark(tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(tmp_path)})
    try:
        wait_for("its start", lambda: processes_of(tmp_path))
        assert is_that(process.pid, None, tmp_path)
        assert not is_that(process.pid, None, tmp_path / "another")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cluster, supervised by this process, of which an older version noted less."""
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path))
    cluster = tmp_path / "clusters" / "demo"
    make_cluster_dir(cluster)
    facts = {"dir": str(cluster), "kubeconfig": "", "slot": 0, "nodes": [], "supervisor_pid": os.getpid()}
    (cluster / FACTS_FILE).write_text(json.dumps(facts))
    (cluster / "kept").touch()
    yield cluster
    remove(cluster)


def test_a_cluster_of_an_older_version_is_refused_in_a_sentence_and_listed(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SignoffError, match="another version of this suite started it") as refused:
        EmbeddedCluster.attach(Path("demo"))
    assert "address_range" in refused.value.what
    assert refused.value.hint.endswith("signoff cluster down demo")
    assert main(["cluster", "up", "demo"]) == 1
    assert "the cluster is not well: another version of this suite started it" in capsys.readouterr().err
    said: list[str] = []
    assert EmbeddedCluster.reuse(lambda _, text: said.append(text)) is None
    assert "demo is left alone: another checkout, Python or version of this code started it" in said[0]


TENDS = """
import signal, subprocess
from types import SimpleNamespace
import signoff.cluster.embedded.agent.__main__ as agent

played = []
def fork(config, node):
    played.append(node)
    null = subprocess.DEVNULL
    return subprocess.Popen(["sleep", "60"], stdin=null, stdout=null, stderr=null).pid

def killed_as_sighup_comes(_):
    children = [int(pid) for pid in open("/proc/self/task/{}/children".format(agent.os.getpid())).read().split()]
    agent.os.kill(children[0], signal.SIGKILL)
    agent.os.waitid(agent.os.P_PID, children[0], agent.os.WEXITED | agent.os.WNOWAIT)
    if len(played) > 1:
        raise SystemExit
    if asked:
        raise SystemExit("the lost node is not played again")
    asked.append(1)
    return signal.SIGHUP

asked = []
agent.fork, agent.signal.sigwait = fork, killed_as_sighup_comes
agent.tend(SimpleNamespace(nodes=("a",)))
"""


def test_a_node_that_ended_as_the_order_to_revive_it_came_is_revived() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TENDS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
