"""Reading manifests: what the folder says is what is applied, and what is wrong with it is said plainly."""

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from signoff import cli, story
from signoff.core import redact
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.gateway import configuration
from signoff.kube import manifests
from signoff.kube.objects import Manifest, containers
from signoff.kube.routes import is_of_a_way_in
from signoff.settings import Settings

STORY = manifests.StoryManifests.read()


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


def test_the_checksum_of_a_configuration_with_a_key_is_shown_nowhere(folder: Path) -> None:
    """It would tell whether a guess at the key is right."""
    (config,) = (each for each in manifests.load(folder) if each.body["kind"] == "ConfigMap")
    plain = by_name(manifests.load(folder))["Deployment/litellm"]
    assert redact.scrubbed(json.dumps(plain)) == json.dumps(plain)
    assert config.file
    file = folder / config.file.name
    file.write_text(file.read_text() + "    general_settings: {master_key: sk-of-a-test-of-checksums}\n")
    told = json.dumps(by_name(manifests.load(folder))["Deployment/litellm"])
    digest = json.loads(told)["spec"]["template"]["metadata"]["annotations"][manifests.CHECKSUM]
    assert digest not in redact.scrubbed(told)


def test_an_overridden_image_shows_in_the_hash_of_the_object_and_spares_sidecars() -> None:
    plain = manifests.load(MANIFESTS / "litellm")

    def add_sidecar(body: dict[str, Any]) -> None:
        if body["kind"] == "Deployment":
            body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "example.test/side:1"})

    with_sidecar = manifests.transform(plain, add_sidecar)
    changed = manifests.with_image(with_sidecar, STORY.roles.gateway, "example.test/litellm:1", "ml")
    images = [c["image"] for manifest in changed for c in containers(manifest.body)]
    assert images == ["example.test/litellm:1", "example.test/side:1"]
    differing = {a.name for a, b in zip(with_sidecar, changed, strict=True) if a.object_sha256 != b.object_sha256}
    assert differing == {"Deployment/litellm"}


def test_image_override_reaches_every_container_of_the_workload() -> None:
    found = manifests.with_image(manifests.load(MANIFESTS / "vllm"), STORY.roles.backend, "example.test/vllm:1", "ml")
    images = {c["image"] for manifest in found for c in containers(manifest.body)}
    assert images == {"example.test/vllm:1"}


def second_gateway(first: list[Manifest], edit: Callable[[dict[str, Any]], None]) -> dict[str, dict[str, Any]]:
    _, found = replace(STORY, gateway=first).second_gateway("litellm-other", edit)
    return by_name(found)


def test_second_gateway_shares_no_name_or_label_with_the_first() -> None:
    second = second_gateway(STORY.gateway, lambda config: config.update(extra=1))
    assert set(second) == {"ConfigMap/litellm-other-config", "Deployment/litellm-other", "Service/litellm-other"}
    workload = second["Deployment/litellm-other"]["spec"]
    assert workload["selector"]["matchLabels"] == {"app.kubernetes.io/name": "litellm-other"}
    assert workload["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "litellm-other"
    assert workload["template"]["spec"]["volumes"][0]["configMap"]["name"] == "litellm-other-config"
    assert second["Service/litellm-other"]["spec"]["selector"] == {"app.kubernetes.io/name": "litellm-other"}
    assert yaml.safe_load(second["ConfigMap/litellm-other-config"]["data"]["config.yaml"])["extra"] == 1
    assert workload["template"]["spec"]["containers"][0]["image"].startswith("ghcr.io/berriai/litellm:")


def test_second_gateway_of_any_names_is_told_from_the_first_by_its_labels(tmp_path: Path) -> None:
    """Its name is in no label, and a word of its command, which stays."""
    file = tmp_path / "all.yaml"
    file.write_text("""\
apiVersion: apps/v1
kind: Deployment
metadata: {name: router}
spec:
  selector: {matchLabels: {run: llm}}
  template:
    metadata: {labels: {run: llm, tier: edge}}
    spec:
      containers:
        - name: router
          image: example.test/litellm:1
          command: [router, --config=/files/config.yaml]
          env: [{name: SELF, value: "http://llm.ml.svc:4000/v1"}, {name: OTHER, value: "http://llm-cache:80"}]
          ports: [{containerPort: 4000, hostPort: 4000}]
          volumeMounts: [{name: files, mountPath: /files}]
      volumes: [{name: files, configMap: {name: router-files}}]
---
apiVersion: v1
kind: Service
metadata: {name: llm}
spec: {type: NodePort, selector: {run: llm}, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: router-files}
data:
  config.yaml: "model_list: [{model_name: a, litellm_params: {model: openai/m, api_base: http://vllm/v1}}]"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  selector: {matchLabels: {run: vllm}}
  template: {metadata: {labels: {run: vllm}}, spec: {containers: [{name: vllm, image: example.test/vllm:1}]}}
---
apiVersion: v1
kind: Service
metadata: {name: vllm}
spec: {selector: {run: vllm}, ports: [{port: 80}]}
""")
    workload, found = manifests.StoryManifests.read(Settings(manifests=(file,))).second_gateway(
        "second", lambda config: None
    )
    second = by_name(found)
    assert set(second) == {"Deployment/second", "Service/second", "ConfigMap/second-files"}
    spec = second["Deployment/second"]["spec"]
    assert spec["selector"]["matchLabels"] == workload.selector == {"app.kubernetes.io/name": "second"}
    assert spec["template"]["metadata"]["labels"] == {"tier": "edge", "app.kubernetes.io/name": "second"}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"][0] == "router"
    assert [each["value"] for each in container["env"]] == ["http://second.ml.svc:4000/v1", "http://llm-cache:80"]
    assert container["ports"] == [{"containerPort": 4000}]
    service = second["Service/second"]["spec"]
    assert service == {"selector": {"app.kubernetes.io/name": "second"}, "ports": [{"port": 80}]}


def config_map(like: Manifest, name: str) -> Manifest:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"hook.py": "pass"}}
    return replace(like, body=body)


