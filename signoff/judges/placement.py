"""Where pods run, and where they must not."""

import re
from collections.abc import Iterator, Sequence

from signoff.core.words import listed
from signoff.evidence import Recorded
from signoff.evidence.models import PendingSeen, PlacesSeen
from signoff.judges.deployment import ON_THE_CLUSTER, at
from signoff.judges.registry import Judgement, judge
from signoff.story.declaration import Check
from signoff.verdicts.verdict import Code, failed, inconclusive, not_judged, passed


@judge("on-nodes", PlacesSeen, wants=list, minima=["pods"], rests_on=ON_THE_CLUSTER)
def on_nodes(seen: Sequence[PlacesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """Every pod runs on one of the nodes."""
    for each in seen:
        elsewhere = {pod: node for pod, node in each.nodes.items() if node not in check.wants}
        if elsewhere:
            where = listed([f"{pod} on {node or 'no node'}" for pod, node in elsewhere.items()])
            yield (
                each.case,
                failed(f"{where}; expected {' or '.join(check.wants)}: {rule_for(check.wants)}{at(each.file)}"),
            )
        elif sorted(each.asked) != sorted(check.wants):
            yield (
                each.case,
                not_judged(
                    f"the feature allows {listed(each.asked)}, the story {listed(check.wants)}", Code.ASKED_OTHERWISE
                ),
            )
        elif len(each.nodes) < check.min["pods"]:
            yield each.case, failed("there is no such pod")
        else:
            found = listed([f"{pod} on {node}" for pod, node in each.nodes.items()])
            yield each.case, passed(found)


def rule_for(nodes: Sequence[str], operator: str = "In") -> str:
    """What to write so that pods run on these nodes alone; on all others, if the operator is NotIn."""
    return f"require a node affinity with key kubernetes.io/hostname, operator {operator}, values {', '.join(nodes)}"


@judge("off-nodes", PlacesSeen, wants=list, minima=["pods"], rests_on=ON_THE_CLUSTER)
def off_nodes(seen: Sequence[PlacesSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """No pod runs on one of the nodes."""
    for each in seen:
        there = [f"{pod} runs on {node}" for pod, node in each.nodes.items() if node in check.wants]
        if there:
            yield each.case, failed(f"{listed(there)}; write a node affinity that leaves it out{at(each.file)}")
        elif sorted(each.asked) != sorted(check.wants):
            yield (
                each.case,
                not_judged(
                    f"the feature looks at {listed(each.asked)}, the story at {listed(check.wants)}",
                    Code.ASKED_OTHERWISE,
                ),
            )
        elif len(each.nodes) < check.min["pods"]:
            yield each.case, not_judged("there is no such pod", Code.TOO_FEW)
        else:
            yield each.case, passed()


NO_NODE_MATCHES = "didn't match Pod's node affinity"
"""The scheduler's words for a node that the pod's affinity rules out. No field says so: the condition's reason is the
same for whatever keeps a pod off the nodes.

Source: ErrReasonPod in pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go of kubernetes/kubernetes.
"""
UNTOLERATED = "untolerated taint"
"""Its words for a node that has a taint, of which it speaks before it looks at the affinity.

Source: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go of kubernetes/kubernetes.
"""


@judge("stays-pending", PendingSeen, wants=list, minima=["seconds"], rests_on=ON_THE_CLUSTER)
def stays_pending(seen: Sequence[PendingSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """With every allowed node cordoned the scheduler says what keeps the pod off all others: affinity, or a taint."""
    for each in seen:
        if each.node is not None:
            told = f"{each.pod} was placed on {each.node} though {listed(each.cordoned)} are cordoned"
            yield each.case, failed(f"{told}; {rule_for(check.wants)}{at(each.file)}")
        elif sorted(each.cordoned) != sorted(check.wants):
            yield (
                each.case,
                not_judged(
                    f"{listed(each.cordoned)} are cordoned, the story allows {listed(check.wants)}",
                    Code.ASKED_OTHERWISE,
                ),
            )
        elif each.phase == "Pending" and each.reason not in ("Unschedulable", ""):
            told = f"the scheduler could not say anything of {each.pod}: {each.reason}: {each.message}"
            yield each.case, inconclusive(told, Code.CLUSTER_FAILED)
        elif each.phase != "Pending" or each.reason != "Unschedulable":
            yield each.case, failed(f"{each.pod} is {each.phase} ({each.reason}); expected Pending as Unschedulable")
        elif not _rule_named(each):
            told = f"the scheduler names no affinity and no taint that keeps {each.pod} away: {each.message}"
            yield each.case, failed(f"{told}; {rule_for(check.wants)}{at(each.file)}")
        elif NO_ROOM.search(each.message):
            told = f"a node had no room for {each.pod}, so that the rule may not be what kept it off: {each.message}"
            yield each.case, inconclusive(told, Code.PROVES_NOTHING)
        elif each.seconds < check.min["seconds"]:
            yield each.case, not_judged(f"looked at after {each.seconds:g} s", Code.TOO_FEW)
        else:
            yield each.case, passed(each.message)


NO_ROOM = re.compile(r"\d+ (?:Insufficient|Too many pods)")
"""The scheduler's words (k8s.io/kubernetes: pkg/scheduler/framework/plugins/noderesources/fit.go)."""


def _rule_named(each: PendingSeen) -> bool:
    """Whether it is a rule of somebody's that keeps the pod away, and not a lack of room, say."""
    tainted = bool(each.taints) and all(each.taints.values())
    return NO_NODE_MATCHES in each.message or (UNTOLERATED in each.message and tainted)
