"""Whether a kept cluster is well, and how its lost nodes come back: it is looked at before it is used again."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.cluster.embedded.agent.node import AGENT_PID, AGENT_START
from signoff.cluster.embedded.processes import is_that
from signoff.core.timeouts import API_REQUEST, NODES_READY
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.core.words import listed
from signoff.kube.client import Kube


def wrong(facts: dict[str, Any]) -> str:
    """What is wrong with the cluster with these facts, which is left as it is; or nothing."""
    try:
        sick = _sick(Kube(Path(facts["kubeconfig"])), facts["nodes"], Path(facts["dir"]))
    except (ApiException, HTTPError) as error:
        return _silent(error)
    return _told(sick) if sick else ""


def repair(facts: dict[str, Any], progress: Callable[[str], None]) -> str:
    """Bring lost nodes of the cluster with these facts back; gives what is still wrong, or nothing."""
    kube, nodes, cluster = Kube(Path(facts["kubeconfig"])), facts["nodes"], Path(facts["dir"])
    try:
        sick = _sick(kube, nodes, cluster)
        if not sick:
            return ""
        progress(f"{_told(sick)}; what was lost of it is started again")
        _revive(facts["pids"]["agent"], facts.get("starts", {}).get("agent"), cluster)
        eventually("the nodes to come back", NODES_READY, lambda: _see_well(kube, nodes, cluster))
    except (ApiException, HTTPError) as error:
        return _silent(error)
    except ProcessLookupError:
        return "the process that plays its nodes has ended"
    except WaitFailed as failed:
        return failed.observation
    return ""


def _silent(error: Exception) -> str:
    return f"its API does not answer: {type(error).__name__}"


def _revive(agent: int, started: int | None, cluster: Path) -> None:
    """Have the agent play all its nodes again.

    Raises:
        ProcessLookupError: it has ended.
    """
    process = os.pidfd_open(agent)
    try:
        if not is_that(agent, started, cluster):
            raise ProcessLookupError  # the PID is another's now, whom SIGHUP might end
        signal.pidfd_send_signal(process, signal.SIGHUP)
    finally:
        os.close(process)


def _see_well(kube: Kube, nodes: list[str], cluster: Path) -> None:
    if sick := _sick(kube, nodes, cluster):
        raise NotYet(_told(sick))


def _sick(kube: Kube, nodes: list[str], cluster: Path) -> list[str]:
    """Those that do not count as Ready, or whose process is gone or stopped, long before they count so.

    Their kubelets cannot be asked through the API server, which proxies to no address of loopback.
    """
    found = kube.core.list_node(_request_timeout=API_REQUEST.seconds).items
    ready = {node.metadata.name for node in found if any(map(_is_well, node.status.conditions or []))}
    played = {node.metadata.name for node in found if _is_played(node.metadata.annotations or {}, cluster)}
    return sorted({*nodes} - (ready & played))


def _is_played(annotations: Mapping[str, str], cluster: Path) -> bool:
    pid, started = annotations.get(AGENT_PID), annotations.get(AGENT_START)
    return pid is not None and is_that(int(pid), int(started) if started else None, cluster) and _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_well(condition: Any) -> bool:
    return bool(condition.type == "Ready" and condition.status == "True")


def _told(sick: list[str]) -> str:
    return f"the node{'s' if len(sick) > 1 else ''} {listed(sick)} {'are' if len(sick) > 1 else 'is'} not Ready"
