"""The recorder between LiteLLM and vLLM as a pod, and how it is spoken to from here.

A pod stands there on every cluster, whether its pods reach this process or not. It runs from LiteLLM's own image, which
has what it needs, with its code in a ConfigMap.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from signoff.core.timeouts import REQUEST
from signoff.evidence.models import Subject
from signoff.gateway.deployment import Deployment
from signoff.in_cluster import recorder
from signoff.in_cluster.received import CONTROL, Fault, Received, RecorderFailed, Seen
from signoff.kube import shipping
from signoff.kube.objects import Manifest
from signoff.kube.roles import Workload
from signoff.traffic.client import authorities

PORT = 4000
PROGRAM = "signoff.in_cluster.recorder"

_CODE = "/recorder"
_LONGEST = 63
"""Letters of a Service's name, and of a label's value."""


@dataclass(frozen=True)
class RecorderPod:
    """A recorder between the `gateway` and a vLLM, the `backend`; it runs in the gateway's namespace."""

    gateway: Workload
    backend: Workload

    @property
    def name(self) -> str:
        """Of all its objects. It begins as everything of the gateway's does, and is cleared away with it."""
        return f"{self.gateway.name}-recorder-{self.backend.service}"[:_LONGEST].rstrip("-")

    @property
    def workload(self) -> Workload:
        """Itself, which stands where a gateway would."""
        return replace(self.gateway.beside(self.name), kind="Deployment", port=PORT)

    def route_url(self, route: str) -> str:
        """The base URL of a route inside the cluster."""
        return f"{self.workload.url}/{route}"

    def manifests(self, image: str, nodes: Sequence[str]) -> list[Manifest]:
        """Its objects, of LiteLLM's image and for these nodes; as unprivileged as LiteLLM itself."""
        modules = shipping.modules(PROGRAM)
        labels = dict(self.workload.selector)
        template = {"metadata": {"labels": shipping.labels(self.name)}, "spec": self._pod(image, nodes)}
        workload = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
        service = {"selector": labels, "ports": ports}
        return [
            self._manifest({"apiVersion": "v1", "kind": "ConfigMap", "data": shipping.data(modules)}),
            self._manifest({"apiVersion": "apps/v1", "kind": "Deployment", "spec": workload}),
            self._manifest({"apiVersion": "v1", "kind": "Service", "spec": service}),
        ]

    def answering(self, deployment: Deployment) -> "RemoteRecorder":
        """The way to speak to it, once it answers.

        Raises:
            WaitFailed: it does not.
        """
        deployment.wait_for_gateway(self.workload, Subject.SUITE)
        return RemoteRecorder(deployment.answering_gateway(self.workload, Subject.SUITE).url, self.workload)

    def _pod(self, image: str, nodes: Sequence[str]) -> dict[str, Any]:
        container = {
            "name": "recorder",
            "image": image,
            "command": ["python3", "-m", PROGRAM],
            "args": [
                "--host=0.0.0.0",
                f"--port={PORT}",
                f"--upstream={self.backend.url}",
            ],
            "env": shipping.environment(_CODE),
            "ports": [{"name": "http", "containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            "resources": shipping.RESOURCES,
            "securityContext": shipping.CONTAINER_SECURITY,
            "volumeMounts": [{"name": "code", "mountPath": _CODE, "readOnly": True}],
        }
        items = shipping.items(shipping.modules(PROGRAM))
        return {
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "affinity": {"nodeAffinity": shipping.on_nodes(nodes)},
            "securityContext": shipping.POD_SECURITY,
            "containers": [container],
            "volumes": [{"name": "code", "configMap": {"name": self.name, "items": items}}],
        }

    def _manifest(self, body: dict[str, Any]) -> Manifest:
        return shipping.manifest(Path(recorder.__file__), self.name, self.gateway.namespace, body)


@dataclass(frozen=True)
class _Remote:
    """What a route has received, asked again each time."""

    recorder: "RemoteRecorder"
    path: str

    def __call__(self) -> Sequence[Received]:
        return [Received(**each) for each in self.recorder.tell("GET", self.path).json()]


class RemoteRecorder:
    """A recorder that runs on a cluster and answers at `base_url`; a context manager, for its connections."""

    def __init__(self, base_url: str, workload: Workload) -> None:
        self._base, self._workload = base_url.rstrip("/"), workload
        self._http = httpx.Client(base_url=self._base, timeout=REQUEST.seconds, trust_env=False, verify=authorities())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def url(self, route: str) -> str:
        """The base URL of a route, for this process."""
        return f"{self._base}/{route}"

    @contextlib.contextmanager
    def recording(self, route: str, fault: Fault | None = None) -> Iterator[Seen]:
        """What the route receives inside this block; it plays `fault` meanwhile."""
        path = CONTROL + route
        self.tell("PUT", path, json.dumps(asdict(fault) if fault else None))
        try:
            yield _Remote(self, path)
        finally:
            self.tell("DELETE", path)

    def tell(self, method: str, path: str, content: str | None = None) -> httpx.Response:
        """Send the recorder a word; gives its answer.

        Raises:
            RecorderFailed: it does not take it.
        """
        try:
            return self._http.request(method, path, content=content).raise_for_status()
        except httpx.HTTPError as error:
            raise RecorderFailed(
                f"the recorder between LiteLLM and vLLM failed: {type(error).__name__}: {error}".splitlines()[0],
                where=f"{method} {self._base}{path}",
                hint="see the pod's end and its log: "
                f"kubectl -n {self._workload.namespace} describe deployment/{self._workload.name}",
            ) from None
