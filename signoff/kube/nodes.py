"""On which nodes a workload's pods may run, as their spec says it: by names of nodes, by labels, by taints.

Only what a spec says is read; which nodes there are nobody here knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signoff.core.yaml_lines import Path as Place
from signoff.kube.objects import pod_spec
from signoff.kube.placement import HOSTNAME, KEEP_AWAY, REQUIRED, own_taints

_ITS_NAME = "metadata.name"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_OF_EVERY_NODE = ("kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/os")
_OF_THE_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OF_KUBERNETES = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", *_OF_THE_CONTROL_PLANE)
"""How taints begin that Kubernetes sets itself, on nodes of any kind."""
_WORDS = {"In": "where {}", "NotIn": "not where {}", "Exists": "where {} is set", "DoesNotExist": "not where {} is set"}


@dataclass(frozen=True)
class NodeRule:
    """What pods ask of a node's label; of its name where `key` is `HOSTNAME`. `place` is where that is said."""

    key: str
    operator: str
    values: tuple[str, ...]
    place: Place
    is_required: bool = True

    @property
    def is_about_a_label(self) -> bool:
        """Whether it tells nodes apart by a person's own label."""
        return self.key not in (HOSTNAME, *_OF_EVERY_NODE, *_OF_THE_CONTROL_PLANE)

    def __str__(self) -> str:
        rather = "" if self.is_required else "preferably "
        several = " or ".join(self.values)
        if self.key == HOSTNAME and self.operator in ("In", "NotIn"):
            return f"{rather}{'on' if self.operator == 'In' else 'not on'} {several}"
        label = f"{self.key}={several}" if self.values else self.key
        return rather + _WORDS.get(self.operator, f"{{}} {self.operator}").format(label)


@dataclass(frozen=True)
class Tolerated:
    """A taint that pods put up with, written as kubectl writes it, and where that is said."""

    taint: str
    place: Place

    def __str__(self) -> str:
        return f"tolerates {self.taint}"


def rules(body: dict[str, Any]) -> list[NodeRule]:
    """What a workload's pods ask of the nodes that they run on; what is only preferred comes last."""
    return list(_rules(pod_spec(body), _root(body)))


def tolerated(body: dict[str, Any]) -> list[Tolerated]:
    """The taints that a workload's pods tolerate by name, without those that Kubernetes sets itself."""
    found = []
    for at, each in _items(pod_spec(body).get("tolerations")):
        key = str(each.get("key", ""))
        if key and not key.startswith(_OF_KUBERNETES):
            value = f"={each['value']}" if each.get("value") and each.get("operator", "Equal") == "Equal" else ""
            effect = each.get("effect") or "NoSchedule"
            found.append(Tolerated(f"{key}{value}:{effect}", (*_root(body), "tolerations", at)))
    return found


def takes_no_pods(node: Any) -> str:
    """The taint with which a control plane keeps pods away; empty for a node that takes them."""
    away = [each for each in own_taints(node) if each.key in _OF_THE_CONTROL_PLANE and each.effect in KEEP_AWAY]
    return str(away[0]) if away else ""


def is_ready(node: Any) -> bool:
    """Whether its kubelet reports, and says that it is Ready."""
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])


def _root(body: dict[str, Any]) -> Place:
    return ("spec",) if body["kind"] == "Pod" else ("spec", "template", "spec")


def _rules(spec: dict[str, Any], root: Place) -> Iterator[NodeRule]:
    if isinstance(name := spec.get("nodeName"), str):
        yield NodeRule(HOSTNAME, "In", (name,), (*root, "nodeName"))
    for key, value in _pairs(spec.get("nodeSelector")):
        yield NodeRule(key, "In", (str(value),), (*root, "nodeSelector", key))
    affinity = _below(spec, "affinity", "nodeAffinity")
    at: Place = (*root, "affinity", "nodeAffinity")
    for number, term in _items(_below(affinity, REQUIRED, "nodeSelectorTerms")):
        yield from _of_term(term, (*at, REQUIRED, "nodeSelectorTerms", number), is_required=True)
    for number, each in _items(_below(affinity, _PREFERRED)):
        yield from _of_term(each.get("preference"), (*at, _PREFERRED, number, "preference"), is_required=False)


def _of_term(term: Any, root: Place, *, is_required: bool) -> Iterator[NodeRule]:
    for group in ("matchExpressions", "matchFields"):
        for at, each in _items(_below(term, group)):
            key = HOSTNAME if each.get("key") == _ITS_NAME else str(each.get("key", ""))
            values = each.get("values")
            texts = tuple(map(str, values)) if isinstance(values, list) else ()
            yield NodeRule(key, str(each.get("operator", "")), texts, (*root, group, at), is_required)


def _below(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else ()


def _items(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for at, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, dict):
            yield at, each
