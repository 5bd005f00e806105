"""What rights are about, as people are told."""

import yaml

from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, SUITE
from signoff.core.paths import ROOT


def test_the_namespace_that_people_make_beforehand_is_the_suites_own() -> None:
    """By another name, or without its label, a run would not take it for its own."""
    objects = list(yaml.safe_load_all((ROOT / "manifests" / "rbac" / "job.yaml").read_text()))
    (made,) = [each["metadata"] for each in objects if each["kind"] == "Namespace"]
    assert (made["name"], made["labels"]) == (OWN_NAMESPACE, {MANAGED_BY: SUITE})
    (role,) = [each["metadata"] for each in objects if each["kind"] == "Role"]
    assert role["namespace"] == OWN_NAMESPACE
