"""Which embedded clusters run, and which of them were kept to be used again.

A cluster is kept when its folder holds `KEPT_FILE`: it then outlives whoever started it, until `signoff cluster down`.
A run takes one only if the code and settings that started it are the run's own, and holds its lease meanwhile: two
runs that scale and cordon the same cluster would judge each other's doings.
"""

import fcntl
import hashlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from signoff.cluster.embedded import namespaces
from signoff.cluster.embedded.processes import memory_of
from signoff.cluster.embedded.sweep import CLUSTERS, supervisor_of, sweep
from signoff.cluster.users import program
from signoff.core import console
from signoff.core.paths import ROOT, cache_dir
from signoff.core.timeouts import PROCESS_EXIT
from signoff.core.words import listed

FACTS_FILE = "cluster.json"
KEPT_FILE = "kept"
KEEP = "keep\n"
"""What an owner tells its supervisor to have the cluster kept."""
_FACTS = ("dir", "kubeconfig", "server", "kubernetes_version", "etcd_version", "address_range", "nodes", "pids")
"""What a run takes from `FACTS_FILE`; another version of the suite may have written other things."""
UNCONFINED = "unconfined"
"""In the facts: why its containers have no namespaces of their own; empty if they have."""
OLDER = "an older version of this suite started the cluster"
_LEASE_FILE = "lease"
_SETTINGS = ("SIGNOFF_RECIPES", "SIGNOFF_KUBERNETES_BIN")


def clusters_dir() -> Path:
    """The folder that holds one folder for each running cluster."""
    return cache_dir() / CLUSTERS


def settings() -> dict[str, str]:
    """The variables that a cluster takes for good as it starts."""
    return {name: os.environ.get(name, "") for name in _SETTINGS}


def fingerprint() -> str:
    """Changes with whatever a running cluster has taken from this checkout, Python and environment for good."""
    facts = hashlib.sha256(f"{ROOT} {sys.executable} {sys.version}".encode())
    for name, value in settings().items():
        facts.update(f"{name}={value}\0".encode())
    code = [
        *Path(__file__).parent.rglob("*.py"),
        ROOT / "signoff" / "core" / "node.py",
        ROOT / "signoff" / "core" / "timeouts.py",
    ]
    for path in sorted(code):
        facts.update(path.read_bytes())
    return facts.hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """A cluster that is up; `facts` is what its supervisor wrote of it."""

    dir: Path
    facts: dict[str, Any]
    provider: ClassVar[str] = "embedded"

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.dir.name

    @property
    def kept(self) -> bool:
        """Whether it outlives whoever started it."""
        return (self.dir / KEPT_FILE).exists()

    @property
    def nodes(self) -> list[str]:
        """Those that it was started with; none where an older version did not note them."""
        return list(self.facts.get("declared_nodes", ()))

    @property
    def difference(self) -> str:
        """What but its nodes differs from a cluster started now, which keeps a run from taking it; empty if nothing."""
        if self.facts.get("fingerprint") == fingerprint():
            return self._kept_apart_otherwise()
        now = settings()
        then = self.facts.get("settings", now)  # an older version did not note them
        changed = [
            f"{name} was {then.get(name) or 'unset'} and is {now[name] or 'unset'}"
            for name in now
            if then.get(name, "") != now[name]
        ]
        return listed(changed) or "another checkout, Python or version of this code started it"

    def _kept_apart_otherwise(self) -> str:
        then, now = self.facts.get(UNCONFINED, OLDER), namespaces.why_not()
        if bool(then) is bool(now):
            return ""
        can, cannot = "its containers are kept apart by namespaces", "its containers are kept apart by nothing"
        return f"{cannot if then else can}, and {'would' if then else 'could not'} be now"

    @property
    def age_seconds(self) -> float:
        """Since it was ready."""
        return max(0.0, time.time() - float(self.facts.get("ready_at", 0)))

    @property
    def memory_mb(self) -> float:
        """Megabytes that its processes hold, pods included (the sum of PSS)."""
        return memory_of(self.facts["supervisor_pid"])

    @property
    def user(self) -> str:
        """The program that uses it just now, such as "pid 12 (pytest features/)"; empty when there is none."""
        if not self.kept:
            return program(self.facts.get("owner_pid", 0))
        lease = self.lease()
        if lease:
            lease.close()
            return ""
        return program(int((self.dir / _LEASE_FILE).read_text(encoding="utf-8") or 0))

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.dir / "kubeconfig"

    def how_to_use(self) -> str:
        """What a person does with it."""
        from signoff.cluster.embedded.usage import how_to_use  # every process of a cluster imports this module

        told = how_to_use(self.name, self.kubeconfig, self.facts.get(UNCONFINED, OLDER))
        caveat = f"  pytest and locust will not use it by themselves: {self.difference}"
        return f"{told}\n{caveat}" if self.difference else told

    def ailment(self) -> str:
        """Have its lost nodes played again, unless a program uses it; gives what is wrong still, or nothing."""
        lease = self.lease() if self.kept else None
        if lease is None:
            from signoff.cluster.embedded.health import wrong  # every process of a cluster imports this module

            return self._untold() or wrong(self.facts)
        with lease:
            return self.repair()

    def repair(self, progress: Callable[[str, str], None] = console.progress) -> str:
        """Have its lost nodes played again, by whom it has been leased to; gives what is wrong still, or nothing."""
        from signoff.cluster.embedded.health import repair  # every process of a cluster imports this module

        return self._untold() or repair(self.facts, lambda text: progress("cluster", f"{self.name}: {text}"))

    def _untold(self) -> str:
        if untold := [name for name in _FACTS if name not in self.facts]:
            return f"another version of this suite started it and did not record its {listed(untold)}"
        return ""

    def end(self) -> None:
        """End it, within 2 s, and remove all of it.

        Raises:
            SignoffError: something in its folder cannot be removed.
        """
        pid = self.facts["supervisor_pid"]
        try:
            supervisor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if supervisor_of(self.dir) == pid:  # the number was not given to another process meanwhile
                signal.pidfd_send_signal(supervisor, signal.SIGTERM)
                if not select.select([supervisor], [], [], PROCESS_EXIT.seconds)[0]:
                    signal.pidfd_send_signal(supervisor, signal.SIGKILL)
                    select.select([supervisor], [], [])
        finally:
            os.close(supervisor)
        if self.dir.exists():
            sweep(self.dir.parent)

    def lease(self) -> IO[str] | None:
        """The right to use it alone, until this is closed or this process ends; None while another has it."""
        file = (self.dir / _LEASE_FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file


def running() -> list[Running]:
    """The clusters of this user's cache that are up, the newest first."""
    found = []
    for folder in clusters_dir().glob("[!.]*/"):  # not those that are being made or removed
        try:
            facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # it is still starting, or ends just now
        if supervisor_of(folder) is not None and "supervisor_pid" in facts:
            found.append(Running(folder, facts))
    return sorted(found, key=lambda each: each.age_seconds)
