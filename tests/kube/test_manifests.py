"""Reading manifests: what the folder says is what is applied, and what is wrong with it is said plainly."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff import story
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.kube import manifests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MANIFESTS / "litellm", tmp_path / "litellm"))


def by_name(found: list[manifests.Manifest]) -> dict[str, dict[str, Any]]:
    return {manifest.name: manifest.body for manifest in found}


@pytest.mark.parametrize("name", ["litellm", "vllm"])
def test_checksum_in_the_file_is_the_config_s_so_that_kubectl_apply_rolls_the_pods_too(name: str) -> None:
    written = [
        document["spec"]["template"]["metadata"]["annotations"][manifests.CHECKSUM]
        for document in yaml.safe_load_all((MANIFESTS / name / "deployment.yaml").read_text())
        if document["kind"] == "Deployment"
    ]
    computed = [
        manifest.body["spec"]["template"]["metadata"]["annotations"][manifests.CHECKSUM]
        for manifest in manifests.load(MANIFESTS / name)
        if manifest.body["kind"] == "Deployment"
    ]
    assert written == computed, f"write {computed[0]} into manifests/{name}/deployment.yaml"


def test_changed_config_changes_the_checksum(folder: Path) -> None:
    before = by_name(manifests.load(folder))["Deployment/litellm"]
    config = folder / "configmap.yaml"
    config.write_text(config.read_text().replace("num_retries: 2", "num_retries: 1"))
    after = by_name(manifests.load(folder))["Deployment/litellm"]
    assert before["spec"]["template"] != after["spec"]["template"]


@pytest.mark.parametrize("text", ["resources: [configmap.yaml]\nimages: [{name: a, newTag: b}]", "namePrefix: x-"])
def test_what_kustomize_would_change_is_refused(folder: Path, text: str) -> None:
    (folder / "kustomization.yaml").write_text(text)
    with pytest.raises(SignoffError, match="kustomize would change the manifests by"):
        manifests.load(folder)


def test_a_resource_that_is_no_readable_file_is_named(folder: Path) -> None:
    (folder / "kustomization.yaml").write_text("resources: [.]")
    with pytest.raises(SignoffError, match="cannot be read"):
        manifests.load(folder)
    (folder / "kustomization.yaml").write_text("resources: [configmap.yaml]")
    (folder / "configmap.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SignoffError, match="cannot be read"):
        manifests.load(folder)


def test_an_overridden_image_shows_in_the_hash_of_the_object_and_spares_sidecars() -> None:
    plain = manifests.load(MANIFESTS / "litellm")

    def add_sidecar(body: dict[str, Any]) -> None:
        if body["kind"] == "Deployment":
            body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "example.test/side:1"})

    with_sidecar = manifests.transform(plain, add_sidecar)
    changed = manifests.with_image(with_sidecar, "example.test/litellm:1")
    images = [c["image"] for manifest in changed for c in manifests.containers(manifest.body)]
    assert images == ["example.test/litellm:1", "example.test/side:1"]
    differing = {a.name for a, b in zip(with_sidecar, changed, strict=True) if a.object_sha256 != b.object_sha256}
    assert differing == {"Deployment/litellm"}


def test_image_override_reaches_every_container_of_the_workload() -> None:
    found = manifests.with_image(manifests.load(MANIFESTS / "vllm"), "example.test/vllm:1")
    images = {c["image"] for manifest in found for c in manifests.containers(manifest.body)}
    assert images == {"example.test/vllm:1"}


def test_second_gateway_shares_no_name_or_label_with_the_first() -> None:
    first = manifests.load(MANIFESTS / "litellm")
    second = by_name(manifests.with_gateway_config(first, "litellm-other", lambda config: config.update(extra=1)))
    assert set(second) == {"ConfigMap/litellm-other-config", "Deployment/litellm-other", "Service/litellm-other"}
    workload = second["Deployment/litellm-other"]["spec"]
    assert workload["selector"]["matchLabels"] == {"app.kubernetes.io/name": "litellm-other"}
    assert workload["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "litellm-other"
    assert workload["template"]["spec"]["volumes"][0]["configMap"]["name"] == "litellm-other-config"
    assert second["Service/litellm-other"]["spec"]["selector"] == {"app.kubernetes.io/name": "litellm-other"}
    assert yaml.safe_load(second["ConfigMap/litellm-other-config"]["data"]["config.yaml"])["extra"] == 1
    assert workload["template"]["spec"]["containers"][0]["image"].startswith("ghcr.io/berriai/litellm:")


def test_second_gateway_takes_along_a_config_map_that_is_not_its_configuration() -> None:
    first = manifests.load(MANIFESTS / "litellm")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "litellm-hooks"}, "data": {"hook.py": "pass"}}
    second = by_name(
        manifests.with_gateway_config([*first, replace(first[0], body=body)], "litellm-other", lambda config: None)
    )
    assert second["ConfigMap/litellm-other-hooks"]["data"] == {"hook.py": "pass"}


def test_images_name_the_nodes_that_may_need_them(folder: Path) -> None:
    images = manifests.StoryManifests.read(MANIFESTS).images
    assert set(images.values()) == {story.ALLOWED_NODES, (story.GPU_NODE,)}
    deployment = MANIFESTS / "litellm" / "deployment.yaml"
    anywhere = [document for document in yaml.safe_load_all(deployment.read_text()) if document["kind"] == "Deployment"]
    del anywhere[0]["spec"]["template"]["spec"]["affinity"]
    found = manifests.StoryManifests(MANIFESTS, [], [manifests.Manifest(deployment, "", anywhere[0])])
    assert found.images[found.gateway_image] == story.NODES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Service\n  metadata: {", "not valid YAML"),
        ("- a list", "not a mapping"),
        ("kind: Service\nmetadata: {name: x}", "apiVersion missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {labels: {}}", "metadata.name missing"),
    ],
)
def test_broken_manifest_is_named_with_its_file(folder: Path, text: str, says: str) -> None:
    (folder / "ingressroute.yaml").write_text(text)
    with pytest.raises(SignoffError, match=says) as raised:
        manifests.load(folder)
    assert raised.value.where.endswith("ingressroute.yaml")


def test_missing_manifest_is_named(folder: Path) -> None:
    (folder / "configmap.yaml").unlink()
    with pytest.raises(SignoffError, match="missing") as raised:
        manifests.load(folder)
    assert raised.value.where.endswith("configmap.yaml")


def test_manifests_and_the_story_agree() -> None:
    found = by_name(manifests.load(MANIFESTS / "litellm"))
    spec = found["Deployment/litellm"]["spec"]["template"]["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert tuple(terms[0]["matchExpressions"][0]["values"]) == story.ALLOWED_NODES
    assert found["Service/litellm"]["spec"]["ports"][0]["port"] == story.GATEWAY_PORT
    assert found["IngressRoute/litellm"]["spec"]["routes"][0]["match"] == f"Host(`{story.GATEWAY_HOST}`)"
    for name, body in found.items():
        assert body["metadata"]["namespace"] == story.NAMESPACE, name
        assert body["metadata"]["labels"].items() >= story.GATEWAY_LABELS.items(), name
