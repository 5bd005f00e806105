"""What LiteLLM does with a model is found with its places, and what its configuration doesn't say has no value."""

import re
import shutil
from base64 import b64encode
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from signoff.core.paths import MANIFESTS
from signoff.core.redact import scrubbed
from signoff.evidence.models import ConfigurationSeen
from signoff.gateway.configuration import Effective, deployed, effective, seen
from signoff.kube.gateway_config import Configuration
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest, pod_template
from signoff.kube.variables import Environment, Variable
from signoff.settings import Settings

CONFIG = """\
model_list:
  - model_name: qwen
    litellm_params:
      model: openai/org/qwen
      api_base: http://vllm/v1
  - model_name: other
    litellm_params: {model: openai/small}
router_settings:
  num_retries: 3
"""
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata:\n  config.yaml: |\n"


def of(folder: Path, text: str, asked: str = "", **variables: str | None) -> Effective:
    """What counts of a configuration, whose first line is the sixth of its manifest."""
    file = folder / "config.yaml"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in text.splitlines()), encoding="utf-8")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": text}}
    known = {name: Variable(value, "deployment.yaml:9") for name, value in variables.items()}
    return effective(Configuration(Manifest(file, "", body), "config.yaml", Environment(known)), asked)


def values(found: Effective) -> dict[str, list[Any]]:
    return {name: [each.value for each in several] for name, several in found.values.items()}


def lines(found: Effective) -> dict[str, list[int]]:
    """Where each value stands, counted within the configuration."""
    first = HEAD.count("\n")
    return {
        name: [int(each.where.rpartition(":")[2]) - first for each in several] for name, several in found.values.items()
    }


def test_each_setting_has_its_values_and_their_lines(tmp_path: Path) -> None:
    found = of(tmp_path, CONFIG)
    assert values(found) == {
        "model_name": ["qwen", "other"],
        "model": ["org/qwen", "small"],
        "api_base": ["http://vllm/v1"],
        "num_retries": [3],
        "routing_strategy": ["simple-shuffle"],
        "timeout": [6000],
    }
    assert lines(found) == {
        "model_name": [2, 6],
        "model": [4, 7],
        "api_base": [5],
        "num_retries": [9],
        "routing_strategy": [8],
        "timeout": [8],
    }
    assert found.missing == {"api_base": f"{tmp_path / 'config.yaml'}:{5 + 7}"}


def test_of_several_models_the_one_that_clients_ask_for_counts(tmp_path: Path) -> None:
    assert values(of(tmp_path, CONFIG, "other"))["model"] == ["small"]
    assert lines(of(tmp_path, CONFIG, "qwen"))["api_base"] == [5]
    assert values(of(tmp_path, CONFIG, "missing"))["model_name"] == ["qwen", "other"]


@pytest.mark.parametrize(
    ("own", "settings", "retries", "timeouts", "at"),
    [
        ("", "litellm_settings:\n  num_retries: 5\n  request_timeout: 60\n", 5, [60], (3, [4])),
        # An error has the retries of litellm_settings with it, and the router heeds those of an error.
        (
            "",
            "router_settings:\n  num_retries: 0\n  timeout: 30\nlitellm_settings: {num_retries: 5}\n",
            5,
            [30],
            (5, [4]),
        ),
        ("", "router_settings:\n  timeout: 0\nlitellm_settings:\n  request_timeout: 60\n", 2, [60], (2, [5])),
        ("", "router_settings:\n  num_retries:\nlitellm_settings:\n  num_retries: 1\n", 1, [6000], (5, [2])),
        ("", "router_settings: text\nlitellm_settings: [text]\n", 2, [6000], (2, [2])),
        ("timeout: 90, num_retries: 9", "router_settings:\n  num_retries: 1\n  timeout: 30\n", 9, [90], (1, [1])),
        ("num_retries: 0", "litellm_settings: {num_retries: 4}\n", 0, [6000], (1, [1])),
        ("request_timeout: 12", "router_settings: {timeout: 30}\n", 2, [12], (2, [1])),
        ("max_retries: 7", "router_settings:\n  num_retries: 1\n", 1, [6000], (3, [2])),
        ("stream_timeout: 5", "router_settings:\n  timeout: 30\n", 2, [30, 5], (2, [3, 1])),
        ("timeout: 30, stream_timeout: 30", "\n", 2, [30], (1, [1])),
        ("timeout: 40", "router_settings:\n  timeout: 30\n  stream_timeout: 20\n", 2, [40, 20], (2, [1, 4])),
        ("timeout: os.environ/SECONDS", "\n", 2, [25], (1, [1])),
        ("timeout: os.environ/NOWHERE", "router_settings: {timeout: 30}\n", 2, [30], (2, [2])),
        ("num_retries: os.environ/SECONDS", "\n", "25", [6000], (1, [1])),
        ("timeout: soon", "\n", 2, ["soon"], (1, [1])),
    ],
)
def test_what_a_model_has_of_its_own_goes_before_what_is_set_for_all(
    own: str, settings: str, retries: Any, timeouts: list[Any], at: tuple[int, list[int]], tmp_path: Path
) -> None:
    params = f"model: openai/b{f', {own}' if own else ''}"
    found = of(tmp_path, f"model_list: [{{model_name: a, litellm_params: {{{params}}}}}]\n{settings}", SECONDS="25")
    assert (values(found)["num_retries"], values(found)["timeout"]) == ([retries], timeouts)
    assert (lines(found)["num_retries"], lines(found)["timeout"]) == ([at[0]], at[1])


