"""Whether the embedded cluster behaves as a real one does, as a Markdown table.

    python -m scripts.compare_behaviours
    python -m scripts.compare_behaviours --attach DIR --only "Crash loop"

The behaviours are those of signoff/cluster/conformance.py. A cluster of each kind is started for them, and removed
again; a kind cluster that was kept is used with `--attach`. An embedded node is lost by SIGSTOP, a kind one by
`docker pause`. Exits 1 when anything differs.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Lock

from signoff import story
from signoff.cluster.conformance import BEHAVIOURS, Behaviour, Cluster, Observations
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.cluster.kind import KindCluster
from signoff.core.console import progress
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests

# Any image with Python does; the story's own is on every cluster that it is judged on.
IMAGE = StoryManifests.read().gateway_image
PYTHON = ("python3", "-u", "-c")
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
Pause = Callable[[Kube, str], Callable[[], object]]
"""Stops what plays a node, and gives what lets it go on."""


def main() -> None:
    """Observe every behaviour on both clusters, one cluster after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attach", type=Path, metavar="DIR", help="the folder of a kind cluster that runs already")
    parser.add_argument("--only", action="append", default=[], help="a behaviour's name, or part of it; repeatable")
    options = parser.parse_args()
    chosen = [each for each in BEHAVIOURS if not options.only or any(part in each.name for part in options.only)]
    if not chosen:
        parser.error(f"no behaviour has a name with {' or '.join(options.only)} in it")
    with closing(EmbeddedCluster.start(images=[IMAGE])) as embedded:
        here = observed("embedded", embedded.kubeconfig, pause_agent, chosen)
    with closing(open_kind(options.attach)) as kind:
        there = observed("kind", kind.kubeconfig, partial(pause_container, kind), chosen)
    print("| behaviour | embedded | kind | same? |\n| --- | --- | --- | --- |")
    for each, ours, theirs in zip(chosen, here, there, strict=True):
        print(
            f"| {each.name} | {ours} | {theirs if theirs != ours else '='} | {'yes' if ours == theirs else '**no**'} |"
        )
    print(f"\n{sum(map(str.__eq__, here, there))} of {len(chosen)} are the same.")
    sys.exit(here != there)


def open_kind(attach: Path | None) -> KindCluster:
    """The kind cluster to compare with; each of its workers has the image."""
    images = {IMAGE: story.ALLOWED_NODES}
    return KindCluster.attach(attach, images=images) if attach else KindCluster.start(images=images)


def observed(name: str, kubeconfig: Path, pause: Pause, chosen: Sequence[Behaviour]) -> list[str]:
    """What was seen of each behaviour on one cluster."""
    kube = Kube(kubeconfig)

    @contextmanager
    def lose(node: str) -> Iterator[None]:
        go_on = pause(kube, node)
        try:
            yield
        finally:
            go_on()

    cluster = Cluster(kube, IMAGE, PYTHON, story.ALLOWED_NODES, lose, Lock())
    observing = Observations(cluster, f"behaviour-{secrets.token_hex(3)}", list(chosen))
    try:
        seen = []
        for each in chosen:
            seen.append(observing.of(each).replace("|", "\\|").replace("\n", " "))
            progress(name, f"{each.name}: {seen[-1]}")
        return seen
    finally:
        observing.close()


def pause_agent(kube: Kube, node: str) -> Callable[[], object]:
    """Stop the process that plays a node of the embedded cluster."""
    pid = int(kube.core.read_node(node).metadata.annotations[AGENT_PID])
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def pause_container(kind: KindCluster, kube: Kube, node: str) -> Callable[[], object]:
    """Stop the container that is a node of kind."""
    del kube  # Docker knows the node
    container = kind.container_of(node)
    subprocess.run(["docker", "pause", container], check=True, capture_output=True)
    return lambda: subprocess.run(["docker", "unpause", container], check=True, capture_output=True)


if __name__ == "__main__":
    main()
