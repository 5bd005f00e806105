"""What a manifest says of the nodes of its pods: which ones, and whether by their names."""

from types import SimpleNamespace as Of
from typing import Any

import pytest

from signoff.core.node import Taint
from signoff.kube.placement import ByName, by_name, possible_nodes, untolerated

NODES = ("w1", "w2", "gpu")
HOST = "kubernetes.io/hostname"
BY_LABEL = {"key": "gpu", "operator": "DoesNotExist"}


def names(operator: str, *values: str) -> dict[str, Any]:
    return {"key": HOST, "operator": operator, "values": list(values)}


def workload(*terms: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}} if terms else {}
    return {"kind": "Deployment", "spec": {"template": {"spec": {"affinity": affinity, **spec}}}}


PREFERRED = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}


@pytest.mark.parametrize(
    ("body", "possible", "named"),
    [
        (workload(), NODES, ByName()),
        (workload(affinity=PREFERRED), NODES, ByName()),
        (workload(nodeSelector={HOST: "w2"}), ["w2"], ByName(allowed=("w2",))),
        (workload(nodeSelector={"disk": "ssd"}), NODES, ByName()),
        (workload([names("In", "w1", "w2")]), ["w1", "w2"], ByName(allowed=("w1", "w2"))),
        (workload([names("In", "w1", "w2")], nodeSelector={HOST: "w1"}), ["w1"], ByName(allowed=("w1",))),
        (workload([names("In", "w1")], [names("In", "w2")]), ["w1", "w2"], ByName(allowed=("w1", "w2"))),
        (workload([names("NotIn", "gpu")]), ["w1", "w2"], ByName(excluded=("gpu",))),
        (workload([names("NotIn", "gpu"), BY_LABEL]), ["w1", "w2"], ByName()),
        (workload([names("NotIn", "gpu")], [names("NotIn", "w1")]), NODES, ByName()),
        (workload([BY_LABEL]), NODES, ByName()),
        (workload([names("In", "w1")], [BY_LABEL]), NODES, ByName()),
        ({"kind": "Service", "spec": {}}, NODES, ByName()),
    ],
)
def test_nodes_and_names(body: dict[str, Any], possible: list[str], named: ByName) -> None:
    assert possible_nodes(body, NODES) == set(possible)
    assert by_name(body) == named


@pytest.mark.parametrize(
    ("taint", "toleration", "kept_away"),
    [
        ("gpu=true:NoSchedule", None, True),
        ("gpu:NoExecute", None, True),
        ("gpu=true:PreferNoSchedule", None, False),
        ("node.kubernetes.io/unschedulable:NoSchedule", None, False),
        ("gpu=true:NoSchedule", ("gpu", "Exists", None, None), False),
        ("gpu=true:NoSchedule", (None, "Exists", None, None), False),
        ("gpu=true:NoSchedule", ("gpu", "Equal", "true", "NoSchedule"), False),
        ("gpu=true:NoSchedule", ("gpu", None, "true", None), False),
        ("gpu:NoSchedule", ("gpu", "Equal", None, None), False),
        ("gpu=true:NoSchedule", ("gpu", "Equal", "false", None), True),
        ("gpu=true:NoSchedule", ("disk", "Exists", None, None), True),
        ("gpu=true:NoSchedule", ("gpu", "Exists", None, "NoExecute"), True),
    ],
)
def test_a_taint_keeps_away_what_does_not_tolerate_it(
    taint: str, toleration: tuple[str | None, ...] | None, kept_away: bool
) -> None:
    key, value, effect = Taint.parse(taint)
    node = Of(spec=Of(taints=[Of(key=key, value=value or None, effect=effect)]))
    names = ("key", "operator", "value", "effect")
    tolerations = [dict(zip(names, toleration, strict=True))] if toleration else None
    assert untolerated(node, {"tolerations": tolerations}) == ([taint] if kept_away else [])
