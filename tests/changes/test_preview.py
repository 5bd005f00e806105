"""A dry run shows each change as the API server would make it, and changes nothing."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from signoff.changes import state
from signoff.changes.preview import Preview, as_new
from signoff.changes.rights import NotAllowed, Right, Scope
from signoff.changes.target import Named
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import SignoffError
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from tests.changes.home import config_map, workload

Body = dict[str, Any]
Ask = Callable[..., list[str]]


@pytest.fixture
def ask(kube: Kube, cluster: EmbeddedCluster, home: str) -> Ask:
    """The lines that are shown of what is done with these rights; nothing on the cluster is as of then changed."""

    def ask(do: Callable[[Kube], object], *rights: Right, named: Any = ()) -> list[str]:
        before = state.read(kube, [home])
        scope = Scope(frozenset(rights), frozenset({home}), frozenset(Named.of(each, home) for each in named))
        gate = Preview(scope)
        do(Kube(cluster.kubeconfig, gate))
        assert state.differing(before, state.read(kube, [home])) == []
        return [line for each in gate.changes for line in each.lines]

    return ask


def applied(body: Body, namespace: str) -> Callable[[Kube], object]:
    return lambda kube: kube.apply(Manifest(None, "", body), namespace)


def test_a_change_is_a_diff_of_what_is_there_and_what_would_be(ask: Ask, home: str) -> None:
    body = config_map("settings", a="1", b="2", c="3")
    lines = ask(applied(body, home), Right.DEPLOY, named=[body])
    assert lines[:2] == [f"--- ConfigMap/settings in {home}", f"+++ ConfigMap/settings in {home}"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["+  c: '3'"]


def test_what_is_new_and_what_stays_is_told(ask: Ask, home: str) -> None:
    new, old = config_map("new", a="1"), config_map("settings", a="1")
    lines = ask(lambda kube: [applied(each, home)(kube) for each in (new, old)], Right.DEPLOY, named=[new, old])
    assert lines[0] == "--- /dev/null" and "+  a: '1'" in lines
    assert lines[-1] == f"ConfigMap/settings in {home}: as it is"


def test_replicas_and_cordons_are_shown_of_the_objects_themselves(ask: Ask, kube: Kube, home: str) -> None:
    node = kube.core.list_node().items[0].metadata.name
    lines = ask(lambda kube: kube.scale(home, "gateway", 0), Right.DISRUPTION)
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  replicas: 1", "+  replicas: 0"]
    lines = ask(lambda kube: kube.cordon(node, cordoned=True), Right.DISRUPTION)
    assert lines[0] == f"--- Node/{node}" and "+  unschedulable: true" in lines


def test_a_conflict_is_told_and_not_forced(ask: Ask, home: str) -> None:
    body = workload("gateway", replicas=3)
    with pytest.raises(SignoffError, match=r"Deployment/gateway would be .*: helm has set spec\.replicas"):
        ask(applied(body, home), Right.DEPLOY, named=[body])


@pytest.mark.parametrize("rights", [(), (Right.JOB,), (Right.DISRUPTION,)])
def test_what_the_run_might_not_do_is_not_shown_as_if_it_might(ask: Ask, home: str, rights: tuple[Right, ...]) -> None:
    with pytest.raises(NotAllowed):
        ask(applied(config_map("new", a="1"), home), *rights)


def test_nothing_is_deleted_not_even_for_show(ask: Ask, home: str) -> None:
    with pytest.raises(NotAllowed, match="delete configmaps/settings"):
        ask(lambda kube: kube.core.delete_namespaced_config_map("settings", home), *Right)


def secret(**values: str) -> Body:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": data}


def test_of_a_secret_only_what_changes_is_told(ask: Ask, kube: Kube, home: str) -> None:
    applied(secret(same="hush-one", other="hush-two"), home)(kube)
    wanted = secret(same="hush-one", other="hush-three")
    lines = ask(applied(wanted, home), Right.DEPLOY, named=[wanted])
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  other: '[redacted]'", "+  other: '[redacted] anew'"]
    text = "\n".join([*lines, *as_new(Named.of(wanted, home), wanted)])
    for body in (wanted, secret(other="hush-two")):
        assert not any(value in text for value in body["data"].values())


def test_credentials_of_other_objects_are_hidden(home: str) -> None:
    body = workload("gateway")
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": "swordfish"}]
    lines = "\n".join(as_new(Named.of(body, home), body))
    assert "DB_PASSWORD" in lines and "swordfish" not in lines
