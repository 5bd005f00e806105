"""A kubelet's Summary API, as far as a pod's processes tell: processor time and memory of each pod.

Its form is https://pkg.go.dev/k8s.io/kubelet/pkg/apis/stats/v1alpha1, of which the counters alone are given: rates and
file systems are left out.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff.cluster.embedded.agent.memory import below, held_by

_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)
"""The four times of /proc/PID/stat, counted from behind the program's name (proc_pid_stat(5))."""


def summary(node: str, pods: Iterable[tuple[dict[str, Any], list[int]]]) -> dict[str, Any]:
    """The answer to /stats/summary; each pod comes with the main processes of its containers."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"node": {"nodeName": node}, "pods": [_pod(meta, pids, now) for meta, pids in pods]}


def _pod(meta: dict[str, Any], pids: list[int], now: str) -> dict[str, Any]:
    held = sum(held_by(pid) for pid in pids)
    return {
        "podRef": {name: meta[name] for name in ("name", "namespace", "uid")},
        "cpu": {"time": now, "usageCoreNanoSeconds": sum(_used(each) for pid in pids for each in (pid, *below(pid)))},
        "memory": {"time": now, "workingSetBytes": held, "rssBytes": held},
    }


def _used(pid: int) -> int:
    """Nanoseconds of processor time of a process and of its children that have ended; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(ticks) for ticks in fields[_TIMES]) * 1_000_000_000 // _TICKS
