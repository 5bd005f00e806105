"""Reading manifests: what the folder says is what is applied, and what is wrong with it is said plainly."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff import story
from signoff.core.paths import MANIFESTS
from signoff.kube import manifests
from signoff.kube.objects import Manifest, containers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MANIFESTS / "litellm", tmp_path / "litellm"))


def by_name(found: list[Manifest]) -> dict[str, dict[str, Any]]:
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


def test_an_overridden_image_shows_in_the_hash_of_the_object_and_spares_sidecars() -> None:
    plain = manifests.load(MANIFESTS / "litellm")

    def add_sidecar(body: dict[str, Any]) -> None:
        if body["kind"] == "Deployment":
            body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "example.test/side:1"})

    with_sidecar = manifests.transform(plain, add_sidecar)
    changed = manifests.with_image(with_sidecar, "litellm", "example.test/litellm:1")
    images = [c["image"] for manifest in changed for c in containers(manifest.body)]
    assert images == ["example.test/litellm:1", "example.test/side:1"]
    differing = {a.name for a, b in zip(with_sidecar, changed, strict=True) if a.object_sha256 != b.object_sha256}
    assert differing == {"Deployment/litellm"}


def test_image_override_reaches_every_container_of_the_workload() -> None:
    found = manifests.with_image(manifests.load(MANIFESTS / "vllm"), "vllm", "example.test/vllm:1")
    images = {c["image"] for manifest in found for c in containers(manifest.body)}
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


def config_map(like: Manifest, name: str) -> Manifest:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"hook.py": "pass"}}
    return replace(like, body=body)


def test_second_gateway_takes_along_what_only_it_mounts_and_leaves_the_rest() -> None:
    def mount(body: dict[str, Any]) -> None:
        if body["kind"] == "Deployment":
            volumes = body["spec"]["template"]["spec"]["volumes"]
            volumes += [{"name": name, "configMap": {"name": name}} for name in ("litellm-hooks", "logo", "shared")]

    first = manifests.transform(manifests.load(MANIFESTS / "litellm"), mount)
    database = {"name": "db", "image": "example.test/db:1"}
    spec = {"containers": [database], "volumes": [{"name": "s", "configMap": {"name": "shared"}}]}
    other = {"kind": "Deployment", "metadata": {"name": "db"}, "spec": {"template": {"spec": spec}}}
    beside = [config_map(first[0], name) for name in ("litellm-hooks", "logo", "shared", "unused")]
    everything = [*first, *beside, replace(first[0], body=other)]
    second = by_name(manifests.with_gateway_config(everything, "litellm-other", lambda config: None))
    assert set(second) == {
        "ConfigMap/litellm-other-config",
        "ConfigMap/litellm-other-hooks",
        "ConfigMap/litellm-other-logo",
        "Deployment/litellm-other",
        "Service/litellm-other",
    }


def test_what_lies_beside_the_two_folders_is_deployed_too(tmp_path: Path) -> None:
    for name in ("litellm", "vllm"):
        shutil.copytree(MANIFESTS / name, tmp_path / name)
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")
    assert "Secret/s" in {each.name for each in manifests.StoryManifests.read(tmp_path).gateway}


@pytest.mark.download
def test_a_kustomization_above_the_two_folders_counts(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "kustomization.yaml").open("a") as file:
        file.write("images: [{name: ghcr.io/berriai/litellm, newTag: v9}]\n")
    assert manifests.StoryManifests.read(tmp_path).gateway_image == "ghcr.io/berriai/litellm:v9"


def test_only_the_gateway_s_own_image_is_replaced() -> None:
    first = manifests.load(MANIFESTS / "litellm")
    spec = {"containers": [{"name": "db", "image": "example.test/db:1"}]}
    other = {"kind": "Deployment", "metadata": {"name": "db"}, "spec": {"template": {"spec": spec}}}
    own = {"containers": [{"name": "migrations", "image": manifests.StoryManifests.read(MANIFESTS).gateway_image}]}
    job = {"kind": "Job", "metadata": {"name": "migrations"}, "spec": {"template": {"spec": own}}}
    beside = [replace(first[0], body=body) for body in (other, job)]
    found = manifests.StoryManifests(MANIFESTS, [], [*beside, *first])
    assert found.gateway_image.startswith("ghcr.io/berriai/litellm:")
    changed = manifests.with_image(found.gateway, "litellm", "example.test/litellm:1")
    images = {c["image"] for manifest in changed for c in containers(manifest.body)}
    assert images == {"example.test/db:1", "example.test/litellm:1"}


def test_images_name_the_nodes_that_may_need_them(folder: Path) -> None:
    images = manifests.StoryManifests.read(MANIFESTS).images
    assert set(images.values()) == {story.ALLOWED_NODES, (story.GPU_NODE,)}
    deployment = MANIFESTS / "litellm" / "deployment.yaml"
    anywhere = [document for document in yaml.safe_load_all(deployment.read_text()) if document["kind"] == "Deployment"]
    del anywhere[0]["spec"]["template"]["spec"]["affinity"]
    found = manifests.StoryManifests(MANIFESTS, [], [Manifest(deployment, "", anywhere[0])])
    assert found.images[found.gateway_image] == story.NODES


@pytest.mark.parametrize("flat", ["one.yaml", ""])
def test_any_layout_of_the_story_s_objects_is_taken_apart_into_backend_and_gateway(tmp_path: Path, flat: str) -> None:
    wanted = manifests.StoryManifests.read(MANIFESTS)
    bodies = [each.body for each in (*wanted.gateway, *wanted.backend)]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump_all(bodies))
    found = manifests.StoryManifests.read(tmp_path / flat)
    assert {each.name for each in found.backend} == {each.name for each in wanted.backend}
    assert {each.name for each in found.gateway} == {each.name for each in wanted.gateway}
    for one, other in ((found.gateway, wanted.gateway), (found.backend, wanted.backend)):
        assert {each.object_sha256 for each in one} == {each.object_sha256 for each in other}
    assert found.backend[0].body["kind"] == "Namespace"
    assert found.where("Service", "litellm").startswith("one.yaml:")


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
