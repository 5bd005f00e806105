"""What of a cluster is compared, and what of it is kept for that."""

import base64
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from kubernetes.dynamic.exceptions import ServiceUnavailableError

from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.rights import Right
from signoff.changes.session import cluster_uid
from signoff.changes.target import Named
from signoff.cluster.embedded import EmbeddedCluster
from signoff.kube.client import Kube
from tests.changes.conftest import Begin
from tests.changes.home import config_map

pytestmark = pytest.mark.usefixtures("made_beforehand")


def secret(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": value}}


def test_of_secrets_only_digests_are_kept(begin: Begin, kube: Kube, home: str) -> None:
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    body = secret("keys", "swordfish")
    body["metadata"]["annotations"] = {applied: '{"stringData": {"key": "swordfish"}}'}
    kube.core.create_namespaced_secret(home, body)
    session = begin(Right.DEPLOY)
    (journal,) = journals.of_cluster(cluster_uid(kube))
    text = journal.path.read_text()
    assert "keys" in text and "swordfish" not in text and base64.b64encode(b"swordfish").decode() not in text
    kube.core.patch_namespaced_secret("keys", home, {"stringData": {"key": "other", "new": "one"}})
    assert session.close().differences == [
        f"data.key of Secret/keys in {home} is another",
        f"data.new of Secret/keys in {home} is set, and was not",
    ]


def test_what_is_left_on_disk_of_an_ended_run_holds_no_secret(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    kube.core.create_namespaced_secret(home, secret("keys", "swordfish"))
    session = begin(Right.DEPLOY, named=[secret("keys", "")])
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.core.patch_namespaced_secret("keys", home, {"stringData": {"key": "other"}})
    (journal,) = journals.of_cluster(cluster_uid(kube))
    encoded = base64.b64encode(b"swordfish")
    assert encoded in journal.path.read_bytes()  # what puts it back, should the run be killed
    assert session.close().is_as_before
    assert base64.b64decode(kube.core.read_namespaced_secret("keys", home).data["key"]) == b"swordfish"
    (journal,) = journals.of_cluster(cluster_uid(kube))
    assert journal.is_closed and encoded not in journal.path.read_bytes()
    assert list(journal.path.parent.iterdir()) == [journal.path]


def owned(name: str, owner: Any, kind: str) -> dict[str, Any]:
    body = config_map(name)
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": kind, "name": owner.metadata.name, "uid": owner.metadata.uid}
    ]
    return body


def test_what_belongs_to_a_pod_goes_with_it_and_is_not_compared(kube: Kube, home: str) -> None:
    """As a CiliumEndpoint: its owner is no controller. Nor what belongs to such an object in turn."""
    before = state.read(kube, [home])
    runs = kube.core.list_namespaced_pod(home).items[0]
    first = kube.core.create_namespaced_config_map(home, owned("first", runs, "Pod"))
    kube.core.create_namespaced_config_map(home, owned("second", first, "ConfigMap"))
    assert state.differing(before, state.read(kube, [home])) == []
    settings = kube.core.read_namespaced_config_map("settings", home)
    kube.core.create_namespaced_config_map(home, owned("third", settings, "ConfigMap"))
    assert state.differing(before, state.read(kube, [home])) == [f"ConfigMap/third in {home} is there, and was not"]


def test_a_kind_that_nobody_names_and_that_cannot_be_listed_ends_no_run(
    kube: Kube, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook that converts it is dead, or the API server beside the cluster's own."""
    get = kube.dynamic.get

    def dead(resource: Any, **more: Any) -> Any:
        if resource.kind == "ConfigMap":
            raise ServiceUnavailableError(ApiException(status=503, reason="no endpoints available"))
        return get(resource, **more)

    monkeypatch.setattr(kube.dynamic, "get", dead)
    assert f"ConfigMaps in {home}" in state.uncompared(state.read(kube, [home]))
    with pytest.raises(ApiException, match="503"):
        state.read(kube, [home], [Named("", "ConfigMap", home, "settings")])


def test_the_kinds_are_asked_for_once_in_a_session(begin: Begin, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are some thirty requests, which take their time on a small machine."""
    asked: list[str] = []
    request = RESTClientObject.request

    def counted(rest: RESTClientObject, method: str, url: str, **more: Any) -> Any:
        asked.append(url.partition("//")[2].partition("/")[2])
        return request(rest, method, url, **more)

    monkeypatch.setattr(RESTClientObject, "request", counted)
    assert begin(Right.DEPLOY).close().is_as_before
    print(f"{len(asked)} requests")
    assert asked.count("apis/apps/v1") == 1