def test_second_gateway_takes_along_what_only_it_mounts_and_leaves_the_rest() -> None:
    def mount(body: dict[str, Any]) -> None:
        if body["kind"] == "Deployment":
            volumes = body["spec"]["template"]["spec"]["volumes"]
            volumes += [{"name": name, "configMap": {"name": name}} for name in ("litellm-hooks", "logo", "shared")]

    first = manifests.transform(STORY.gateway, mount)
    database = {"name": "db", "image": "example.test/db:1"}
    spec = {"containers": [database], "volumes": [{"name": "s", "configMap": {"name": "shared"}}]}
    other = {"kind": "Deployment", "metadata": {"name": "db"}, "spec": {"template": {"spec": spec}}}
    beside = [config_map(first[0], name) for name in ("litellm-hooks", "logo", "shared", "unused")]
    everything = [*first, *beside, replace(first[0], body=other)]
    second = second_gateway(everything, lambda config: None)
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
    assert "Secret/s" in {each.name for each in manifests.StoryManifests.read(Settings(manifests=(tmp_path,))).gateway}


def test_a_hook_of_a_chart_that_no_install_makes_is_not_deployed_and_nothing_that_it_needs(tmp_path: Path) -> None:
    for name in ("litellm", "vllm"):
        shutil.copytree(MANIFESTS / name, tmp_path / name)
    needs = {"containers": [{"name": "a", "image": "busybox", "envFrom": [{"secretRef": {"name": "not-there"}}]}]}
    metadata = {"name": "try", "annotations": {"helm.sh/hook": "test"}}
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": needs})
    )
    found = manifests.StoryManifests.read(Settings(manifests=(tmp_path,)))
    assert "busybox" not in found.images
    assert "Pod/try" not in {each.name for each in (*found.backend, *found.gateway)}
    assert [each.manifest.name for each in found.left_out] == ["Pod/try"]


@pytest.mark.download
def test_a_kustomization_above_the_two_folders_counts(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "kustomization.yaml").open("a") as file:
        file.write("images: [{name: ghcr.io/berriai/litellm, newTag: v9}]\n")
    assert manifests.StoryManifests.read(Settings(manifests=(tmp_path,))).gateway_image == "ghcr.io/berriai/litellm:v9"


def test_only_the_gateway_s_own_image_is_replaced() -> None:
    first = manifests.load(MANIFESTS / "litellm")
    spec = {"containers": [{"name": "db", "image": "example.test/db:1"}]}
    other = {"kind": "Deployment", "metadata": {"name": "db"}, "spec": {"template": {"spec": spec}}}
    own = {"containers": [{"name": "migrations", "image": manifests.StoryManifests.read().gateway_image}]}
    job = {"kind": "Job", "metadata": {"name": "migrations"}, "spec": {"template": {"spec": own}}}
    beside = [replace(first[0], body=body) for body in (other, job)]
    found = replace(STORY, gateway=[*beside, *first])
    assert found.gateway_image.startswith("ghcr.io/berriai/litellm:")
    changed = manifests.with_image(found.gateway, STORY.roles.gateway, "example.test/litellm:1", "ml")
    images = {c["image"] for manifest in changed for c in containers(manifest.body)}
    assert images == {"example.test/db:1", "example.test/litellm:1"}


