"""Differences field by field, changes undone under others' changes, and who owns the fields."""

from typing import Any

import pytest

from signoff.changes.fields import MISSING, Undoing, differences
from signoff.changes.managed_fields import given_back
from signoff.changes.target import Target
from signoff.core.errors import SignoffError


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2, "b": 1}, ["a", "b"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a.b.c"]),
        ({}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a"]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 2}]}, ["a[x].v", "a[y].name"]),
        ({"a": [{"key": "k", "effect": "e"}]}, {"a": []}, ["a[k:e].key", "a[k:e].effect"]),
    ],
)
def test_differences_are_the_smallest_fields(before: Any, after: Any, fields: list[str]) -> None:
    assert sorted(each.field for each in differences(before, after)) == sorted(fields)


T, U = {"key": "t", "effect": "NoSchedule"}, {"key": "u", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("before", "after", "live", "undone", "kept"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}, ["a"]),
        ({"a": 1}, {"a": 2}, {"a": 2, "b": 9}, {"a": 1, "b": 9}, []),
        ({"a": 1}, {}, {"b": 9}, {"a": 1, "b": 9}, []),
        ({"a": 1}, {"a": 2}, {}, {}, ["a"]),
        ({}, {"m": {"x": 1}}, {"m": {"x": 1}}, {}, []),
        ({}, {"m": {"x": 1}}, {"m": {"x": 1, "y": 2}}, {"m": {"y": 2}}, []),
        ({"t": []}, {"t": [T]}, {"t": [T, U]}, {"t": [U]}, []),
        ({}, {"t": [T]}, {"t": [U, T]}, {"t": [U]}, []),
        ({"t": [T, U]}, {"t": [U]}, {"t": [U]}, {"t": [T, U]}, []),
        ({"t": [T, U]}, {"t": [U]}, {"t": []}, {"t": [T]}, []),
        ({"l": [1]}, {"l": [1, 2]}, {"l": [1, 2, 3]}, {"l": [1, 2, 3]}, ["l"]),
    ],
)
def test_a_change_is_undone_under_anothers(before: Any, after: Any, live: Any, undone: Any, kept: list[str]) -> None:
    undoing = Undoing()
    assert undoing.undone(before, after, live) == undone
    assert undoing.kept == kept


def test_nothing_is_told_from_something_empty() -> None:
    assert Undoing().undone(MISSING, {"a": 1}, MISSING) is MISSING


def entry(manager: str, *fields: str, time: str = "1", **more: str) -> dict[str, Any]:
    nested: dict[str, Any] = {f"f:{each}": {} for each in fields}
    return {"manager": manager, "operation": "Apply", "time": time, "fieldsV1": {"f:spec": nested}, **more}


OURS = entry("signoff", "replicas", time="2")


@pytest.mark.parametrize(
    ("before", "live", "wanted"),
    [
        ([entry("helm", "replicas", "paused")], [entry("helm", "paused"), OURS], [entry("helm", "replicas", "paused")]),
        ([entry("helm", "replicas")], [OURS], [entry("helm", "replicas")]),
        ([entry("helm", "replicas")], [entry("hpa", "replicas"), OURS], None),
        (
            [entry("helm", "replicas")],
            [entry("hpa", "replicas"), entry("signoff", "paused")],
            [entry("hpa", "replicas")],
        ),
        ([entry("signoff", "paused"), entry("helm", "replicas")], [OURS], None),
        ([], [entry("kubectl", "paused", time="3"), OURS], [entry("kubectl", "paused", time="3")]),
    ],
)
def test_what_the_run_took_of_others_is_given_back(before: Any, live: Any, wanted: Any) -> None:
    """None stands for all that was there before, with what others have come to since."""
    found = given_back(before, live, "signoff")
    if wanted is None:
        wanted = [*before, *(each for each in live if each["manager"] not in ("signoff", "helm"))]
    assert sorted(map(str, found)) == sorted(map(str, wanted))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/namespaces/ml", ("", "namespaces", "", "ml", "")),
        ("/api/v1/namespaces/ml/finalize", ("", "namespaces", "", "ml", "finalize")),
        ("/api/v1/namespaces/ml/pods", ("", "pods", "ml", "", "")),
        ("/api/v1/namespaces/ml/services/a:80/proxy/v1/x", ("", "services", "ml", "a:80", "proxy/v1/x")),
        ("/apis/apps/v1/namespaces/ml/deployments/a/scale", ("apps", "deployments", "ml", "a", "scale")),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa", (
            "rbac.authorization.k8s.io", "clusterroles", "", "system:a", "")),
    ],
)  # fmt: skip
def test_a_request_is_for_what_its_path_says(path: str, target: tuple[str, ...]) -> None:
    found = Target.of(path)
    assert (found.group, found.resource, found.namespace, found.name, found.subresource) == target


@pytest.mark.parametrize("path", ["/version", "/api/v1", "/api/v1/namespaces/ml/pods/..", "/api/v1/pods/a%2Fb"])
def test_a_path_of_no_object_is_refused(path: str) -> None:
    with pytest.raises(SignoffError, match="is for no object"):
        Target.of(path)
