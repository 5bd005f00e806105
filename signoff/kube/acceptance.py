"""Whether the scheduler would put pods of a workload on a node: a copy of one, pinned to that node, asks it.

The copy has all that the scheduler looks at but the room that it takes, for room on a node comes and goes and is no
rule. It never runs: nobody has its image. So it is never Ready, and no Service sends to it, though it has the labels
that rules about other pods go by. Nodes that are made to ask about have no kubelet; they take such copies alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from signoff.core import timeouts
from signoff.core.node import Node, Taint
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import FIELD_MANAGER, Kube, condition
from signoff.kube.objects import is_sidecar
from signoff.kube.placement import REQUIRED, own_taints
from signoff.kube.undo import Delete

COPY = "signoff/copy"
"""The label of the copies."""
JOINED = "signoff/joined"
"""The label of nodes that were made to ask about, and the taint that keeps other pods off them."""
_IMAGE = "signoff/never-started"
_OF_THE_SCHEDULER = (
    *("affinity", "hostNetwork", "nodeSelector", "os", "runtimeClassName", "schedulerName"),
    *("tolerations", "topologySpreadConstraints", "volumes"),
)
"""What of a pod's spec says where it may run."""
_OF_ADMISSION = ("automountServiceAccountToken", "securityContext", "serviceAccountName")
"""What a namespace may ask of its pods; the workload's own were let in with it."""
_NAME = "metadata.name"
_ROOM = ("cpu", "memory", "ephemeral-storage", "hugepages-")
_OF_EVERY_NODE = ("kubernetes.io/os", "kubernetes.io/arch")
"""Labels that a kubelet gives its node."""


@dataclass(frozen=True)
class Answer:
    """What the scheduler says of a copy on a node; it says nothing of one that it accepts."""

    accepted: bool
    message: str = ""


@dataclass(frozen=True)
class Copies:
    """Copies of a workload's pods are there, each pinned to one of the nodes."""

    namespace: str
    template: Mapping[str, Any]
    nodes: Sequence[str]
    tolerant: bool
    """Whether they tolerate every taint: then only affinity keeps them off a node."""

    def __str__(self) -> str:
        return "ask the scheduler by copies"

    def inverse(self, _: Kube) -> "NoCopies":
        """Take them away."""
        return NoCopies(self.namespace)

    def make(self, kube: Kube) -> None:
        """Create them."""
        for number, node in enumerate(self.nodes):
            body = pinned(self.template, f"signoff-copy-{number}", node, tolerant=self.tolerant)
            kube.core.create_namespaced_pod(self.namespace, body, field_manager=FIELD_MANAGER)

    def wait(self, _: Kube) -> None:
        """`answers` waits for what the scheduler says of them."""

    def answers(self, kube: Kube) -> dict[str, Answer]:
        """What the scheduler says of each node, once it has looked at all copies."""

        def look() -> dict[str, Answer]:
            pods = kube.core.list_namespaced_pod(self.namespace, label_selector=COPY).items
            found = {pod.metadata.annotations[COPY]: _answer(pod) for pod in pods}
            if waiting := [node for node in self.nodes if found.get(node) is None]:
                raise NotYet(f"nothing is said of {', '.join(waiting)}")
            return {node: answer for node, answer in found.items() if answer}

        return eventually("the scheduler's word on each node", timeouts.POD_SCHEDULED, look)


@dataclass(frozen=True)
class NoCopies:
    """The copies are gone."""

    namespace: str

    def __str__(self) -> str:
        return "delete the copies that asked the scheduler"

    def make(self, kube: Kube) -> None:
        """Delete them at once: a kubelet has nothing to end, and a node that was made to ask about has none."""
        kube.core.delete_collection_namespaced_pod(self.namespace, label_selector=COPY, grace_period_seconds=0)

    def wait(self, kube: Kube) -> None:
        """Wait until none is left."""
        kube.wait_until_gone(self.namespace, COPY)


@dataclass(frozen=True)
class Join:
    """A node is in the cluster that nobody runs: Ready for most of a minute, until its heartbeat is missed."""

    node: Node

    def __str__(self) -> str:
        return f"have the node {self.node.name} join"

    def inverse(self, _: Kube) -> Delete:
        """Delete it."""
        return Delete("v1", "Node", "", self.node.name)

    def make(self, kube: Kube) -> None:
        """Create it."""
        kube.core.create_node(joined(self.node), field_manager=FIELD_MANAGER)

    def wait(self, kube: Kube) -> None:
        """Wait until the control plane takes it for Ready."""

        def look() -> None:
            taints = [taint.key for taint in kube.core.read_node(self.node.name).spec.taints or []]
            if "node.kubernetes.io/not-ready" in taints:
                raise NotYet(f"tainted with {taints}")

        eventually(f"the node {self.node.name} to count as Ready", timeouts.CORDON_SHOWS, look)


