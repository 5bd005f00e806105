"""Which of Helm's hooks a run leaves out, and why."""

from pathlib import Path
from typing import Any

import pytest

from signoff.kube.hooks import left_out
from signoff.kube.objects import Manifest

ANNOTATION = "helm.sh/hook"


def hook(kind: str, events: str, container: dict[str, Any] | None = None) -> Manifest:
    spec = {"containers": [{"name": "a", "image": "busybox", **(container or {})}]}
    body = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "it", "annotations": {ANNOTATION: events} if events else {}},
        "spec": spec if kind == "Pod" else {"template": {"spec": spec}},
    }
    return Manifest(Path("x"), "", body)


MIGRATES = {"command": ["python", "litellm/proxy/prisma_migration.py"]}
CONNECTS = {"env": [{"name": "DATABASE_URL", "value": "postgresql://db/litellm"}]}
POSTGRES = hook("StatefulSet", "", {"image": "registry.lab/bitnami/postgresql:16"})


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (hook("Pod", "test"), "a hook for `test`, which an install does not make"),
        (hook("Job", "pre-delete, post-delete"), "a hook for `pre-delete, post-delete`, which an install"),
        (hook("Job", "pre-install,pre-upgrade", MIGRATES), "a hook that prepares a database, and there is none"),
        (hook("Job", "post-install", CONNECTS), "a hook that prepares a database, and there is none"),
        (hook("Job", "post-install"), ""),
        (hook("Job", "", MIGRATES), ""),
        (hook("Pod", "", CONNECTS), ""),
        (hook("Deployment", "pre-install", CONNECTS), ""),
    ],
)
def test_a_hook_is_left_out_that_no_install_makes_or_that_has_no_database(manifest: Manifest, reason: str) -> None:
    found = left_out([manifest])
    assert [each.manifest for each in found] == ([manifest] if reason else [])
    assert all(each.reason.startswith(reason) for each in found)


def test_with_a_database_it_is_prepared() -> None:
    assert left_out([hook("Job", "pre-install", MIGRATES), POSTGRES]) == []
    in_a_test = hook("Pod", "test", {"image": "postgres:16"})
    assert [each.manifest.body["kind"] for each in left_out([hook("Job", "pre-install", MIGRATES), in_a_test])] == [
        "Job",
        "Pod",
    ]
