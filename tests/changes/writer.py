"""A run that writes to a person's cluster, or puts things back, and is killed at a moment that is counted out.

Moments are all between which something has happened that outlives the process: a line of the journal that is begun,
whole or synced, and a request that has been answered.
"""

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes.client.rest import RESTClientObject

from signoff.changes.journal import Journal
from signoff.changes.rights import Right, Scope
from signoff.changes.session import Run, Session, restore
from signoff.changes.target import Named
from signoff.kube import client
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from tests.changes.home import config_map, workload

NODES = ("k3s-worker-01", "k3s-worker-02")


class Moments:
    """Counts moments, and kills this process at one of them; never if there are fewer."""

    def __init__(self, last: int) -> None:
        self._last, self._count = last, 0
        add, passed = Journal.add, client._Gated.request

        def added(journal: Journal, entry: Any) -> None:
            self.one()
            if self._count + 1 == self._last:
                with journal.path.open("ab") as file:
                    file.write(entry.model_dump_json().encode()[:40])
            self.one()
            add(journal, entry)
            self.one()

        def requested(gated: Any, method: str, url: str, **more: Any) -> Any:
            if method != "GET" and "/leases" not in url:
                self.one()
            answer = passed(gated, method, url, **more)
            if method != "GET" and "/leases" not in url:
                self.one()
            return answer

        Journal.add, client._Gated.request = added, requested  # type: ignore[method-assign, assignment]
        inner = RESTClientObject.request

        def sent(rest: Any, method: str, url: str, **more: Any) -> Any:
            answer = inner(rest, method, url, **more)
            if method != "GET" and "/leases" not in url:
                answer.read()
                self.one()
            return answer

        RESTClientObject.request = sent

    def one(self) -> None:
        self._count += 1
        if self._count == self._last:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def changes(suite: Kube, home: str) -> list[Callable[[], Any]]:
    """What a run may do, in any order."""

    def applied(body: dict[str, Any]) -> None:
        suite.apply(Manifest(Path("manifest.yaml"), "", body), home)

    def patched(**data: str | None) -> None:
        suite.core.patch_namespaced_config_map("settings", home, {"data": data})

    return [
        lambda: suite.scale(home, "gateway", 0),
        lambda: suite.scale(home, "gateway", 1),
        lambda: suite.scale(home, "idle", 1),
        lambda: patched(a="other", b=None),
        lambda: patched(a="third", c="new"),
        lambda: applied(config_map("made", x="y")),
        lambda: suite.delete("v1", "ConfigMap", home, "made"),
        lambda: applied(workload("copy")),
        lambda: suite.core.create_namespaced_config_map(home, config_map("created", x="y")),
        *(lambda node=node: suite.cordon(node, cordoned=True) for node in NODES),
        lambda: suite.cordon(NODES[0], cordoned=False),
        lambda: suite.mark(NODES[0], {"colour": "red"}, {("key", "NoSchedule"): "value"}),
        lambda: suite.mark(NODES[0], {"colour": "blue"}, {("key", "NoSchedule"): None}),
        lambda: suite.advertise(NODES[1], {"example.com/gpu": 2}),
    ]


def main() -> None:
    asked = argparse.ArgumentParser()
    for name in ("kubeconfig", "home", "run"):
        asked.add_argument(name)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--killed-at", type=int, default=0)
    asked.add_argument("--restore", type=Path)
    given = asked.parse_args()
    kubeconfig = Path(given.kubeconfig)
    Moments(given.killed_at)
    if given.restore:
        restore(kubeconfig, Journal.at(given.restore))
        return
    named = frozenset(Named.of(each, given.home) for each in (workload("gateway"), config_map("settings")))
    scope = Scope(frozenset(Right), frozenset({given.home}), named)
    session = Session(kubeconfig, Run(given.run, Path("report"), "home"), scope)
    print("writes", flush=True)
    every = changes(Kube(kubeconfig, session.gate), given.home)
    for change in random.Random(given.seed).sample(every, len(every)):
        change()
    print("has written", flush=True)
    session.close()


if __name__ == "__main__":
    main()
