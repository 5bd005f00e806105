"""What is put back where others have changed things meanwhile, and what is told of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from urllib3.exceptions import HTTPError

from signoff.changes import journal as journals
from signoff.changes.journal import Journal
from signoff.changes.process import Process
from signoff.changes.rights import Right
from signoff.changes.session import cluster_uid, left, restore
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core import timeouts
from signoff.core.errors import SignoffError, UsageError
from signoff.core.timeouts import Timeout
from signoff.kube.client import Kube
from signoff.kube.gate import Request, Response, Send
from tests.changes.conftest import Begin
from tests.changes.home import config_map
from tests.changes.test_guard import manifest
from tests.changes.test_killed import writer

pytestmark = pytest.mark.usefixtures("made_beforehand")
NODE = "k3s-worker-01"


@pytest.fixture
def killed(cluster: EmbeddedCluster, kube: Kube, home: str) -> Journal:
    """The journal of a run that was killed after all of its changes."""
    assert writer(cluster, home, "killed", "--killed-at", "135") == -9
    (journal,) = left(cluster_uid(kube))
    return journal


def test_what_others_change_meanwhile_stays(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    """A field of theirs silently, one of the run's with a word; the owners' next apply meets no conflict."""
    session = begin(Right.DEPLOY, Right.DISRUPTION)
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"a": "ours", "b": None}})
    suite.scale(home, "idle", 1)
    suite.mark(NODE, {"colour": "red"}, {("ours", "NoSchedule"): ""})
    kube.core.patch_namespaced_config_map("settings", home, {"data": {"a": "theirs", "c": "theirs"}})
    kube.apps.patch_namespaced_deployment("idle", home, {"metadata": {"labels": {"theirs": "yes"}}})
    taints = [
        *(each.to_dict() for each in kube.core.read_node(NODE).spec.taints),
        {"key": "theirs", "effect": "NoSchedule"},
    ]
    kube.core.patch_node(
        NODE, {"spec": {"taints": [{k: t.get(k) for k in ("key", "value", "effect")} for t in taints]}}
    )
    outcome = session.close()
    try:
        assert kube.core.read_namespaced_config_map("settings", home).data == {"a": "theirs", "b": "2", "c": "theirs"}
        assert outcome.problems == [
            f"data.a of ConfigMap/settings in {home} was changed by another since: it is left so"
        ]
        idle = kube.workload(home, "idle")
        assert (idle.spec.replicas, idle.metadata.labels["theirs"]) == (0, "yes")
        node = kube.core.read_node(NODE)
        assert [each.key for each in node.spec.taints] == ["theirs"] and "colour" not in node.metadata.labels
        assert f"metadata.labels.theirs of Deployment/idle in {home} is set, and was not" in outcome.differences
        assert outcome.of_the_run == [f"data.a of ConfigMap/settings in {home} is another"]
        assert not any("theirs" in each for each in outcome.differences if "Node" not in each and "label" not in each
                       and "data.c" not in each)  # fmt: skip
        (journal,) = left_or_own(kube)
        assert not journal.is_closed
    finally:
        kube.core.patch_node(NODE, {"spec": {"taints": None}})


def left_or_own(kube: Kube) -> list[Journal]:
    return journals.unclosed(cluster_uid(kube))


def test_what_is_gone_is_not_made_anew(begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str) -> None:
    session = begin(Right.DEPLOY)
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"a": "ours"}})
    suite.apply(manifest(config_map("made", x="y")), home)
    for name in ("settings", "made"):
        kube.core.delete_namespaced_config_map(name, home)
    kube.core.create_namespaced_config_map(home, config_map("made", of="another"))
    outcome = session.close()
    assert outcome.problems == [f"ConfigMap/settings in {home} is gone, or was made anew by another: it is left so"]
    assert kube.core.read_namespaced_config_map("made", home).data == {"of": "another"}
    assert f"ConfigMap/settings in {home} is gone" in outcome.differences


def test_a_killed_run_is_refused_a_successor_until_it_is_put_back(
    killed: Journal, begin: Begin, cluster: EmbeddedCluster
) -> None:
    with pytest.raises(UsageError, match="an earlier run has left changes on this cluster: killed") as error:
        begin(Right.JOB)
    assert error.value.hint == "signoff restore killed"
    assert restore(cluster.kubeconfig, killed).is_as_before
    begin(Right.JOB)


def test_a_living_run_is_not_put_back(begin: Begin, kube: Kube, cluster: EmbeddedCluster, tmp_path: Path) -> None:
    begin(Right.JOB)
    (journal,) = journals.of_cluster(cluster_uid(kube))
    assert left(cluster_uid(kube)) == []
    parent = Process.this().model_copy(update={"pid": 1, "started": psutil.Process(1).create_time()})
    journal.header.process = parent
    with pytest.raises(UsageError, match="the run run-0 is still at work"):
        restore(cluster.kubeconfig, journal)


@pytest.mark.prove
def test_another_cluster_of_the_same_context_is_refused(killed: Journal, cluster: EmbeddedCluster) -> None:
    killed.header.cluster = "another"
    with pytest.raises(UsageError, match="this is another cluster than the one that the run killed changed"):
        restore(cluster.kubeconfig, killed)
    killed.header.cluster = killed.path.parent.name
    assert restore(cluster.kubeconfig, killed).is_as_before


def test_what_is_damaged_is_not_put_back_by_half(killed: Journal, kube: Kube, cluster: EmbeddedCluster) -> None:
    whole = killed.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    killed.path.write_bytes(b"".join([*lines[:4], b'{"type": "intent", "number": "x"}\n', *lines[4:]]))
    with pytest.raises(SignoffError, match="the journal of changes is damaged") as error:
        left(cluster_uid(kube))
    assert error.value.where == f"{killed.path}:5"
    killed.path.write_bytes(whole)
    assert restore(cluster.kubeconfig, killed).is_as_before


def test_what_went_out_without_an_answer_is_put_back(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str
) -> None:
    """The network goes away in the moment in which the API server has done what was asked."""
    session = begin(Right.DEPLOY, Right.DISRUPTION)

    class Lost:
        def passed(self, request: Request, send: Send) -> Response:
            def sent(asked: Request) -> Response:
                answer = send(asked)
                if asked.method == "GET" or "dryRun" in asked.query:
                    return answer
                raise HTTPError("the network is away")

            return session.gate.passed(request, sent)

    suite = Kube(cluster.kubeconfig, Lost())
    for write in (
        lambda: suite.scale(home, "idle", 1),
        lambda: suite.core.create_namespaced_config_map(home, config_map("made")),
        lambda: suite.apply(manifest(config_map("applied")), home),
    ):
        with pytest.raises(HTTPError):
            write()
    assert kube.workload(home, "idle").spec.replicas == 1
    outcome = session.close()
    assert (outcome.problems, outcome.differences) == ([], [])
    assert kube.workload(home, "idle").spec.replicas == 0


class Faulty:
    """An API server that is away, or answers otherwise, as long as it is told to."""

    def __init__(self, fails: Callable[[str], Exception | None]) -> None:
        self.asked, self._fails, self._sent = 0, fails, RESTClientObject.request

    def request(self, rest: RESTClientObject, method: str, url: str, **more: Any) -> Any:
        self.asked += 1
        if error := self._fails(url):
            raise error
        return self._sent(rest, method, url, **more)


def test_an_api_server_that_is_away_for_a_moment_ends_nothing(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers one time of four, which is not enough for any step that does not ask again."""
    session = begin(Right.DEPLOY, Right.DISRUPTION)
    suite = Kube(cluster.kubeconfig, session.gate)
    suite.scale(home, "idle", 1)
    suite.core.create_namespaced_config_map(home, config_map("made"))
    suite.core.patch_namespaced_config_map("settings", home, {"data": {"a": "ours"}})
    errors = [HTTPError("no route to host"), ApiException(status=429), ApiException(status=503)]
    server = Faulty(lambda _: [*errors, None][server.asked % 4] if server.asked < 40 else None)
    with monkeypatch.context() as patch:
        patch.setattr(RESTClientObject, "request", lambda *given, **more: server.request(*given, **more))
        outcome = session.close()
    assert (outcome.problems, outcome.differences) == ([], [])
    assert server.asked > 40
    assert kube.workload(home, "idle").spec.replicas == 0


