"""On which node pods run, and where they must not."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import pytest
from pytest_bdd import then, when

from signoff.bdd.observing import observes
from signoff.core import timeouts
from signoff.core.node import Node
from signoff.core.timeouts import Timeout
from signoff.core.waiting import HoldFailed, NotYet, consistently, eventually
from signoff.evidence import Evidence, causes
from signoff.evidence.models import NodeAsked, PendingSeen, PlacesSeen, ResourcesSeen, SchedulerAsked, Subject
from signoff.faults.cluster import scaled
from signoff.gateway.deployment import Deployment
from signoff.kube.acceptance import Copies, Join, marks_of, plain
from signoff.kube.client import Kube, condition
from signoff.kube.nodes import rules
from signoff.kube.placement import untolerated
from signoff.kube.roles import Workload
from signoff.kube.undo import Undo

STAYS = Timeout(5, every=1)
"""A pod that has been unschedulable for this long was looked at by the scheduler more than once."""


def _rule_of(deployment: Deployment, workload: Workload) -> str:
    """Where a manifest says on which nodes its pods may run, or should; else where it could."""
    said = [rule.place for rule in rules(deployment.manifests.object(workload.object, workload.namespace).body)]
    place = said[0] if said else ("spec", "template", "spec", "affinity")
    return deployment.manifests.where(workload.object, *place, namespace=workload.namespace)


def placed(deployment: Deployment, workload: Workload, check: str, asked: Sequence[str]) -> PlacesSeen:
    """The node of each pod of a gateway or a backend, and where its manifest says so."""
    return PlacesSeen(
        check=check,
        nodes={pod.metadata.name: pod.spec.node_name for pod in deployment.pods(workload)},
        asked=list(asked),
        file=_rule_of(deployment, workload),
    )


@then("every LiteLLM pod runs on an allowed node")
@observes("on-workers")
def runs_on_allowed_nodes(deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(placed(deployment, deployment.gateway, "on-workers", deployment.settings.allowed_nodes))


@then("vLLM runs on the GPU worker")
@observes("vllm-on-gpu-worker")
def vllm_runs_on_the_gpu_worker(deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(placed(deployment, deployment.backend, "vllm-on-gpu-worker", deployment.settings.backend_nodes))


@then("LiteLLM asks for no GPU")
@observes("no-gpu")
def asks_for_no_gpu(deployment: Deployment, evidence: Evidence) -> None:
    requested = {
        f"{pod.metadata.name}/{container.name}": _resources(container)
        for pod in deployment.pods(deployment.gateway)
        for container in [*(pod.spec.init_containers or []), *pod.spec.containers]
    }
    file = deployment.manifests.where(deployment.gateway.object, "spec", "template", "spec", "containers")
    evidence.add(ResourcesSeen(check="no-gpu", requested=requested, file=file))


def _resources(container: Any) -> dict[str, str]:
    asked = container.resources
    return {**(asked.limits or {}), **(asked.requests or {})} if asked else {}


@pytest.fixture
def joined() -> Mapping[str, str]:
    """No node has joined."""
    return {}


@when("a plain worker and another GPU worker join the cluster", target_fixture="joined")
def nodes_join(kube: Kube, deployment: Deployment, undo: Undo) -> dict[str, str]:
    """The new nodes, each with the forbidden one that has the same marks; a plain worker is like none."""
    known = {node.metadata.name: node for node in kube.core.list_node().items}
    allowed = [known[name] for name in deployment.settings.allowed_nodes]
    new = [(plain("signoff-worker", allowed[0]), "")]
    for name in deployment.settings.forbidden_nodes:
        marks = _by_rule(marks_of(known[name], allowed), deployment.settings.forbidden_by)
        new.append((plain(f"signoff-gpu-worker-{len(new)}", known[name], marks), name))
    joins = [Join(node) for node, _ in new]
    with causes.of(Subject.CLUSTER):
        for each in joins:
            undo.make(each)
        for each in joins:
            each.wait(kube)
    return {node.name: like for node, like in new}


def _by_rule(marks: Node, forbidden_by: str) -> Node:
    """Of a forbidden node's marks those that make a node forbidden; all of them where that is said by other means."""
    if forbidden_by == "labels":
        return replace(marks, taints=(), resources={})
    return replace(marks, labels={}, resources={}) if forbidden_by == "taints" else marks


