"""What the scheduler says of each node: whether it is a rule that keeps LiteLLM off the forbidden ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from signoff.core.node import Node
from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import NodeAsked, SchedulerAsked
from signoff.judges.deployment import ON_THE_CLUSTER, at
from signoff.judges.placement import NO_NODE_MATCHES, NO_ROOM, UNTOLERATED, rule_for
from signoff.judges.registry import Judgement, judge
from signoff.story.declaration import Check
from signoff.verdicts.verdict import Code, Verdict, failed, inconclusive, not_judged, passed

_BY_NAME = ("allowed-names", "forbidden-names")
BY_TAINTS = ("taints", "resources")
"""Where a taint keeps LiteLLM off as well as an affinity; elsewhere the copies tolerate every taint."""
_CONFLICT = "pod affinity terms conflict"
"""The scheduler's words where an affinity names another node than the one that a copy is pinned to.

Source: errReasonConflict in pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go of kubernetes/kubernetes.
"""
_OPEN = "open"


@judge(
    "scheduler-asked",
    SchedulerAsked,
    wants=dict,
    keys=["forbidden_by", "allowed", "forbidden"],
    cases=True,
    rests_on=ON_THE_CLUSTER,
)
def scheduler_asked(seen: Sequence[SchedulerAsked], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Every node that is forbidden by the rule refuses LiteLLM by a rule, also one that joins."""
    for each in seen:
        yield each.case, _verdict(each, check.wants)


def _verdict(seen: SchedulerAsked, wants: Mapping[str, Any]) -> Verdict:
    forbidden = [node for node in seen.nodes if _is_forbidden(node, wants)]
    if seen.forbidden_by != wants["forbidden_by"] or seen.tolerant == (seen.forbidden_by in BY_TAINTS):
        told = f"asked by {seen.forbidden_by}{', taints set aside' if seen.tolerant else ''}"
        return not_judged(f"{told}; the story forbids nodes by {wants['forbidden_by']}", Code.ASKED_OTHERWISE)
    if lacking := _not_asked(seen, wants):
        return not_judged(f"the scheduler was not asked about {lacking}", Code.TOO_FEW)
    if accepting := [node for node in forbidden if node.accepted]:
        aside = ", taints set aside" if seen.tolerant and any(node.taints for node in accepting) else ""
        told = f"the scheduler accepts LiteLLM on {listed(map(_called, accepting))}{aside}"
        return failed(f"{told}; {_remedy(seen, accepting[0], wants)}")
    if full := next((node for node in forbidden if NO_ROOM.search(node.message)), None):
        told = f"{_called(full)} had no room for LiteLLM, so that the rule may not be what kept it off: {full.message}"
        return inconclusive(told, Code.PROVES_NOTHING)
    if by_luck := [node for node in forbidden if not _is_by_rule(node, tolerant=seen.tolerant)]:
        first = by_luck[0]
        told = f"no rule about nodes keeps LiteLLM off {listed(map(_called, by_luck))} but what is there today"
        return failed(f"{told} ({first.message}); {_remedy(seen, first, wants)}")
    refusing = f"the scheduler refuses LiteLLM on {listed(map(_called, forbidden))}"
    return passed("; ".join([refusing, *_notes(seen, wants)]))


def _is_forbidden(node: NodeAsked, wants: Mapping[str, Any]) -> bool:
    rule = wants["forbidden_by"]
    if rule == "allowed-names":
        return node.name not in wants["allowed"]
    return node.name in wants["forbidden"] or (rule not in _BY_NAME and node.like in wants["forbidden"])


def _not_asked(seen: SchedulerAsked, wants: Mapping[str, Any]) -> str:
    """The nodes, of those that are there and those that should have joined, that nobody asked about."""
    names = {node.name for node in seen.nodes}
    lacking = [name for name in (*wants["allowed"], *wants["forbidden"]) if name not in names]
    if seen.case == _OPEN:
        joined = {node.like for node in seen.nodes if node.new}
        lacking += ["a new worker"] * ("" not in joined)
        lacking += ["another GPU worker"] * (not joined.intersection(wants["forbidden"]))
    return listed(lacking)


def _is_by_rule(node: NodeAsked, *, tolerant: bool) -> bool:
    by_affinity = NO_NODE_MATCHES in node.message or _CONFLICT in node.message
    return by_affinity or (not tolerant and UNTOLERATED in node.message)


def _called(node: NodeAsked) -> str:
    """A node for a person; its marks tell one that joined."""
    if not node.new:
        return node.name
    if not node.like:
        return "a new worker"
    marks = Node("", node.labels, tuple(node.taints), node.resources)
    return f"a new node like {node.like} ({str(marks).strip() or 'without marks'})"


def _remedy(seen: SchedulerAsked, node: NodeAsked, wants: Mapping[str, Any]) -> str:
    """What to write, and where."""
    if seen.forbidden_by == "allowed-names":
        return f"{rule_for(wants['allowed'])}{at(seen.file)}"
    if seen.forbidden_by == "forbidden-names":
        return f"{rule_for(wants['forbidden'], 'NotIn')}{at(seen.file)}"
    if seen.forbidden_by == "labels":
        key, value = next(iter(node.labels.items()), ("", ""))
        rule = f"operator NotIn, values {value}" if value else "operator DoesNotExist"
        if key:
            return f"require a node affinity with key {key}, {rule}{at(seen.file)}"
        return f"give {node.like or node.name} a label of its own"
    if node.taints:
        return f"let it not tolerate {listed(node.taints)}{at(seen.tolerations)}"
    return f"give {node.like or node.name} a taint, or a label that a node affinity leaves out{at(seen.file)}"


def _notes(seen: SchedulerAsked, wants: Mapping[str, Any]) -> Iterator[str]:
    """What a rule that holds leaves open."""
    allowed = [node for node in seen.nodes if node.name in wants["allowed"]]
    usable = [node.name for node in allowed if node.accepted or not _is_by_rule(node, tolerant=True)]
    if len(usable) == 1:
        yield f"it may run on {usable[0]} alone, so that nothing takes over while that node is away{at(seen.file)}"
    if any(node.accepted and node.like in wants["forbidden"] for node in seen.nodes):
        told = f"the rule knows {listed(wants['forbidden'])} by name, so that a new GPU node would be accepted"
        yield f"{told}{at(seen.file)}"