def pinned(template: Mapping[str, Any], name: str, node: str, *, tolerant: bool) -> dict[str, Any]:
    """A copy of a pod of this template, as the API has it, that can be put on this node or nowhere."""
    spec: dict[str, Any] = template["spec"]
    copied = {field: deepcopy(spec[field]) for field in (*_OF_THE_SCHEDULER, *_OF_ADMISSION) if spec.get(field)}
    copied["volumes"] = [each for each in copied.get("volumes", []) if "persistentVolumeClaim" in each]
    affinity = copied.setdefault("affinity", {})
    of_nodes = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}
    terms = (of_nodes.get(REQUIRED) or {}).get("nodeSelectorTerms", [{"matchFields": []}])
    here = [_field(node), *([_field(spec["nodeName"])] if spec.get("nodeName") else [])]
    of_nodes[REQUIRED] = {"nodeSelectorTerms": [_also(term, here) for term in terms]}
    everything = {"operator": "Exists"}
    own = [*copied.get("tolerations", []), everything | {"key": JOINED}]
    metadata = template.get("metadata") or {}
    sidecars = filter(is_sidecar, spec.get("initContainers") or [])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {**(metadata.get("labels") or {}), COPY: ""},
            "annotations": {COPY: node},
        },
        "spec": {
            **copied,
            "tolerations": [everything] if tolerant else own,
            "containers": [_container(each) for each in (*spec["containers"], *sidecars)],
            "terminationGracePeriodSeconds": 0,
        },
    }


def _also(term: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A term that asks for this too; an empty one, which no node satisfies, stays empty."""
    if term == {"matchFields": []} or term.get("matchExpressions") or term.get("matchFields"):
        return {**term, "matchFields": [*(term.get("matchFields") or []), *fields]}
    return dict(term)


def _field(node: str) -> dict[str, Any]:
    return {"key": _NAME, "operator": "In", "values": [node]}


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    """What of a container counts for the scheduler, of an image that is neither here nor pulled."""
    resources = container.get("resources") or {}
    counted = {
        kind: {name: amount for name, amount in (resources.get(kind) or {}).items() if not name.startswith(_ROOM)}
        for kind in ("limits", "requests")
    }
    return {
        "name": container["name"],
        "image": _IMAGE,
        "imagePullPolicy": "Never",
        "ports": deepcopy(container.get("ports") or []),
        "resources": counted,
        **{field: container[field] for field in ("securityContext",) if container.get(field)},
    }


def _answer(pod: Any) -> Answer | None:
    said = condition(pod, "PodScheduled")
    if said is None or (said.status != "True" and said.reason != "Unschedulable"):
        return None
    return Answer(accepted=said.status == "True", message=said.message or "")


def joined(node: Node) -> dict[str, Any]:
    """A Node with what was declared of it; no pod but a copy gets there."""
    own = {"kubernetes.io/hostname": node.name, JOINED: ""}
    taints = [Taint(JOINED, "", "NoSchedule"), *map(Taint.parse, node.taints)]
    room = {"cpu": "1", "memory": "1Gi", "pods": "110", **{name: str(each) for name, each in node.resources.items()}}
    now = datetime.now(UTC).isoformat()
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "nobody runs it"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": {**node.labels, **own}},
        "spec": {"taints": [each._asdict() for each in taints]},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}],
        },
    }


def plain(name: str, like: Any, marks: Node | None = None) -> Node:
    """A new node of the system and processor of this one, which the API has, with the marks of another, if any."""
    labels = {key: value for key, value in (like.metadata.labels or {}).items() if key in _OF_EVERY_NODE}
    return replace(marks, name=name, labels={**labels, **marks.labels}) if marks else Node(name, labels)


def marks_of(node: Any, others: Iterable[Any]) -> Node:
    """What tells a node, as the API has it, from these others: its own labels and taints, and extended resources."""
    common = [each.metadata.labels or {} for each in others]
    labels = {
        key: value
        for key, value in (node.metadata.labels or {}).items()
        if key != JOINED and not _is_kubernetes_own(key) and not any(each.get(key) == value for each in common)
    }
    taints = [str(taint) for taint in own_taints(node) if taint.key != JOINED]
    resources = {
        name: int(amount)
        for name, amount in (node.status.allocatable or {}).items()
        if "/" in name and not _is_kubernetes_own(name) and amount.isdecimal()
    }
    return Node(node.metadata.name, labels, tuple(taints), resources)


def _is_kubernetes_own(name: str) -> bool:
    domain = name.partition("/")[0] if "/" in name else ""
    return domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))
