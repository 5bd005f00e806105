"""What a person wants to see when a scenario has failed: the likely cause in a sentence, then the namespace as it is.

Nothing here raises: what can't be read is named instead, since a bundle must not hide the failure that it explains.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException

from signoff.core import errors
from signoff.core.errors import SignoffError
from signoff.core.redact import redacted, redacted_log
from signoff.kube.client import FIELD_MANAGER, Kube, reason_of
from signoff.kube.objects import Key
from signoff.kube.roles import Workload

LOG_LINES = 60
_EVENTS, _NO_LOG = "events", "(no log:"

Object = dict[str, Any]
"""A Kubernetes object in the API's own JSON."""

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_PRESSURE = ("DiskPressure", "MemoryPressure", "PIDPressure")
_TELLING = re.compile(r"error|exception|fatal|denied|refused|no space", re.IGNORECASE)


@dataclass(frozen=True)
class Snapshot:
    """Namespaces and the cluster's nodes at one moment.

    `logs` are by pod, container, and whether it is that of the run before; `unread` says what could not be read, and
    `withheld` what this user may not read and whose lack says nothing of the cluster.
    """

    pods: list[Object] = field(default_factory=list)
    deployments: list[Object] = field(default_factory=list)
    services: list[Object] = field(default_factory=list)
    slices: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)
    logs: dict[tuple[str, str, bool], str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    others: list[Object] = field(default_factory=list)
    """Pods of which no more than name and state is anybody's here to see."""


@dataclass(frozen=True)
class Judged:
    """What may be shown where others' objects stand as well; of their pods, name and state alone are."""

    workloads: Sequence[Workload]
    namespaces: Sequence[str] = ()
    """The suite's own, all of which may be."""

    def of(self, seen: Snapshot) -> Snapshot:
        """What of a snapshot, as yet without logs, may be shown."""
        deployments = [each for each in seen.deployments if self._is_shown("Deployment", each)]
        services = [each for each in seen.services if self._is_shown("Service", each)]
        selectors = [(each.namespace, dict(each.selector)) for each in self.workloads]
        selectors += [(_namespace(each), each["spec"]["selector"].get("matchLabels") or {}) for each in deployments]
        pods = [each for each in seen.pods if self._is_whole(each) or _is_selected(each, selectors)]
        served = {(_namespace(each), _name(each)) for each in services}
        about = [*((_namespace(each), _name(each)) for each in (*pods, *deployments)), *served]
        about += [(each.namespace, each.name) for each in self.workloads]
        return replace(
            seen,
            pods=pods,
            deployments=deployments,
            services=services,
            slices=[each for each in seen.slices if (_namespace(each), _service_of(each)) in served],
            events=[each for each in seen.events if self._is_whole(each) or _is_about(each, about)],
            others=[each for each in seen.pods if each not in pods],
        )

    def _is_shown(self, kind: str, body: Object) -> bool:
        own = {key for each in self.workloads for key in (each.key, each.service_key)}
        writers = {each.get("manager") for each in body["metadata"].get("managedFields") or []}
        return self._is_whole(body) or Key(f"{kind}/{_name(body)}", _namespace(body)) in own or FIELD_MANAGER in writers

    def _is_whole(self, body: Object) -> bool:
        return _namespace(body) in self.namespaces


def _is_selected(pod: Object, selectors: Sequence[tuple[str, Object]]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return any(
        selector and namespace == _namespace(pod) and selector.items() <= labels.items()
        for namespace, selector in selectors
    )


def _is_about(event: Object, objects: Sequence[tuple[str, str]]) -> bool:
    """Whether an event is of one of these, or of a node, or of the ReplicaSet that a Deployment has made."""
    about = event["involvedObject"]
    namespace, name = about.get("namespace"), str(about.get("name"))
    maker = name.rpartition("-")[0] if about.get("kind") == "ReplicaSet" else name
    return about.get("kind") == "Node" or (namespace, maker) in objects


def collect(
    kube: Kube,
    namespace: str,
    error: BaseException | None = None,
    ended: SignoffError | None = None,
    beside: Sequence[str] = (),
    judged: Judged | None = None,
) -> str:
    """The bundle as text without secrets; its first line is the likely cause.

    `error` failed the scenario; `ended` says why the cluster itself is no more, and then is the cause. `beside` are
    namespaces with what else has a part in it; one that is not there adds nothing. `judged` is what may be shown
    where others' objects stand as well; without, all may be.
    """
    if ended:
        return redacted_log(f"{_one_line(ended.what)}\n\n== What failed\n{error}\n\n== The cluster's end\n{ended}\n")
    return render(take(kube, namespace, *beside, judged=judged), error)


def take(kube: Kube, *namespaces: str, judged: Judged | None = None) -> Snapshot:
    """Read all that the bundle shows of these namespaces; no log of a pod that is not judged."""
    unread: list[str] = []
    withheld: list[str] = []

    def read(what: str, call: Callable[..., Any], namespace: str = "") -> list[Object]:
        try:
            answer = call(namespace, _preload_content=False) if namespace else call(_preload_content=False)
            return list(json.loads(answer.data)["items"])
        except ApiException as refused:
            is_beside = namespace not in ("", namespaces[0])
            says_nothing = refused.status == HTTPStatus.FORBIDDEN and (is_beside or what.startswith(_EVENTS))
            (withheld if says_nothing else unread).append(f"{what}: {reason_of(refused)}")
        except Exception as failed:
            unread.append(f"{what}: {failed}")
        return []

    def each_of(what: str, call: Callable[..., Any]) -> list[Object]:
        return [found for namespace in namespaces for found in read(what, call, namespace)]

    node_events = read(f"{_EVENTS} of nodes", kube.core.list_namespaced_event, "default")
    seen = Snapshot(
        pods=each_of("pods", kube.core.list_namespaced_pod),
        deployments=each_of("Deployments", kube.apps.list_namespaced_deployment),
        services=each_of("Services", kube.core.list_namespaced_service),
        slices=each_of("EndpointSlices", kube.discovery.list_namespaced_endpoint_slice),
        events=[
            *each_of(_EVENTS, kube.core.list_namespaced_event),
            *(each for each in node_events if each["involvedObject"].get("kind") == "Node"),
        ],
        nodes=read("nodes", kube.core.list_node),
        unread=unread,
        withheld=withheld,
    )
    shown = judged.of(seen) if judged else seen
    return replace(shown, logs={key: text for pod in shown.pods for key, text in _logs(kube, pod)})


def render(seen: Snapshot, error: BaseException | None = None) -> str:
    """The snapshot as plain text."""
    sections = {
        "What failed": errors.told(error) if error else "",
        "Pods": "\n".join(_line(pod) for pod in seen.pods),
        **({"Pods of others": "\n".join(_line(pod) for pod in seen.others)} if seen.others else {}),
        "Events": "\n".join(_event(event) for event in sorted(seen.events, key=_when)),
        "EndpointSlices": "\n".join(_slice(piece) for piece in seen.slices),
        "Nodes": "\n".join(_node(node) for node in seen.nodes),
        **{_title(*key): text for key, text in seen.logs.items()},
        **{f"Pod {_name(pod)}": _described(pod) for pod in seen.pods},
        "What could not be read": "\n".join([*seen.unread, *seen.withheld]),
    }
    shown = [f"== {title}\n{text.strip() or '(none)'}" for title, text in sections.items()]
    return redacted_log("\n\n".join([likely_cause(seen, error), *shown])) + "\n"


def likely_cause(seen: Snapshot, error: BaseException | None = None) -> str:
    """One sentence: what is wrong with the first thing that is wrong, from the node up to the Service."""
    for causes in (_of_pods(seen), _of_deployments(seen), _of_services(seen)):
        if cause := next(causes, None):
            return _one_line(cause)
    if seen.unread:
        return _one_line(f"The cluster could not be asked: {seen.unread[0]}")
    told = str(error).splitlines()[0] if error and str(error) else "see the exchange that the scenario judged"
    return _one_line(f"Every pod is Ready and every Service has endpoints, so it is in what was said: {told}")


def _of_pods(seen: Snapshot) -> Iterator[str]:
    for pod in seen.pods:
        if not _is_ready(pod) and pod["status"].get("phase") != "Succeeded":
            yield from _of_node(seen, pod)
            yield _of_pod(seen, pod)


def _of_node(seen: Snapshot, pod: Object) -> Iterator[str]:
    """What ails the node of the pod, or one that the scheduler could not choose for it."""
    unplaced = _node_of(pod) == "no node"
    for node in seen.nodes:
        if not unplaced and _name(node) != _node_of(pod):
            continue
        states = {each["type"]: each for each in node["status"].get("conditions", [])}
        for pressure in _PRESSURE:
            if states.get(pressure, {}).get("status") == "True":
                what = {"DiskPressure": "disk", "MemoryPressure": "memory"}.get(pressure, "process numbers")
                yield (
                    f"Node {_name(node)} runs out of {what} ({pressure}), so {_name(pod)} cannot run there: "
                    f"{states[pressure].get('message', '')}"
                )
        if states.get("Ready", {}).get("status", "True") != "True":
            yield f"Node {_name(node)} is not Ready, so {_name(pod)} cannot run there: {states['Ready'].get('message')}"


def _of_pod(seen: Snapshot, pod: Object) -> str:
    name, status = _name(pod), pod["status"]
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"No node takes {name}: {scheduled.get('message', scheduled.get('reason'))}"
    if status.get("reason") == "Evicted":
        return f"{name} was evicted from {_node_of(pod)}: {status.get('message')}"
    for container in _statuses(pod):
        if cause := _of_container(seen, pod, container):
            return cause
    if failed := _last_event(seen, name, "FailedMount"):
        return f"A volume of {name} cannot be mounted: {failed}"
    if unhealthy := _last_event(seen, name, "Unhealthy"):
        return f"{name} runs but does not become Ready: {unhealthy}"
    if failed := _last_event(seen, name, "FailedCreatePodSandBox"):
        return f"{name} cannot start: {failed}"
    return f"{name} is not Ready: {_state_of(pod)}"


def _of_container(seen: Snapshot, pod: Object, status: Object) -> str:
    who = f"Container {status['name']} of {_name(pod)}"
    waiting = status.get("state", {}).get("waiting", {})
    ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return (
            f"The image {status['image']} cannot be pulled onto {_node_of(pod)}: {_pull_message(seen, pod, waiting)}; "
            "check its name, or load it into the local Docker engine first"
        )
    if reason in _CONFIG:
        return f"{who} cannot be created: {waiting.get('message', reason)}"
    if ended.get("reason") == "OOMKilled":
        limit = _limits(pod, status["name"]).get("memory", "its node's")
        return f"{who} was killed for needing more memory than its limit ({limit})"
    if ended and ended.get("exitCode") != 0 and not status.get("ready"):
        killed = _last_event(seen, _name(pod), "Killing")
        if "probe" in killed:
            return f"{who} is restarted again and again: {_last_event(seen, _name(pod), 'Unhealthy') or killed}"
        line = _telling_line(seen, _name(pod), status["name"])
        return f"{who} ended with status {ended.get('exitCode')}" + (f", its last word: {line}" if line else "")
    return ""


def _pull_message(seen: Snapshot, pod: Object, waiting: Object) -> str:
    """The kubelet's reason: that of back-off says only that it waits, so the last failed event is better."""
    failed = [e["message"] for e in _events_of(seen, _name(pod), "Failed") if "Failed to pull image" in e["message"]]
    return str(failed[-1] if failed else waiting.get("message", waiting.get("reason")))


def _of_deployments(seen: Snapshot) -> Iterator[str]:
    for deployment in seen.deployments:
        for each in deployment["status"].get("conditions", []):
            if each["type"] == "ReplicaFailure" and each["status"] == "True":
                yield f"No pod can be created for Deployment {_name(deployment)}: {each.get('message')}"


def _of_services(seen: Snapshot) -> Iterator[str]:
    """Services that send to no Ready pod though they select; a Deployment that is scaled to 0 explains its own."""
    for service in seen.services:
        selector = service["spec"].get("selector")
        if not selector or any(_ready_ends(piece) for piece in seen.slices if _service_of(piece) == _name(service)):
            continue
        asked = ", ".join(f"{key}={value}" for key, value in selector.items())
        idle = [d for d in seen.deployments if d["spec"].get("replicas") == 0 and _selects(selector, d)]
        why = f"Deployment {_name(idle[0])} is scaled to 0" if idle else f"no Ready pod has its labels ({asked})"
        yield f"Service {_name(service)} has no endpoints: {why}"


def _selects(selector: Object, deployment: Object) -> bool:
    labels = deployment["spec"]["template"]["metadata"].get("labels", {})
    return bool(selector.items() <= labels.items())


def _ready_ends(piece: Object) -> list[Object]:
    return [end for end in piece.get("endpoints") or [] if end.get("conditions", {}).get("ready")]


def _service_of(piece: Object) -> str:
    return str(piece["metadata"].get("labels", {}).get("kubernetes.io/service-name", ""))


def _telling_line(seen: Snapshot, pod: str, container: str) -> str:
    """The last line of the crashed container's log that speaks of an error, or else its last."""
    log = seen.logs.get((pod, container, True)) or seen.logs.get((pod, container, False), "")
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith(_NO_LOG)][-20:]
    return next((line for line in reversed(lines) if _TELLING.search(line)), lines[-1] if lines else "")


def _events_of(seen: Snapshot, name: str, reason: str) -> list[Object]:
    return [
        e for e in sorted(seen.events, key=_when) if e["involvedObject"].get("name") == name and e["reason"] == reason
    ]


def _last_event(seen: Snapshot, name: str, reason: str) -> str:
    found = _events_of(seen, name, reason)
    return str(found[-1].get("message", reason)) if found else ""


def _when(event: Object) -> str:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return str(next((time for time in times if time), ""))


def _event(event: Object) -> str:
    about = event["involvedObject"]
    count = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    return f"{_when(event)} {event.get('type')} {event['reason']} {about.get('kind')}/{about.get('name')}: " + (
        f"{event.get('message', '')}{count}"
    )


def _slice(piece: Object) -> str:
    ends = [f"{end['addresses'][0]} {end.get('conditions', {})}" for end in piece.get("endpoints") or []]
    ports = ",".join(str(port.get("port")) for port in piece.get("ports") or [])
    return f"{_name(piece)} of Service {_service_of(piece)}, ports {ports}: {'; '.join(ends) or 'no endpoints'}"


def _node(node: Object) -> str:
    states = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    told = [f"{name}={states.get(name, 'Unknown')}" for name in ("Ready", *_PRESSURE)]
    taints = [f"{t['key']}:{t['effect']}" for t in node["spec"].get("taints", [])]
    return f"{_name(node)} {' '.join(told)} unschedulable={bool(node['spec'].get('unschedulable'))} taints={taints}"


def _line(pod: Object) -> str:
    return f"{_name(pod)} on {_node_of(pod)}: {_state_of(pod)}"


def _logs(kube: Kube, pod: Object) -> Iterator[tuple[tuple[str, str, bool], str]]:
    for status in _statuses(pod):
        for previous in (True, False) if status.get("restartCount") else (False,):
            try:
                text = kube.core.read_namespaced_pod_log(
                    _name(pod),
                    pod["metadata"]["namespace"],
                    container=status["name"],
                    previous=previous,
                    tail_lines=LOG_LINES,
                )
            except ApiException as error:
                text = f"{_NO_LOG} {error.status} {error.reason})"
            except Exception as error:
                text = f"{_NO_LOG} {error})"
            yield (_name(pod), status["name"], previous), str(text)


def _described(pod: Object) -> str:
    """The pod as YAML, without what only machines read."""
    noise = ("managedFields", "annotations")
    metadata = {key: value for key, value in pod["metadata"].items() if key not in noise}
    return yaml.safe_dump(redacted({**pod, "metadata": metadata}), sort_keys=False, width=120)


def _statuses(pod: Object) -> list[Object]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _state_of(pod: Object) -> str:
    """The phase, and what each container that is not ready does."""
    parts = [pod["status"].get("phase", "Unknown")]
    for status in _statuses(pod):
        if not status.get("ready"):
            ((kind, detail),) = (status.get("state") or {"unknown": {}}).items()
            parts.append(f"{status['name']} {kind} {detail.get('reason', '')}".rstrip())
        if status.get("restartCount"):
            parts.append(f"{status['name']} restarted {status['restartCount']} times")
    return ", ".join(parts)


def _is_ready(pod: Object) -> bool:
    return bool(_condition(pod, "Ready").get("status") == "True")


def _condition(pod: Object, kind: str) -> Object:
    return next((each for each in pod["status"].get("conditions", []) if each["type"] == kind), {})


def _limits(pod: Object, container: str) -> Object:
    spec = pod["spec"]
    every = [*(spec.get("initContainers") or []), *spec["containers"]]
    found: Object = next((each for each in every if each["name"] == container), {})
    return dict(found.get("resources", {}).get("limits", {}))


def _title(pod: str, container: str, previous: bool) -> str:
    return f"Log of {pod}/{container}{' (previous)' if previous else ''}"


def _node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "no node")


def _name(body: Object) -> str:
    return str(body["metadata"]["name"])


def _namespace(body: Object) -> str:
    return str(body["metadata"].get("namespace", ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]
