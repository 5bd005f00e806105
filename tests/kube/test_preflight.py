"""What a person's cluster would not take of manifests is told before anything of them is applied."""

from collections.abc import Callable
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from signoff.core.errors import UsageError
from signoff.kube import preflight
from signoff.kube.client import Kube
from signoff.kube.loading import read
from signoff.kube.stood import without_noise
from tests.embedded import wait_for
from tests.home import applied

Body = dict[str, Any]
_NUMBERS = count(1)
OWNER = "kubectl-client-side-apply"


@pytest.fixture
def ai() -> str:
    return f"pre-{next(_NUMBERS)}"


def workload(namespace: str, name: str = "router", **metadata: Any) -> Body:
    labels = {"app": name}
    containers = [{"name": "main", "image": "litellm:1", "env": [{"name": "MODE", "value": "a"}]}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def config_map(namespace: str, name: str, **data: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def changed(body: Body, change: Callable[[Body], None]) -> Body:
    copy = deepcopy(body)
    change(copy)
    return copy


@pytest.fixture
def refusal(api: Kube, tmp_path: Path) -> Callable[..., UsageError]:
    """What is said of manifests in a file, of which nothing is applied."""

    def refusal(*bodies: Body) -> UsageError:
        file = tmp_path / "all.yaml"
        file.write_text(yaml.safe_dump_all(bodies))
        before = state(api, bodies)
        with pytest.raises(UsageError) as refused:
            preflight.check(api, read(file), "default")
        assert state(api, bodies) == before
        assert str(file) in refused.value.where
        return refused.value

    return refusal


def state(api: Kube, bodies: Any) -> list[Body | None]:
    """What is there, but for what controllers note of it."""
    found = [
        api.object(each["apiVersion"], each["kind"], each["metadata"]["name"], each["metadata"].get("namespace", ""))
        for each in bodies
    ]
    return [each and {**without_noise(each), "uid": each["metadata"]["uid"]} for each in found]


def test_a_field_that_another_has_set_is_not_taken_and_all_of_an_object_are_told(
    api: Kube, ai: str, refusal: Callable[..., UsageError]
) -> None:
    applied(api, [workload(ai)], OWNER)
    applied(api, [{**workload(ai), "spec": {**workload(ai)["spec"], "replicas": 1}}], "keda")

    def change(body: Body) -> None:
        body["spec"]["replicas"] = 3
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "litellm:2"

    told = refusal(changed(workload(ai), change))
    assert told.what.startswith("Deployment/router would be changed where others keep it: ")
    assert f"{OWNER} has set spec.replicas" in told.what and "keda has set spec.replicas" in told.what
    assert 'spec.template.spec.containers[name="main"].image' in told.what
    assert "--as-copy" in told.hint and OWNER in told.hint
    line = next(n for n, text in enumerate(Path(told.where.rpartition(":")[0]).read_text().splitlines(), 1)
                if "replicas" in text)  # fmt: skip
    assert told.where.endswith(f":{line}")


def test_what_is_as_another_has_it_is_no_conflict(api: Kube, ai: str, tmp_path: Path) -> None:
    applied(api, [workload(ai)], OWNER)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(workload(ai)))
    preflight.check(api, read(tmp_path / "a.yaml"), "default")


@pytest.mark.parametrize(
    ("tool", "metadata"),
    [
        ("Argo CD", {"labels": {"argocd.argoproj.io/instance": "home"}}),
        ("Argo CD", {"annotations": {"argocd.argoproj.io/tracking-id": "home:apps/Deployment:a/router"}}),
        ("Argo CD", {"annotations": {"argocd.argoproj.io/instance": "home"}}),
        ("Flux", {"labels": {"kustomize.toolkit.fluxcd.io/name": "home"}}),
        (
            "Flux",
            {
                "labels": {"helm.toolkit.fluxcd.io/name": "home", "app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": "home"},
            },
        ),
        ("Helm", {"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
        ("Helm", {"annotations": {"meta.helm.sh/release-name": "home"}}),
    ],
)
def test_what_a_tool_keeps_is_left_alone(
    api: Kube, ai: str, refusal: Callable[..., UsageError], tool: str, metadata: Body
) -> None:
    applied(api, [workload(ai, **metadata)], "somebody")
    told = refusal(workload(ai))
    assert told.what == f"Deployment/router is kept by {tool}, which would take back what is changed of it"
    assert "--as-copy" in told.hint and "\n" not in told.what


@pytest.mark.parametrize(("manager", "tool"), [("argocd-controller", "Argo CD"), ("kustomize-controller", "Flux")])
def test_a_tool_that_leaves_no_mark_is_known_as_a_writer(
    api: Kube, ai: str, refusal: Callable[..., UsageError], manager: str, tool: str
) -> None:
    applied(api, [workload(ai)], manager)
    assert f"is kept by {tool}" in refusal(workload(ai)).what


def test_a_field_that_cannot_be_changed_is_told(api: Kube, ai: str, refusal: Callable[..., UsageError]) -> None:
    applied(api, [workload(ai)], "signoff")

    def change(body: Body) -> None:
        body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": "other"}

    told = refusal(changed(workload(ai), change))
    assert told.what == "Deployment/router is there, and spec.selector of it cannot be changed"
    assert "--as-copy" in told.hint


def test_a_policy_s_own_words_are_told(api: Kube, ai: str, refusal: Callable[..., UsageError]) -> None:
    applied(api, [config_map(ai, "there")])
    name = f"no-latest-{ai}"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ai}}}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.spec.replicas > 1", "message": "two replicas are the least"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": match}
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        applied(api, [body])
    probe = workload(ai, "probe")

    def denied() -> bool:
        try:
            api.apps.create_namespaced_deployment(ai, probe, dry_run="All")
        except ApiException:
            return True
        return False

    wait_for("the policy to be heeded", denied)
    told = refusal(workload(ai))
    assert told.what == (
        f"Deployment/router is not let in by the ValidatingAdmissionPolicy {name}: two replicas are the least"
    )