def test_an_api_server_that_stays_away_is_told_with_what_to_do(
    begin: Begin, kube: Kube, cluster: EmbeddedCluster, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(Right.DISRUPTION)
    Kube(cluster.kubeconfig, session.gate).scale(home, "idle", 1)
    with monkeypatch.context() as patch:
        for name in ("PUT_BACK", "WRITTEN"):
            patch.setattr(timeouts, name, Timeout(0.5, every=0.1))
        server = Faulty(lambda _: HTTPError("no route to host"))
        patch.setattr(RESTClientObject, "request", lambda *given, **more: server.request(*given, **more))
        with pytest.raises(SignoffError, match="the API server is away: no route to host") as error:
            session.close()
    assert error.value.hint.endswith("signoff restore run-0")
    (journal,) = journals.unclosed(cluster_uid(kube))
    assert restore(cluster.kubeconfig, journal).is_as_before
    assert kube.workload(home, "idle").spec.replicas == 0


def test_what_others_change_is_told_apart(begin: Begin, kube: Kube, home: str) -> None:
    session = begin(Right.DEPLOY)
    kube.core.patch_namespaced_config_map("settings", home, {"data": {"a": "theirs"}})
    outcome = session.close()
    assert (outcome.problems, outcome.of_the_run) == ([], [])
    assert outcome.of_others == [f"data.a of ConfigMap/settings in {home} is another"]
    assert outcome.is_settled and not outcome.is_as_before
