"""The story's deployment on a cluster: vLLM and LiteLLM from the manifests, and the way to reach both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from signoff.cluster.base import Cluster
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.core.words import listed
from signoff.evidence import Evidence, causes
from signoff.evidence.models import Applied, Backend, Cause, ClearedAway, Note, PodPlace, Subject, Unproven
from signoff.gateway import probes, standing
from signoff.gateway.key import keys_of
from signoff.kube import cleanup
from signoff.kube.addons import why_skipped, without_crd
from signoff.kube.client import Kube, describe_end, is_ready, lacks_room, lasting_statuses
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Key, Manifest, containers
from signoff.kube.roles import Workload
from signoff.kube.stood import changed_since
from signoff.kube.undo import Apply, Undo
from signoff.settings import Settings
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import Keys

WRONG_MODEL, NO_KEY = "litellm-wrong-model", "litellm-no-key"
"""The LiteLLMs with the mistakes of the first deployment, which are put beside the one under test."""


@dataclass
class Deployment:
    """What the story's manifests make of a cluster."""

    cluster: Cluster
    manifests: StoryManifests
    evidence: Evidence
    keys: Keys = field(init=False)
    kube: Kube = field(init=False)
    starts: dict[str, int] = field(default_factory=dict)
    """How many seconds each pod of the LiteLLM under test took to become Ready, as seen when it was waited for."""
    touched: set[Key] = field(default_factory=set)
    """What the suite itself has changed of what stands there."""
    _ends: dict[str, int] = field(default_factory=dict)
    """How often each container of the backend had ended when that was last looked at."""
    _breaks_told: float = 0.0
    """When breaks of the tunnel were last told, by `time.monotonic()`."""

    def __post_init__(self) -> None:
        self.kube = Kube(self.cluster.kubeconfig, self.cluster.gate)
        self.keys = keys_of(self.manifests)

    @property
    def gateway(self) -> Workload:
        """The LiteLLM under test."""
        return self.manifests.roles.gateway

    @property
    def backend(self) -> Workload:
        """The vLLM behind it."""
        return self.manifests.roles.backend

    @property
    def settings(self) -> Settings:
        """Where it may run, and what is wanted of it."""
        return self.manifests.settings

    @property
    def namespace(self) -> str:
        """LiteLLM's, in which the suite puts what it needs beside it."""
        return self.gateway.namespace

    @property
    def is_timed_inside(self) -> bool:
        """Whether requests are timed by a pod: here they pass a tunnel, and a Job may be made."""
        return self.cluster.tunnelled and "job" in self.cluster.capabilities

    def apply(self, wanted: list[Manifest], undo: Undo | None = None) -> None:
        """Apply the objects in their order and record each; a namespace is waited for before the next object.

        With `undo` they are there for a while only.
        """
        for manifest in wanted:
            if undo:
                undo.remember(Apply(manifest, self.namespace))
            self._record(manifest, self.kube.apply(manifest, self.namespace) or "")
            if manifest.body["kind"] == "Namespace":
                self.kube.wait_for_namespace(manifest.body["metadata"]["name"])

    def _record(self, manifest: Manifest, skipped: str) -> None:
        """Record that an object was applied, or why it was not."""
        self.evidence.add(
            Applied(
                file=self.manifests.source.file(manifest),
                sha256=manifest.sha256,
                object=manifest.name,
                object_sha256=manifest.object_sha256,
                reason=skipped,
                images=[] if skipped else sorted({c["image"] for c in containers(manifest.body)}),
            )
        )
        if skipped:
            progress("deploy", f"{manifest.name} skipped: {skipped}")

    def clear_away(self) -> None:
        """Clear away what earlier runs left on a cluster that was there before, LiteLLM itself included."""
        if self.cluster.reused:
            done = cleanup.clear(self.kube, self.manifests.namespaces, stays=self.manifests.backend)
            self.evidence.add(ClearedAway(done=done))
            if done:
                progress("deploy", f"cleared away what an earlier run left: {', '.join(done)}")

    def start_both(self) -> None:
        """Apply vLLM and LiteLLM, so that both start side by side; neither is waited for. Of a copy, it alone."""
        self._check_kinds()
        if self.cluster.gate is None:  # a person's own namespaces are theirs to make
            self._make_namespaces()
        started = (
            f"a copy of {self.manifests.copy_of} starts: {self.gateway.object} of {self.namespace}"
            if self.manifests.copy_of
            else "vLLM and LiteLLM start side by side; vLLM takes about half a minute once installed"
        )
        progress("deploy", started)
        self.apply(self.manifests.applied)
        for each in self.manifests.left_out:
            self._record(each.manifest, each.reason)
        self._record_notes()

    def record_standing(self) -> None:
        """Record what stands on the cluster already, in the place of what is applied."""
        for each in standing.records(self.manifests):
            self.evidence.add(each)
        if not self.manifests.applied:
            self._record_notes()

    def _record_notes(self) -> None:
        for note in self.manifests.notes:
            self.evidence.add(Note(text=note))
        without = self.manifests.goes_without if "deploy" in self.cluster.capabilities else ()
        if without:
            told = f"a copy of LiteLLM goes without what leads outside its pods: {listed(without)}"
            self.evidence.add(Note(text=told))
        for model in self.manifests.roles.unproven:
            where = self.manifests.shown(model.where)
            self.evidence.add(Unproven(model=model.asked, reason=model.reason, file=where))
            progress("deploy", f"the model {model.asked} is not judged: {model.reason} ({where})")

    def _check_kinds(self) -> None:
        """See that each kind is the cluster's, comes with the manifests, or is a known add-on's.

        Raises:
            SignoffError: one is none of these, before anything is applied.
        """
        for each in without_crd(self.manifests.applied):
            if not self.kube.knows(each):
                why_skipped(each)

    def _make_namespaces(self) -> None:
        """Make those that no manifest makes, as a person has before `kubectl apply`."""
        made = {each.name for each in self.manifests.backend if each.body["kind"] == "Namespace"}
        for name in dict.fromkeys((self.gateway.namespace, self.backend.namespace)):
            if f"Namespace/{name}" not in made and self.kube.make_namespace(name):
                progress("deploy", f"the namespace {name} was not there, and is in no manifest: made")
                self.kube.wait_for_namespace(name)

    def wait_for_backend(self) -> Endpoint:
        """Wait until vLLM answers, and record where it runs and its version."""
        endpoint = self.answering_backend()
        list(self._ends_of_backend())  # how often it was restarted until now is no disturbance
        self._record_placements(self.backend)
        progress("vllm", f"serves {self.manifests.roles.model.model}")
        self.evidence.add(Backend(version=_version_of(endpoint)))
        return endpoint

    def answering_backend(self) -> Endpoint:
        """vLLM's Service, once vLLM is available and answers there."""
        self.answering(self.backend)
        return self.direct

    def wait_for_gateway(self, workload: Workload | None = None, whose: Subject = Subject.GATEWAY) -> None:
        """Wait until the pods of the LiteLLM under test, or of this one, are available, whatever its Service says.

        The suite's own recorder stands where a LiteLLM would, and is waited for like one: `whose` then says so.
        """
        waited_for = workload or self.gateway
        with causes.of(whose), self._room_for(waited_for), self._patience_of_probes(waited_for):
            self._wait_until_available(waited_for, timeouts.GATEWAY_READY)
        self._record_placements(waited_for)
        if waited_for == self.gateway:
            self.starts |= {
                pod.metadata.name: s for pod in self.pods(waited_for) if (s := probes.start_of(pod)) is not None
            }
        progress(waited_for.name, "is Ready")

    def _wait_until_available(self, workload: Workload, timeout: timeouts.Timeout) -> None:
        self.kube.wait_until_available(workload.namespace, workload.name, timeout, workload.kind)

    @contextmanager
    def _room_for(self, workload: Workload) -> Iterator[None]:
        """That no node has room for a pod is the cluster's doing, as it is that the node of one has gone."""
        try:
            yield
        except WaitFailed:
            pods = self.pods(workload)
            is_the_clusters = any(map(lacks_room, pods)) or self.kube.lost_nodes(pods)
            with causes.of(Subject.CLUSTER) if is_the_clusters else nullcontext():
                raise

    @contextmanager
    def _patience_of_probes(self, workload: Workload) -> Iterator[None]:
        """A gateway that its own probes end again and again does not say so: name them."""
        try:
            yield
        except WaitFailed as failed:
            if workload == self.gateway and (told := self._ended_by_probes()):
                raise failed.with_more(told) from None
            raise

    def _ended_by_probes(self) -> str:
        return "; ".join(
            f"its {probe.role} probe ends {probe.container} {probe.seconds} s after its start: write a startupProbe "
            f"that leaves it more" + (f" (see {probe.file})" if probe.file else "")
            for probe in probes.that_may_have_ended_it(self.kube, self.manifests)
        )

    def pods(self, workload: Workload) -> list[Any]:
        """The pods that its labels select and that are not being deleted, whoever has made them."""
        return self.kube.pods(workload.namespace, workload.selector)

    def answering_gateway(self, workload: Workload | None = None, whose: Subject = Subject.GATEWAY) -> Endpoint:
        """The Service of the LiteLLM under test, or of this one, once it answers."""
        asked, judged = self.manifests.roles.model.asked, workload or self.gateway
        with causes.of(whose):
            within = self._first_answer_within(judged, timeouts.GATEWAY_READY)
            return _answering(Endpoint(self._url(judged), asked, self.keys.gateway), within)

    def answering(self, backend: Workload) -> str:
        """The base URL of a vLLM's Service, once its pods are available and it answers."""
        with causes.of(Subject.BACKEND):
            self._wait_until_available(backend, timeouts.BACKEND_READY)
            within = self._first_answer_within(backend, timeouts.BACKEND_READY)
            return _answering(Endpoint(self._url(backend), api_key=self.keys.backend), within).url

    def _first_answer_within(self, workload: Workload, starts: timeouts.Timeout) -> timeouts.Timeout:
        """How long its Service may refuse: a pod without a readiness probe is Ready while it `starts`."""
        several = self.kube.workload(workload.namespace, workload.name, workload.kind).spec.template.spec.containers
        return timeouts.SERVICE_ANSWERS if all(each.readiness_probe for each in several) else starts

    @property
    def direct(self) -> Endpoint:
        """vLLM's Service, as this process reaches it."""
        return Endpoint(self._url(self.backend), self.settings.model, self.keys.backend)

    def _url(self, workload: Workload) -> str:
        return self.cluster.service_url(workload.namespace, workload.service, workload.port)

    def disturbances(self) -> list[Cause]:
        """What has happened unasked since the last call, to the control plane, the tunnel, the nodes, or vLLM.

        It is looked for a moment longer, since what has just ended shows a little later.
        """

        def look() -> list[Cause]:
            if found := list(self._disturbances()):
                return found
            raise NotYet("nothing but what the scenarios did")

        try:
            return eventually("a disturbance", timeouts.END_SHOWS, look)
        except WaitFailed:
            return []

    def _disturbances(self) -> Iterator[Cause]:
        if ended := self.cluster.failure():
            yield Cause(subject=Subject.CLUSTER, what=ended.what)
            return
        yield from self._breaks_of_tunnel()
        for node in self.kube.silent_nodes(self._own_nodes()):
            yield Cause(subject=Subject.CLUSTER, what=f"the kubelet of the node {node} does not answer")
        yield from self._ends_of_backend()
        for told in changed_since(self.kube, self.manifests.stood, self.touched):
            yield Cause(subject=Subject.CLUSTER, what=told)

    def _breaks_of_tunnel(self) -> Iterator[Cause]:
        """What broke it while this scenario ran, unless the pod at its end did: what broke before has hit another."""
        since = max(self._breaks_told, self.evidence.scenario_since())
        if broken := [each for each in self.cluster.tunnel_breaks(since) if each.by_tunnel]:
            self._breaks_told = time.monotonic()
            more = f"; so did {len(broken) - 1} of its other connections" if len(broken) > 1 else ""
            yield Cause(subject=Subject.CLUSTER, what=f"{broken[0]}{more}")

    def _own_nodes(self) -> set[str]:
        """The nodes that vLLM and LiteLLM run on; what becomes of others disturbs neither."""
        pods = [*self.pods(self.backend), *self.pods(self.gateway)]
        return {pod.spec.node_name for pod in pods if pod.spec.node_name}

    def _ends_of_backend(self) -> Iterator[Cause]:
        """A vLLM that was scaled down leaves no pod behind, so that it does not count as one that ended by itself."""
        for pod in self.pods(self.backend):
            for status in lasting_statuses(pod):
                key, ends = f"{pod.metadata.uid}/{status.name}", _ends(status)
                if ends > self._ends.get(key, 0):
                    who = "vLLM" if status in (pod.status.container_statuses or []) else "a sidecar of vLLM"
                    yield Cause(subject=Subject.BACKEND, what=f"{who} ended: {describe_end(status)}")
                self._ends[key] = ends

    def _record_placements(self, workload: Workload) -> None:
        for pod in self.pods(workload):
            self.evidence.add(PodPlace(pod=pod.metadata.name, node=pod.spec.node_name))

    def ready_gateway_pods(self) -> list[Any]:
        """The Ready pods of the LiteLLM under test."""
        return [pod for pod in self.pods(self.gateway) if is_ready(pod)]


def _ends(status: Any) -> int:
    """How often a container has ended, the end that it has not come back from counted."""
    return int(status.restart_count) + bool(status.state and status.state.terminated)


def _version_of(backend: Endpoint) -> str:
    """What vLLM says of itself; other backends need not."""
    with OpenAIClient(backend) as client:
        answer = client.get("/version")
    return str(answer.json["version"]) if answer.ok and isinstance(answer.json, dict) else ""


def _answering(endpoint: Endpoint, within: timeouts.Timeout) -> Endpoint:
    """The endpoint, once an HTTP server answers there.

    A Service may refuse for a moment after its pods are Ready: kube-proxy follows a little later.
    """

    def look() -> Endpoint:
        try:
            with OpenAIClient(endpoint) as client:
                client.models()
        except NoAnswer as error:
            raise NotYet(str(error)) from None
        return endpoint

    return eventually(f"{endpoint.url} to answer", within, look)
