"""A copy of LiteLLM has nothing of what lies outside the first one's pods, however that is said."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from signoff.kube import manifests
from signoff.kube.objects import Manifest, pod_spec, text_in, write_text

STORY = manifests.StoryManifests.read()
Body = dict[str, Any]


def a_set(change: Callable[[Body], None], *beside: Body) -> manifests.StoryManifests:
    """The story's manifests with the gateway's Deployment changed, and further objects."""

    def edit(body: Body) -> None:
        if body["kind"] == "Deployment":
            change(pod_spec(body))

    more = [Manifest(None, "", each) for each in beside]
    return replace(STORY, gateway=[*manifests.transform(STORY.gateway, edit), *more])


def configured(text: str) -> manifests.StoryManifests:
    """The story's manifests with more in the configuration."""
    roles = STORY.roles

    def edit(body: Body) -> None:
        if f"{body['kind']}/{body['metadata']['name']}" == roles.config.object:
            told = {**yaml.safe_load(text_in(body, roles.config.key)), **yaml.safe_load(text)}
            write_text(body, roles.config.key, yaml.safe_dump(told))

    gateway = manifests.transform(STORY.gateway, edit)
    held = next(each for each in gateway if each.name == roles.config.object)
    return replace(
        STORY, gateway=gateway, roles=replace(roles, configuration=replace(roles.configuration, manifest=held))
    )


def pods_of_copy(found: manifests.StoryManifests) -> Body:
    return next(pod_spec(each.body) for each in found.second_gateway("other", lambda _: None)[1] if each.kind[0] == "D")


def config_of_copy(found: manifests.StoryManifests) -> Body:
    _, copied = found.second_gateway("other", lambda _: None)
    (held,) = (each.body for each in copied if each.kind == "ConfigMap")
    told: Body = yaml.safe_load(text_in(held, found.roles.config.key))
    return told


def secret(name: str, **values: str) -> Body:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ml"}, "data": data}


def env_of(pods: Body) -> dict[str, Body]:
    return {each["name"]: each for each in pods["containers"][0].get("env", [])}


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "DATABASE_HOST", "DIRECT_URL", "STORE_MODEL_IN_DB", "REDIS_HOST", "LANGFUSE_SECRET_KEY"]
)
@pytest.mark.parametrize("given", ["itself", "by a key of a Secret", "by all of a Secret", "by all with a prefix"])
def test_a_variable_that_leads_outside_is_taken_away(name: str, given: str) -> None:
    part = name.partition("_")

    def change(pods: Body) -> None:
        container = pods["containers"][0]
        if given == "itself":
            container["env"].append({"name": name, "value": "of the first"})
        elif given == "by a key of a Secret":
            source = {"secretKeyRef": {"name": "own", "key": name}}
            container["env"].append({"name": name, "valueFrom": source})
        else:
            prefix = {"prefix": f"{part[0]}_"} if given.endswith("prefix") else {}
            container["envFrom"] = [{"secretRef": {"name": "own"}, **prefix}]

    keys = {part[2]: "x", "KEPT": "1"} if given.endswith("prefix") else {name: "x", "KEPT": "1"}
    found = a_set(change, secret("own", **keys))
    pods = pods_of_copy(found)
    assert name not in env_of(pods) and name in found.goes_without
    assert "envFrom" not in pods["containers"][0], "which would bring it along once it is written there"
    if given == "by all of a Secret":
        assert env_of(pods)["KEPT"] == {"name": "KEPT", "valueFrom": {"secretKeyRef": {"name": "own", "key": "KEPT"}}}


def test_a_store_s_url_is_known_whatever_its_variable_is_called() -> None:
    def change(pods: Body) -> None:
        pods["containers"][0]["env"].append(
            {"name": "LEDGER", "valueFrom": {"secretKeyRef": {"name": "o", "key": "a"}}}
        )

    found = a_set(change, secret("o", a="postgresql://me:hush@db/litellm"))
    assert "LEDGER" not in env_of(pods_of_copy(found)) and "LEDGER" in found.goes_without
    assert "hush" not in " ".join(found.goes_without)


def test_of_a_secret_that_nobody_may_read_nothing_is_given() -> None:
    def change(pods: Body) -> None:
        pods["containers"][0]["envFrom"] = [{"secretRef": {"name": "shut"}}]

    found = a_set(change)
    assert "envFrom" not in pods_of_copy(found)["containers"][0]
    assert found.goes_without == ["all of Secret/shut, which is not known"]


def test_what_env_says_counts_before_what_all_of_a_secret_says() -> None:
    def change(pods: Body) -> None:
        pods["containers"][0]["env"].append({"name": "MODE", "value": "own"})
        pods["containers"][0]["envFrom"] = [{"secretRef": {"name": "o"}}]

    pods = pods_of_copy(a_set(change, secret("o", MODE="of all")))
    assert [each["value"] for each in pods["containers"][0]["env"] if each["name"] == "MODE"] == ["own"]


