"""How long an embedded cluster takes to start and to end, what it holds in memory, and whether it leaves anything.

    python -m scripts.measure_start --starts 30                 # fails if a process, folder or file is left behind
    python -m scripts.measure_start --starts 3 --kind PATH/kind # and kind, in turn: as many nodes, a kubelet on each

The result is a Markdown table. Memory is the sum of PSS over all processes of the cluster (proc_pid_smaps(5)), its
supervisor included: pages that several share count once. `--kind` needs a running Docker engine, root, and the node
image; it creates and deletes clusters called signoff-measure.
"""

import argparse
import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.cluster_registry import clusters_dir
from signoff.cluster.embedded.processes import descendants, marked, memory_of, start_time
from signoff.core.paths import ROOT, cache_dir
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube, is_ready

KIND_NAME = "signoff-measure"
WORKERS = 3
SOON = Timeout(180, every=0.05)
Figures = dict[str, float]


def main() -> None:
    """Start and end clusters one after the other and print the medians; exit status 1 if anything was left."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--starts", type=int, default=5, help="how many clusters to start (default: 5)")
    parser.add_argument("--kind", type=Path, help="the program kind, to measure it beside")
    options = parser.parse_args()
    os.environ["SIGNOFF_RECIPES"] = str(ROOT / "tests" / "embedded" / "recipes")
    sides: dict[str, Callable[[], Figures]] = {"embedded": embedded_start}
    if options.kind:
        sides["kind"] = partial(kind_start, options.kind)
    figures: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in sides}
    atexit.register(tell_what_is_left, set_apart())  # runs last: Kubernetes' client removes its files at exit as well
    for number in range(options.starts):
        print(f"start {number + 1} of {options.starts}, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for side, start in sides.items():
            for name, value in start().items():
                figures[side][name].append(value)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, medians of {options.starts} starts (lowest to highest)\n")
    print_table(figures)


def print_table(figures: dict[str, dict[str, list[float]]]) -> None:
    """A row for each figure, a column for each side."""
    print(f"| | {' | '.join(figures)} |\n| --- |{' ---: |' * len(figures)}")
    for name in figures["embedded"]:
        cells = [side.get(name) for side in figures.values()]
        print(f"| {name} | {' | '.join(told(values) if values else '' for values in cells)} |")


def told(values: list[float]) -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def embedded_start() -> Figures:
    """The figures of one embedded cluster: seconds, and MB of memory."""
    begun = time.monotonic()
    cluster = EmbeddedCluster.start(lambda *_: None, images=["signoff.test/snake:1"])
    ready = time.monotonic()
    empty = memory_of(cluster.supervisor_pid)
    pod = first_pod(Kube(cluster.kubeconfig), "signoff.test/snake:1", args=["-c", "import time; time.sleep(600)"])
    everyone = [(pid, start_time(pid)) for pid in (cluster.supervisor_pid, *descendants(cluster.supervisor_pid))]
    ending = time.monotonic()
    cluster.close()
    ended = time.monotonic()
    alive = [pid for pid, started in everyone if started is not None and start_time(pid) == started]
    if alive:
        raise SystemExit(f"the processes {alive} outlived their cluster {cluster.dir}")
    return {
        "start to three Ready nodes, s": ready - begun,
        "then to the first Ready pod, s": pod,
        "start to the first Ready pod, s": ready - begun + pod,
        "memory (PSS) with three Ready nodes, MB": empty,
        "end, s": ended - ending,
        **{f"of the start: {phase}, s": s for phase, s in cluster.facts().start_seconds.items() if phase != "total"},
    }


def kind_start(kind: Path) -> Figures:
    """The same of one kind cluster with a control plane and three workers."""
    with tempfile.TemporaryDirectory(prefix="signoff-") as folder:
        kubeconfig, config = Path(folder, "kubeconfig"), Path(folder, "kind.json")
        roles = ["control-plane", *["worker"] * WORKERS]
        head = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4"}
        config.write_text(json.dumps({**head, "nodes": [{"role": role} for role in roles]}), encoding="utf-8")
        common = ("--name", KIND_NAME, "--kubeconfig", str(kubeconfig))
        begun = time.monotonic()
        try:
            run(kind, "create", "cluster", *common, "--config", str(config), "--image", "kindest/node:v1.35.4")
            kube = Kube(kubeconfig)
            eventually("the workers to be Ready", SOON, lambda: workers_ready(kube))
            ready = time.monotonic()
            containers = run("docker", "ps", "-q", "--filter", f"label=io.x-k8s.kind.cluster={KIND_NAME}").split()
            mains = [int(run("docker", "inspect", "-f", "{{.State.Pid}}", each)) for each in containers]
            empty = sum(memory_of(pid) for pid in mains)
            pod = first_pod(kube, pause_image(kube))
        finally:
            ending = time.monotonic()
            run(kind, "delete", "cluster", *common)
        return {
            "start to three Ready nodes, s": ready - begun,
            "then to the first Ready pod, s": pod,
            "start to the first Ready pod, s": ready - begun + pod,
            "memory (PSS) with three Ready nodes, MB": empty,
            "end, s": time.monotonic() - ending,
        }


def run(*command: str | Path) -> str:
    """Run a program and return what it says."""
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace").stdout


def workers_ready(kube: Kube) -> None:
    """Raise `NotYet` until the workers are."""
    workers = [
        n for n in kube.core.list_node().items if "node-role.kubernetes.io/control-plane" not in n.metadata.labels
    ]
    ready = [node for node in workers if is_ready(node)]
    if len(ready) < WORKERS:
        raise NotYet(f"{len(ready)} of {WORKERS}")


def pause_image(kube: Kube) -> str:
    """The image that every node of kind has: containerd's own."""
    images = kube.core.list_node().items[0].status.images
    return str(next(name for each in images for name in each.names if "/pause" in name and "@" not in name))


