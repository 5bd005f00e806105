"""The recorder as a pod, where LiteLLM cannot reach this process (on kind), and how it is spoken to from here.

It runs from LiteLLM's own image, which has what it needs, with its code in a ConfigMap.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from signoff import story
from signoff.core.timeouts import REQUEST
from signoff.in_cluster import recorder
from signoff.in_cluster.recorder import CONTROL, Fault, Received, RecorderFailed, Seen
from signoff.kube import shipping
from signoff.kube.manifests import Manifest

NAME = "litellm-recorder"
"""It begins as everything of LiteLLM's does, and is cleared away with it."""
PORT = story.GATEWAY_PORT
PROGRAM = "signoff.in_cluster.recorder"

_CODE = "/recorder"
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "signoff"}


def lane_url(lane: str) -> str:
    """The base URL of a lane inside the cluster."""
    return f"http://{NAME}.{story.NAMESPACE}.svc.cluster.local:{PORT}/{lane}"


def manifests(image: str) -> list[Manifest]:
    """Its objects, as unprivileged as LiteLLM itself."""
    container = {
        "name": "recorder",
        "image": image,
        "command": ["python3", "-m", PROGRAM],
        "args": [
            "--host=0.0.0.0",
            f"--port={PORT}",
            f"--upstream=http://{story.BACKEND}.{story.NAMESPACE}.svc.cluster.local:{story.BACKEND_PORT}",
        ],
        "env": shipping.environment(_CODE),
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": shipping.RESOURCES,
        "securityContext": shipping.CONTAINER_SECURITY,
        "volumeMounts": [{"name": "code", "mountPath": _CODE, "readOnly": True}],
    }
    worker = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(story.ALLOWED_NODES)}
    terms = [{"matchExpressions": [worker]}]
    pod = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
        "securityContext": shipping.POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "code", "configMap": {"name": NAME, "items": shipping.items(shipping.modules(PROGRAM))}}],
    }
    workload = {
        "replicas": 1,
        "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
        "template": {"metadata": {"labels": _LABELS}, "spec": pod},
    }
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    service = {"selector": {"app.kubernetes.io/name": NAME}, "ports": ports}
    return [
        _manifest({"apiVersion": "v1", "kind": "ConfigMap", "data": shipping.data(shipping.modules(PROGRAM))}),
        _manifest({"apiVersion": "apps/v1", "kind": "Deployment", "spec": workload}),
        _manifest({"apiVersion": "v1", "kind": "Service", "spec": service}),
    ]


def _manifest(body: dict[str, Any]) -> Manifest:
    file = Path(recorder.__file__)
    metadata = {"name": NAME, "namespace": story.NAMESPACE, "labels": _LABELS}
    return Manifest(file, hashlib.sha256(file.read_bytes()).hexdigest(), {**body, "metadata": metadata})


@dataclass(frozen=True)
class _Remote:
    """What a lane has received, asked anew each time."""

    http: httpx.Client
    path: str

    def __call__(self) -> Sequence[Received]:
        return [Received(**each) for each in _tell(self.http, "GET", self.path).json()]


class RemoteRecorder:
    """A recorder that runs elsewhere and answers at `base_url`; a context manager, for its connections."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")
        self._http = httpx.Client(base_url=self._base, timeout=REQUEST.seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def url(self, lane: str) -> str:
        """The base URL of a lane, for this process."""
        return f"{self._base}/{lane}"

    @contextlib.contextmanager
    def recording(self, lane: str, fault: Fault | None = None) -> Iterator[Seen]:
        """What the lane receives inside this block; it plays `fault` meanwhile."""
        path = CONTROL + lane
        _tell(self._http, "PUT", path, json.dumps(asdict(fault) if fault else None))
        try:
            yield _Remote(self._http, path)
        finally:
            _tell(self._http, "DELETE", path)


def _tell(http: httpx.Client, method: str, path: str, content: str | None = None) -> httpx.Response:
    try:
        return http.request(method, path, content=content).raise_for_status()
    except httpx.HTTPError as error:
        raise RecorderFailed(
            f"the recorder between LiteLLM and vLLM failed: {type(error).__name__}: {error}".splitlines()[0],
            where=f"{method} {str(http.base_url).rstrip('/')}{path}",
            hint=f"see the pod's end and its log: kubectl -n {story.NAMESPACE} describe deployment/{NAME}",
        ) from None
