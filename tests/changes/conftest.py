"""A person's namespace with objects of their own, on the shared cluster, and sessions that write to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff.changes import journal as journals
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, SUITE, Right, Scope
from signoff.changes.session import Run, Session, cluster_uid, restore
from signoff.changes.target import Named
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.kube.client import Kube
from tests.changes.home import HOME, config_map, workload

Begin = Callable[..., Session]


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "signoff" / "changes"


@pytest.fixture(scope="module")
def made_beforehand(kube: Kube) -> Iterator[None]:
    """The suite's own namespace, as manifests/rbac/job.yaml has people make it: no session of the module removes it."""
    kube.core.create_namespace({"metadata": {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: SUITE}}})
    yield
    kube.core.delete_namespace(OWN_NAMESPACE)
    kube.wait_until_deleted("v1", "Namespace", "", OWN_NAMESPACE)


@pytest.fixture
def home(kube: Kube, namespace: str) -> str:
    """A namespace of a person's, with a gateway that runs and one that does not, and their configuration."""
    for name, replicas in HOME.items():
        kube.dynamic.server_side_apply(
            kube.dynamic.resources.get(api_version="apps/v1", kind="Deployment"),
            body=workload(name, replicas),
            namespace=namespace,
            field_manager="helm",
        )
    kube.core.create_namespaced_config_map(namespace, config_map("settings", a="1", b="2"), field_manager="kubectl")
    kube.wait_until_available(namespace, "gateway", timeouts.UNDONE)
    return namespace


@pytest.fixture
def begin(cluster: EmbeddedCluster, kube: Kube, home: str, tmp_path: Path) -> Iterator[Begin]:
    """Begins sessions on the person's namespace, whose manifests name its objects; ends them with the test."""
    begun: list[Session] = []

    def begin(*rights: Right, name: str = "", named: Any = None) -> Session:
        objects = named if named is not None else [workload("gateway"), config_map("settings")]
        scope = Scope(frozenset(rights), frozenset({home}), frozenset(Named.of(each, home) for each in objects))
        run = Run(name or f"run-{len(begun)}", tmp_path / "report", "home")
        begun.append(Session(cluster.kubeconfig, run, scope))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()
    for left in journals.unclosed(cluster_uid(kube)):  # whose Lease would name it for ever
        restore(cluster.kubeconfig, left, accept=True)
