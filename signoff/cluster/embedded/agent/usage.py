"""What the pods of a node use, in the kubelet's own words: its Summary API, as k8s.io/kubelet/pkg/apis/stats/v1alpha1.

Of that, what the load's samples are made of: the processor time of a container's processes, and the memory they hold.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from signoff.cluster.embedded.agent.clock import now
from signoff.cluster.embedded.agent.memory import below, held_by
from signoff.cluster.embedded.kubeapi import Json

_NANOSECONDS_PER_TICK = 10**9 // os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)
"""The four times of /proc/PID/stat, counted from behind the program's name (proc_pid_stat(5))."""


def summary(node: str, pods: Iterable[Json]) -> Json:
    """The node with what `pod_stats` gives of each of its pods."""
    return {"node": {"nodeName": node}, "pods": list(pods)}


def pod_stats(metadata: Json, running: Sequence[tuple[str, int]]) -> Json:
    """What a pod uses; `running` are its running containers by name, each with its main process."""
    reference = {name: metadata[name] for name in ("name", "namespace", "uid")}
    used = [(name, _nanoseconds(main), held_by(main)) for name, main in running]
    return {
        "podRef": reference,
        "containers": [{"name": name, **_stats(spent, held)} for name, spent, held in used],
        **_stats(sum(spent for _, spent, _ in used), sum(held for _, _, held in used)),
    }


def _stats(spent: int, held: int) -> Json:
    return {
        "cpu": {"time": now(), "usageCoreNanoSeconds": spent},
        "memory": {"time": now(), "workingSetBytes": held},
    }


def _nanoseconds(main: int) -> int:
    """The processor time of a process, of all below it, and of their children that have ended."""
    return sum(_ticks(each) for each in (main, *below(main))) * _NANOSECONDS_PER_TICK


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:  # it has gone
        return 0
    return sum(int(ticks) for ticks in fields[_TIMES])
