"""A kind cluster: declared nodes as containers of the local Docker engine, each with a real kubelet."""

import contextlib
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest_kind
import yaml
from kubernetes import client, config

from signoff.cluster.base import ClusterFacts, TunnelBreak
from signoff.cluster.kept import see_well
from signoff.cluster.kind import controller_images, ownership, tools
from signoff.cluster.kind.cluster_registry import Running
from signoff.cluster.port_forward import Forwards
from signoff.core import console, timeouts
from signoff.core.errors import SignoffError
from signoff.core.node import Node, Taint
from signoff.core.redact import scrub_files
from signoff.core.waiting import NotYet, eventually
from signoff.core.words import listed
from signoff.kube.client import Kube
from signoff.kube.kubeconfig import hold_in_files
from signoff.story import NODES

NAME_VARIABLE = "SIGNOFF_KIND_NAME"

Images = Mapping[str, Collection[str]]
"""Image names, and the nodes on which containers of each may be."""

_SUBJECT = "kind"
_NODE_BYTES = 1e9
"""What a node takes on the disk beside images of ours; measured: a worker 0.5 to 1.4 GB, the control plane 1.1."""
Progress = Callable[[str], None]


class KindCluster:
    """A kind cluster, from `start` or `attach`; `close()` deletes it only if this object started it."""

    capabilities = frozenset({"controllers", "cordon", "deploy", "job", "new-nodes", "scale-backend"})
    opened_by: Mapping[str, str] = {}
    own_namespace = ""
    gate = None
    tunnelled = True

    def __init__(self, kind: Path, folder: Path, nodes: Sequence[Node], *, owned: bool) -> None:
        self.dir, self.name, self.nodes = folder, folder.name, nodes
        self.kubeconfig = folder / "kubeconfig"
        self._kind, self._owned, self.reused = kind, owned, not owned
        self._start_seconds: dict[str, float] = {}
        self._forwards = Forwards(self.kubeconfig)

    @classmethod
    def start(
        cls, *, images: Images, nodes: Sequence[Node] = NODES, keep: bool = False, name: str | None = None
    ) -> "KindCluster":
        """Create a cluster of these nodes; returns once they are Ready and have the images.

        An image that the local Docker engine has is loaded from there onto the nodes that may need it, and so is each
        controller's, which the engine pulls or this machine makes; any other is left to the nodes to pull. With `keep`
        a cluster that has started is not deleted at the end, whatever happens. It is called `name`, else as
        SIGNOFF_KIND_NAME says, else by chance.

        Raises:
            SignoffError: Docker or kind is missing, a cluster of this name is there already, a disk is too small, kind
                has no such nodes, or the cluster cannot be created.
        """
        begun = time.monotonic()
        tools.check_docker()
        kind = tools.find_kind(_tell)
        ownership.sweep(kind, _tell)
        _check_control_plane(nodes)
        _check_space(images, nodes)
        name = name or os.environ.get(NAME_VARIABLE) or f"signoff-{secrets.token_hex(4)}"
        if tools.containers_of(name):
            raise SignoffError(
                f"there is a kind cluster {name} already; it is left as it is",
                where=f"docker ps --filter label=io.x-k8s.kind.cluster={name}",
                hint=f"choose another name (in {NAME_VARIABLE}), or none for one of its own",
            )
        cluster = cls(kind, ownership.open_folder(name, nodes, kept=keep), nodes, owned=True)
        try:
            cluster._create()
            cluster._prepare(images)
        except BaseException:
            cluster._delete()
            raise
        cluster._start_seconds["total"] = round(time.monotonic() - begun, 3)
        _tell(f"ready after {cluster._start_seconds['total']:.1f} s")
        return cluster

    @classmethod
    def check(cls, named: Path | None) -> None:
        """See that a cluster can be started, as far as Docker goes, or that the one of this folder or name runs.

        Raises:
            SignoffError: it cannot, or does not.
        """
        tools.check_docker()
        if named is not None and not ownership.is_ours(ownership.find(named)):
            hint = "`signoff cluster status` lists the running ones"
            raise SignoffError("no kind cluster is running there", where=str(named), hint=hint)

    @classmethod
    def attach(cls, named: Path, *, images: Images, nodes: Sequence[Node] = NODES) -> "KindCluster":
        """Use a cluster that is already running, by its folder or name; `close()` leaves it so. Images are loaded.

        Raises:
            SignoffError: no cluster of ours runs there, it is not well, or it has other nodes.
        """
        cls.check(named)
        folder = ownership.find(named)
        if owner := ownership.owner_of(folder):
            see_well(Running(folder, owner), nodes)
        cluster = cls(tools.find_kind(_tell), folder, nodes, owned=False)
        cluster._prepare(images)
        return cluster

    def facts(self) -> ClusterFacts:
        """Versions, the phases of the start in seconds, and where it is."""
        with self._client() as api:
            version = client.VersionApi(api).get_code().git_version
            nodes = [node.metadata.name for node in client.CoreV1Api(api).list_node().items]
        details = {"name": self.name, "dir": str(self.dir), "kind": tools.run_kind(self._kind, "version", "-q").strip()}
        return ClusterFacts("kind", version, tuple(nodes), dict(self._start_seconds), details)

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """The base URL of the Service's port on this machine's loopback, through a forward that follows its pods.

        Raises:
            SignoffError: there is no such Service.
        """
        return self._forwards.service_url(namespace, name, port)

    def address_in_pods(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        """The Service's ClusterIP and this port.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        return self._forwards.address_in_pods(namespace, service, port)

    def export_logs(self, folder: Path) -> None:
        """Write the nodes' journals and the logs of all containers, as kind exports them."""
        tools.run_kind(self._kind, "export", "logs", str(folder), "--name", self.name)
        scrub_files(folder)

    def tunnel_breaks(self, since: float) -> Sequence[TunnelBreak]:
        """What has broken a forward since then."""
        return self._forwards.breaks(since)

    def failure(self) -> SignoffError | None:
        """Nothing here watches the engine; a control plane that is gone shows in what can't be read."""
        return None

    def close(self) -> Sequence[str]:
        """Delete the cluster if this object started it and it is not to be kept."""
        self._forwards.close()
        owner = ownership.owner_of(self.dir)
        if not self._owned or owner is None:
            return ()
        self._owned = False
        if owner.kept and ownership.is_ours(self.dir):
            _tell(f"left running as {self.name}\n{Running(self.dir, owner).how_to_use()}")
        else:
            self._delete()
        return ()

    def _delete(self) -> None:
        """Delete the cluster, however much of it there is."""
        if ownership.is_ours(self.dir):
            _tell(f"deleting {self.name}")
        ownership.delete(self._kind, self.dir)

    def _create(self) -> None:
        """Have pytest-kind create it; what kind says is told as it comes, and is the reason if it fails."""
        config = _config(ownership.mark(self.dir), self.nodes)
        (self.dir / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        _tell(f"creating {self.name}, {len(config['nodes'])} nodes with the control plane; about half a minute")
        made = self._pytest_kind(ownership.node_image() or None)
        with self._phase("create the nodes"), _told_from(self._log):
            try:
                made.create(self.dir / "config.yaml")
            except subprocess.CalledProcessError:
                said = self._log.read_text(encoding="utf-8")
                raise tools.failure(
                    "kind could not create the cluster", said, where=f"kind cluster {self.name}"
                ) from None
        hold_in_files(self.kubeconfig)

    def _prepare(self, images: Images) -> None:
        """Load the images while the nodes become Ready."""
        jobs: list[Callable[[], None]] = [self._wait_until_ready]
        for image, nodes in images.items():
            if image in controller_images.BY_IMAGE:
                jobs.append(partial(self._load_controller, image, nodes))
            elif tools.image_bytes(image) is None:
                _tell(f"{image} is not in the local Docker engine: its nodes pull it")
            else:
                jobs.append(partial(self._load, image, nodes))
        pool = ThreadPoolExecutor(len(jobs))
        try:
            for job in [pool.submit(job) for job in jobs]:
                job.result()
        finally:
            pool.shutdown(wait=False)  # at Ctrl-C the others end with the cluster

    def _wait_until_ready(self) -> None:
        with self._phase("nodes Ready"), self._client() as api:
            core = client.CoreV1Api(api)

            def look() -> None:
                nodes = core.list_node().items
                waiting = [node.metadata.name for node in nodes if not _is_ready(node)]
                if waiting or len(nodes) < len(_config(self.dir, self.nodes)["nodes"]):
                    raise NotYet(f"not Ready: {', '.join(waiting) or 'a node that has not registered'}")

            eventually("the nodes to be Ready", timeouts.NETWORKED_NODES_READY, look)
        if self._owned:
            self._mark_nodes()

    def _mark_nodes(self) -> None:
        """Give the nodes what was declared of them: kubeadm itself marks the control plane alone."""
        kube = Kube(self.kubeconfig)
        for node in self.nodes:
            taints: dict[tuple[str, str], str | None] = {(CONTROL_PLANE, "NoSchedule"): None}
            taints |= {(each.key, each.effect): each.value for each in map(Taint.parse, node.taints)}
            kube.mark(node.name, node.labels, taints)
            kube.advertise(node.name, node.resources)

    def _load_controller(self, image: str, nodes: Collection[str]) -> None:
        controller_images.have(image, _tell)
        self._load(image, nodes)

    def _load(self, image: str, nodes: Collection[str]) -> None:
        wanted = [self.container_of(node) for node in nodes]
        _tell(f"loading {image} onto {', '.join(nodes)}")
        with self._phase(f"load {image}"):
            arguments = ("--name", self.name, "--nodes", ",".join(wanted))
            tools.run_kind(self._kind, "load", "docker-image", image, *arguments)

    def container_of(self, node: str) -> str:
        """The container, as kind names it, that is this node."""
        workers = [each.name for each in self.nodes if not _is_control_plane(each)]
        if node not in workers:
            return f"{self.name}-control-plane"
        number = workers.index(node) + 1
        return f"{self.name}-worker{number if number > 1 else ''}"

    @property
    def _log(self) -> Path:
        return self.dir / "kind.log"

    def _pytest_kind(self, image: str | None = None) -> Any:
        """pytest-kind's object for this cluster, with a kind whose stderr is kept: it lets that go to the terminal."""
        wrapper = self.dir / "kind"
        wrapper.write_text(f'#!/bin/sh\nexec "{self._kind}" "$@" 2>>"{self._log}"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        self._log.touch()
        made = pytest_kind.KindCluster(self.name, kubeconfig=self.kubeconfig, image=image, kind_path=wrapper)
        with contextlib.suppress(OSError):  # it makes folders in the current one, which stay empty here
            made.path.rmdir()
            made.path.parent.rmdir()
        return made

    def _client(self) -> Any:
        return config.new_client_from_config(str(self.kubeconfig))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._start_seconds[name] = round(time.monotonic() - start, 3)
        _tell(f"{name}: {self._start_seconds[name]:.1f} s")


CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
"""The label of a node of the control plane, and the taint that keeps other pods off it."""
_KUBEADM = {"control-plane": "InitConfiguration", "worker": "JoinConfiguration"}


def _is_control_plane(node: Node) -> bool:
    return CONTROL_PLANE in node.labels


def _config(mark: Path, nodes: Sequence[Node]) -> dict[str, Any]:
    """kind's configuration: nodes that register under their own names, and a control plane if none of them is that."""
    mount = {"hostPath": str(mark), "containerPath": "/signoff", "readOnly": True}

    def registered(node: Node) -> dict[str, Any]:
        role = "control-plane" if _is_control_plane(node) else "worker"
        patch = {"kind": _KUBEADM[role], "nodeRegistration": {"name": node.name}}
        return {"role": role, "extraMounts": [mount], "kubeadmConfigPatches": [yaml.safe_dump(patch)]}

    kinds_own = [] if any(map(_is_control_plane, nodes)) else [{"role": "control-plane", "extraMounts": [mount]}]
    every = [*kinds_own, *map(registered, nodes)]
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": every}


def _check_control_plane(nodes: Sequence[Node]) -> None:
    """See that at most one node is the control plane: before several, kind would put a load balancer."""
    if len(several := [node.name for node in nodes if _is_control_plane(node)]) > 1:
        raise SignoffError(
            f"a kind cluster of the suite's has one control plane, and {listed(several)} are declared as such",
            where="nodes",
            hint=f"leave the label {CONTROL_PLANE} to one of them",
        )


def _check_space(images: Images, nodes: Sequence[Node]) -> None:
    """See that Docker's disk can hold the nodes and the images to be loaded.

    A node keeps an image twice, packed and unpacked, and `kind load` writes it to a file on the way.
    """
    root = Path(tools.docker("info", "--format", "{{.DockerRootDir}}").strip())
    if not root.is_dir():  # the engine is on another machine, or in a virtual one
        return
    sizes = {image: tools.image_bytes(image) or 0 for image in images}
    need = _NODE_BYTES * (1 + len(nodes)) + sum(sizes.values())
    need += sum(2 * size * len(images[image]) for image, size in sizes.items())
    free = shutil.disk_usage(root).free
    if free < need:
        raise SignoffError(
            f"a kind cluster with these images needs about {need / 1e9:.0f} GB of disk, and {free / 1e9:.0f} are free",
            where=str(root),
            hint="free some space (`docker system df` shows what Docker holds), then run again",
        )


@contextmanager
def _told_from(log: Path) -> Iterator[None]:
    """Tell the lines that kind writes to its log while the block runs; it marks the start of a step with a bullet."""
    done = threading.Event()

    def follow() -> None:
        with log.open(encoding="utf-8", errors="replace") as lines:
            while True:
                last = done.is_set()
                for line in lines:
                    if line.startswith(" •"):
                        _tell(line.strip(" •\n.").rstrip())
                if last:
                    return
                done.wait(0.5)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _is_ready(node: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])


def _tell(text: str) -> None:
    console.progress(_SUBJECT, text)
