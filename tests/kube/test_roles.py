"""Who is who among the manifests, and what belongs to whom, is found in what they say; names do not matter."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from signoff.core.errors import SignoffError
from signoff.kube.gateway_config import Model
from signoff.kube.mounts import ConfigFile
from signoff.kube.objects import Manifest
from signoff.kube.roles import Roles, Source, Workload, belonging_to, find, references
from signoff.settings import Settings


def manifest(kind: str, name: str, spec: dict[str, Any] | None = None) -> Manifest:
    return Manifest(Path("x"), "", {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec or {}})


def workload(name: str, label: str, *volumes: dict[str, Any], **more: Any) -> Manifest:
    spec = {"containers": [{"name": "a", "image": "a", **more}], "volumes": list(volumes)}
    return manifest("Deployment", name, {"template": {"metadata": {"labels": {"run": label}}, "spec": spec}})


def mounts(name: str) -> dict[str, Any]:
    return {"name": "v", "configMap": {"name": name}}


def test_it_is_what_the_workload_alone_names_and_what_selects_it() -> None:
    found = [
        workload("vllm-server", "vllm", mounts("model"), mounts("shared"), envFrom=[{"secretRef": {"name": "hf"}}]),
        workload("litellm", "gateway", mounts("config"), mounts("shared")),
        *(manifest("ConfigMap", name) for name in ("model", "config", "shared", "unused")),
        manifest("Secret", "hf"),
        manifest("Service", "vllm-api", {"selector": {"run": "vllm"}}),
        manifest("Service", "litellm", {"selector": {"run": "gateway"}}),
        manifest("Service", "without-selector"),
        manifest("PodDisruptionBudget", "pdb", {"selector": {"matchLabels": {"run": "vllm"}}}),
        manifest("HorizontalPodAutoscaler", "hpa", {"scaleTargetRef": {"kind": "Deployment", "name": "vllm-server"}}),
    ]
    backend = Workload("Deployment", "vllm-server", "ml", {"run": "vllm"}, "vllm-api", 8000)
    names = [each.name for each in belonging_to(backend, found, "ml")]
    assert names == [
        "Deployment/vllm-server",
        "ConfigMap/model",
        "Secret/hf",
        "Service/vllm-api",
        "PodDisruptionBudget/pdb",
        "HorizontalPodAutoscaler/hpa",
    ]


def test_a_pod_names_what_it_mounts_reads_and_runs_as() -> None:
    key = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}
    projected = {"name": "p", "projected": {"sources": [{"configMap": {"name": "more"}}, {"secret": {"name": "tls"}}]}}
    claim = {"name": "c", "persistentVolumeClaim": {"claimName": "models"}}
    body = workload("x", "x", projected, claim, {"name": "s", "secret": {"secretName": "env"}}, env=[key]).body
    body["spec"]["template"]["spec"]["serviceAccountName"] = "runner"
    assert set(references(body)) == {
        "ServiceAccount/runner",
        "ConfigMap/more",
        "Secret/tls",
        "Secret/env",
        "Secret/keys",
        "PersistentVolumeClaim/models",
    }


# --- two namespaces with the same names


def in_namespace(namespace: str, *objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Copies of objects in another namespace, under keys of their own."""
    return {
        f"{each['kind']} of {namespace}": {**deepcopy(each), "metadata": {**each["metadata"], "namespace": namespace}}
        for each in objects
    }


def two_of(which: str, namespace: str = "prod") -> list[dict[str, Any]]:
    """A home lab whose gateway or backend is there twice, the other namespace's first."""
    lab = {each["metadata"]["name"]: each for each in home_lab()}
    names = {"gateway": ["router", "router-files"], "backend": ["engine", "llm"]}[which]
    every = [each for each in home_lab() if each["metadata"]["name"] in names]
    assert len(lab) == 4 and every
    return [*in_namespace(namespace, *every).values(), *home_lab()]


@pytest.mark.parametrize("named", [{}, {"gateway": "router"}])
def test_of_two_gateways_of_one_name_it_is_the_one_in_the_settings_namespace(named: dict[str, str]) -> None:
    found = found_in(two_of("gateway"), **named)
    assert (found.gateway.object, found.gateway.namespace) == ("Deployment/router", "ml")


def test_of_two_gateways_of_one_name_in_other_namespaces_the_refusal_names_the_setting_that_tells_them() -> None:
    objects = [*two_of("gateway", "prod")[:3], *two_of("gateway", "dev")[:3]]
    with pytest.raises(SignoffError, match="Deployment/router of prod and Deployment/router of dev") as refused:
        found_in(objects)
    assert "set `namespace` to that of the one that is to be judged: prod or dev" in refused.value.hint