@then("the scheduler accepts LiteLLM on no forbidden node")
@observes("scheduler-asked")
def scheduler_is_asked(kube: Kube, deployment: Deployment, evidence: Evidence, joined: Mapping[str, str]) -> None:
    own, settings = deployment.gateway, deployment.settings
    nodes = {node.metadata.name: node for node in kube.core.list_node().items}
    allowed = [nodes[name] for name in settings.allowed_nodes]
    tolerant = settings.forbidden_by not in ("taints", "resources")
    template = kube.pod_template(own.namespace, own.name, own.kind)
    copies = Copies(own.namespace, template, tuple(nodes), tolerant)
    with causes.of(Subject.CLUSTER), Undo(kube) as asking:
        asking.make(copies)
        answers = copies.answers(kube)
    all_cordoned = len(cordoned_nodes(kube, settings.allowed_nodes)) == len(allowed)
    evidence.add(
        SchedulerAsked(
            check="scheduler-asked",
            case="cordoned" if all_cordoned else "open",
            forbidden_by=settings.forbidden_by,
            tolerant=tolerant,
            nodes=[
                NodeAsked(
                    **asdict(marks_of(node, allowed)),
                    **asdict(answers[name]),
                    new=name in joined,
                    like=joined.get(name, ""),
                )
                for name, node in nodes.items()
            ],
            file=_rule_of(deployment, own),
            tolerations=deployment.manifests.where(own.object, "spec", "template", "spec", "tolerations"),
        )
    )


@when("LiteLLM is scaled up by one replica", target_fixture="new_pod")
def scale_up(kube: Kube, deployment: Deployment, undo: Undo) -> str:
    own = deployment.gateway
    replicas = kube.workload(own.namespace, own.name, own.kind).spec.replicas
    before = {pod.metadata.uid for pod in deployment.pods(own)}
    undo.make(scaled(deployment, own, replicas + 1))

    def look() -> str:
        new = [pod for pod in deployment.pods(own) if pod.metadata.uid not in before]
        if not new:
            raise NotYet("no new pod")
        return str(new[0].metadata.name)

    with causes.of(Subject.CLUSTER):
        return eventually("the new LiteLLM pod to be created", timeouts.POD_SCHEDULED, look)


@then("the new LiteLLM pod stays Pending and the scheduler says that no node matches")
@observes("stays-pending")
def stays_pending(kube: Kube, deployment: Deployment, evidence: Evidence, new_pod: str) -> None:
    def read() -> Any:
        return kube.core.read_namespaced_pod(new_pod, deployment.namespace)

    def judged_by_the_scheduler() -> None:
        if condition(read(), "PodScheduled") is None:
            raise NotYet("the scheduler has not looked at it")

    with causes.of(Subject.CLUSTER):
        eventually("the scheduler's word on the new LiteLLM pod", timeouts.POD_SCHEDULED, judged_by_the_scheduler)
    looked = time.monotonic()

    def is_pending() -> None:
        if (phase := read().status.phase) != "Pending":
            raise NotYet(phase)

    with suppress(HoldFailed):  # what becomes of it is what is judged
        consistently("the new LiteLLM pod is Pending", STAYS, is_pending)
    pod = read()
    scheduled = condition(pod, "PodScheduled")
    own = deployment.gateway
    spec = kube.pod_template(own.namespace, own.name, own.kind)["spec"]
    evidence.add(
        PendingSeen(
            check="stays-pending",
            pod=new_pod,
            node=pod.spec.node_name,
            phase=pod.status.phase,
            reason=scheduled.reason or "",
            message=scheduled.message or "",
            cordoned=cordoned_nodes(kube, deployment.manifests.nodes),
            seconds=round(time.monotonic() - looked, 1),
            file=_rule_of(deployment, own),
            taints={
                node.metadata.name: untolerated(node, spec)
                for node in kube.core.list_node().items
                if node.metadata.name in deployment.settings.forbidden_nodes
            },
        )
    )


def cordoned_nodes(kube: Kube, known: Sequence[str]) -> list[str]:
    """Those of the known nodes that take no new pods; LiteLLM's affinity keeps it off any other node, cordoned or not.

    A GPU worker that a person has cordoned is among them: a pod that stays off that one proves nothing.
    """
    nodes = {node.metadata.name: node for node in kube.core.list_node().items}
    return [name for name in known if name in nodes and nodes[name].spec.unschedulable]


@then("no LiteLLM pod runs on the GPU worker")
@observes("not-on-gpu-worker")
def runs_not_on_the_gpu_worker(deployment: Deployment, evidence: Evidence) -> None:
    evidence.add(placed(deployment, deployment.gateway, "not-on-gpu-worker", deployment.settings.forbidden_nodes))
