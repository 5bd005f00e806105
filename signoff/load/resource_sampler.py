"""What the pods of the deployment use and suffer meanwhile, for samples.csv.

Memory and processor time come from each node's kubelet (its Summary API). Without a kubeconfig a server's own /metrics
page (`process_resident_memory_bytes`, `process_cpu_seconds_total`) stands in where it has one: vLLM has, LiteLLM has
only with its Prometheus callback.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from signoff import story
from signoff.core.errors import SignoffError
from signoff.core.redact import scrubbed
from signoff.core.timeouts import REQUEST
from signoff.in_cluster.load_generator.run import ResourceSampler, Sample
from signoff.kube.client import Kube
from signoff.kube.roles import NAME_LABEL
from signoff.traffic.metrics import counter

_MIB = 2**20
_UNREADABLE = (
    *(ApiException, DynamicApiError, HTTPError, OSError),  # no answer, or a refusal
    *(ValueError, KeyError, TypeError, AttributeError),  # an answer that is none of a cluster's API
)
Note = Callable[[str], None]
"""Is told, once, of what cannot be observed."""


def sampler(options: Any, note: Note) -> ResourceSampler:
    """Sample the pods, if a kubeconfig says how, else both arms' own pages."""
    if options.kubeconfig:
        return PodSampler(Kube(Path(options.kubeconfig)), story.NAMESPACE, note)
    arms = {"litellm": options.host or options.proxied, "vllm": options.direct}
    return PageSampler({name: url for name, url in arms.items() if url}, note)


def check_kubeconfig(path: Path) -> None:
    """See that a cluster answers that has the story's namespace, so that its pods can be watched.

    Raises:
        SignoffError: the file is none, or nobody answers.
    """
    where, hint = f"--kubeconfig {path}", "name the file that kubectl uses for the cluster under load, or leave it out"
    if not path.is_file():
        raise SignoffError("there is no such kubeconfig", where=where, hint=hint)
    try:
        kube = Kube(path)
    except (ConfigException, YAMLError, OSError, UnicodeDecodeError, *_UNREADABLE) as error:
        raise SignoffError(f"it is no kubeconfig: {' '.join(str(error).split())}", where=where, hint=hint) from error
    try:
        kube.core.list_namespaced_pod(story.NAMESPACE, limit=1, _request_timeout=REQUEST.seconds)
    except _UNREADABLE as error:
        what = f"the cluster does not say what pods it has in {story.NAMESPACE}: {_why(error)}"
        raise SignoffError(what, where=where, hint=hint) from error


class PodSampler:
    """Looks at the pods of a namespace."""

    def __init__(self, kube: Kube, namespace: str, note: Note) -> None:
        self._kube, self._namespace, self._note = kube, namespace, note
        self._began = time.time()
        self._seen: set[tuple[str, int]] = set()
        """The events that were told and that the cluster still has."""
        self._blind: set[str] = set()

    def look(self) -> list[Sample]:
        """A sample of each pod, and the events since the last look; what cannot be read just now is left out."""
        try:
            return [*self._pods(), *self._events()]
        except _UNREADABLE as error:
            self._tell("the pods", f"the cluster's API did not answer a look at the pods: {_why(error)}")
            return []

    def versions(self) -> dict[str, str]:
        """The images of LiteLLM and vLLM as they run."""
        found: dict[str, str] = {}
        for app in ("litellm", "vllm"):
            for pod in self._kube.pods(self._namespace, {NAME_LABEL: app})[:1]:
                found[f"{app}_image"] = pod.spec.containers[0].image
        return found

    def _pods(self) -> Iterator[Sample]:
        pods = self._kube.core.list_namespaced_pod(self._namespace).items
        nodes = {pod.spec.node_name for pod in pods if _has_run(pod)}
        used = {name: each for node in nodes for name, each in self._used(node)}
        now = time.time()
        for pod in pods:
            name = pod.metadata.name
            statuses = pod.status.container_statuses or []
            cpu, memory = used.get(name, (None, None))
            yield Sample(now, name, cpu, memory, restarts=sum(each.restart_count for each in statuses))

    def _used(self, node: str) -> Iterator[tuple[str, tuple[float | None, float | None]]]:
        """CPU seconds and MiB of each pod on the node."""
        try:
            for pod in self._kube.kubelet_summary(node)["pods"]:
                if pod["podRef"]["namespace"] == self._namespace:
                    nanoseconds = pod.get("cpu", {}).get("usageCoreNanoSeconds")
                    held = pod.get("memory", {}).get("workingSetBytes")
                    cpu = None if nanoseconds is None else nanoseconds / 1e9
                    yield pod["podRef"]["name"], (cpu, None if held is None else held / _MIB)
        except _UNREADABLE as error:
            self._tell(node, f"memory and processor time of the pods on {node} cannot be read: {_why(error)}")

    def _events(self) -> Iterator[Sample]:
        listed = self._kube.core.list_namespaced_event(self._namespace).items
        before, self._seen = self._seen, set()
        for event in listed:
            at = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
            happening = (event.metadata.uid, event.count or 1)
            if event.involved_object.kind != "Pod":
                continue
            self._seen.add(happening)
            if happening not in before and at.timestamp() >= self._began:
                yield Sample(
                    at.timestamp(), event.involved_object.name, event=scrubbed(f"{event.reason}: {event.message}")
                )

    def _tell(self, what: str, text: str) -> None:
        """Say why this cannot be observed, the first time: errors name connections, so that no two read alike."""
        if what not in self._blind:
            self._blind.add(what)
            self._note(text)


class PageSampler:
    """Looks at servers' own /metrics pages, where there is no cluster to ask; `urls` maps names to base URLs."""

    def __init__(self, urls: Mapping[str, str], note: Note) -> None:
        self._urls, self._note = dict(urls), note

    def look(self) -> list[Sample]:
        """A sample of each server; one without such a page is told of once and not asked again."""
        samples = []
        for name, url in list(self._urls.items()):
            try:
                memory = counter(url, "process_resident_memory_bytes") / _MIB
                samples.append(Sample(time.time(), name, counter(url, "process_cpu_seconds_total"), memory))
            except SignoffError as error:
                del self._urls[name]
                self._note(
                    f"memory and processor time of {name} cannot be read ({error.what}): --kubeconfig would help"
                )
        return samples

    def versions(self) -> dict[str, str]:
        """vLLM's own, if it says it."""
        with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
            answer = httpx.get(f"{self._urls['vllm']}/version", timeout=REQUEST.seconds, trust_env=False)
            return {"vllm": str(answer.json()["version"])}
        return {}


def _has_run(pod: Any) -> bool:
    """Whether a container of it runs or has run."""
    return any(each.container_id for each in pod.status.container_statuses or [])


def _why(error: Exception) -> str:
    if isinstance(error, ApiException | DynamicApiError):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__}: {error}"