def test_images_name_the_nodes_that_may_need_them(folder: Path) -> None:
    images = manifests.StoryManifests.read().images
    assert set(images.values()) == {story.ALLOWED_NODES, (story.GPU_NODE,)}
    deployment = MANIFESTS / "litellm" / "deployment.yaml"
    anywhere = [document for document in yaml.safe_load_all(deployment.read_text()) if document["kind"] == "Deployment"]
    del anywhere[0]["spec"]["template"]["spec"]["affinity"]
    found = replace(STORY, backend=[], gateway=[Manifest(deployment, "", anywhere[0])])
    assert found.images[found.gateway_image] == (*story.ALLOWED_NODES, story.GPU_NODE)


@pytest.mark.parametrize("flat", ["one.yaml", ""])
def test_any_layout_of_the_story_s_objects_is_taken_apart_into_backend_and_gateway(tmp_path: Path, flat: str) -> None:
    wanted = manifests.StoryManifests.read()
    bodies = [each.body for each in (*wanted.gateway, *wanted.backend)]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump_all(bodies))
    found = manifests.StoryManifests.read(Settings(manifests=(tmp_path / flat,)))
    assert {each.name for each in found.backend} == {each.name for each in wanted.backend}
    assert {each.name for each in found.gateway} == {each.name for each in wanted.gateway}
    for one, other in ((found.gateway, wanted.gateway), (found.backend, wanted.backend)):
        assert {each.object_sha256 for each in one} == {each.object_sha256 for each in other}
    assert found.backend[0].body["kind"] == "Namespace"
    assert found.where("Service/litellm").startswith("one.yaml:")


def test_litellm_alone_is_applied_where_nobody_knows_traefiks_kinds() -> None:
    alone, all_of_it = manifests.load(MANIFESTS / "litellm"), manifests.load(MANIFESTS)
    assert not any(map(is_of_a_way_in, alone))
    assert {each.kind for each in all_of_it if is_of_a_way_in(each)} == {"IngressRoute", "Certificate"}


