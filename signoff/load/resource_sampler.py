"""What the pods of the deployment use and suffer meanwhile, for samples.csv.

Memory and processor time come from each node's kubelet (its Summary API). Without a kubeconfig a server's own /metrics
page (`process_resident_memory_bytes`, `process_cpu_seconds_total`) stands in where it has one: vLLM has, LiteLLM has
only with its Prometheus callback.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from signoff.core.errors import SignoffError
from signoff.core.redact import scrubbed
from signoff.core.timeouts import REQUEST
from signoff.in_cluster.load_generator.run import Role, Sample
from signoff.kube.client import Kube, labels_text, lasting_statuses
from signoff.kube.roles import Roles, Workload
from signoff.traffic.metrics import counter

_MIB = 2**20
_UNREADABLE = (
    *(ApiException, DynamicApiError, HTTPError, OSError),  # no answer, or a refusal
    *(ValueError, KeyError, TypeError, AttributeError),  # an answer that is none of a cluster's API
)
Note = Callable[[str], None]
"""Is told, once, of what cannot be observed."""
Watched = Mapping[Role, Workload]
"""Those whose pods are watched."""
_PRODUCTS: Mapping[Role, str] = {"gateway": "litellm", "backend": "vllm"}


def watched(roles: Roles) -> Watched:
    """The gateway that is judged and its backend."""
    return {"gateway": roles.gateway, "backend": roles.backend}


def check_kubeconfig(path: Path, workloads: Iterable[Workload]) -> None:
    """See that a cluster answers that tells of the pods of these workloads, so that they can be watched.

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
    for namespace in dict.fromkeys(each.namespace for each in workloads):
        try:
            kube.core.list_namespaced_pod(namespace, limit=1, _request_timeout=REQUEST.seconds)
        except _UNREADABLE as error:
            what = f"the cluster does not say what pods it has in {namespace}: {_why(error)}"
            raise SignoffError(what, where=where, hint=hint) from error


_Pod = tuple[str, str]
"""Namespace and name."""


class PodSampler:
    """Looks at the pods that the labels of these workloads select."""

    def __init__(self, kube: Kube, workloads: Watched, note: Note) -> None:
        self._kube, self._workloads, self._note = kube, workloads, note
        self._began = time.time()
        self._known: dict[_Pod, Role] = {}
        """Every pod that was seen: of one that has gone there are events still."""
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
        for role, workload in self._workloads.items():
            for pod in self._kube.pods(workload.namespace, workload.selector)[:1]:
                several = pod.spec.containers
                own = next((each for each in several if each.name == workload.container), several[0])
                found[f"{_PRODUCTS[role]}_image"] = own.image
        return found

    def _pods(self) -> Iterator[Sample]:
        pods = [(role, pod) for role, workload in self._workloads.items() for pod in self._pods_of(workload)]
        nodes = {pod.spec.node_name for _, pod in pods if _has_run(pod)}
        used = {name: each for node in nodes for name, each in self._used(node)}
        now = time.time()
        for role, pod in pods:
            name = (pod.metadata.namespace, pod.metadata.name)
            self._known[name] = role
            cpu, memory = used.get(name, (None, None))
            restarts = sum(each.restart_count for each in lasting_statuses(pod))
            yield Sample(now, pod.metadata.name, cpu, memory, restarts=restarts, role=role)

    def _pods_of(self, workload: Workload) -> list[Any]:
        """Those that end as well: what a pod uses until then counts."""
        labels = labels_text(workload.selector)
        pods: list[Any] = self._kube.core.list_namespaced_pod(workload.namespace, label_selector=labels).items
        if not pods:
            who = f"{workload.object} in the namespace {workload.namespace} ({labels})"
            self._tell(workload.object, f"at a look no pod was there of {who}: of its memory nothing is known then")
        return pods

    def _used(self, node: str) -> Iterator[tuple[_Pod, tuple[float | None, float | None]]]:
        """CPU seconds and MiB of each pod on the node."""
        try:
            for pod in self._kube.kubelet_summary(node)["pods"]:
                nanoseconds = pod.get("cpu", {}).get("usageCoreNanoSeconds")
                held = pod.get("memory", {}).get("workingSetBytes")
                cpu = None if nanoseconds is None else nanoseconds / 1e9
                name = pod["podRef"]["namespace"], pod["podRef"]["name"]
                yield name, (cpu, None if held is None else held / _MIB)
        except _UNREADABLE as error:
            self._tell(node, f"memory and processor time of the pods on {node} cannot be read: {_why(error)}")

    def _events(self) -> Iterator[Sample]:
        namespaces = dict.fromkeys(each.namespace for each in self._workloads.values())
        listed = [(each, event) for each in namespaces for event in self._kube.core.list_namespaced_event(each).items]
        before, self._seen = self._seen, set()
        for namespace, event in listed:
            pod = event.involved_object
            role = self._known.get((namespace, pod.name))
            if pod.kind != "Pod" or role is None:
                continue
            at = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
            happening = (event.metadata.uid, event.count or 1)
            self._seen.add(happening)
            if happening not in before and at.timestamp() >= self._began:
                told = scrubbed(f"{event.reason}: {event.message}")
                yield Sample(at.timestamp(), pod.name, event=told, role=role)

    def _tell(self, what: str, text: str) -> None:
        """Say why this cannot be observed, the first time: errors name connections, so that no two read alike."""
        if what not in self._blind:
            self._blind.add(what)
            self._note(text)


class PageSampler:
    """Looks at servers' own /metrics pages, where there is no cluster to ask; `urls` are base URLs, "" for none."""

    def __init__(self, urls: Mapping[Role, str], note: Note) -> None:
        self._urls, self._note = {role: url for role, url in urls.items() if url}, note

    def look(self) -> list[Sample]:
        """A sample of each server; one without such a page is told of once and not asked again."""
        samples = []
        for role, url in list(self._urls.items()):
            name = _PRODUCTS[role]
            try:
                memory = counter(url, "process_resident_memory_bytes") / _MIB
                cpu = counter(url, "process_cpu_seconds_total")
                samples.append(Sample(time.time(), name, cpu, memory, role=role))
            except SignoffError as error:
                del self._urls[role]
                self._note(
                    f"memory and processor time of {name} cannot be read ({error.what}): --kubeconfig would help"
                )
        return samples

    def versions(self) -> dict[str, str]:
        """vLLM's own, if it says it."""
        with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
            answer = httpx.get(f"{self._urls['backend']}/version", timeout=REQUEST.seconds, trust_env=False)
            return {"vllm": str(answer.json()["version"])}
        return {}


def _has_run(pod: Any) -> bool:
    """Whether a container of it runs or has run."""
    return any(each.container_id for each in pod.status.container_statuses or [])


def _why(error: Exception) -> str:
    if isinstance(error, ApiException | DynamicApiError):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__}: {error}"