@pytest.mark.parametrize(
    ("api_base", "namespace"), [("http://llm.ml.svc:8000", "ml"), ("http://llm.prod.svc:8000", "prod")]
)
def test_a_backend_is_the_one_in_the_namespace_that_api_base_names(api_base: str, namespace: str) -> None:
    objects = two_of("backend")
    config = next(each for each in objects if each["kind"] == "ConfigMap")
    model = f'{{model_name: big, litellm_params: {{model: openai/org/model, api_base: "{api_base}/v1"}}}}'
    config["data"] = {"router.yaml": f"model_list: [{model}]"}
    found = found_in(objects)
    assert (found.backend.object, found.backend.namespace) == ("StatefulSet/engine", namespace)
    manifests = [Manifest(Path("x.yaml"), "", body) for body in objects]
    homes = [each.key("ml") for each in belonging_to(found.backend, manifests, "ml")]
    assert sorted(homes) == [("Service/llm", namespace), ("StatefulSet/engine", namespace)]


def test_a_model_that_is_asked_for_in_another_namespace_is_not_served_by_the_one_of_that_name_here() -> None:
    objects = home_lab()
    config = next(each for each in objects if each["kind"] == "ConfigMap")
    config["data"]["router.yaml"] += (
        '  - {model_name: far, litellm_params: {model: openai/x, api_base: "http://llm.prod.svc:8000/v1"}}\n'
    )
    found = found_in(objects)
    assert "far" not in [each.model.asked for each in found.others]
    assert {each.asked: each.reason for each in found.unproven}["far"] == (
        "its backend is not among the manifests: http://llm.prod.svc:8000"
    )


def test_a_service_of_another_api_leads_to_no_pods() -> None:
    knative = {**service("llm", {"run": "engine"}, {"port": 8000}), "apiVersion": "serving.knative.dev/v1"}
    assert Manifest(Path("x"), "", knative).name == "Service.serving.knative.dev/llm"
    found = found_in([each for each in home_lab() if each["metadata"]["name"] != "llm"] + [knative])
    assert found.backend.service == "engine"


# --- who is who


def home_lab(**changes: Any) -> list[dict[str, Any]]:
    """A gateway and a backend of a person's own names, as objects; `changes` replace or add some."""
    config = """
model_list:
  - {model_name: small, litellm_params: {model: ollama/qwen, api_base: "http://ollama.ml.svc:11434"}}
  - {model_name: big, litellm_params: {model: openai/org/model, api_base: "http://llm.ml.svc.cluster.local:8000/v1"}}
"""
    router = {
        "name": "router",
        "image": "ghcr.io/berriai/litellm-database:v1",
        "args": ["--config=/files/router.yaml"],
        "ports": [{"containerPort": 4000}],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
    }
    volume = {"name": "files", "configMap": {"name": "router-files"}}
    objects = {
        "gateway": of_pods("Deployment", "router", {"run": "router"}, router, volume),
        "backend": of_pods("StatefulSet", "engine", {"run": "engine"}, {"name": "e", "image": "vllm/vllm-openai:v1"}),
        "gateway service": service("router", {"run": "router"}, {"port": 80, "targetPort": 4000}),
        "backend service": service("llm", {"run": "engine"}, {"port": 8000}),
        "config": {**of("ConfigMap", "router-files"), "data": {"router.yaml": config, "hook.py": "pass"}},
        **changes,
    }
    return [each for each in objects.values() if each]


