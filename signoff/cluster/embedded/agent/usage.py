"""What a container has used: the time of its processes, and the memory that they hold.

A kubelet would tell this through its Summary API, but the API server passes nothing on to a node on loopback. Whoever
wants to know runs on this machine anyway, and finds the processes by the container's id, which they carry.
"""

import os
from pathlib import Path

from signoff.cluster.embedded.agent.memory import below, held_by
from signoff.cluster.embedded.agent.process import marked

SCHEME = "process://"
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)
"""The four times of /proc/PID/stat, counted from behind the program's name (proc_pid_stat(5))."""


class Usage:
    """Looks at containers by their ids, as the API gives them, and remembers their main processes."""

    def __init__(self) -> None:
        self._mains: dict[str, int] = {}

    def of(self, container_id: str) -> tuple[float, int] | None:
        """Seconds of processor time and bytes of memory; None for a container that is not here, or no longer."""
        main = self._mains.get(container_id)
        if main is None or not Path(f"/proc/{main}").exists():
            found = marked(container_id.removeprefix(SCHEME))
            if not found:
                return None
            main = self._mains[container_id] = min(found)
        return sum(_seconds(each) for each in (main, *below(main))), held_by(main)


def _seconds(pid: int) -> float:
    """Of a process and of its children that have ended; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[_TIMES]) / _TICKS
