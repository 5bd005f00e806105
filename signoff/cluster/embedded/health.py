"""Whether a kept cluster is well, and how its lost nodes come back: it is looked at before it is used again."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.core.timeouts import API_REQUEST, NODES_READY
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.core.words import listed
from signoff.kube.client import Kube


def repair(facts: dict[str, Any], progress: Callable[[str], None]) -> str:
    """Bring lost nodes of the cluster with these facts back; gives what is still wrong, or nothing."""
    kube, nodes = Kube(Path(facts["kubeconfig"])), facts["nodes"]
    try:
        sick = _sick(kube, nodes)
        if not sick:
            return ""
        progress(f"{_told(sick)}; what was lost of it is started again")
        os.kill(facts["pids"]["agent"], signal.SIGHUP)
        eventually("the nodes to come back", NODES_READY, lambda: _see_well(kube, nodes))
    except (ApiException, HTTPError) as error:
        return f"its API does not answer: {type(error).__name__}"
    except ProcessLookupError:
        return "the process that plays its nodes has ended"
    except WaitFailed as failed:
        return failed.observation
    return ""


def _see_well(kube: Kube, nodes: list[str]) -> None:
    if sick := _sick(kube, nodes):
        raise NotYet(_told(sick))


def _sick(kube: Kube, nodes: list[str]) -> list[str]:
    """Those that do not count as Ready, or whose process is gone or stopped, long before they count so.

    Their kubelets cannot be asked through the API server, which proxies to no address of loopback.
    """
    found = kube.core.list_node(_request_timeout=API_REQUEST.seconds).items
    ready = {node.metadata.name for node in found if any(map(_is_well, node.status.conditions or []))}
    agents = {node.metadata.name: (node.metadata.annotations or {}).get(AGENT_PID) for node in found}
    played = {name for name, pid in agents.items() if pid and _runs(int(pid))}
    return sorted({*nodes} - (ready & played))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_well(condition: Any) -> bool:
    return bool(condition.type == "Ready" and condition.status == "True")


def _told(sick: list[str]) -> str:
    return f"the node{'s' if len(sick) > 1 else ''} {listed(sick)} {'are' if len(sick) > 1 else 'is'} not Ready"
