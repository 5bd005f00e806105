"""Whoever lacks a right on their cluster is told so before anything there is read, and all that lacks at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from signoff.changes.rights import Right
from signoff.cluster.access import Access
from signoff.cluster.base import Needs
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.existing import contexts, provider
from signoff.core.errors import UsageError
from signoff.kube import rights
from signoff.kube.client import Kube
from tests.kube import accounts

LOOKS = Access("home", "home", namespace="default")
NAME = "visitor"


@pytest.fixture
def visitor(kube: Kube, cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """One who may do nothing, and whose kubeconfig has the context `home`."""
    path = accounts.kubeconfig_of(kube, cluster.kubeconfig, NAME, tmp_path)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["contexts"] = [{**config["contexts"][0], "name": "home"}]
    path.write_text(yaml.safe_dump({**config, "current-context": "home"}), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    for each in (contexts._reached, provider._check_rights):
        each.cache_clear()
    yield Kube(path)
    api = client.RbacAuthorizationV1Api(kube.core.api_client)
    for bound in api.list_cluster_role_binding().items:
        if bound.metadata.name.endswith(NAME):
            api.delete_cluster_role_binding(bound.metadata.name)
    for bound in api.list_namespaced_role_binding(LOOKS.namespace).items:
        if bound.metadata.name.endswith(NAME):
            api.delete_namespaced_role_binding(bound.metadata.name, LOOKS.namespace)
    kube.core.delete_namespaced_service_account(NAME, accounts.HOME)


def refused(do: Callable[[], object]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        do()
    return caught.value


def test_who_may_do_nothing_is_told_of_all_at_once(visitor: Kube) -> None:
    error = refused(lambda: provider.standing(Access("home", "home", "", frozenset({Right.JOB}), "default")))
    for part in ("get namespaces kube-system", "get/list nodes", "in default", "in signoff-run"):
        assert part in error.what
    assert "look-only.yaml" in error.hint
    assert "job.yaml" in error.hint


def test_who_may_look_may_look_where_that_was_granted(visitor: Kube, kube: Kube) -> None:
    accounts.grant(kube, NAME, (LOOKS.namespace,), ())
    accounts.once("the rights", lambda: rights.lacks(visitor, rights.roles(()), (LOOKS.namespace,)), [])
    assert provider.standing(LOOKS)
    provider.precheck(None, Needs({}, {}, [LOOKS.namespace]), LOOKS)
    error = refused(lambda: provider.precheck(None, Needs({}, {}, [LOOKS.namespace, "cellar"]), LOOKS))
    assert "in cellar" in error.what
    assert "in default" not in error.what
    error = refused(lambda: provider.standing(Access("home", "home", "", frozenset({Right.DISRUPTION}), "default")))
    assert "patch deployments/scale and statefulsets/scale in default" in error.what
    assert "look-only.yaml" not in error.hint
