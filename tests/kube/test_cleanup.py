"""What earlier runs left on a cluster is cleared away, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff.changes import state
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.node import Node
from signoff.core.timeouts import KINDS_KNOWN
from signoff.core.waiting import NotYet, eventually
from signoff.kube import cleanup
from signoff.kube.acceptance import Copies, Join
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.kube.undo import Apply, Undo
from tests.embedded import container, pod

SLEEP = "import time; time.sleep(600)"


def deployment(name: str) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(container(SLEEP))["spec"]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    return Manifest(Path(name), "", body)


def bare_pod(name: str) -> Manifest:
    body = {"apiVersion": "v1", "kind": "Pod", **pod(container(SLEEP)), "metadata": {"name": name}}
    return Manifest(Path(name), "", body)


def test_what_earlier_runs_left_is_cleared_away_and_nothing_else(kube: Kube, namespace: str) -> None:
    backend, edited, subject = (deployment(name) for name in ("backend", "edited", "subject"))
    for manifest in (backend, edited, subject):
        kube.apply(manifest, namespace)
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "of-a-person"}})
    more = {"spec": {"template": {"spec": {"hostname": "by-hand"}}}}
    kube.apps.patch_namespaced_deployment("edited", namespace, more)
    kube.scale(namespace, "backend", 2)
    kube.cordon("k3s-worker-01", cordoned=True)
    kube.core.patch_node("k3s-worker-02", {"spec": {"unschedulable": True}})
    kube.apply(bare_pod("bare"), namespace)

    done = cleanup.clear(kube, [namespace], stays=[backend, edited])

    assert sorted(done) == [
        "removed Deployment/edited, which OpenAPI-Generator has edited",
        *("removed Deployment/subject", "removed Pod/bare"),
        "uncordoned k3s-worker-01",
    ]
    assert [each.metadata.name for each in kube.apps.list_namespaced_deployment(namespace).items] == ["backend"]
    assert kube.core.read_namespaced_config_map("of-a-person", namespace)
    assert not kube.core.read_node("k3s-worker-01").spec.unschedulable
    assert kube.core.read_node("k3s-worker-02").spec.unschedulable  # a person's cordon
    kube.core.patch_node("k3s-worker-02", {"spec": {"unschedulable": False}})
    kube.apply(backend, namespace)
    assert kube.workload(namespace, "backend").spec.replicas == 1


def test_what_is_left_in_other_namespaces_of_the_manifests_is_cleared_away_too(kube: Kube, namespace: str) -> None:
    """The same name stays in the one and goes in the other."""
    other, unused = f"{namespace}-tools", f"{namespace}-of-others"
    for name in (other, unused):
        kube.make_namespace(name)
        kube.wait_for_namespace(name)
    kept = without_spec("ConfigMap", data={"a": "b"})
    for name in (namespace, other, unused):
        kube.apply(kept, name)
    assert cleanup.clear(kube, [namespace, other], stays=[kept]) == [f"removed ConfigMap/configmap of {other}"]
    assert kube.core.read_namespaced_config_map("configmap", namespace)
    assert kube.core.read_namespaced_config_map("configmap", unused)
    of_other = Manifest(kept.file, "", {**kept.body, "metadata": {**kept.body["metadata"], "namespace": other}})
    kube.apply(of_other, namespace)
    assert cleanup.clear(kube, [namespace, other], stays=[of_other]) == ["removed ConfigMap/configmap"]
    assert kube.core.read_namespaced_config_map("configmap", other)


def test_nodes_and_copies_that_a_killed_run_asked_by_are_removed(kube: Kube, namespace: str) -> None:
    nodes = {node.metadata.name for node in kube.core.list_node().items}
    asking = Undo(kube)  # which nobody undoes
    asking.make(Join(Node("left-worker")))
    asking.make(
        Copies(
            namespace, deployment("gateway").body["spec"]["template"], ["left-worker", "k3s-worker-01"], tolerant=True
        )
    )
    done = cleanup.clear(kube, [namespace], stays=[])
    assert sorted(done) == ["removed Node/left-worker", "removed Pod/signoff-copy-0", "removed Pod/signoff-copy-1"]
    assert {node.metadata.name for node in kube.core.list_node().items} == nodes
    assert kube.core.list_namespaced_pod(namespace).items == []


def service(name: str) -> Manifest:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return Manifest(Path(name), "", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def applied_by_kubectl(kube: Kube, namespace: str, manifest: Manifest, *, first: bool = False) -> None:
    """What `kubectl apply` does: it notes what it applies, and sets what is not so already."""
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(manifest.body)}
    body = {**manifest.body, "metadata": {**manifest.body["metadata"], "annotations": note}}
    by = {"field_manager": "kubectl-client-side-apply"}
    resource = kube.dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])
    if first:
        kube.dynamic.create(resource, body=body, namespace=namespace, **by)
    else:
        merge = "application/strategic-merge-patch+json"
        kube.dynamic.patch(resource, body=body, namespace=namespace, content_type=merge, **by)


def test_what_kubectl_has_applied_too_stays_unless_it_differs(kube: Kube, namespace: str) -> None:
    stays = [*(deployment(name) for name in ("before", "after", "other")), service("web")]
    applied_by_kubectl(kube, namespace, stays[0], first=True)
    for manifest in stays:
        kube.apply(manifest, namespace)
    differs = deployment("other")
    differs.body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 2
    for manifest in (stays[1], differs, stays[3]):
        applied_by_kubectl(kube, namespace, manifest)
    assert cleanup.clear(kube, [namespace], stays) == [
        "removed Deployment/other, which kubectl-client-side-apply has edited"
    ]


def without_spec(kind: str, **told: object) -> Manifest:
    version = "rbac.authorization.k8s.io/v1" if kind == "Role" else "v1"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": kind.lower(), "labels": {"app": "web"}}, **told}
    return Manifest(Path(kind), "", body)


def test_an_edit_is_seen_whatever_kind_of_object_it_is_in(kube: Kube, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    role = without_spec("Role", rules=[rule])
    config = without_spec("ConfigMap", binaryData={"model": "AAAA"}, data={"a": "b"})
    secret = without_spec("Secret", stringData={"key": "sk-1"})
    account = without_spec("ServiceAccount")
    stays = [role, config, secret, account]
    for manifest in stays:
        kube.apply(manifest, namespace)
        applied_by_kubectl(kube, namespace, manifest)
    assert cleanup.clear(kube, [namespace], stays) == []
    applied_by_kubectl(kube, namespace, without_spec("Role", rules=[{**rule, "verbs": ["get", "delete"]}]))
    applied_by_kubectl(kube, namespace, without_spec("ConfigMap", binaryData={"model": "BBBB"}, data={"a": "b"}))
    applied_by_kubectl(kube, namespace, without_spec("ServiceAccount", automountServiceAccountToken=False))
    kube.core.patch_namespaced_secret("secret", namespace, {"metadata": {"annotations": {"by": "hand"}}})
    by = "which kubectl-client-side-apply has edited"
    assert sorted(cleanup.clear(kube, [namespace], stays)) == [
        f"removed ConfigMap/configmap, {by}",
        f"removed Role/role, {by}",
        "removed Secret/secret, which OpenAPI-Generator and kubectl-client-side-apply has edited",
        f"removed ServiceAccount/serviceaccount, {by}",
    ]


SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
GROUPS = ("cert-manager.io", "example.com")
"""Those that have a kind Certificate."""


def definition(group: str) -> Manifest:
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"certificates.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Certificate", "plural": "certificates"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": SCHEMA}],
        },
    }
    return Manifest(Path("x"), "", body)


@pytest.fixture
def with_certificates(cluster: EmbeddedCluster) -> Iterator[Kube]:
    """A client of its own: no other test is to know the kind, which goes with the test."""
    kube = Kube(cluster.kubeconfig)
    kinds = [Manifest(Path("x"), "", {"apiVersion": f"{group}/v1", "kind": "Certificate"}) for group in GROUPS]

    def known() -> None:
        if not all(map(Kube(cluster.kubeconfig).knows, kinds)):
            raise NotYet("it is not served yet")

    with Undo(kube) as added:
        for group in GROUPS:
            added.make(Apply(definition(group), ""))
        eventually("the kind Certificate to be known", KINDS_KNOWN, known)
        yield kube


def test_kinds_of_one_name_are_told_apart_by_their_groups(with_certificates: Kube, namespace: str) -> None:
    kube = with_certificates
    for group in GROUPS:
        body = {"apiVersion": f"{group}/v1", "kind": "Certificate", "metadata": {"name": group}, "spec": {"a": "b"}}
        kube.apply(Manifest(Path("x"), "", body), namespace)
    compared = [key for key in state.read(kube, [namespace]).objects if "|Certificate|" in key]
    assert sorted(compared) == [f"{group}|Certificate|{namespace}|{group}" for group in GROUPS]
    assert sorted(cleanup.clear(kube, [namespace], stays=[])) == [f"removed Certificate/{group}" for group in GROUPS]
    assert [each for group in GROUPS for each in kube.objects(f"{group}/v1", "Certificate", namespace)] == []


def test_the_secrets_of_certificates_that_go_go_too(with_certificates: Kube, namespace: str) -> None:
    """cert-manager writes them, and a run that finds one never sees that its issuer issues nothing any more."""
    kube = with_certificates
    ingress = without_spec("ConfigMap")  # in the place of an Ingress, of which cert-manager makes a Certificate
    kube.apply(ingress, namespace)
    owner = kube.core.read_namespaced_config_map("configmap", namespace).metadata.uid
    owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "configmap", "uid": owner}]
    kube.apply(certificate("of-the-run"), namespace)
    resource = kube.dynamic.resources.get(api_version="cert-manager.io/v1", kind="Certificate")
    for each in (certificate("of-an-ingress", ownerReferences=owners), certificate("of-a-person")):
        kube.dynamic.create(resource, body=each.body, namespace=namespace)
    for name in ("of-the-run", "of-an-ingress", "of-a-person"):
        notes = {"cert-manager.io/certificate-name": name}
        labels = {"controller.cert-manager.io/fao": "true"}
        metadata = {"name": f"{name}-tls", "annotations": notes, "labels": labels}
        kube.core.create_namespaced_secret(namespace, {"metadata": metadata})
    kube.core.create_namespaced_secret(namespace, {"metadata": {"name": "a-persons-own"}})

    done = cleanup.clear(kube, [namespace], stays=[])

    assert sorted(done) == [
        "removed Certificate/of-the-run",
        "removed ConfigMap/configmap",
        "removed Secret/of-an-ingress-tls, a certificate's",
        "removed Secret/of-the-run-tls, a certificate's",
    ]
    left = {each.metadata.name for each in kube.core.list_namespaced_secret(namespace).items}
    assert left == {"of-a-person-tls", "a-persons-own"}


def certificate(name: str, **metadata: object) -> Manifest:
    body: dict[str, Any] = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "spec": {"secretName": f"{name}-tls"},
    }
    body["metadata"] = {"name": name, **metadata}
    return Manifest(Path(name), "", body)
