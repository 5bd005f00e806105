"""What the suite's own cluster does wrong is never LiteLLM's failure: parts of it are killed in mid-run."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from signoff.report import PAGES
from signoff.verdicts import ExitStatus
from tests.embedded import cluster_in, processes_of, run_features
from tests.processes import said_until


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def one_by_name(name: str) -> Callable[[str], bool]:
    return lambda command: Path(command.partition(" ")[0]).name == name


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("is_killed", "told"),
    [
        pytest.param(one_by_name("etcd"), "etcd was killed by signal 9", id="etcd"),
        pytest.param(  # of the control plane's programs etcd is killed every day
            one_by_name("kube-apiserver"),
            "kube-apiserver was killed by signal 9",
            id="kube-apiserver",
            marks=pytest.mark.prove,
        ),
        pytest.param(lambda command: "embedded.agent" in command, "agent was killed by signal 9", id="node agents"),
    ],
)
def test_a_part_of_the_cluster_that_is_killed_is_not_held_against_litellm(
    is_killed: Callable[[str], bool], told: str, tmp_path: Path
) -> None:
    process = run_features(tmp_path / "reports")
    seen = said_until(process, "deploy: vLLM and LiteLLM start")
    killed = [pid for pid in processes_of(cluster_in(seen)) if is_killed(command_of(pid))]
    assert killed, seen
    for pid in killed:
        with suppress(ProcessLookupError):  # a node's agent dies with the process that forked it
            os.kill(pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=120)
    output = seen + rest
    assert process.returncode == ExitStatus.INCONCLUSIVE, output
    (run_dir,) = (tmp_path / "reports").iterdir()
    for text in (output, *((run_dir / name).read_text() for name in (*PAGES, "junit.xml"))):
        assert told in text
    assert "Traceback" not in output
    assert "AC1     inconclusive" in output
