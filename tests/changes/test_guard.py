"""What a gate lets through: by the rights that a person gave, by what a request would change, and by who made it."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.guard import LookOnly
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, NotAllowed, Right
from signoff.changes.session import cluster_uid
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.kube.acceptance import Join
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from tests.changes.conftest import Begin
from tests.changes.home import config_map, workload
from tests.embedded import container, pod

pytestmark = pytest.mark.usefixtures("made_beforehand")
NODE = "k3s-worker-01"
Tried = Callable[[Kube, str], Any]


def manifest(body: dict[str, Any]) -> Manifest:
    return Manifest(Path("manifest.yaml"), "", body)


def labelled(kube: Kube, home: str) -> None:
    body = {"spec": {"replicas": 0, "template": {"metadata": {"labels": {"colour": "red"}}}}}
    kube.apps.patch_namespaced_deployment("gateway", home, body)


def annotated(kube: Kube, _: str) -> None:
    kube.core.patch_node(NODE, {"metadata": {"annotations": {"a": "b"}}})


def own_made(kube: Kube, _: str) -> None:
    kube.core.create_namespaced_config_map(OWN_NAMESPACE, config_map("own"))


TRIED: dict[str, Tried] = {
    "a namespace": lambda kube, _: kube.make_namespace("another"),
    "an object in the own namespace": own_made,
    "a new object": lambda kube, home: kube.core.create_namespaced_config_map(home, config_map("new")),
    "a new object applied": lambda kube, home: kube.apply(manifest(config_map("new")), home),
    "a pod": lambda kube, home: kube.core.create_namespaced_pod(home, pod(container("pass"))),
    "an object elsewhere": lambda kube, _: kube.core.create_namespaced_config_map("default", config_map("new")),
    "what is named, applied": lambda kube, home: kube.apply(manifest(config_map("settings", c="3")), home),
    "what is named, patched": labelled,
    "what is not named": lambda kube, home: kube.core.patch_namespaced_config_map("other", home, {"data": {"a": "2"}}),
    "replicas": lambda kube, home: kube.scale(home, "gateway", 0),
    "replicas of what is not named": lambda kube, home: kube.scale(home, "idle", 1),
    "a cordon": lambda kube, _: kube.cordon(NODE, cordoned=True),
    "a mark": lambda kube, _: kube.mark(NODE, {"colour": "red"}, {("key", "NoSchedule"): "value"}),
    "a resource": lambda kube, _: kube.advertise(NODE, {"example.com/gpu": 2}),
    "a node": lambda kube, _: Join(Node("signoff-joined")).make(kube),
    "a node's annotation": annotated,
    "deletion": lambda kube, home: kube.delete("v1", "ConfigMap", home, "settings"),
    "deletion of all": lambda kube, home: kube.core.delete_collection_namespaced_config_map(home, label_selector="app"),
    "deletion of a namespace": lambda kube, home: kube.core.delete_namespace(home),
    "deletion of a node": lambda kube, _: kube.core.delete_node(NODE),
    "an eviction": lambda kube, home: kube.core.create_namespaced_pod_eviction("gateway", home, {}),
    "a token": lambda kube, home: kube.core.create_namespaced_service_account_token("default", home, {}),
    "a status": lambda kube, home: kube.apps.patch_namespaced_deployment_status(
        "gateway", home, {"status": {"replicas": 7}}
    ),
}
"""What a suite may try, by what it is."""

OPENED: dict[Right, set[str]] = {
    Right.JOB: {"an object in the own namespace"},
    Right.DEPLOY: {
        *("an object in the own namespace", "a new object", "a new object applied"),
        *("a pod", "what is named, applied", "what is named, patched", "replicas"),
    },
    Right.DISRUPTION: {
        *("an object in the own namespace", "a pod", "replicas", "replicas of what is not named"),
        *("a cordon", "a mark", "a resource", "a node"),
    },
}
"""What each right opens; everything else is refused."""


@pytest.fixture
def others(kube: Kube, home: str) -> None:
    """What the person's manifests do not name, and what a selector finds."""
    labelled = config_map("other", a="1")
    labelled["metadata"]["labels"] = {"app": "other"}
    kube.core.create_namespaced_config_map(home, labelled)