def quota(api: Kube, namespace: str, **hard: str) -> None:
    applied(api, [config_map(namespace, "there")])
    metadata = {"name": "few", "namespace": namespace}
    applied(api, [{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}])
    wait_for("the quota", lambda: api.core.read_namespaced_resource_quota("few", namespace).status.hard)


def test_a_quota_is_told(api: Kube, ai: str, refusal: Callable[..., UsageError]) -> None:
    quota(api, ai, **{"count/deployments.apps": "0"})
    told = refusal(workload(ai))
    assert told.what.startswith("Deployment/router is not let in by the ResourceQuota few: requested: ")


def test_a_quota_of_pods_is_told_though_the_workload_itself_is_let_in(
    api: Kube, ai: str, refusal: Callable[..., UsageError]
) -> None:
    quota(api, ai, pods="0")
    told = refusal(workload(ai))
    assert told.what.startswith("a pod of Deployment/router is not let in by the ResourceQuota few: requested: pods=1")


def test_a_quota_of_pods_that_are_there_already_is_no_reason(api: Kube, ai: str, tmp_path: Path) -> None:
    applied(api, [workload(ai)], "signoff")
    quota(api, ai, pods="1")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(workload(ai)))
    preflight.check(api, read(tmp_path / "a.yaml"), "default")


def test_what_pod_security_says_of_the_pods_is_told(api: Kube, ai: str, refusal: Callable[..., UsageError]) -> None:
    applied(api, [config_map(ai, "there")])
    api.core.patch_namespace(ai, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    told = refusal(workload(ai))
    assert told.what.startswith("a pod of Deployment/router is not let in by PodSecurity restricted:latest: ")
    assert "allowPrivilegeEscalation" in told.what


def test_all_objects_that_cannot_be_applied_are_told_and_the_good_ones_are_not_applied(
    api: Kube, ai: str, refusal: Callable[..., UsageError]
) -> None:
    applied(api, [workload(ai, labels={"app.kubernetes.io/managed-by": "Helm"}), config_map(ai, "c", a="1")], OWNER)
    told = refusal(config_map(ai, "new"), workload(ai), config_map(ai, "c", a="2"))
    assert told.what.startswith("2 objects cannot be applied: Deployment/router is kept by Helm")
    assert f"ConfigMap/c would be changed where others keep it: {OWNER} has set data.a" in told.what


def test_what_comes_into_a_namespace_of_the_manifests_is_not_tried(api: Kube, ai: str, tmp_path: Path) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ai}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([space, workload(ai)]))
    preflight.check(api, read(tmp_path / "a.yaml"), "default")
    assert api.object("v1", "Namespace", ai) is None


def test_a_kind_that_nobody_knows_is_told(api: Kube, ai: str, refusal: Callable[..., UsageError]) -> None:
    applied(api, [config_map(ai, "there")])
    told = refusal({**workload(ai), "apiVersion": "app/v1"})
    assert told.what.startswith("the cluster knows no Deployment of app/v1")


def test_a_secret_of_the_same_values_is_no_conflict_however_it_is_written(api: Kube, ai: str, tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": ai}}
    applied(api, [{**secret, "stringData": {"KEY": "hush"}}], OWNER)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**secret, "stringData": {"KEY": "hush"}}))
    preflight.check(api, read(tmp_path / "a.yaml"), "default")
    api.apply(read(tmp_path / "a.yaml")[0], ai)
    assert api.core.read_namespaced_secret("keys", ai).data == {"KEY": "aHVzaA=="}
