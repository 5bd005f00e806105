"""The embedded cluster: a real control plane and the suite's own nodes as processes on loopback; Linux, no root.

Imported by every process of the cluster, so it imports little itself.
"""

import json
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from signoff import console
from signoff.cluster.base import ClusterFacts
from signoff.cluster.embedded.slot import to_loopback
from signoff.cluster.embedded.sweep import supervisor_of, sweep
from signoff.errors import SignoffError
from signoff.limits import PROCESS_EXIT
from signoff.paths import cache_dir

_SUBJECT = "cluster"
Progress = Callable[[str, str], None]


def clusters_dir() -> Path:
    """The folder that holds one folder for each running cluster."""
    return cache_dir() / "clusters"


class EmbeddedCluster:
    """A running embedded cluster, from `start` or `attach`; `close()` ends it only if this object started it."""

    capabilities = frozenset({"cordon", "scale-backend", "own-nodes"})
    tunnelled = False

    def __init__(self, started: dict[str, Any], supervisor: subprocess.Popen[str] | None) -> None:
        self.dir = Path(started["dir"])
        self.kubeconfig = Path(started["kubeconfig"])
        self.supervisor_pid: int = started["supervisor_pid"]
        self._started = started
        self._supervisor = supervisor

    @classmethod
    def start(
        cls,
        progress: Progress = console.progress,
        *,
        images: Sequence[str] = (),
        keep_logs: Path | None = None,
        detached: bool = False,
    ) -> "EmbeddedCluster":
        """Start a cluster and return once its nodes are Ready.

        It ends with `close()`, and by itself when this process dies; one that is `detached` only by SIGTERM to its
        supervisor. `keep_logs` names a folder for its logs; `images` are prepared side by side with it.

        Raises:
            SignoffError: a program is missing or died, or it took too long.
        """
        arguments = [argument for image in images for argument in ("--image", image)]
        arguments += [*(["--detached"] if detached else []), *(["--keep-logs", str(keep_logs)] if keep_logs else [])]
        return cls(*_start(arguments, progress, detached=detached))

    @classmethod
    def attach(cls, cluster: Path) -> "EmbeddedCluster":
        """Use a cluster that is already running; `close()` leaves it so.

        Raises:
            SignoffError: no cluster runs there, or it is still starting.
        """
        facts = cluster / "cluster.json"
        if supervisor_of(cluster) is None or not facts.exists():
            raise SignoffError("no embedded cluster runs there", where=str(cluster), hint="start one, or name another")
        return cls(json.loads(facts.read_text()), None)

    def facts(self) -> ClusterFacts:
        """Versions, phases of the start in seconds, and where it is."""
        kept = ("dir", "server", "etcd_version", "slot", "supervisor_pid")
        return ClusterFacts(
            provider="embedded",
            kubernetes_version=self._started["kubernetes_version"],
            nodes=tuple(self._started["nodes"]),
            start_seconds=dict(self._started["start_seconds"]),
            details={name: self._started[name] for name in kept},
        )

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """The base URL of the Service's port on this machine's loopback.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        import kubernetes

        with kubernetes.config.new_client_from_config(str(self.kubeconfig)) as client:
            try:
                answer = kubernetes.client.CoreV1Api(client).read_namespaced_service(
                    name, namespace, _preload_content=False
                )
            except kubernetes.client.ApiException as error:
                raise SignoffError(f"no Service {namespace}/{name}: {error.status} {error.reason}") from error
        address = json.loads(answer.data)["spec"].get("clusterIP", "None")
        if address == "None":
            raise SignoffError(f"the Service {namespace}/{name} has no ClusterIP")
        return f"http://{to_loopback(address)}:{port}"

    def export_logs(self, folder: Path) -> None:
        """Copy the logs of the control plane and of the node agent."""
        shutil.copytree(self.dir / "logs", folder, dirs_exist_ok=True)

    def failure(self) -> SignoffError | None:
        """Why the cluster has ended by itself, or None while it lives."""
        if supervisor_of(self.dir) is not None:
            return None
        return SignoffError("the embedded cluster has ended by itself", where=str(self.dir))

    def close(self) -> None:
        """End the cluster if this object started it (at most 2 s), and remove all of it."""
        if self._supervisor is not None:
            _end(self._supervisor, self.dir)
            self._supervisor = None


def _start(
    arguments: list[str], progress: Progress, *, detached: bool
) -> tuple[dict[str, Any], subprocess.Popen[str] | None]:
    """Run a supervisor until it says that the cluster is ready."""
    for swept in sweep(clusters_dir()):
        progress(_SUBJECT, f"cleared away {swept.name}, which a killed run had left")
    cluster = clusters_dir() / secrets.token_hex(4)
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "signoff.cluster.embedded.supervisor", "--dir", cluster, *arguments],
        stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for this process; the supervisor notices the end of its stdin
    )
    try:
        assert supervisor.stdout is not None
        facts = _follow(supervisor.stdout, progress)
    except BaseException:
        _end(supervisor, cluster)
        raise
    return facts, None if detached else supervisor


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
