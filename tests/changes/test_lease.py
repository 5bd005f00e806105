"""One run at a time writes to a cluster: the Lease, and who gets it when."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.changes import journal as journals
from signoff.changes import lease as leases
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, Right
from signoff.changes.session import accept_elsewhere, cluster_uid, restore, writer
from signoff.cluster.access import Access, Use
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.existing import ExistingCluster
from signoff.cluster.existing.contexts import Reached
from signoff.core import timeouts
from signoff.core.errors import SignoffError, UsageError
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube
from tests.changes.conftest import Begin
from tests.changes.home import config_map
from tests.changes.test_guard import manifest
from tests.embedded import container, pod, wait_for


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


@pytest.mark.prove
def test_a_run_that_only_looks_needs_no_lease(begin: Begin, kube: Kube) -> None:
    begin(Right.JOB, name="first")
    begin(name="second")


@pytest.fixture
def elsewhere(kube: Kube) -> Iterator[str]:
    """The Lease of a run that was killed on another machine."""
    holder = "killed (ann on desktop, pid 7)"
    held_by(kube, holder)
    yield holder
    remove(kube)


def test_nothing_is_built_upon_what_a_run_has_left_that_is_not_known_here(
    elsewhere: str, begin: Begin, brisk: None, kube: Kube, cluster: EmbeddedCluster, state_folder: Path
) -> None:
    """It lapses, though by its clock it was renewed in the future, but names a run that has not put all back."""
    with pytest.raises(UsageError, match=r"the run killed \(ann on desktop, pid 7\) has ended without") as error:
        begin(Right.JOB)
    assert "run `signoff restore killed` on desktop, as ann" in error.value.hint
    assert "signoff restore killed --accept --kube-context NAME" in error.value.hint
    assert list(state_folder.rglob("*.jsonl")) == []
    assert kube.coordination.read_namespaced_lease(leases.NAME, OWN_NAMESPACE).spec.holder_identity == elsewhere
    with pytest.raises(UsageError, match="no run of this machine is called another"):
        accept_elsewhere(cluster.kubeconfig, "another")
    assert accept_elsewhere(cluster.kubeconfig, "killed") == elsewhere
    begin(Right.JOB).close()
    assert is_there(kube)  # another has made it


@pytest.mark.prove
def test_a_run_that_lives_elsewhere_is_not_disowned(
    elsewhere: str, brisk: None, kube: Kube, cluster: EmbeddedCluster
) -> None:
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.5):
            kube.coordination.patch_namespaced_lease(leases.NAME, OWN_NAMESPACE, {"spec": {"leaseTransitions": 1}})
            kube.coordination.patch_namespaced_lease(leases.NAME, OWN_NAMESPACE, {"spec": {"leaseTransitions": 2}})

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(UsageError, match=r"another run writes to this cluster: killed"):
            accept_elsewhere(cluster.kubeconfig, "killed")
    finally:
        ended.set()
        thread.join()


@pytest.mark.prove
def test_a_dead_holder_whose_journal_is_closed_here_is_succeeded(
    begin: Begin, brisk: None, kube: Kube, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was killed between its last word and the end of its Lease."""
    begin(Right.JOB, name="first").close()
    (journal,) = journals.of_cluster(cluster_uid(kube))
    holder = f"first ({journal.header.process})"
    held_by(kube, holder)
    session = begin(Right.JOB)
    assert f"taken over from {holder}" in capfd.readouterr().err
    session.close()
    remove(kube)


def test_what_a_run_makes_in_a_namespace_that_was_made_beforehand_is_undone(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, state_folder: Path
) -> None:
    """manifests/rbac/job.yaml has people make it: it does not go with the run."""
    kube.core.create_namespace({"metadata": {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: "signoff"}}})
    kube.core.create_namespaced_secret(OWN_NAMESPACE, {"metadata": {"name": "theirs"}, "stringData": {"a": "b"}})
    session = begin(Right.JOB)
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.core.create_namespaced_secret(OWN_NAMESPACE, {"metadata": {"name": "key"}, "stringData": {"a": "b"}})
    suite.apply(manifest(config_map("code", a="b")), OWN_NAMESPACE)
    suite.core.patch_namespaced_config_map("code", OWN_NAMESPACE, {"data": {"a": "c"}})
    suite.core.create_namespaced_pod(OWN_NAMESPACE, pod(container("import time; time.sleep(600)")))
    outcome = session.close()
    assert outcome.is_as_before
    core = kube.core
    every = [core.list_namespaced_secret, core.list_namespaced_config_map, core.list_namespaced_pod]
    found = [each.metadata.name for list_ in every for each in list_(OWN_NAMESPACE).items]
    assert found == ["theirs", "kube-root-ca.crt"]
    assert kube.coordination.read_namespaced_lease(leases.NAME, OWN_NAMESPACE).spec.holder_identity == ""
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


def test_a_run_that_has_left_something_is_named_in_the_lease_until_that_is_put_back(
    begin: Begin,
    brisk: None,
    kube: Kube,
    cluster: EmbeddedCluster,
    home: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On another machine, where its journal is not, nobody builds upon what it has left either."""
    session = begin(Right.DEPLOY, name="first")
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"a": "ours"}})
    kube.core.patch_namespaced_config_map("settings", home, {"data": {"a": "theirs"}})
    assert not session.close().is_settled
    (journal,) = journals.unclosed(cluster_uid(kube))
    assert writer(kube) == f"first ({journal.header.process})"
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(UsageError, match=r"the run first \(.*\) has ended without putting back"):
            begin(Right.JOB, name="second")
    kube.core.patch_namespaced_config_map("settings", home, {"data": {"a": "1"}})
    assert restore(cluster.kubeconfig, journal).is_settled
    assert writer(kube) == "" and not is_there(kube)


def looking(cluster: EmbeddedCluster, kube: Kube, home: str, tmp_path: Path) -> ExistingCluster:
    """A run that may change nothing."""
    reached = Reached("home", cluster.kubeconfig, kube.server, cluster_uid(kube))
    return ExistingCluster(reached, Use(Access("home", "home"), [home], tmp_path / "looks"))


def test_what_another_run_may_have_changed_is_not_judged(
    begin: Begin, cluster: EmbeddedCluster, kube: Kube, home: str, tmp_path: Path
) -> None:
    opened = looking(cluster, kube, home, tmp_path)
    begin(Right.JOB, name="first")
    assert opened.facts().details.get("not_known") is None
    (left,) = opened.close()
    assert left.startswith("another run writes to it, so that what was judged may be what that has changed: first (")
    with pytest.raises(UsageError, match=r"another run writes to this cluster, or has ended without .*: first \(") as e:
        looking(cluster, kube, home, tmp_path)
    assert "`signoff restore first` where it began" in e.value.hint


def test_that_nobody_can_tell_whether_another_run_writes_is_said(
    cluster: EmbeddedCluster, kube: Kube, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """manifests/rbac/look-only.yaml does not open the Lease."""

    def forbidden(*_: object, **__: object) -> None:
        error = ApiException(status=HTTPStatus.FORBIDDEN)
        error.body = '{"message": "leases is forbidden"}'
        raise error

    monkeypatch.setattr("kubernetes.client.CoordinationV1Api.read_namespaced_lease", forbidden)
    opened = looking(cluster, kube, home, tmp_path)
    unknown = "whether another run writes to this cluster is not known"
    assert opened.facts().details["not_known"] == f"{unknown}: the Lease cannot be read: leases is forbidden"
    assert opened.close() == []