def test_manifests_and_the_story_agree() -> None:
    litellm = MANIFESTS / "litellm"
    found = by_name([*manifests.load(litellm), *manifests.load(litellm / "ingressroute.yaml")])
    spec = found["Deployment/litellm"]["spec"]["template"]["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert tuple(terms[0]["matchExpressions"][0]["values"]) == story.ALLOWED_NODES
    assert found["Service/litellm"]["spec"]["ports"][0]["port"] == story.GATEWAY_PORT
    assert found["IngressRoute/litellm"]["spec"]["routes"][0]["match"] == f"Host(`{story.GATEWAY_HOST}`)"
    for name, body in found.items():
        assert body["metadata"]["namespace"] == story.NAMESPACE, name
        assert body["metadata"]["labels"].items() >= story.GATEWAY_LABELS.items(), name


def test_a_model_that_clients_ask_for_by_another_name_is_not_the_storys(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "litellm" / "configmap.yaml"
    config.write_text(config.read_text().replace("model_name: Qwen/Qwen2.5-7B-Instruct-AWQ", "model_name: big"))
    assert STORY.not_the_storys == {}
    (found,) = manifests.StoryManifests.read(Settings(manifests=(tmp_path,))).not_the_storys.values()
    assert (found["value"], found["story"]) == ("big", "Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert found["origin"].startswith("litellm/configmap.yaml:")


def claims_much(body: dict[str, Any]) -> None:
    """What only one workload of a kind can have, or what tells it from others."""
    if body["kind"] == "Service":
        body["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "clusterIP": "10.43.0.7"}
        body["spec"]["selector"] = {"tier": "edge"}
    if body["kind"] != "Deployment":
        return
    template = body["spec"]["template"]
    template["metadata"]["labels"]["tier"] = "edge"
    apart = {"labelSelector": {"matchLabels": {"tier": "edge"}}, "topologyKey": "kubernetes.io/hostname"}
    template["spec"] |= {"hostNetwork": True, "topologySpreadConstraints": [apart]}
    template["spec"]["affinity"]["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    template["spec"]["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "data"}})
    body["spec"] |= {
        "replicas": 2,
        "serviceName": "litellm-pods",
        "volumeClaimTemplates": [{"metadata": {"name": "db"}}],
    }


def test_second_gateway_takes_nothing_from_the_first_and_gets_none_of_its_requests() -> None:
    second = second_gateway(manifests.transform(STORY.gateway, claims_much), lambda config: None)
    spec = second["Deployment/litellm-other"]["spec"]
    pods = spec["template"]["spec"]
    assert "tier" not in spec["template"]["metadata"]["labels"], "by which the first's Service selects"
    assert (spec["replicas"], spec["serviceName"]) == (1, "litellm-other")
    assert not {"hostNetwork", "topologySpreadConstraints"} & pods.keys()
    assert set(pods["affinity"]) == {"nodeAffinity"}
    assert {each["name"] for each in pods["volumes"] if each.get("emptyDir") == {}} == {"data", "db"}
    assert set(second["Service/litellm-other"]["spec"]) == {"selector", "ports"}


def test_second_gateway_has_a_configuration_of_its_own_even_where_others_read_the_first_s() -> None:
    spec = {
        "containers": [{"name": "a", "image": "a"}],
        "volumes": [{"name": "c", "configMap": {"name": "litellm-config"}}],
    }
    job = {"kind": "Job", "metadata": {"name": "migrations"}, "spec": {"template": {"spec": spec}}}
    everything = [*STORY.gateway, replace(STORY.gateway[0], body=job)]
    second = second_gateway(everything, lambda config: config.update(extra=1))
    assert yaml.safe_load(second["ConfigMap/litellm-other-config"]["data"]["config.yaml"])["extra"] == 1


def test_the_image_of_a_gateway_behind_another_container_is_its_own(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "litellm" / "deployment.yaml"
    objects = list(yaml.safe_load_all(file.read_text()))
    objects[0]["spec"]["template"]["spec"]["containers"].insert(0, {"name": "auth", "image": "example.test/auth:1"})
    file.write_text(yaml.safe_dump_all(objects))
    found = manifests.StoryManifests.read(Settings(manifests=(tmp_path,), litellm_image="example.test/litellm:9"))
    (body,) = (each.body for each in found.gateway if each.name == "Deployment/litellm")
    assert found.gateway_image == "example.test/litellm:9"
    assert [each["image"] for each in containers(body)] == ["example.test/auth:1", "example.test/litellm:9"]


def test_the_address_of_the_model_that_is_judged_opens_no_secret_within_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    code, address = "Sup3rS3cretCode", "http://vllm-api.ml.svc.cluster.local:8000/v1"
    config = folder / "litellm/configmap.yaml"
    config.write_text(config.read_text().replace(address, "os.environ/BASE"))
    deployment = folder / "litellm/deployment.yaml"
    deployment.write_text(
        deployment.read_text().replace(
            "          env:\n", "          envFrom: [{secretRef: {name: base}}]\n          env:\n"
        )
    )
    given = tmp_path / "base.env"
    given.write_text(f"BASE={address}?code={code}\nCODE={code}\n")
    found = manifests.StoryManifests.read(Settings(manifests=(folder,), secrets={"base": given}))
    assert redact.scrubbed(f"{address} {code}") == f"{address} [redacted]"
    (told,) = configuration.seen("configuration", found.roles.configuration, found).values["api_base"]
    assert told == f"{address}?[redacted]"


def test_of_two_deployments_of_one_name_each_is_found_in_its_namespace(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    for part, configs in (("litellm", "configmap.yaml"), ("vllm", "tiny-model.yaml")):
        text = "\n---\n".join((folder / part / name).read_text() for name in ("deployment.yaml", configs))
        (folder / part / "deployment.yaml").write_text(
            text.replace("namespace: ml", "namespace: prod").replace("image: ", "image: prod/")
            + "\n---\n"
            + (folder / part / "deployment.yaml").read_text()
        )
    found = manifests.StoryManifests.read(Settings(manifests=(folder,), litellm_image="example.test/litellm:1"))
    assert found.gateway_image == "example.test/litellm:1"
    assert (found.roles.gateway.namespace, found.roles.backend.namespace) == ("ml", "ml")
    in_prod = found.object("Deployment/litellm", "prod")
    assert containers(in_prod.body)[0]["image"].startswith("prod/")
    assert {each.key("ml").namespace for each in found.backend if each.kind != "Namespace"} == {"ml"}
    lines = (folder / "litellm/deployment.yaml").read_text().splitlines()
    for namespace in ("ml", "prod"):
        line = found.where("Service/litellm", "metadata", "namespace", namespace=namespace).rpartition(":")[2]
        assert lines[int(line) - 1].strip() == f"namespace: {namespace}"
    _, second = found.second_gateway("other", lambda config: None)
    assert {each.key("ml").namespace for each in second} == {"ml"}


@pytest.mark.parametrize(
    ("old", "new", "what", "line"),
    [
        ("port: 4000", "port: 99999999", r"spec\.ports\.0\.port is no port: those are 1 to 65535", "port: 99999999"),
        ("port: 4000", "port: -1", r"spec\.ports\.0\.port is no port", "port: -1"),
        ("containerPort: 4000", 'containerPort: "http"', r"containerPort is not a whole number", "containerPort"),
        ("containerPort: 4000", "containerPort: [1]", r"containerPort is not a whole number", "containerPort"),
        ("containerPort: 4000", "containerPort: 0", r"containerPort is no port", "containerPort"),
        ("containerPort: 4000", 'containerPort: 4000, hostPort: "x"', r"hostPort is not a whole number", "hostPort"),
        ("{name: http, containerPort: 4000}", "1", r"ports\.0 is not a mapping", "- 1"),
        ("kind: Deployment", "kind: Deploymnet", "Deploymnet/litellm is no Deployment: there is no kind", "kind: D"),
        ("kind: Deployment", "kind: deployment", "deployment/litellm is no Deployment: there is no kind", "kind: d"),
        ("kind: Deployment", "kind: Statefulset", "Statefulset/litellm is no StatefulSet: there is no", "kind: S"),
    ],
)
def test_what_cannot_run_is_refused_with_its_line(old: str, new: str, what: str, line: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    file = folder / "litellm/deployment.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(SignoffError, match=what) as refused:
        manifests.StoryManifests.read(Settings(manifests=(folder,)))
    path, _, number = refused.value.where.rpartition(":")
    assert line in Path(path).read_text().splitlines()[int(number) - 1]


def test_a_service_of_another_api_is_not_the_gateways(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    file = folder / "litellm/deployment.yaml"
    head, _, service = file.read_text().partition("kind: Service\n")
    head = head.removesuffix("apiVersion: v1\n") + "apiVersion: serving.knative.dev/v1\n"
    file.write_text(f"{head}kind: Service\n{service}")
    with pytest.raises(SignoffError, match="no Service leads to the pods of Deployment/litellm"):
        manifests.StoryManifests.read(Settings(manifests=(folder,)))


def test_who_judges_no_way_in_deploys_none(tmp_path: Path) -> None:
    """An issuer that was applied as it is written would ask Let's Encrypt, where cert-manager runs."""
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    with (folder / "litellm/ingressroute.yaml").open("a") as file:
        file.write("---\napiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: of-a-person}\n")
    whole = manifests.StoryManifests.read(Settings(manifests=(folder,)))
    without = whole.without_way_in()
    left_out = [each.manifest for each in without.left_out]
    assert {"ClusterIssuer", "Certificate", "IngressRoute"} <= {each.kind for each in left_out}
    assert {each.reason for each in without.left_out} == {"not judged here: the way in"}
    assert [each for each in whole.gateway if each not in left_out] == without.gateway
    assert not any(map(is_of_a_way_in, (*without.backend, *without.gateway)))


@pytest.mark.parametrize("command", ["calibrate", "load", "parity", "serve"])
def test_every_command_that_deploys_and_judges_no_way_in_leaves_it_out(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: list[manifests.StoryManifests] = []
    module = importlib.import_module(f"signoff.commands.{command}")
    cluster = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr("signoff.cluster.registry.open_cluster", lambda *_: cluster)
    monkeypatch.setattr(module, "record_cluster", lambda *_: None)

    def deploys(_: object, told: manifests.StoryManifests, __: object) -> None:
        deployed.append(told)
        raise SignoffError("seen")

    monkeypatch.setattr(module, "Deployment", deploys)
    if command == "load":
        monkeypatch.setattr(module, "_check_for_locust", lambda *_: 0)  # it is given no option here
    if command == "serve":
        monkeypatch.setattr(module, "_interrupt_when_stdin_closes", Event)  # that of a test is closed already
    folder = {"serve": "--reports", "load": "--reports"}.get(command, "--out")
    monkeypatch.chdir(tmp_path)
    cli.main([command, folder, str(tmp_path / "run")])
    (told,) = deployed
    assert not any(map(is_of_a_way_in, told.gateway))
    assert any(each.manifest.kind == "Certificate" for each in told.left_out)
