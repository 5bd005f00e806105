"""A copy of the gateway in another namespace: it has what its pods need, and nothing that leads outside them."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.core.errors import SignoffError
from signoff.gateway.key import keys_of
from signoff.gateway.under_test import under_test
from signoff.kube import standing
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import pod_spec
from signoff.settings import Settings
from tests.home import KEY, applied, home, of, pods_of

Body = dict[str, Any]
OWN = "signoff-run"
_NUMBERS = count(1)


@pytest.fixture
def ai() -> str:
    return f"copy-{next(_NUMBERS)}"


def told(ai: str) -> Settings:
    return Settings(namespace=ai, model="org/qwen")


def env_of(body: Body) -> dict[str, Body]:
    return {each["name"]: each for each in pod_spec(body)["containers"][0].get("env", [])}


def test_a_copy_has_other_names_in_another_namespace_and_asks_the_backend_that_is_there(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    first = standing.read(api, told(ai))
    copy = first.copied_into(OWN)
    assert copy.copy_of == f"Deployment/router of {ai}" and not copy.stands
    assert {each.key(ai).namespace for each in copy.gateway} == {OWN}
    assert not {each.name for each in copy.gateway} & {each.name for each in first.gateway}
    assert {each.kind for each in copy.gateway} == {"ConfigMap", "Deployment", "Secret", "Service"}
    assert copy.applied == copy.gateway
    assert copy.backend == first.backend and copy.roles.backend == first.roles.backend
    own = copy.roles.gateway
    assert (own.name, own.namespace, own.service, own.port) == ("router-copy", OWN, "router-copy", 8080)
    assert copy.roles.model == first.roles.model
    assert keys_of(copy).gateway == KEY
    assert under_test(copy).gateway.name == f"Deployment/router-copy, a copy of Deployment/router of {ai}"
    assert {each.namespace for each in copy.stood} == {f"{ai}-gpu"}, "the backend's alone: the copy is the run's"
    api.make_namespace(OWN)
    for each in copy.applied:
        assert api.apply(each, ai) is None


def test_what_it_is_judged_by_stays_as_it_is(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    first = standing.read(api, told(ai))
    copy = first.copied_into(OWN)
    one, other = first.object("Deployment/router").body, copy.object("Deployment/router-copy").body
    assert other["metadata"]["labels"] == one["metadata"]["labels"]
    assert other["spec"]["template"]["metadata"] == one["spec"]["template"]["metadata"]
    assert other["spec"]["selector"] == one["spec"]["selector"]
    kept = ("affinity", "tolerations", "securityContext")
    assert [pods_of(other).get(each) for each in kept] == [pods_of(one).get(each) for each in kept]
    assert pods_of(other)["containers"][0]["image"] == pods_of(one)["containers"][0]["image"]
    assert other["spec"]["replicas"] == 1


def test_a_copy_has_no_database(api: Kube, ai: str) -> None:
    objects = home(ai)
    workload = of(objects, "Deployment/router")
    pods = workload["spec"]["template"]["spec"]
    pods["containers"][0]["env"].append({"name": "DIRECT_URL", "value": "postgresql://u:hush@db/x"})
    of(objects, "Secret/router-keys")["stringData"]["DATABASE_URL"] = "postgresql://u:hush@db/x"
    applied(api, objects)
    copy = standing.read(api, told(ai)).copied_into(OWN)
    given = env_of(copy.object("Deployment/router-copy").body)
    assert not {"DIRECT_URL", "DATABASE_URL"} & given.keys()
    assert {"DIRECT_URL", "DATABASE_URL"} <= set(copy.goes_without)
    assert given["LITELLM_MASTER_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "router-copy-keys"
    assert "hush" not in yaml.safe_dump([each.body for each in copy.gateway if each.kind != "Secret"])


FILES = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: router}
spec:
  selector: {matchLabels: {app: router}}
  template:
    metadata: {labels: {app: router}}
    spec:
      serviceAccountName: router
      imagePullSecrets: [{name: registry}]
      containers:
        - name: litellm
          image: litellm:1
          args: [--config=/files/config.yaml]
          env:
            - {name: GUARD, value: "http://guard:9000/check"}
            - {name: SELF, value: "http://router:4000"}
            - {name: BASE, value: "http://vllm/v1"}
          volumeMounts: [{name: files, mountPath: /files}]
      volumes: [{name: files, configMap: {name: files}}]
---
apiVersion: v1
kind: Service
metadata: {name: router}
spec: {selector: {app: router}, type: NodePort, ports: [{port: 4000, nodePort: 30400}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data:
  config.yaml: |
    model_list:
      - model_name: m
        litellm_params: {model: openai/m, api_base: API_BASE}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  selector: {matchLabels: {app: vllm}}
  template: {metadata: {labels: {app: vllm}}, spec: {containers: [{name: vllm, image: vllm:1}]}}
---
apiVersion: v1
kind: Service
metadata: {name: vllm}
spec: {selector: {app: vllm}, ports: [{port: 80}]}
"""


@pytest.mark.parametrize("base", ["http://vllm/v1", "os.environ/BASE"])
def test_a_copy_reaches_what_is_named_without_a_namespace(tmp_path: Path, base: str) -> None:
    (tmp_path / "all.yaml").write_text(FILES.replace("API_BASE", base))
    copy = StoryManifests.read(Settings(namespace="ai", model="m", manifests=(tmp_path,))).copied_into(OWN)
    params = yaml.safe_load(copy.roles.configuration.text)["model_list"][0]["litellm_params"]
    assert params["api_base"] == "http://vllm.ai.svc.cluster.local/v1"
    assert copy.roles.backend.namespace == "ai"
    body = copy.object("Deployment/router-copy").body
    given = {name: each.get("value") for name, each in env_of(body).items()}
    assert given["GUARD"] == "http://guard.ai.svc.cluster.local:9000/check"
    assert not {"serviceAccountName", "imagePullSecrets"} & pod_spec(body).keys()
    service = copy.object("Service/router-copy").body
    assert service["spec"] == {"selector": {"app": "router"}, "ports": [{"port": 4000}]}
    assert given["SELF"] == "http://router-copy.signoff-run.svc.cluster.local:4000"


def test_a_secret_that_nobody_may_read_cannot_be_copied(tmp_path: Path) -> None:
    volumes = "configMap: {name: files}}"
    text = FILES.replace("API_BASE", "http://vllm/v1")
    file, secret = tmp_path / "all.yaml", tmp_path / "shut.env"
    file.write_text(text.replace(volumes, f"{volumes}, {{name: more, secret: {{secretName: shut}}}}"))
    secret.write_text("A=b\n")
    settings = Settings(namespace="ai", model="m", manifests=(file,), secrets={"shut": secret})
    found = StoryManifests.read(settings)
    assert "Secret/router-copy-shut" in {each.name for each in found.copied_into(OWN).gateway}
    without = [each for each in found.gateway if each.kind != "Secret"]
    with pytest.raises(SignoffError, match="a copy of Deployment/router needs Secret/shut, and what that holds"):
        type(found)(found.source, found.backend, without, found.roles, found.settings).copied_into(OWN)
