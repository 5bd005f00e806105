"""A run's time on a person's cluster, from its first write to the proof that all is as before."""

from collections.abc import Callable
from pathlib import Path

from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.rights import OWN_NAMESPACE, Right
from signoff.changes.session import Session, cluster_uid
from signoff.cluster.embedded import EmbeddedCluster
from signoff.kube.client import Kube
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
    assert "signoff" not in [each.manager for each in kube.core.read_node(NODE).metadata.managed_fields]
    assert OWN_NAMESPACE not in [each.metadata.name for each in kube.core.list_namespace().items]
