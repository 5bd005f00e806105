"""The story's deployment on a cluster: vLLM and LiteLLM from the manifests, and the way to reach both."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signoff import limits, manifests, story
from signoff.cluster.base import Cluster
from signoff.console import progress
from signoff.kube import Kube, is_ready
from signoff.manifests import Manifest
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.waiting import NotYet, eventually

Record = Callable[..., Any]
"""How an observation is kept: `record(kind, **data)`, as `Evidence.record`."""


@dataclass
class Deployment:
    """What the manifests under `folder` make of a cluster. Images given here replace those of the manifests."""

    cluster: Cluster
    folder: Path
    record: Record
    gateway_image: str | None = None
    backend_image: str | None = None
    kube: Kube = field(init=False)

    def __post_init__(self) -> None:
        self.kube = Kube(self.cluster.kubeconfig)

    @property
    def gateway_manifests(self) -> list[Manifest]:
        """LiteLLM's manifests with the run's image in them."""
        return self._load("litellm", self.gateway_image)

    @property
    def backend_manifests(self) -> list[Manifest]:
        """The stand-in backend's manifests with the run's image in them."""
        return self._load("vllm", self.backend_image)

    def _load(self, name: str, image: str | None) -> list[Manifest]:
        found = manifests.load(self.folder / name)
        return manifests.with_image(found, image) if image else found

    def apply(self, wanted: list[Manifest]) -> None:
        """Apply the objects in their order and record each; a namespace is waited for before the next object."""
        for manifest in wanted:
            skipped = self.kube.apply(manifest, story.NAMESPACE)
            self.record(
                "manifest",
                file=str(manifest.file.relative_to(self.folder)),
                sha256=manifest.sha256,
                object=manifest.name,
                outcome="skipped" if skipped else "applied",
                reason=skipped or "",
                images=sorted({c["image"] for c in manifests.containers(manifest.body)}),
            )
            if skipped:
                progress("deploy", f"{manifest.name} skipped: {skipped}")
            if manifest.body["kind"] == "Namespace":
                self.kube.wait_for_namespace(manifest.body["metadata"]["name"])

    def start_both(self) -> None:
        """Apply vLLM and LiteLLM, so that both start side by side; neither is waited for."""
        backend, gateway = self.backend_manifests, self.gateway_manifests
        progress("deploy", "vLLM and LiteLLM start side by side; vLLM takes about half a minute once installed")
        self.apply(backend)
        self.apply(gateway)

    def wait_for_backend(self) -> str:
        """Wait until vLLM is available and its Service answers; gives its base URL."""
        self.kube.wait_until_available(story.NAMESPACE, "vllm", limits.BACKEND_READY)
        progress("vllm", f"serves {story.MODEL}")
        return _answering(self.backend_url)

    def wait_for_gateway(self, name: str = story.GATEWAY) -> None:
        """Wait until the pods of this LiteLLM are available, whatever its Service says."""
        self.kube.wait_until_available(story.NAMESPACE, name, limits.GATEWAY_READY)
        progress(name, "is Ready")

    def answering_gateway(self, name: str = story.GATEWAY) -> str:
        """The base URL of this LiteLLM's Service, once it answers."""
        return _answering(self.cluster.service_url(story.NAMESPACE, name, story.GATEWAY_PORT))

    @property
    def backend_url(self) -> str:
        """Where this process reaches vLLM."""
        return self.cluster.service_url(story.NAMESPACE, story.BACKEND, story.BACKEND_PORT)

    def ready_gateway_pods(self) -> list[Any]:
        """The Ready pods of the LiteLLM under test."""
        return [pod for pod in self.kube.pods(story.NAMESPACE, story.GATEWAY) if is_ready(pod)]


def _answering(url: str) -> str:
    """The URL, once an HTTP server answers there.

    A Service may refuse for a moment after its pods are Ready: kube-proxy follows a little later.
    """

    def look() -> str:
        try:
            with OpenAIClient(url) as client:
                client.models()
        except NoAnswer as error:
            raise NotYet(str(error)) from None
        return url

    return eventually(f"{url} to answer", limits.SERVICE_ANSWERS, look)
