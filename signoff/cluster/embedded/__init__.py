"""The embedded cluster: a real control plane and the suite's own nodes as processes on loopback; Linux, no root.

Imported by every process of the cluster, so it imports little itself.
"""

import json
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from signoff.cluster.base import ClusterFacts, TunnelBreak
from signoff.cluster.embedded import namespaces
from signoff.cluster.embedded.address_range import served_port, to_loopback
from signoff.cluster.embedded.cluster_registry import (
    FACTS_FILE,
    KEEP,
    OLDER,
    UNCONFINED,
    Running,
    clusters_dir,
    running,
)
from signoff.cluster.embedded.postmortem import discard_end, logs_of, reason_of_end
from signoff.cluster.embedded.sweep import supervisor_of, sweep
from signoff.cluster.kept import difference, left_alone, see_well
from signoff.core import console
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.redact import scrub_files
from signoff.core.timeouts import PROCESS_EXIT
from signoff.core.words import duration
from signoff.story import NODES

_SUBJECT = "cluster"
Progress = Callable[[str, str], None]


class EmbeddedCluster:
    """A running embedded cluster; `close()` ends it only if this object started it and did not `keep()` it."""

    capabilities = frozenset({"controllers", "cordon", "deploy", "job", "new-nodes", "scale-backend"})
    opened_by: Mapping[str, str] = {}
    own_namespace = ""
    gate = None
    tunnelled = False

    def __init__(
        self, started: dict[str, Any], supervisor: subprocess.Popen[str] | None = None, lease: IO[str] | None = None
    ) -> None:
        self.dir = Path(started["dir"])
        self.kubeconfig = Path(started["kubeconfig"])
        self.supervisor_pid: int = started["supervisor_pid"]
        self.reused = supervisor is None
        self._started = started
        self._supervisor = supervisor
        self._lease = lease
        self._to_keep = False

    @classmethod
    def start(
        cls,
        progress: Progress = console.progress,
        *,
        name: str | None = None,
        images: Sequence[str] = (),
        nodes: Sequence[Node] = NODES,
        keep: bool = False,
    ) -> "EmbeddedCluster":
        """Start a cluster and return once its nodes are Ready.

        It ends with `close()`, unless it is to be kept, and by itself when this process dies before. `name` takes the
        place of a random one. `images` are prepared side by side with it.

        Raises:
            SignoffError: a program is missing or died, it took too long, or there is a cluster of this name.
        """
        arguments = [f"--node={node}" for node in nodes] + [f"--image={image}" for image in images]
        arguments += [f"--unconfined={why}" for why in [namespaces.why_not()] if why]
        started = cls(*_start(clusters_dir() / (name or secrets.token_hex(4)), arguments, progress))
        started._to_keep = keep
        return started

    @classmethod
    def attach(cls, cluster: Path, nodes: Sequence[Node] = NODES) -> "EmbeddedCluster":
        """Use the running cluster of this folder or, as `signoff cluster status` shows it, name; `close()` leaves it.

        Raises:
            SignoffError: no cluster runs there (any more: then why it ended), it is still starting, it is not well, or
                it has other nodes.
        """
        facts = facts_of(cluster)
        see_well(Running(_folder_of(cluster), facts), nodes)
        return cls(facts)

    @classmethod
    def reuse(cls, progress: Progress = console.progress, *, nodes: Sequence[Node] = NODES) -> "EmbeddedCluster | None":
        """Take the newest kept cluster of these nodes that this code started, nobody uses and is well.

        `close()` leaves it.
        """
        for kept in (each for each in running() if each.kept):
            if why := difference(kept, nodes):
                progress(_SUBJECT, left_alone(kept, why))
            elif lease := kept.lease():
                if wrong := kept.repair(progress):
                    lease.close()
                    progress(_SUBJECT, left_alone(kept, wrong))
                    continue
                progress(
                    _SUBJECT, f"using the kept cluster {kept.name}, up for {duration(kept.age_seconds)} ({kept.dir})"
                )
                return cls(kept.facts, lease=lease)
            else:
                progress(_SUBJECT, f"the kept cluster {kept.name} is in use by {kept.user}")
        return None

    def keep(self) -> None:
        """Leave the cluster running for others until `signoff cluster down`, and say how to use and remove it.

        Raises:
            SignoffError: it has ended meanwhile.
        """
        supervisor = self._supervisor
        if supervisor is None:
            return  # whoever started it decides
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        try:
            supervisor.stdin.write(KEEP)
            supervisor.stdin.flush()
            kept = any("kept" in json.loads(line) for line in supervisor.stdout)
        except OSError:
            kept = False
        if not kept:
            raise SignoffError("the embedded cluster has ended by itself, so it cannot be kept", where=str(self.dir))
        supervisor.stdin.close()
        supervisor.stdout.close()
        supervisor.returncode = 0  # it is on its own now: Python need not warn that it still runs
        self._supervisor = None

        from signoff.cluster.embedded.usage import how_to_use

        name = self.dir.name
        console.progress(_SUBJECT, f"left running as {name}\n{how_to_use(name, self.kubeconfig, self._unconfined)}")

    @property
    def _unconfined(self) -> str:
        return str(self._started.get(UNCONFINED, OLDER))

    def facts(self) -> ClusterFacts:
        """Versions, phases of the start in seconds, and where it is."""
        unconfined = self._unconfined
        told = ("dir", "server", "etcd_version", "address_range", "supervisor_pid")
        return ClusterFacts(
            provider="embedded",
            kubernetes_version=self._started["kubernetes_version"],
            nodes=tuple(self._started["nodes"]),
            start_seconds={} if self.reused else dict(self._started["start_seconds"]),
            details={
                "reused": self.reused,
                "kept_apart": f"nothing: {unconfined}" if unconfined else "namespaces",
                **{name: self._started.get(name) for name in told},
            },
        )

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """The base URL of the Service's port on this machine's loopback.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        return "http://{}:{}".format(*self.address_in_pods(namespace, name, port))

    def address_in_pods(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        """Where a program in a pod reaches the Service's port: where this machine does, the network being the same.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        import kubernetes

        with kubernetes.config.new_client_from_config(str(self.kubeconfig)) as client:
            try:
                answer = kubernetes.client.CoreV1Api(client).read_namespaced_service(
                    service, namespace, _preload_content=False
                )
            except kubernetes.client.ApiException as error:
                raise SignoffError(f"no Service {namespace}/{service}: {error.status} {error.reason}") from error
        address = json.loads(answer.data)["spec"].get("clusterIP", "None")
        if address == "None":
            raise SignoffError(f"the Service {namespace}/{service} has no ClusterIP")
        return to_loopback(address), served_port(port)

    def export_logs(self, folder: Path) -> None:
        """Copy the logs of the control plane and of the node agent."""
        shutil.copytree(logs_of(self.dir), folder, dirs_exist_ok=True)
        scrub_files(folder)

    def tunnel_breaks(self, since: float) -> Sequence[TunnelBreak]:  # noqa: ARG002
        """Nothing: Services are reached on loopback."""
        return ()

    def failure(self) -> SignoffError | None:
        """Why the cluster has ended, or None while it lives."""
        if supervisor_of(self.dir) is not None:
            return None
        return reason_of_end(self.dir) or SignoffError("the embedded cluster has ended", where=str(self.dir))

    def close(self) -> Sequence[str]:
        """End the cluster if this object started it (at most 2 s), and remove all of it; or leave one to be kept."""
        if self._to_keep:
            self.keep()
        if self._supervisor is not None:
            _end(self._supervisor, self.dir)
            self._supervisor = None
        if self._lease is not None:
            self._lease.close()
            self._lease = None
        return ()


