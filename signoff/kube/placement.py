"""What a workload says of the nodes on which its pods may run: its node selector and its required node affinity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signoff.core.node import Taint
from signoff.kube.objects import pod_spec

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
"""The field of an affinity that is a rule, and no wish."""
KEEP_AWAY = ("NoSchedule", "NoExecute")
_OF_THE_CLUSTER = "node.kubernetes.io/"
"""Taints that say how a node is, and come and go."""
_TESTS = {"In": lambda node, values: node in values, "NotIn": lambda node, values: node not in values}


@dataclass(frozen=True)
class ByName:
    """The nodes that a rule allows by their names, and those that it excludes by them; empty where it names none."""

    allowed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def possible_nodes(body: dict[str, Any], nodes: Iterable[str]) -> set[str]:
    """Those of the nodes whose names the rule allows; it looks at no other requirement."""
    return {node for node in nodes if any(_allows(term, node) for term in _terms(body))}


def by_name(body: dict[str, Any]) -> ByName:
    """What the rule says of names; nothing where some pod of it may be placed by labels alone."""
    terms = _terms(body)
    named = [[each for each in term if each.get("key") == HOSTNAME] for term in terms]
    if not all(named):
        return ByName()
    listed = [value for term in named for each in term if each.get("operator") == "In" for value in _values(each)]
    if all(any(each.get("operator") == "In" for each in term) for term in named):
        return ByName(allowed=tuple(node for node in dict.fromkeys(listed) if node in possible_nodes(body, listed)))
    if all(each.get("operator") == "NotIn" for term in terms for each in term):
        every = [value for term in named for each in term for value in _values(each)]
        return ByName(excluded=tuple(node for node in dict.fromkeys(every) if not possible_nodes(body, [node])))
    return ByName()


def own_taints(node: Any) -> list[Taint]:
    """The taints of a node, as the API has it, without the cluster's own."""
    taints = (Taint(each.key, each.value or "", each.effect) for each in node.spec.taints or [])
    return [taint for taint in taints if not taint.key.startswith(_OF_THE_CLUSTER)]


def untolerated(node: Any, spec: Mapping[str, Any]) -> list[str]:
    """The taints with which a node, as the API has it, keeps pods of this spec away; the cluster's own are left out."""
    return [str(taint) for taint in own_taints(node) if taint.effect in KEEP_AWAY and not tolerates(spec, taint)]


def tolerates(spec: Mapping[str, Any], taint: Taint) -> bool:
    """Whether pods of this spec put up with a taint.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """
    tolerations = spec.get("tolerations")
    return any(_covers(each, taint) for each in (tolerations if isinstance(tolerations, list) else ()))


def _covers(toleration: Any, taint: Taint) -> bool:
    if not isinstance(toleration, dict) or toleration.get("effect") not in (None, "", taint.effect):
        return False
    key, exists = toleration.get("key"), toleration.get("operator") == "Exists"
    if not key:
        return exists
    return key == taint.key and (exists or str(toleration.get("value") or "") == taint.value)


def _terms(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The requirements of each term of the affinity, of which one has to hold; those of the selector with each."""
    spec = pod_spec(body)
    selector = spec.get("nodeSelector", {})
    always = [{"key": key, "operator": "In", "values": [value]} for key, value in selector.items()]
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED)
    terms = required.get("nodeSelectorTerms", [{}]) if required else [{}]
    return [[*always, *term.get("matchExpressions", [])] for term in terms]


def _allows(term: Sequence[dict[str, Any]], node: str) -> bool:
    asked = [each for each in term if each.get("key") == HOSTNAME and each.get("operator") in _TESTS]
    return all(_TESTS[each["operator"]](node, _values(each)) for each in asked)


def _values(expression: dict[str, Any]) -> list[str]:
    found: list[str] = expression.get("values", [])
    return found