@pytest.mark.parametrize("right", Right)
def test_each_right_opens_what_it_is_for_and_no_more(
    right: Right, begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str, others: None
) -> None:
    suite, before = Kube(cluster.kubeconfig, begin(right).gate), state.read(kube, [home])
    refused: dict[str, NotAllowed] = {}
    for name in TRIED.keys() - OPENED[right]:
        try:
            TRIED[name](suite, home)
        except NotAllowed as error:
            refused[name] = error
        assert name in refused
    assert state.differing(before, state.read(kube, [home])) == []
    for name in sorted(OPENED[right]):
        TRIED[name](suite, home)
    assert state.differing(before, state.read(kube, [home])) or right is Right.JOB
    for other in Right:
        for name in (OPENED[other] - OPENED[right]).intersection(refused):
            opening = refused[name].opened_by
            assert opening and name in OPENED[opening], name
            assert f"--allow {opening} opens" in refused[name].hint


def test_a_run_that_only_looks_changes_nothing(cluster: EmbeddedCluster, home: str, others: None) -> None:
    suite = Kube(cluster.kubeconfig, LookOnly())
    for tried in TRIED.values():
        with pytest.raises(NotAllowed, match="not allowed on this cluster: to"):
            tried(suite, home)


def test_a_run_that_only_looks_may_ask_and_try(kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    suite, before = Kube(cluster.kubeconfig, LookOnly()), state.read(kube, [home])
    suite.core.create_namespaced_config_map(home, config_map("new"), dry_run="All")
    suite.core.delete_namespaced_config_map("settings", home, dry_run="All")
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    resource = suite.dynamic.resources.get(api_version="authorization.k8s.io/v1", kind="SelfSubjectAccessReview")
    assert suite.dynamic.create(resource, body=review).status.allowed
    with pytest.raises(NotAllowed):  # options of a deletion that no API server would read as a dry run
        suite.core.delete_namespaced_config_map("settings", home, body={"dryRun": []})
    assert state.differing(before, state.read(kube, [home])) == []


def test_what_the_run_has_made_is_its_own(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    """Changed, deleted, and deleted with what belongs to it, by a right that opens no changes of others' objects."""
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY, named=[]).gate)
    suite.apply(manifest(workload("copy")), home)
    suite.wait_until_available(home, "copy", timeouts.UNDONE)
    suite.apply(manifest(workload("copy", 2)), home)
    suite.scale(home, "copy", 1)
    assert suite.core.delete_collection_namespaced_pod(home, label_selector="app=copy", grace_period_seconds=1)
    suite.delete("apps/v1", "Deployment", home, "copy")
    suite.wait_until_deleted("apps/v1", "Deployment", home, "copy")
    with pytest.raises(ApiException) as error:
        suite.core.delete_namespaced_config_map("copy", home)
    assert error.value.status == HTTPStatus.NOT_FOUND


def test_of_a_collection_all_have_to_be_the_runs(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY).gate)
    mine, theirs = config_map("mine"), config_map("theirs")
    for each in (mine, theirs):
        each["metadata"]["labels"] = {"app": "both"}
    suite.core.create_namespaced_config_map(home, mine)
    kube.core.create_namespaced_config_map(home, theirs)
    with pytest.raises(NotAllowed, match=r"delete ConfigMap/theirs in .*, which this run has not made"):
        suite.core.delete_collection_namespaced_config_map(home, label_selector="app=both")
    assert kube.core.read_namespaced_config_map("mine", home)
    kube.core.delete_namespaced_config_map("theirs", home)
    suite.core.delete_collection_namespaced_config_map(home, label_selector="app=both")
    assert kube.core.list_namespaced_config_map(home, label_selector="app=both").items == []


