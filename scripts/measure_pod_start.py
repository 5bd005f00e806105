"""What a pod's start costs over starting its process by hand, as a Markdown table.

    python -m scripts.measure_pod_start --starts 30

All ways start the same Python of the same image, in turn: by hand, by hand in namespaces as a container has them, and
as a pod. Each is timed from the word to start (for a pod: its POST) until the program's own first look at the clock. So
the pod's time holds the API server, the scheduler and the node.
"""

import argparse
import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np

from signoff.cluster.embedded import EmbeddedCluster, namespaces, once
from signoff.cluster.embedded.images import Images
from signoff.cluster.embedded.namespaces import View, interpreter
from signoff.core.paths import cache_dir
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests

# Any image with Python does; the cluster's default LiteLLM image has it.
IMAGE = StoryManifests.read().gateway_image
COMMAND = ("python3", "-c", "import time; print(repr(time.time()))")
WARM_UP = 3


def main() -> None:
    """Measure on a cluster of its own and print the percentiles."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--starts", type=int, default=30, help="how many times to start each way (default: 30)")
    starts = parser.parse_args().starts
    python = once.prepared(Images(cache_dir()), IMAGE).env_dir / "bin" / COMMAND[0]
    cluster = EmbeddedCluster.start(images=[IMAGE])
    try:
        kube = Kube(cluster.kubeconfig)
        kube.wait_for_namespace("default")
        numbers = range(starts + WARM_UP)
        rows = [(by_hand(python), in_namespaces(python), as_pod(kube, f"start-{n}")) for n in numbers][WARM_UP:]
    finally:
        cluster.close()
    hand, apart, pod = (np.array(column) * 1000 for column in zip(*rows, strict=True))
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {starts} starts each way\n")
    print("| ms | median | p90 |\n| --- | ---: | ---: |")
    for name, values in (
        ("by hand", hand),
        ("as a pod", pod),
        ("added by namespaces", apart - hand),
        ("added by the pod", pod - hand),
    ):
        print(f"| {name} | {np.median(values):.0f} | {np.quantile(values, 0.9):.0f} |")


def by_hand(python: Path) -> float:
    """Seconds until the program's first look at the clock."""
    begun = time.time()
    done = subprocess.run([python, *COMMAND[1:]], capture_output=True, encoding="utf-8", errors="replace", check=True)
    return float(done.stdout) - begun


def in_namespaces(python: Path) -> float:
    """The same in namespaces of its own."""
    begun = time.time()
    view = View([python.parent.parent, *interpreter(python)])
    env = {"PATH": os.environ["PATH"]}
    started = namespaces.start([str(python), *COMMAND[1:]], env, Path("/"), view, marks={}, stdout=subprocess.PIPE)
    said, _ = started.communicate()
    return float(said) - begun


def as_pod(kube: Kube, name: str) -> float:
    """The same for a pod."""
    container = {"name": "main", "image": IMAGE, "command": list(COMMAND)}
    spec = {"containers": [container], "restartPolicy": "Never", "enableServiceLinks": False}
    begun = time.time()
    kube.core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})

    def over() -> None:
        phase = kube.core.read_namespaced_pod(name, "default").status.phase
        if phase != "Succeeded":
            raise NotYet(phase)

    eventually(f"the pod {name} to end", Timeout(60), over)
    started = float(kube.core.read_namespaced_pod_log(name, "default"))
    kube.core.delete_namespaced_pod(name, "default")
    return started - begun


if __name__ == "__main__":
    main()
