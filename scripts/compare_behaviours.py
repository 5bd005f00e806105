"""Whether the embedded cluster behaves as a real one does, as a Markdown table.

    python -m scripts.compare_behaviours --kubeconfig PATH      # a kind cluster whose nodes have the LiteLLM image
    python -m scripts.compare_behaviours --kubeconfig PATH --only "Crash loop"

The behaviours are those of tests/embedded/behaviours.py. The embedded cluster is started for them unless
`--embedded-kubeconfig` names one. On both, the namespaces made here are removed again; kind's nodes are lost by
`docker pause`. Exits 1 when anything differs.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.agent.node import AGENT_PID
from signoff.console import progress
from signoff.kube import Kube
from signoff.manifests import StoryManifests
from signoff.paths import MANIFESTS
from tests.embedded.behaviours import BEHAVIOURS, Behaviour, Cluster, Observations

# Any image with Python does; the story's own is on every cluster that it is judged on.
IMAGE = StoryManifests.read(MANIFESTS).gateway_image
PYTHON = ("python3", "-u", "-c")
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
Pause = Callable[[Kube, str], Callable[[], object]]
"""Stops what plays a node, and gives what lets it go on."""


def main() -> None:
    """Observe every behaviour on both clusters, one cluster after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="of the kind cluster")
    parser.add_argument("--embedded-kubeconfig", type=Path, help="of an embedded cluster that runs already")
    parser.add_argument("--only", action="append", default=[], help="a behaviour's name, or part of it; repeatable")
    options = parser.parse_args()
    chosen = [each for each in BEHAVIOURS if not options.only or any(part in each.name for part in options.only)]
    if not chosen:
        parser.error(f"no behaviour has a name with {' or '.join(options.only)} in it")
    with ExitStack() as stack:
        if not (embedded := options.embedded_kubeconfig):
            started = EmbeddedCluster.start(images=[IMAGE])
            stack.callback(started.close)
            embedded = started.kubeconfig
        here = observed("embedded", embedded, pause_agent, chosen)
    there = observed("kind", options.kubeconfig, pause_container, chosen)
    print("| behaviour | embedded | kind | same? |\n| --- | --- | --- | --- |")
    for each, ours, theirs in zip(chosen, here, there, strict=True):
        print(
            f"| {each.name} | {ours} | {theirs if theirs != ours else '='} | {'yes' if ours == theirs else '**no**'} |"
        )
    print(f"\n{sum(map(str.__eq__, here, there))} of {len(chosen)} are the same.")
    sys.exit(here != there)


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

    nodes = [node.metadata for node in kube.core.list_node().items if _CONTROL_PLANE not in node.metadata.labels]
    first, last = nodes[0].name, nodes[-1].name
    observing = Observations(
        Cluster(kube, IMAGE, PYTHON, (first, last), lose, Lock()), f"behaviour-{secrets.token_hex(3)}", list(chosen)
    )
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


def pause_container(kube: Kube, node: str) -> Callable[[], object]:
    """Stop the container that is a node of kind."""
    del kube  # the container has the node's name
    subprocess.run(["docker", "pause", node], check=True, capture_output=True)
    return lambda: subprocess.run(["docker", "unpause", node], check=True, capture_output=True)


if __name__ == "__main__":
    main()