def test_where_the_configuration_says_no_timeout_the_variable_counts(tmp_path: Path) -> None:
    (timeout,) = of(tmp_path, CONFIG, REQUEST_TIMEOUT="45").values["timeout"]
    assert (timeout.value, timeout.comes_from) == (45, "deployment.yaml:9")


def test_of_several_entries_each_value_of_a_setting_is_there_once(tmp_path: Path) -> None:
    entry = "{{model_name: a, litellm_params: {{model: openai/b, timeout: {}}}}}"
    text = f"model_list: [{entry.format(10)}, {entry.format(20)}, {entry.format(10)}]"
    assert values(of(tmp_path, text))["timeout"] == [10, 20]


def test_a_value_that_a_variable_holds_has_both_places(tmp_path: Path) -> None:
    found = of(tmp_path, CONFIG.replace("http://vllm/v1", "os.environ/BASE"), "qwen", BASE="http://there/v1")
    (base,) = found.values["api_base"]
    assert (base.value, base.comes_from) == ("http://there/v1", "deployment.yaml:9")
    assert lines(found)["api_base"] == [5]
    assert "api_base" in of(tmp_path, CONFIG.replace("http://vllm/v1", "os.environ/BASE"), "qwen").missing


@pytest.mark.parametrize(
    ("own", "settings", "name", "beside"),
    [
        ("", "router_settings: {num_retries: os.environ/OPEN}", "num_retries", []),
        ("num_retries: os.environ/OPEN", "router_settings: {num_retries: 2}", "num_retries", []),
        ("", "router_settings: {routing_strategy: os.environ/OPEN}", "routing_strategy", []),
        ("timeout: os.environ/OPEN", "router_settings: {timeout: 6000}", "timeout", []),
        ("stream_timeout: os.environ/OPEN", "router_settings: {timeout: 30}", "timeout", [30]),
        ("api_base: os.environ/OPEN", "", "api_base", []),
    ],
)
def test_what_hangs_on_a_variable_that_nobody_can_read_is_no_default(
    own: str, settings: str, name: str, beside: list[Any], tmp_path: Path
) -> None:
    params = f"model: openai/b{f', {own}' if own else ''}"
    found = of(tmp_path, f"model_list: [{{model_name: a, litellm_params: {{{params}}}}}]\n{settings}", OPEN=None)
    assert values(found).get(name, []) == beside
    (unknown,) = found.unknown[name]
    assert (unknown.said, unknown.comes_from) == ("os.environ/OPEN", "deployment.yaml:9")
    assert (unknown.unknown, unknown.hint) == ("whose value the manifests do not say", "write the value itself")
    assert name not in found.missing


def test_a_timeout_of_the_environment_that_nobody_can_read_is_not_the_default(tmp_path: Path) -> None:
    found = of(tmp_path, CONFIG, REQUEST_TIMEOUT=None)
    assert "timeout" not in found.values
    assert [each.said for each in found.unknown["timeout"]] == ["os.environ/REQUEST_TIMEOUT"]


