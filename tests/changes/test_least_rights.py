"""What a run with exactly the rights of manifests/rbac/ changes is put back, and what it may not read is told."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from signoff.changes import state
from signoff.changes.journal import Before
from signoff.changes.rights import OWN_NAMESPACE, Right, Scope
from signoff.changes.session import Run, Session
from signoff.changes.target import Named
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.node import Node
from signoff.kube import rights
from signoff.kube.acceptance import Copies, Join
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.kube.undo import Apply, Undo
from tests.changes.home import config_map, workload
from tests.embedded import container, wait_for
from tests.kube import accounts, asked

NAME = "runner-of-changes"
NODE = "k3s-worker-01"
EVERYTHING = tuple(Right)


def _unused(seen: set[rights.Question]) -> list[str]:
    """What is granted to those who write, and was never asked for.

    What is applied and is not there is made, for which the API server asks for `create` as well as for `patch`.
    """
    seen = seen | {replace(each, verb="create", name="") for each in seen if each.verb == "patch"}
    return [
        f"{role.name}: {verb} {resource}"
        for role in rights.roles(EVERYTHING)
        if role.file.stem != rights.LOOK_ONLY
        for rule in role.rules
        for resource, verb in product(rule["resources"], rule["verbs"])
        if not any(asked.allows({**rule, "verbs": [verb], "resources": [resource]}, each) for each in seen)
    ]


def secret(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": value}}


def service(name: str, **labels: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec}


def stateful_set(name: str) -> dict[str, Any]:
    body = workload(name, 0)
    return {**body, "kind": "StatefulSet", "spec": {**body["spec"], "serviceName": name}}


def asking(name: str) -> dict[str, Any]:
    spec = {"containers": [container("print('asked')")], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "asks"}}, "spec": spec}


def job(name: str) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": name}}, "spec": asking(name)["spec"]}
    spec = {"backoffLimit": 0, "template": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def ended(kube: Kube, namespace: str) -> str | None:
    """The name of a pod that has asked, once all have."""
    pods = kube.core.list_namespaced_pod(namespace, label_selector="app=asks").items
    over = len(pods) == 2 and all(each.status.phase == "Succeeded" for each in pods)
    return str(pods[0].metadata.name) if over else None


@pytest.fixture
def kubeconfig(kube: Kube, cluster: EmbeddedCluster, home: str, tmp_path: Path) -> Iterator[Path]:
    """That of an account with exactly these rights; the namespace and all that was granted go with the test."""
    path = accounts.kubeconfig_of(kube, cluster.kubeconfig, NAME, tmp_path)
    accounts.grant(kube, NAME, (home,), EVERYTHING)
    accounts.once("the rights to be known", lambda: rights.lacks(Kube(path), rights.roles(EVERYTHING), (home,)), [])
    yield path
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    for each in api.list_cluster_role_binding().items:
        if each.metadata.name.endswith(NAME):
            api.delete_cluster_role_binding(each.metadata.name)
    kube.core.delete_namespaced_service_account(NAME, accounts.HOME)
    kube.core.delete_namespace(OWN_NAMESPACE)
    kube.wait_until_deleted("v1", "Namespace", "", OWN_NAMESPACE)


@pytest.mark.prove
def test_all_that_they_change_is_put_back(
    kube: Kube, kubeconfig: Path, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[rights.Question] = set()
    asked.watch(seen.add, monkeypatch.setattr)
    kube.core.create_namespaced_secret(home, secret("keys", "one"), field_manager="kubectl")
    kube.core.create_namespaced_service(home, service("gateway"), field_manager="kubectl")
    kube.apps.create_namespaced_stateful_set(home, stateful_set("store"), field_manager="kubectl")
    before = state.read(kube, [home, OWN_NAMESPACE])
    named = [workload("gateway"), config_map("settings"), secret("keys", ""), service("gateway"), stateful_set("store")]
    scope = Scope(frozenset(EVERYTHING), frozenset({home}), frozenset(Named.of(each, home) for each in named))
    session = Session(kubeconfig, Run("run", tmp_path / "report", "home"), scope)
    suite = Kube(kubeconfig, session.gate)

    def apply(body: dict[str, Any], namespace: str = home) -> Apply:
        return Apply(Manifest(tmp_path / "manifest.yaml", "", body), namespace)

    assert not suite.make_namespace(home)
    suite.scale(home, "gateway", 0)
    suite.scale(home, "idle", 1)
    suite.scale(home, "store", 1, "StatefulSet")
    for each in (config_map("settings", c="3"), service("gateway", colour="red")):
        apply(each).make(suite)
    suite.core.patch_namespaced_secret("keys", home, {"stringData": {"key": "two"}})
    for each in (config_map("new", x="y"), secret("made", "three"), service("new"), stateful_set("new")):
        apply(each).make(suite)
    suite.cordon(NODE, cordoned=True)
    template = suite.pod_template(home, "gateway")
    with Undo(suite) as undo:
        for each in (config_map("code", a="b"), secret("key", "four"), job("asks"), asking("asks-too")):
            undo.replace(apply(each, OWN_NAMESPACE))
        pod = wait_for("its end", lambda: ended(suite, OWN_NAMESPACE))
        assert "asked" in suite.core.read_namespaced_pod_log(pod, OWN_NAMESPACE)
    with Undo(suite) as undo:
        undo.make(apply(workload("copy", 1)))
        undo.make(Join(Node("signoff-worker", {}, (), {})))
        copies = Copies(home, template, ("signoff-worker",), tolerant=True)
        undo.make(copies)
        assert copies.answers(suite)["signoff-worker"].accepted
    assert state.differing(before, state.read(kube, [home, OWN_NAMESPACE]))

    outcome = session.close()

    assert (outcome.problems, outcome.differences) == ([], [])
    assert outcome.is_as_before
    found = [each for each in state.differing(before, state.read(kube, [home, OWN_NAMESPACE])) if "Lease" not in each]
    assert found == []
    assert [each for each in _unused(seen) if not each.startswith("signoff-deploy-routes")] == []


@pytest.mark.parametrize("place", ["named", "made"])
def test_a_secret_that_may_not_be_listed_is_compared_by_its_name(
    kube: Kube, kubeconfig: Path, home: str, place: str
) -> None:
    looked_with = Kube(kubeconfig)
    kube.core.create_namespaced_secret(home, secret("keys", "one"))
    named = [Named("", "Secret", home, "keys"), Named("", "Secret", home, "made")]

    def looked() -> Before:
        return state.read(looked_with, [home], named)

    before = looked()
    assert f"||Secret|{home}|"[1:] in before.unread
    assert re.fullmatch(rf"\w+, \w+, \w+ and \d+ more in {home}", state.uncompared(before))
    kube.core.create_namespaced_secret(home, secret("others", "one"))
    assert state.differing(before, looked(), named) == []
    if place == "named":
        kube.core.patch_namespaced_secret("keys", home, {"stringData": {"key": "two"}})
        assert state.differing(before, looked(), named) == [f"data.key of Secret/keys in {home} is another"]
    else:
        kube.core.create_namespaced_secret(home, secret("made", "one"))
        assert state.differing(before, looked(), named) == [f"Secret/made in {home} is there, and was not"]


def test_a_right_that_is_taken_away_meanwhile_is_a_difference(kube: Kube, kubeconfig: Path, home: str) -> None:
    looked_with = Kube(kubeconfig)
    before = state.read(looked_with, [home])
    client.RbacAuthorizationV1Api(kube.core.api_client).delete_namespaced_role_binding(
        f"signoff-look-only-{NAME}", home
    )
    accounts.once("it to be known", lambda: accounts.refusal(lambda: looked_with.core.list_namespaced_pod(home)), 403)
    found = state.differing(before, state.read(looked_with, [home]))
    assert f"ConfigMaps in {home} may no longer be read, and cannot be compared" in found
    assert not [each for each in found if "is gone" in each]
