"""A run's time on a person's cluster, from its first write to the proof that all is as before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.rights import OWN_NAMESPACE, Right
from signoff.changes.session import Session, cluster_uid, restore
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube, is_ready
from signoff.kube.objects import Manifest
from tests.changes.home import config_map, workload

NODE = "k3s-worker-01"


def manifest(body: object) -> Manifest:
    assert isinstance(body, dict)
    return Manifest(Path("manifest.yaml"), "", body)


def test_all_that_a_run_changes_is_put_back(
    begin: Callable[..., Session], kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    def everything() -> journals.Before:
        return state.read(kube, [home])

    before = everything()
    owners = kube.apps.read_namespaced_deployment("gateway", home).metadata.managed_fields
    session = begin(Right.DEPLOY, Right.DISRUPTION)
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.scale(home, "gateway", 0)
    suite.scale(home, "idle", 1)
    suite.apply(manifest(config_map("settings", c="3")), home)
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"a": "other", "b": None}})
    suite.apply(manifest(config_map("new", x="y")), home)
    suite.apply(manifest(workload("copy", 1)), home)
    suite.cordon(NODE, cordoned=True)
    suite.mark(NODE, {"colour": "red"}, {("key", "NoSchedule"): "value"})
    suite.advertise(NODE, {"example.com/gpu": 2})
    assert state.differing(before, everything())

    outcome = session.close()

    assert (outcome.problems, outcome.differences) == ([], [])
    assert state.differing(before, everything()) == []
    assert [each.is_closed for each in journals.of_cluster(cluster_uid(kube))] == [True]
    found = kube.apps.read_namespaced_deployment("gateway", home).metadata.managed_fields
    assert [each for each in found if each.manager == "helm"] == [each for each in owners if each.manager == "helm"]
    assert {each.manager for each in found} == {"helm", "kube-controller-manager"}
    done = [each for each in outcome.done if "settings" in each or "gateway" in each or "new" in each]
    assert [each.split()[-3] for each in done] == ["ConfigMap/settings", "Deployment/gateway", "ConfigMap/new"]
    assert "signoff" not in [each.manager for each in kube.core.read_node(NODE).metadata.managed_fields]
    assert OWN_NAMESPACE not in [each.metadata.name for each in kube.core.list_namespace().items]


def test_the_end_waits_until_the_pods_are_those_of_the_former_template(
    begin: Callable[..., Session], kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    """The pods of the run's template are available as well, until the others are."""
    before = pods(kube, home)
    session = begin(Right.DEPLOY)
    suite = Kube(cluster.kubeconfig, session.gate)
    changed = workload("gateway")
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "COLOUR", "value": "red"}]
    suite.apply(manifest(changed), home)
    suite.wait_until_available(home, "gateway", timeouts.UNDONE)
    assert pods(kube, home) != before
    assert session.close().is_as_before
    assert pods(kube, home) == before


def pods(kube: Kube, home: str) -> list[tuple[str, bool]]:
    """The templates that the pods are of, and whether they are Ready."""
    every = kube.pods(home, {"app": "gateway"})
    return [(each.metadata.labels["pod-template-hash"], is_ready(each)) for each in every]


def test_a_workload_that_does_not_come_back_is_named_with_what_it_says(
    begin: Callable[..., Session], kube: Kube, cluster: EmbeddedCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(Right.DISRUPTION)
    Kube(cluster.kubeconfig, session.gate).scale(home, "gateway", 0)
    for node in kube.core.list_node().items:
        kube.cordon(node.metadata.name, cordoned=True)
    monkeypatch.setattr(timeouts, "UNDONE", Timeout(2))
    try:
        outcome = session.close()
        (problem,) = outcome.problems
        assert problem.startswith(f"Deployment/gateway in {home}: waited")
        assert "0 of 1 pods are of the former template, 0 of 1 available" in problem or "Unschedulable" in problem
        assert f"see `kubectl -n {home} describe deployment gateway`" in problem
        (journal,) = journals.unclosed(cluster_uid(kube))
    finally:
        for node in kube.core.list_node().items:
            kube.cordon(node.metadata.name, cordoned=False)
    assert restore(cluster.kubeconfig, journal).is_settled