def _folder_of(cluster: Path) -> Path:
    return cluster.absolute() if cluster.is_dir() else clusters_dir() / cluster


def facts_of(cluster: Path) -> dict[str, Any]:
    """What the supervisor of the running cluster of this folder or name wrote of it.

    Raises:
        SignoffError: no cluster runs there (any more: then why it ended), or it is still starting.
    """
    folder = _folder_of(cluster)
    facts = folder / FACTS_FILE
    if supervisor_of(folder) is None or not facts.exists():
        if ended := reason_of_end(folder):
            raise ended
        hint = "`signoff cluster status` lists the running ones, `signoff cluster up` starts one"
        raise SignoffError("no embedded cluster is running there", where=str(cluster), hint=hint)
    return dict(json.loads(facts.read_text(encoding="utf-8")))


def _start(cluster: Path, arguments: list[str], progress: Progress) -> tuple[dict[str, Any], subprocess.Popen[str]]:
    """Run a supervisor until it says that the cluster is ready."""
    for swept in sweep(clusters_dir()):
        progress(_SUBJECT, f"cleared away {swept.name}, which a killed run had left")
    discard_end(cluster)
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "signoff.cluster.embedded.supervisor", "--dir", cluster, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a Ctrl-C is for this process; the supervisor notices the end of its stdin
    )
    try:
        assert supervisor.stdout is not None
        facts = _follow(supervisor.stdout, progress)
    except BaseException:
        _end(supervisor, cluster)
        raise
    return facts, supervisor


def _follow(lines: IO[str], progress: Progress) -> dict[str, Any]:
    """Pass the supervisor's progress on until the cluster is ready, and return its facts."""
    for line in lines:
        message = json.loads(line)
        if error := message.get("error"):
            raise SignoffError(error["what"], where=error["where"], hint=error["hint"])
        if ready := message.get("ready"):
            progress(_SUBJECT, f"ready after {ready['start_seconds']['total']:.1f} s ({ready['dir']})")
            return dict(ready)
        if "phase" in message:
            progress(_SUBJECT, f"{message['phase']}: {message['seconds']:.1f} s")
        else:
            progress(message.get("subject", _SUBJECT), message["progress"])
    raise SignoffError("the supervisor of the embedded cluster died", hint="its message is above")


def _end(supervisor: subprocess.Popen[str], cluster: Path) -> None:
    """Have the supervisor end its cluster; if it hangs, do its work from here."""
    if supervisor.stdin is not None:
        supervisor.stdin.close()
    supervisor.send_signal(signal.SIGTERM)
    try:
        supervisor.wait(PROCESS_EXIT.seconds)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    if supervisor.stdout is not None:
        supervisor.stdout.close()
    if cluster.exists():
        sweep(cluster.parent)
