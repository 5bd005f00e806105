"""On which node LiteLLM runs, and where it must not."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_bdd import parsers, then, when

from signoff import limits, story
from signoff.evidence import Evidence
from signoff.kube import Kube, condition, describe_pod
from signoff.waiting import NotYet, eventually
from steps.tables import Rows, rows

STAYS_SECONDS = 5.0
"""A pod that has been unschedulable for this long was looked at by the scheduler more than once."""


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    """What a scenario changed on the cluster is put back here, whatever happens in it."""
    with ExitStack() as stack:
        yield stack


def placements(kube: Kube, evidence: Evidence) -> dict[str, str | None]:
    """The node of each LiteLLM pod, recorded before anyone judges it."""
    pods = {pod.metadata.name: pod.spec.node_name for pod in kube.pods(story.NAMESPACE, story.GATEWAY)}
    for pod, node in pods.items():
        evidence.record("placement", pod=pod, node=node, allowed=list(story.ALLOWED_NODES))
    return pods


@then("every LiteLLM pod runs on one of these nodes")
def runs_on_one_of(kube: Kube, evidence: Evidence, datatable: Rows) -> None:
    allowed = {row["node"] for row in rows(datatable)}
    pods = placements(kube, evidence)
    assert pods
    assert set(pods.values()) <= allowed, pods


@when(parsers.parse("the nodes {first} and {second} are cordoned"))
def cordon(kube: Kube, undo: ExitStack, first: str, second: str) -> None:
    undo.enter_context(kube.cordoned((first, second)))


@when("LiteLLM is scaled up by one replica", target_fixture="new_pod")
def scale_up(kube: Kube, undo: ExitStack) -> Any:
    replicas = kube.deployment(story.NAMESPACE, story.GATEWAY).spec.replicas
    before = {pod.metadata.uid for pod in kube.pods(story.NAMESPACE, story.GATEWAY)}
    undo.callback(kube.scale, story.NAMESPACE, story.GATEWAY, replicas)
    kube.scale(story.NAMESPACE, story.GATEWAY, replicas + 1)

    def look() -> Any:
        new = [pod for pod in kube.pods(story.NAMESPACE, story.GATEWAY) if pod.metadata.uid not in before]
        if not new:
            raise NotYet("no new pod")
        return new[0]

    return eventually("the new LiteLLM pod to be created", limits.POD_SCHEDULED, look)


@then("the new LiteLLM pod stays Pending and the scheduler says that no node matches")
def stays_pending(kube: Kube, evidence: Evidence, new_pod: Any) -> None:
    def read() -> Any:
        return kube.core.read_namespaced_pod(new_pod.metadata.name, story.NAMESPACE)

    def judged_by_the_scheduler() -> Any:
        pod = read()
        if condition(pod, "PodScheduled") is None:
            raise NotYet("the scheduler has not looked at it")
        return pod

    eventually("the scheduler's word on the new LiteLLM pod", limits.POD_SCHEDULED, judged_by_the_scheduler)
    time.sleep(STAYS_SECONDS)
    pod = read()
    scheduled = condition(pod, "PodScheduled")
    evidence.record(
        "placement",
        pod=pod.metadata.name,
        node=pod.spec.node_name,
        allowed=list(story.ALLOWED_NODES),
        phase=pod.status.phase,
        scheduler=scheduled.message,
    )
    assert pod.spec.node_name is None, f"it was placed on {pod.spec.node_name} though every allowed node is cordoned"
    assert pod.status.phase == "Pending", describe_pod(pod)
    assert scheduled.reason == "Unschedulable"
    assert "affinity" in scheduled.message, scheduled.message


@then(parsers.parse("no LiteLLM pod runs on {node}"))
def runs_not_on(kube: Kube, evidence: Evidence, node: str) -> None:
    pods = placements(kube, evidence)
    assert node not in pods.values(), pods