def test_an_object_that_another_makes_anew_is_not_the_runs(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY).gate)
    suite.core.create_namespaced_config_map(home, config_map("made"))
    kube.core.delete_namespaced_config_map("made", home)
    kube.core.create_namespaced_config_map(home, config_map("made"))
    with pytest.raises(NotAllowed, match="delete ConfigMap/made"):
        suite.core.delete_namespaced_config_map("made", home)


def test_a_conflict_is_told_and_never_forced(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY).gate)
    with pytest.raises(SignoffError, match=r"kubectl has set data\.a"):
        suite.apply(manifest(config_map("settings", a="mine")), home)
    assert kube.core.read_namespaced_config_map("settings", home).data == {"a": "1", "b": "2"}


def test_what_changes_nothing_is_not_sent(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    """It would leave the suite among the owners of the object's fields."""
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY, Right.DISRUPTION).gate)
    version = kube.core.read_node(NODE).metadata.resource_version
    suite.cordon(NODE, cordoned=False)
    suite.apply(manifest(config_map("settings", a="1")), home)
    assert kube.core.read_node(NODE).metadata.resource_version == version
    (journal,) = journals.of_cluster(cluster_uid(kube))
    assert journal.intents == []


def test_what_is_there_before_is_on_disk_before_it_is_changed(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that only shows when the write does not arrive: the disk is full, say."""
    suite = Kube(cluster.kubeconfig, begin(Right.DISRUPTION).gate)
    (journal,) = journals.of_cluster(cluster_uid(kube))
    journal.path.rename(journal.path.with_suffix(".away"))
    with pytest.raises(SignoffError, match="the journal of changes cannot be written: No such file"):
        suite.scale(home, "gateway", 0)
    assert kube.workload(home, "gateway").spec.replicas == 1
    journal.path.with_suffix(".away").rename(journal.path)
    suite.scale(home, "gateway", 0)


def test_another_that_changes_an_object_all_the_time_is_not_taken_for_the_run(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    """A change is made of exactly the version that is written down, which is read again until it holds still."""
    session = begin(Right.DEPLOY)
    suite = Kube(cluster.kubeconfig, session.gate)
    meddled = 0

    class Meddling:
        def passed(self, request: Any, send: Any) -> Any:
            def sent(asked: Any) -> Any:
                nonlocal meddled
                if asked.query.get("dryRun") and meddled < 3:
                    meddled += 1
                    kube.core.patch_namespaced_config_map("settings", home, {"data": {"theirs": str(meddled)}})
                return send(asked)

            return session.gate.passed(request, sent)

    suite = Kube(cluster.kubeconfig, Meddling())
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"mine": "1"}})
    assert meddled == 3
    outcome = session.close()
    assert kube.core.read_namespaced_config_map("settings", home).data == {"a": "1", "b": "2", "theirs": "3"}
    assert outcome.problems == []
    assert outcome.differences == [f"data.theirs of ConfigMap/settings in {home} is set, and was not"]


def test_the_own_namespace_needs_its_label(begin: Begin, cluster: EmbeddedCluster) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.JOB).gate)
    metadata = {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: "helm"}}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    with pytest.raises(NotAllowed):
        suite.core.create_namespace(body)


def test_what_has_no_name_is_not_made(begin: Begin, cluster: EmbeddedCluster, home: str) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.DEPLOY).gate)
    with pytest.raises(NotAllowed, match=r"make configmaps in .* without a name"):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}
        suite.core.create_namespaced_config_map(home, body)


def test_without_a_gate_all_is_as_ever(kube: Kube, home: str) -> None:
    kube.core.create_namespaced_config_map(home, config_map("new"))
    kube.core.delete_collection_namespaced_config_map(home)