def test_an_init_container_that_waits_for_a_store_or_migrates_it_is_left_out() -> None:
    def change(pods: Body) -> None:
        pods["initContainers"] = [
            {"name": "wait", "image": "pg", "command": ["sh", "-c", "until pg_isready -h db; do sleep 1; done"]},
            {"name": "migrate", "image": "litellm", "env": [{"name": "DATABASE_URL", "value": "x"}]},
            {"name": "files", "image": "tools", "command": ["cp", "/a", "/b"]},
        ]

    found = a_set(change)
    assert [each["name"] for each in pods_of_copy(found)["initContainers"]] == ["files"]
    assert found.goes_without == ["the init container wait", "the init container migrate"]


@pytest.mark.parametrize(
    ("text", "left", "without"),
    [
        ("general_settings: {database_url: x, master_key: k}", {"master_key": "k"}, ["general_settings.database_url"]),
        ("general_settings: {store_model_in_db: true}", {}, ["general_settings.store_model_in_db"]),
        ("general_settings: {database_type: x}", {}, ["general_settings.database_type"]),
        ("general_settings: {alerting: [slack]}", {}, ["general_settings.alerting"]),
        ("litellm_settings: {cache: true}", {}, ["litellm_settings.cache"]),
        (
            "litellm_settings: {cache: true, cache_params: {type: redis}}",
            {},
            ["litellm_settings.cache", "litellm_settings.cache_params"],
        ),
        (
            "litellm_settings: {cache: true, cache_params: {type: local}}",
            {"cache": True, "cache_params": {"type": "local"}},
            [],
        ),
        ("litellm_settings: {cache: false}", {"cache": False}, []),
        ("litellm_settings: {success_callback: [langfuse]}", {}, ["litellm_settings.success_callback"]),
        ("litellm_settings: {callbacks: a.b, modify_params: 1}", {"modify_params": 1}, ["litellm_settings.callbacks"]),
        ("router_settings: {redis_host: r, num_retries: 2}", {"num_retries": 2}, ["router_settings.redis_host"]),
        ("router_settings: {cooldown_time: 1, retry_after: 1}", {"cooldown_time": 1, "retry_after": 1}, []),
        ("environment_variables: {REDIS_URL: x, TZ: UTC}", {"TZ": "UTC"}, ["environment_variables.REDIS_URL"]),
    ],
)  # fmt: skip
def test_a_setting_that_leads_outside_is_taken_out_and_the_others_stay(
    text: str, left: Body, without: list[str]
) -> None:
    found = configured(text)
    table = text.partition(":")[0]
    assert config_of_copy(found)[table] == left
    assert found.goes_without == without


def test_the_story_s_own_copy_lacks_nothing() -> None:
    assert STORY.goes_without == []
    own = yaml.safe_load(STORY.roles.configuration.text)
    assert config_of_copy(STORY) == own


def test_what_is_changed_in_a_copy_stays_in_it() -> None:
    """A master key of the parity matrix is set after all else is taken out."""
    _, found = STORY.second_gateway("other", lambda config: config.update(general_settings={"store_model_in_db": True}))
    (held,) = (each.body for each in found if each.kind == "ConfigMap")
    assert yaml.safe_load(text_in(held, STORY.roles.config.key))["general_settings"] == {"store_model_in_db": True}


def test_no_tool_takes_a_copy_for_its_own_and_nothing_holds_it() -> None:
    def mark(body: Body) -> None:
        body["metadata"] |= {"finalizers": ["a/b"], "ownerReferences": [{"name": "operator"}]}
        body["metadata"].setdefault("labels", {}).update(
            {
                "app.kubernetes.io/managed-by": "Helm",
                "app.kubernetes.io/instance": "prod",
                "argocd.argoproj.io/instance": "prod",
                "kustomize.toolkit.fluxcd.io/name": "apps",
            }
        )
        body["metadata"]["annotations"] = {"meta.helm.sh/release-name": "prod", "argocd.argoproj.io/tracking-id": "x"}

    _, found = replace(STORY, gateway=manifests.transform(STORY.gateway, mark)).second_gateway("other", lambda _: None)
    for each in found:
        metadata = each.body["metadata"]
        assert set(metadata) <= {"name", "namespace", "labels"}
        assert metadata["labels"]["app.kubernetes.io/instance"] == metadata["name"]
        assert not {"argocd.argoproj.io/instance", "kustomize.toolkit.fluxcd.io/name"} & set(metadata["labels"])
        assert metadata["labels"].get("app.kubernetes.io/managed-by") is None
