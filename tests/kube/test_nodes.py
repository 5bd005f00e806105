"""What a workload's pods ask of nodes, as its manifest says it in each of the ways that Kubernetes has."""

from pathlib import Path
from typing import Any

import pytest

from signoff.core.yaml_lines import Path as Place
from signoff.kube.nodes import rules, tolerated
from signoff.kube.objects import Manifest
from signoff.kube.placement import HOSTNAME

SPEC = ("spec", "template", "spec")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def body(spec: dict[str, Any], kind: str = "Deployment") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "x"}, "spec": spec if kind == "Pod" else {"template": {"spec": spec}}}


def required(*expressions: dict[str, Any], group: str = "matchExpressions") -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{group: list(expressions)}]}}}}


def preferred(*expressions: dict[str, Any]) -> dict[str, Any]:
    term = {"weight": 1, "preference": {"matchExpressions": list(expressions)}}
    return {"affinity": {"nodeAffinity": {_PREFERRED: [term]}}}


def on(operator: str, *values: str, key: str = HOSTNAME) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)} if values else {"key": key, "operator": operator}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"nodeName": "a"}, ["on a"]),
        ({"nodeSelector": {HOSTNAME: "a", "gpu": "true"}}, ["on a", "where gpu=true"]),
        (required(on("In", "a", "b")), ["on a or b"]),
        (required(on("NotIn", "a")), ["not on a"]),
        (required(on("In", "a", key="metadata.name"), group="matchFields"), ["on a"]),
        (
            required(on("Exists", key="gpu"), on("DoesNotExist", key="spot")),
            ["where gpu is set", "not where spot is set"],
        ),
        (required(on("NotIn", "big", "small", key="size")), ["not where size=big or small"]),
        (required(on("Gt", "4", key="cores")), ["cores=4 Gt"]),
        (preferred(on("In", "a")), ["preferably on a"]),
        ({}, []),
        ({"affinity": {"podAntiAffinity": {}}, "nodeSelector": {}}, []),
        (
            {
                "affinity": {
                    "nodeAffinity": {_PREFERRED: ["x", {"preference": "y"}, {"preference": {"matchFields": 1}}]}
                }
            },
            [],
        ),
    ],
)
def test_each_rule_is_said_in_words(spec: dict[str, Any], said: list[str]) -> None:
    assert [str(each) for each in rules(body(spec))] == said


def test_a_label_of_every_node_and_a_role_of_kubernetes_tell_no_nodes_apart() -> None:
    keys = ("kubernetes.io/os", "node-role.kubernetes.io/control-plane", HOSTNAME, "node-role.kubernetes.io/gpu", "gpu")
    found = rules(body(required(*(on("Exists", key=key) for key in keys))))
    assert [each.key for each in found if each.is_about_a_label] == ["node-role.kubernetes.io/gpu", "gpu"]


@pytest.mark.parametrize(
    ("toleration", "taint"),
    [
        ({"key": "gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"}, "gpu=true:NoSchedule"),
        ({"key": "gpu", "value": "true", "effect": "NoExecute"}, "gpu=true:NoExecute"),
        ({"key": "gpu", "operator": "Exists"}, "gpu:NoSchedule"),
        ({"operator": "Exists"}, None),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, None),
        ({"key": "node-role.kubernetes.io/control-plane"}, None),
    ],
)
def test_a_toleration_is_said_as_the_taint_that_it_is_for(toleration: dict[str, Any], taint: str | None) -> None:
    found = tolerated(body({"tolerations": [toleration]}))
    assert [each.taint for each in found] == ([taint] if taint else [])
    assert [str(each) for each in found] == ([f"tolerates {taint}"] if taint else [])


@pytest.mark.parametrize(("kind", "root"), [("Deployment", SPEC), ("StatefulSet", SPEC), ("Pod", ("spec",))])
def test_each_place_is_one_of_the_manifest(tmp_path: Path, kind: str, root: Place) -> None:
    spec = {"nodeSelector": {"gpu": "true"}, **required(on("In", "a")), "tolerations": [{"key": "gpu"}]}
    told = body(spec, kind)
    places = [*(each.place for each in rules(told)), *(each.place for each in tolerated(told))]
    assert [each[: len(root)] for each in places] == [root] * 3
    for place in places:
        value: Any = told
        for key in place:
            value = value[key]
        assert value
    assert Manifest(tmp_path / "x", "", told).line(*places[0]) == 1
