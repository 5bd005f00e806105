"""One run at a time writes to a cluster: the Lease, and who gets it when."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.changes import journal as journals
from signoff.changes import lease as leases
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, Right
from signoff.changes.session import Session, cluster_uid
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.core.errors import SignoffError, UsageError
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube
from tests.changes.conftest import Begin
from tests.embedded import wait_for


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Lease of seconds."""
    monkeypatch.setattr(timeouts, "LEASE_LAPSES", Timeout(3, every=0.1))
    monkeypatch.setattr(timeouts, "LEASE_RENEWED", Timeout(2, every=0.5))


def held_by(kube: Kube, holder: str, seconds: int = 3) -> None:
    """A Lease that somebody elsewhere has, whose clock is an hour ahead."""
    namespace = {"metadata": {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: "signoff"}}}
    kube.core.create_namespace(namespace)
    now = datetime(2030, 1, 1, microsecond=1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": now, "acquireTime": now}
    body = {"metadata": {"name": leases.NAME}, "spec": spec}
    kube.coordination.create_namespaced_lease(OWN_NAMESPACE, body)


def remove(kube: Kube) -> None:
    kube.core.delete_namespace(OWN_NAMESPACE)
    wait_for("the namespace to be gone", lambda: not is_there(kube))


def is_there(kube: Kube) -> bool:
    return OWN_NAMESPACE in [each.metadata.name for each in kube.core.list_namespace().items]


def test_the_second_run_is_refused_by_the_name_of_the_first(begin: Begin, brisk: None, kube: Kube, home: str) -> None:
    begin(Right.JOB, name="first")
    with pytest.raises(
        UsageError, match=r"another run writes to this cluster: first \(\w+ on .*, pid \d+\), since 20"
    ) as e:
        begin(Right.DISRUPTION, name="second")
    assert "Lease/signoff in signoff-run" in e.value.where
    assert [each.run for each in journals.of_cluster(cluster_uid(kube))] == ["first"]


def test_a_run_that_only_looks_needs_no_lease(begin: Begin, kube: Kube) -> None:
    begin(Right.JOB, name="first")
    begin(name="second")


def test_a_dead_holders_lease_lapses(begin: Begin, brisk: None, kube: Kube, capfd: pytest.CaptureFixture[str]) -> None:
    """Though by its clock it was renewed in the future."""
    held_by(kube, "a run of another machine")
    session = begin(Right.JOB)
    assert "taken over from a run of another machine" in capfd.readouterr().err
    session.close()
    assert is_there(kube)  # another has made it, and its journal is elsewhere
    remove(kube)


def test_a_namespace_of_a_persons_is_left_alone(begin: Begin, kube: Kube, state_folder: Path) -> None:
    kube.core.create_namespace({"metadata": {"name": OWN_NAMESPACE}})
    try:
        with pytest.raises(UsageError, match="there is a namespace signoff-run that signoff has not made"):
            begin(Right.JOB)
        assert list(state_folder.rglob("*.jsonl")) == []
    finally:
        remove(kube)


def test_a_namespace_that_is_on_its_way_out_is_waited_for(begin: Begin, kube: Kube) -> None:
    namespace = {"metadata": {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: "signoff"}}}
    kube.core.create_namespace(namespace)
    held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    kube.core.create_namespaced_config_map(OWN_NAMESPACE, held)
    kube.core.delete_namespace(OWN_NAMESPACE)

    def let_go() -> None:
        kube.core.patch_namespaced_config_map("held", OWN_NAMESPACE, {"metadata": {"finalizers": None}})

    timer = threading.Timer(2, let_go)
    timer.start()
    first = kube.core.read_namespace(OWN_NAMESPACE).metadata.uid
    begin(Right.JOB)
    assert kube.core.read_namespace(OWN_NAMESPACE).metadata.uid != first
    timer.join()


def test_who_has_lost_the_lease_writes_no_more(
    begin: Begin, brisk: None, kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    suite = Kube(cluster.kubeconfig, begin(Right.DISRUPTION).gate)
    suite.scale(home, "idle", 1)
    kube.coordination.patch_namespaced_lease(leases.NAME, OWN_NAMESPACE, {"spec": {"holderIdentity": "another"}})
    refused(lambda: suite.scale(home, "idle", 1), "the right to write to this cluster was lost: it is held by another")
    refused(lambda: suite.scale(home, "idle", 0), "the right to write to this cluster was lost")
    assert kube.workload(home, "idle").spec.replicas == 1
    kube.coordination.patch_namespaced_lease(leases.NAME, OWN_NAMESPACE, {"spec": {"holderIdentity": ""}})


def test_who_cannot_renew_the_lease_writes_no_more(
    begin: Begin, brisk: None, cluster: EmbeddedCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is away, for the thread that renews at least."""
    suite = Kube(cluster.kubeconfig, begin(Right.DISRUPTION).gate)

    def no_network(*_: object) -> None:
        raise OSError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, "_renew_once", no_network)
        wanted = "the right to write to this cluster was lost: it could not be renewed for 2 s"
        refused(lambda: suite.scale(home, "idle", 1), wanted)


def refused(write: Callable[[], object], why: str) -> None:
    def look() -> bool:
        try:
            write()
        except SignoffError as error:
            assert why in str(error)
            return True
        return False

    wait_for("a refusal", look)


def test_a_lease_that_may_not_be_had_is_told(begin: Begin, kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        error = ApiException(status=HTTPStatus.FORBIDDEN)
        error.body = '{"message": "namespaces is forbidden"}'
        raise error

    monkeypatch.setattr("kubernetes.client.CoreV1Api.create_namespace", forbidden)
    with pytest.raises(SignoffError, match="the cluster refuses what a run needs: namespaces is forbidden"):
        begin(Right.JOB)


def test_sessions_end_with_their_block(begin: Begin, kube: Kube) -> None:
    with begin(Right.JOB) as session:
        assert isinstance(session, Session)
        assert is_there(kube)
    assert not is_there(kube)
