"""The story's deployment on a cluster: vLLM and LiteLLM from the manifests, and the way to reach both."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from signoff import leftovers, limits, prober, story
from signoff.cluster.base import Cluster
from signoff.console import progress
from signoff.kube import Kube, is_ready
from signoff.manifests import Manifest, StoryManifests, containers
from signoff.overhead import Samples
from signoff.traffic.blocks import Block, time_blocks
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.pairs import Timing, measure
from signoff.waiting import NotYet, eventually

Record = Callable[..., Any]
"""How an observation is kept: `record(kind, **data)`, as `Evidence.record`."""


@dataclass
class Deployment:
    """What the story's manifests make of a cluster."""

    cluster: Cluster
    manifests: StoryManifests
    record: Record
    kube: Kube = field(init=False)

    def __post_init__(self) -> None:
        self.kube = Kube(self.cluster.kubeconfig)

    def apply(self, wanted: list[Manifest]) -> None:
        """Apply the objects in their order and record each; a namespace is waited for before the next object."""
        for manifest in wanted:
            skipped = self.kube.apply(manifest, story.NAMESPACE)
            self.record(
                "manifest",
                file=str(manifest.file.relative_to(self.manifests.folder)),
                sha256=manifest.sha256,
                object=manifest.name,
                object_sha256=manifest.object_sha256,
                outcome="skipped" if skipped else "applied",
                reason=skipped or "",
                images=sorted({c["image"] for c in containers(manifest.body)}),
            )
            if skipped:
                progress("deploy", f"{manifest.name} skipped: {skipped}")
            if manifest.body["kind"] == "Namespace":
                self.kube.wait_for_namespace(manifest.body["metadata"]["name"])

    def start_both(self) -> None:
        """Apply vLLM and LiteLLM, so that both start side by side; neither is waited for.

        On a cluster that was there before, what earlier runs left is cleared away first, LiteLLM itself included.
        """
        if self.cluster.reused:
            done = leftovers.clear(self.kube, story.NAMESPACE, stays=self.manifests.backend)
            self.record("leftovers", done=done)
            if done:
                progress("deploy", f"cleared away what an earlier run left: {', '.join(done)}")
        progress("deploy", "vLLM and LiteLLM start side by side; vLLM takes about half a minute once installed")
        self.apply(self.manifests.backend)
        self.apply(self.manifests.gateway)

    def wait_for_backend(self) -> str:
        """Wait until vLLM answers, and record where it runs and its version; gives its base URL."""
        url = self.answering_backend()
        self._record_placements("vllm")
        progress("vllm", f"serves {story.MODEL}")
        self.record("backend", version=_version_of(url))
        return url

    def backend_is_available(self) -> bool:
        """Whether vLLM is there just now."""
        return bool(self.kube.deployment(story.NAMESPACE, "vllm").status.available_replicas)

    def answering_backend(self) -> str:
        """The base URL of vLLM's Service, once vLLM is available and answers there."""
        self.kube.wait_until_available(story.NAMESPACE, "vllm", limits.BACKEND_READY)
        return _answering(self.backend_url)

    def wait_for_gateway(self, name: str = story.GATEWAY) -> None:
        """Wait until the pods of this LiteLLM are available, whatever its Service says."""
        self.kube.wait_until_available(story.NAMESPACE, name, limits.GATEWAY_READY)
        self._record_placements(name)
        progress(name, "is Ready")

    def answering_gateway(self, name: str = story.GATEWAY) -> str:
        """The base URL of this LiteLLM's Service, once it answers."""
        return _answering(self.cluster.service_url(story.NAMESPACE, name, story.GATEWAY_PORT))

    @property
    def backend_url(self) -> str:
        """Where this process reaches vLLM."""
        return self.cluster.service_url(story.NAMESPACE, story.BACKEND, story.BACKEND_PORT)

    def time_pairs(self, pairs: int, seed: int) -> tuple[Samples, str]:
        """Time this many rounds of direct and proxied requests; gives them, and where the clock was.

        Raises:
            WaitFailed: it cannot be timed inside the cluster.
        """
        if self.cluster.tunnelled:
            image = self.manifests.gateway_image
            samples, node = prober.time_pairs(self.kube, image, pairs=pairs, seed=seed)
            for timing in samples.timings:
                self.record("timing", **asdict(timing))
            for block in samples.blocks:
                self.record("block", **asdict(block))
            return samples, f"inside the cluster, by a Job of {image} on {node}"
        return self._time_pairs_from_here(pairs, seed), "from this machine"

    def _time_pairs_from_here(self, pairs: int, seed: int) -> Samples:
        direct, proxied = self.backend_url, self.answering_gateway()

        def tell(text: str) -> None:
            progress("overhead", text)

        timings: list[Timing] = []
        for timing in measure(direct, proxied, pairs=pairs, seed=seed, progress=tell):
            self.record("timing", **asdict(timing))
            timings.append(timing)
        blocks: list[Block] = []
        if not timings[-1].error:
            tell("blocks of one arm at a time, to see where the time goes")
            for block in time_blocks(direct, proxied, pairs=pairs, seed=seed):
                self.record("block", **asdict(block))
                blocks.append(block)
        return Samples(tuple(timings), tuple(blocks))

    def _record_placements(self, app: str) -> None:
        for pod in self.kube.pods(story.NAMESPACE, app):
            self.record("placement", pod=pod.metadata.name, node=pod.spec.node_name)

    def ready_gateway_pods(self) -> list[Any]:
        """The Ready pods of the LiteLLM under test."""
        return [pod for pod in self.kube.pods(story.NAMESPACE, story.GATEWAY) if is_ready(pod)]


def _version_of(backend_url: str) -> str:
    """What vLLM says of itself; other backends need not."""
    with OpenAIClient(backend_url) as client:
        answer = client.get("/version")
    return str(answer.json["version"]) if answer.ok and isinstance(answer.json, dict) else ""


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