def test_evidence_names_what_nobody_can_read_with_its_line_and_what_to_do(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    edited(folder / "litellm/configmap.yaml", "num_retries: 2", "num_retries: os.environ/RETRIES")
    variable = "{name: RETRIES, valueFrom: {fieldRef: {fieldPath: metadata.name}}}"
    edited(folder / "litellm/deployment.yaml", "          env:\n", f"          env:\n            - {variable}\n")
    found = StoryManifests.read(Settings(manifests=(folder,)))
    told = seen("configuration", found.roles.configuration, found)
    assert "num_retries" not in told.values
    (sentence,) = told.unknown["num_retries"]
    assert re.fullmatch(
        r"os\.environ/RETRIES, whose value the manifests do not say; write the value itself "
        r"\(litellm/configmap\.yaml:\d+, from litellm/deployment\.yaml:\d+\)",
        sentence,
    )


# --- as the cluster has it


class OnACluster:
    """A cluster's API with LiteLLM's pod template, ConfigMaps and Secrets; one that is None may not be read."""

    def __init__(self, template: dict[str, Any], maps: dict[str, Any], secrets: dict[str, Any]) -> None:
        self._template = template
        self.core = SimpleNamespace(
            read_namespaced_config_map=lambda name, namespace: self._read(maps, name),
            read_namespaced_secret=lambda name, namespace: self._read(secrets, name),
        )

    def pod_template(self, namespace: str, name: str, kind: str) -> dict[str, Any]:
        return deepcopy(self._template)

    @staticmethod
    def _read(held: dict[str, Any], name: str) -> Any:
        if held.get(name) is None:
            raise ApiException(status=403 if name in held else 404)
        return SimpleNamespace(data=held[name], binary_data=None)


def on_a_cluster(folder: Path, env: list[dict[str, Any]], **secrets: dict[str, str] | None) -> ConfigurationSeen:
    """What is seen where the manifests give RETRIES 2, and the container on the cluster has this `env`."""
    manifests = Path(shutil.copytree(MANIFESTS, folder / "manifests"))
    edited(manifests / "litellm/configmap.yaml", "num_retries: 2", "num_retries: os.environ/RETRIES")
    edited(
        manifests / "litellm/deployment.yaml",
        "          env:\n",
        '          env:\n            - {name: RETRIES, value: "2"}\n',
    )
    found = StoryManifests.read(Settings(manifests=(manifests,)))
    template = deepcopy(pod_template(found.object("Deployment/litellm").body))
    (container,) = template["spec"]["containers"]
    container["env"] = env
    maps = {each.body["metadata"]["name"]: each.body["data"] for each in found.gateway if each.kind == "ConfigMap"}
    kube = OnACluster(template, {**maps, "more": {"n": "7"}}, secrets)
    return seen("configuration", deployed(kube, found), found)  # type: ignore[arg-type]


OF_A_SECRET = {"name": "RETRIES", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "n"}}}
OPTIONAL = {"name": "RETRIES", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "n", "optional": True}}}
OF_A_MAP = {"name": "RETRIES", "valueFrom": {"configMapKeyRef": {"name": "more", "key": "n"}}}


@pytest.mark.parametrize(
    ("variable", "secrets", "retries", "unknown"),
    [
        ({"name": "RETRIES", "value": "9"}, {}, ["9"], ""),
        (OF_A_MAP, {}, ["7"], ""),
        (OF_A_SECRET, {"keys": {"n": b64encode(b"5").decode()}}, ["5"], ""),
        (OF_A_SECRET, {"keys": None}, [], "which Secret/keys is to hold"),
        (OPTIONAL, {"keys": None}, [], "which Secret/keys may hold"),
        (OPTIONAL, {}, [2], ""),
        ({"name": "ANOTHER", "value": "9"}, {}, [2], ""),
    ],
)
def test_variables_are_those_of_the_container_that_the_cluster_runs(
    variable: dict[str, Any], secrets: dict[str, Any], retries: list[Any], unknown: str, tmp_path: Path
) -> None:
    told = on_a_cluster(tmp_path, [variable], **secrets)
    assert told.values.get("num_retries", []) == retries
    assert [unknown in each for each in told.unknown.get("num_retries", [])] == [True] * bool(unknown)


def test_of_a_secret_of_the_cluster_nothing_is_shown(tmp_path: Path) -> None:
    hush = "hush-hush-hush"
    on_a_cluster(tmp_path, [OF_A_SECRET], keys={"n": "Mg==", "other": b64encode(hush.encode()).decode()})
    assert scrubbed(hush) == "[redacted]"


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("text", ["", "[]", "model_list: 7", "a: [", "model_list: [text]", "model_list: {a: b}"])
def test_a_configuration_of_another_form_has_no_values(text: str, tmp_path: Path) -> None:
    assert of(tmp_path, text) == Effective()