def of(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def of_pods(
    kind: str, name: str, labels: dict[str, str], container: dict[str, Any], *volumes: dict[str, Any]
) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": list(volumes)}}
    return {**of(kind, name), "spec": {"selector": {"matchLabels": labels}, "template": template}}


def service(name: str, selector: dict[str, str], *ports: dict[str, Any]) -> dict[str, Any]:
    return {**of("Service", name), "spec": {"selector": selector, "ports": list(ports)}}


def found_in(objects: list[dict[str, Any]], **settings: Any) -> Roles:
    found = [Manifest(Path("x.yaml"), "", body) for body in objects]
    return find(found, Source("x.yaml"), Settings(model="org/model", **settings))


def test_who_is_who_is_found_whatever_they_are_called() -> None:
    found = found_in(home_lab())
    assert found.gateway == Workload("Deployment", "router", "ml", {"run": "router"}, "router", 80)
    assert found.backend == Workload("StatefulSet", "engine", "ml", {"run": "engine"}, "llm", 8000)
    assert found.config == ConfigFile("router-files", "router.yaml")
    assert (found.model.asked, found.model.prefix, found.model.model, found.model.at) == (
        "big",
        "openai",
        "org/model",
        1,
    )
    assert found.gateway.url == "http://router.ml.svc.cluster.local:80"


def test_the_model_under_judgement_is_a_setting() -> None:
    assert found_in(home_lab(), asked_model="small", backend="engine").model.model == "qwen"


def test_each_model_has_the_backend_that_its_api_base_leads_to() -> None:
    """The ones that are not among the manifests, or are no vLLM, have no counter that could be asked: that is told."""
    asking = """
model_list:
  - {model_name: big, litellm_params: {model: openai/org/model, api_base: "http://llm:8000/v1"}}
  - {model_name: second, litellm_params: {model: openai/org/small, api_base: "http://two.ml.svc:8000/v1"}}
  - {model_name: alias, litellm_params: {model: openai/org/model, api_base: "http://llm:8000/v1"}}
  - {model_name: elsewhere, litellm_params: {model: openai/gpt-4o}}
  - {model_name: other, litellm_params: {model: ollama/qwen, api_base: "http://ollama:11434"}}
"""
    found = found_in(
        home_lab(
            config={**of("ConfigMap", "router-files"), "data": {"router.yaml": asking}},
            two=of_pods("Deployment", "two", {"run": "two"}, {"name": "e", "image": "vllm/vllm-openai:v1"}),
            two_service=service("two", {"run": "two"}, {"port": 8000}),
            ollama=of_pods("Deployment", "ollama", {"run": "o"}, {"name": "e", "image": "ollama/ollama"}),
            ollama_service=service("ollama", {"run": "o"}, {"port": 11434}),
        )
    )
    assert (found.model.asked, found.backend.service) == ("big", "llm")
    assert [(each.model.asked, each.backend.service) for each in found.others] == [("second", "two"), ("alias", "llm")]
    assert {each.asked: each.reason for each in found.unproven} == {
        "elsewhere": "it has no api_base: openai answers, outside the manifests",
        "other": "Deployment/ollama answers, which is no vLLM and counts no requests as one does",
    }


@pytest.mark.parametrize(
    ("api_base", "told"),
    [
        ("https://x.azurewebsites.net/hush-path?code=hush", "https://x.azurewebsites.net"),
        ("https://me:hush@x.example.com:8443/v1#hush", "https://x.example.com:8443"),
        ("//hush:8000", "its api_base is no URL"),
        ("http://[hush", "its api_base is no URL"),
    ],
)
def test_of_a_backend_that_is_elsewhere_only_the_host_is_told(api_base: str, told: str) -> None:
    model = f'{{model_name: other, litellm_params: {{model: azure/o, api_base: "{api_base}"}}}}'
    objects = home_lab()
    config = next(each for each in objects if each["kind"] == "ConfigMap")
    config["data"]["router.yaml"] += f"  - {model}\n"
    reasons = {each.asked: each.reason for each in found_in(objects).unproven}
    assert reasons["other"] == f"its backend is not among the manifests: {told}"


@pytest.mark.parametrize("api_base", ["http://llm:8000/v1", "http://llm.ml:8000", "http://llm.ml.svc", "https://llm/"])
def test_a_service_is_known_by_each_of_its_names(api_base: str) -> None:
    assert Model(0, "", "", "", api_base).service == "llm"


@pytest.mark.parametrize("api_base", ["http://llm.example.com/v1", "http://10.0.0.7:8000", "", "os.environ/BASE"])
def test_what_is_elsewhere_is_no_service(api_base: str) -> None:
    assert Model(0, "", "", "", api_base).service == ""


@pytest.mark.parametrize(
    "words",
    [
        {"args": ["--config", "/app/a.yaml"]},
        {"args": ["--config=/app/a.yaml"]},
        {"command": ["sh", "-c", "exec litellm --config /app/a.yaml --port 4000"]},
        {"command": ["litellm", "-c", "/app/a.yaml"]},
        {"env": [{"name": "CONFIG_FILE_PATH", "value": "/app/a.yaml"}]},
    ],
)
@pytest.mark.parametrize(
    ("mount", "volume"),
    [
        ({"mountPath": "/app/a.yaml", "subPath": "a.yaml"}, {}),
        ({"mountPath": "/app"}, {}),
        ({"mountPath": "/app"}, {"items": [{"key": "b.yaml", "path": "a.yaml"}]}),
    ],
)
def test_the_configuration_is_what_is_mounted_where_the_program_is_told(
    words: dict[str, Any], mount: dict[str, Any], volume: dict[str, Any]
) -> None:
    """Two keys have a model list: a guess would be as good as the other."""
    text = "model_list: [{model_name: m, litellm_params: {model: openai/org/model}}]"
    router = {"name": "r", "image": "litellm", "volumeMounts": [{"name": "v", **mount}], **words}
    files = {"name": "v", "configMap": {"name": "files", **volume}}
    objects = home_lab(
        gateway=of_pods("Deployment", "router", {"run": "router"}, router, files),
        config={**of("ConfigMap", "files"), "data": {"a.yaml": text, "b.yaml": text}},
    )
    assert found_in(objects).config == ConfigFile("files", "b.yaml" if volume else "a.yaml")


def test_several_services_lead_to_one_workload_and_the_one_that_is_asked_counts() -> None:
    more = service("also", {"run": "engine"}, {"name": "metrics", "port": 9}, {"name": "http", "port": 8001})
    assert found_in(home_lab(more=more)).backend.service == "llm"
    asking = "model_list: [{model_name: m, litellm_params: {model: openai/org/model, api_base: 'http://also:8001/v1'}}]"
    config = {**of("ConfigMap", "router-files"), "data": {"router.yaml": asking}}
    assert (found_in(home_lab(more=more, config=config)).backend.service) == "also"
    assert found_in(home_lab(more=more, config=config)).backend.port == 8001


def test_the_gateways_service_may_be_named_among_several() -> None:
    more = service("also", {"run": "router"}, {"name": "metrics", "port": 9})
    assert found_in(home_lab(more=more)).gateway.service == "router"
    named = found_in(home_lab(more=more), service="also").gateway
    assert (named.service, named.port) == ("also", 9)


def test_a_service_that_is_named_counts_wherever_it_leads() -> None:
    """What looks at its endpoints says that it leads to other pods."""
    assert found_in(home_lab(), service="llm").gateway.service == "llm"


def test_a_service_that_is_named_and_not_there_is_refused() -> None:
    with pytest.raises(SignoffError) as refused:
        found_in(home_lab(), service="ruoter")
    assert refused.value.what == "no Service beside Deployment/router is called ruoter; did you mean 'router'?"
    assert "router" in refused.value.hint and "set `service`" in refused.value.hint


def test_a_workload_without_its_service_keeps_its_own_name_for_it() -> None:
    """So that what asks for it says what is missing."""
    found = found_in(home_lab(**{"gateway service": {}}))
    assert (found.gateway.service, found.gateway.port) == ("router", 4000)


@pytest.mark.parametrize(
    ("changes", "settings", "what", "hint"),
    [
        ({"gateway": {}}, {}, "no manifest is a Deployment or StatefulSet that runs LiteLLM", "`gateway`"),
        ({"backend": {}}, {}, "no manifest is a Deployment or StatefulSet that runs vLLM", "`backend`"),
        (
            {"more": of_pods("Deployment", "other", {"a": "b"}, {"name": "c", "image": "litellm:2"})},
            {},
            "several workloads run LiteLLM: Deployment/router and Deployment/other",
            "set `gateway`",
        ),
        ({}, {"gateway": "ruoter"}, "called ruoter; did you mean 'router'?", "router and engine"),
        ({"config": {}}, {}, "LiteLLM's configuration is in no ConfigMap", "/files/router.yaml"),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    changes: dict[str, Any], settings: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(SignoffError, match=re.escape(what)) as refused:
        found_in(home_lab(**changes), **settings)
    assert hint in refused.value.hint
    assert refused.value.where


def test_of_several_the_one_that_the_story_names_counts() -> None:
    """As where another gateway stands in front of it."""
    more = of_pods("Deployment", "litellm", {"a": "b"}, {"name": "c", "image": "litellm:2"})
    config = {"name": "files", "configMap": {"name": "router-files"}}
    more["spec"]["template"]["spec"]["volumes"] = [config]
    more["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "files", "mountPath": "/files"}]
    assert found_in(home_lab(more=more)).gateway.name == "litellm"


def two_gateways() -> list[dict[str, Any]]:
    """Another one called as the story's, with its Service, beside the one that a person means."""
    objects = home_lab()
    (router,) = (each for each in objects if each["metadata"]["name"] == "router" and each["kind"] == "Deployment")
    other = deepcopy(router)
    other["metadata"]["name"] = "litellm"
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = {"run": "litellm"}
    return [*objects, other, service("litellm", {"run": "litellm"}, {"port": 4000})]


def test_a_service_that_leads_to_other_pods_is_not_the_gateways_whatever_it_is_called() -> None:
    assert found_in(two_gateways(), gateway="router").gateway.service == "router"
    assert found_in(two_gateways(), gateway="litellm").gateway.service == "litellm"


def test_objects_of_other_namespaces_are_not_meant() -> None:
    """The name is the same, and it comes first."""
    config = home_lab()[-1]
    other = deepcopy(config)
    other["metadata"]["namespace"] = "other"
    other["data"]["router.yaml"] = other["data"]["router.yaml"].replace("llm.ml", "elsewhere.other")
    elsewhere = service("router", {"run": "router"}, {"port": 81})
    elsewhere["metadata"]["namespace"] = "other"
    found = found_in([other, elsewhere, *home_lab()])
    assert (found.model.service, found.gateway.port) == ("llm", 80)


def test_of_several_ports_the_one_that_leads_to_the_program_is_meant() -> None:
    ports = {"name": "metrics", "port": 9090}, {"name": "api", "port": 80, "targetPort": 4000}
    objects = home_lab(**{"gateway service": service("router", {"run": "router"}, *ports)})
    assert found_in(objects).gateway.port == 80
    ports = {"name": "metrics", "port": 9400}, {"name": "api", "port": 8000}
    objects = home_lab(**{"backend service": service("llm", {"run": "engine"}, *ports)})
    assert found_in(objects).backend.port == 8000, "as api_base says"


def test_the_program_s_own_container_is_known_beside_others() -> None:
    objects = home_lab()
    pods = objects[0]["spec"]["template"]["spec"]
    pods["containers"].insert(0, {"name": "auth", "image": "example.test/oauth2-proxy:1"})
    assert found_in(objects).gateway.container == "router"


def test_a_workload_cannot_be_both() -> None:
    with pytest.raises(SignoffError, match="cannot be both the gateway and the backend"):
        found_in(home_lab(), backend="router")


def test_of_entries_that_ask_for_the_model_the_one_whose_backend_is_here_is_judged() -> None:
    asking = """
model_list:
  - {model_name: fast, litellm_params: {model: openai/org/model, api_base: "http://10.0.0.9:8000/v1"}}
  - {model_name: own, litellm_params: {model: openai/org/model, api_base: "http://llm:8000/v1"}}
  - {model_name: group, litellm_params: {model: openai/org/model, api_base: "http://llm:8000/v1"}}
  - {model_name: group, litellm_params: {model: openai/org/model, api_base: "http://llm:8000/v1"}}
  - {model_name: vectors, litellm_params: {model: openai/m, api_base: "http://llm:8000"}, model_info: {mode: embedding}}
"""
    found = found_in(home_lab(config={**of("ConfigMap", "router-files"), "data": {"router.yaml": asking}}))
    assert found.model.asked == "own"
    assert found.others == ()
    assert {each.asked: each.reason for each in found.unproven} == {
        "fast": "its backend is not among the manifests: http://10.0.0.9:8000",
        "group": "2 entries of model_list are called so, and no counter tells which of them answers",
        "vectors": "its mode is embedding, and chat completions alone are asked for",
    }


def test_an_alias_that_clients_may_ask_for_is_told_as_not_judged() -> None:
    objects = home_lab()
    config = next(each for each in objects if each["kind"] == "ConfigMap")
    config["data"]["router.yaml"] += """\
router_settings:
  model_group_alias:
    gpt-4: big
    quiet: {model: big, hidden: true}
    lost: gone
    odd: [big]
"""
    found = found_in(objects)
    reasons = {each.asked: each.reason for each in found.unproven}
    assert reasons["gpt-4"] == reasons["quiet"] == "it is an alias of big, and is not asked for"
    assert reasons["lost"] == "it is an alias of gone, and no model of LiteLLM's is called so"
    assert "odd" not in reasons


def test_a_model_that_is_asked_for_where_nobody_knows_is_refused() -> None:
    asking = "model_list: [{model_name: m, litellm_params: {model: openai/org/model, api_base: os.environ/LLM}}]"
    config = {**of("ConfigMap", "router-files"), "data": {"router.yaml": asking}}
    with pytest.raises(SignoffError, match="and Deployment/router sets no variable LLM"):
        found_in(home_lab(config=config))
