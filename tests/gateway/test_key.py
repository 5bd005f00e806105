"""The key that LiteLLM will ask for is found where LiteLLM finds it, with its place, and is not shown."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.core.redact import scrubbed
from signoff.gateway.key import find
from signoff.kube import loading, secrets
from signoff.kube.gateway_config import Configuration
from signoff.kube.objects import Manifest
from signoff.kube.variables import Variable, of_container

KEY = "sk-of-litellm"
OTHER = "sk-of-another"
BY_SECRET = {"name": "LITELLM_MASTER_KEY", "valueFrom": {"secretKeyRef": {"name": "litellm-secrets", "key": "KEY"}}}
OPTIONAL = {"name": "LITELLM_MASTER_KEY", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y", "optional": True}}}
LITERAL = {"name": "LITELLM_MASTER_KEY", "value": KEY}
SETTING = "general_settings:\n  master_key: "
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "litellm-secrets"}, "stringData": {"KEY": KEY}}


def found(folder: Path, config: str = "", secret: Any = SECRET, **container: Any) -> Variable | None:
    """The key of a LiteLLM with this configuration and this container."""
    spec = {"containers": [{"name": "litellm", "image": "litellm:1", **container}]}
    template = {"metadata": {"labels": {"app": "litellm"}}, "spec": spec}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "litellm"}}
    bodies = [{**deployment, "spec": {"selector": {}, "template": template}}, secret]
    text = yaml.safe_dump_all([each for each in bodies if each])
    block = "".join(f"    {line}\n" for line in config.splitlines())
    text += f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config}}\ndata:\n  config.yaml: |\n{block}"
    (folder / "all.yaml").write_text(text, encoding="utf-8")
    manifests = loading.read(folder / "all.yaml")
    named = {each.name: each for each in manifests}
    environment = of_container(named["Deployment/litellm"], "litellm", manifests)
    return find(Configuration(named["ConfigMap/config"], "config.yaml", environment))


def line_of(folder: Path, key: Variable) -> str:
    """The line that the key's place names."""
    file, _, line = key.where.rpartition(":")
    assert file == str(folder / "all.yaml")
    return (folder / "all.yaml").read_text().splitlines()[int(line) - 1].strip()


@pytest.mark.parametrize(
    ("config", "container", "line", "comes_from"),
    [
        (f"{SETTING}{KEY}", {}, f"master_key: {KEY}", ""),
        (f"{SETTING}{KEY}", {"env": [{**LITERAL, "value": OTHER}]}, f"master_key: {KEY}", ""),
        ("", {"env": [LITERAL]}, "- name: LITELLM_MASTER_KEY", ""),
        ("", {"env": [BY_SECRET]}, "- name: LITELLM_MASTER_KEY", "Secret/litellm-secrets"),
        (
            f"{SETTING}os.environ/KEY",
            {"envFrom": [{"secretRef": {"name": "litellm-secrets"}}]},
            "master_key: os.environ/KEY",
            "Secret/litellm-secrets",
        ),
        (
            "general_settings: {}",
            {"envFrom": [{"secretRef": {"name": "litellm-secrets"}, "prefix": "LITELLM_MASTER_"}]},
            "- prefix: LITELLM_MASTER_",
            "Secret/litellm-secrets",
        ),
        (
            f"general_settings: {{x: y}}\nenvironment_variables:\n  LITELLM_MASTER_KEY: {KEY}",
            {"env": [{**LITERAL, "value": OTHER}]},
            f"LITELLM_MASTER_KEY: {KEY}",
            "",
        ),
        (
            "general_settings: {x: y}\nenvironment_variables: {LITELLM_MASTER_KEY: os.environ/ANOTHER}",
            {"env": [{**BY_SECRET, "name": "ANOTHER"}]},
            "environment_variables: {LITELLM_MASTER_KEY: os.environ/ANOTHER}",
            "Secret/litellm-secrets",
        ),
        (
            f"environment_variables:\n  LITELLM_MASTER_KEY: {OTHER}",
            {"env": [LITERAL]},
            "- name: LITELLM_MASTER_KEY",
            "",
        ),
        (
            "",
            {"env": [LITERAL], "envFrom": [{"secretRef": {"name": "another"}}]},
            "- name: LITELLM_MASTER_KEY",
            "",
        ),
    ],
)
def test_it_is_found_where_litellm_finds_it(
    config: str, container: dict[str, Any], line: str, comes_from: str, tmp_path: Path
) -> None:
    key = found(tmp_path, config, **container)
    assert key is not None
    assert (key.value, key.comes_from) == (KEY, comes_from)
    assert line_of(tmp_path, key) == line
    assert KEY not in repr(key)
    assert scrubbed(KEY) == "[redacted]"


@pytest.mark.parametrize(
    ("config", "container"),
    [
        ("", {}),
        ("model_list: []", {"env": [{"name": "OTHER", "value": OTHER}]}),
        (f"{SETTING}null", {"env": [LITERAL]}),
        (f"{SETTING}os.environ/NOWHERE", {"env": [LITERAL]}),
        (f"environment_variables: {{LATER: {KEY}}}\n{SETTING}os.environ/LATER", {"env": [LITERAL]}),
        ("", {"env": [{**LITERAL, "value": ""}]}),
        (
            "",
            {
                "env": [
                    {
                        "name": "LITELLM_MASTER_KEY",
                        "valueFrom": {"secretKeyRef": {"name": "x", "key": "key", "optional": True}},
                    }
                ]
            },
        ),
        ("general_settings: [not, a, mapping]", {}),
        ("{", {}),
    ],
)
def test_where_litellm_asks_for_none_there_is_none(config: str, container: dict[str, Any], tmp_path: Path) -> None:
    assert found(tmp_path, config, **container) is None


@pytest.mark.parametrize("variable", [BY_SECRET, {**LITERAL, "value": "$(KEY)"}])
@pytest.mark.parametrize(
    ("config", "line"),
    [("", "- name: LITELLM_MASTER_KEY"), (f"{SETTING}os.environ/LITELLM_MASTER_KEY", "master_key: os.environ/LITELLM")],
)
def test_one_that_is_set_and_not_known_is_told_as_such(
    config: str, line: str, variable: dict[str, Any], tmp_path: Path
) -> None:
    key = found(tmp_path, config, secret=None, env=[variable])
    assert key is not None
    assert key.value is None
    assert line_of(tmp_path, key).startswith(line)


def test_a_secret_given_as_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text(f"KEY={KEY}\n", encoding="utf-8")
    given = secrets.read({"litellm-secrets": tmp_path / "secrets.env"}, "ml")
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"env": [BY_SECRET]}]},
    }
    pod = Manifest(tmp_path / "pod.yaml", "", body)
    config = Manifest(tmp_path / "config.yaml", "", {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {}})
    key = find(Configuration(config, "config.yaml", of_container(pod, "", given)))
    assert key is not None and key.value == KEY