def first_pod(kube: Kube, image: str, **more: Any) -> float:
    """Seconds from asking for a pod until it is Ready."""
    begun = time.monotonic()
    kube.wait_for_namespace("default")
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", **more}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    kube.core.create_namespaced_pod("default", {"metadata": {"name": "first"}, "spec": spec})

    def look() -> None:
        if not is_ready(pod := kube.core.read_namespaced_pod("first", "default")):
            raise NotYet(pod.status.phase)

    eventually("the pod to be Ready", SOON, look)
    return time.monotonic() - begun


def set_apart() -> Path:
    """A temporary folder, and in it a cache, that nothing but this program uses; the built parts are the user's."""
    alone, shared = Path(tempfile.mkdtemp(prefix="signoff-measure-")), cache_dir()
    (alone / "tmp").mkdir()
    (alone / "cache").mkdir()
    for part in ("kubernetes", "images"):
        (alone / "cache" / part).symlink_to(shared / part)
    os.environ["SIGNOFF_CACHE"], os.environ["TMPDIR"] = str(alone / "cache"), str(alone / "tmp")
    tempfile.tempdir = None  # so that it is looked up again
    return alone


def tell_what_is_left(alone: Path) -> None:
    """Name what the clusters have left: folders, temporary files, short names in /tmp, processes with their mark."""
    files = [*(alone / "tmp").iterdir(), *clusters_dir().iterdir()]
    links = [each for each in Path("/tmp").glob("signoff-*") if each.is_symlink() and alone in each.readlink().parents]
    processes = [f"pid {pid}" for pid, cluster in marked() if alone in cluster.parents]
    left = [*map(str, files + links), *processes]
    print(f"\nleft behind: {', '.join(left) or 'nothing'}", flush=True)
    if left:
        os._exit(1)
    shutil.rmtree(alone)


if __name__ == "__main__":
    main()
