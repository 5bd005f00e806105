"""What LiteLLM's configuration says is read with the line on which it stands, and a variable with what holds it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import SignoffError
from signoff.kube import loading
from signoff.kube.gateway_config import Configuration, find
from signoff.kube.objects import text_in
from signoff.kube.variables import Environment, Variable

NAMES = st.text("ab9-", min_size=3, max_size=12).map(lambda end: f"x{end}")
MODELS = st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5, unique_by=lambda each: each[0])


def written(models: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "model_list": [
            {
                "model_name": f"n-{name}",
                "litellm_params": {"model": f"openai/m-{name}", "api_base": f"http://b-{base}/v1"},
            }
            for name, base in models
        ],
        "router_settings": {"timeout": 30},
    }


def manifest_of(text: str, form: str) -> str:
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\n"
    if form == "json":
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"c.yaml": text}}
        return json.dumps(body, indent=1)
    if form == "binary":
        return f"{head}binaryData:\n  c.yaml: {base64.b64encode(text.encode()).decode()}\n"
    if form == "quoted":
        return f"{head}data:\n  c.yaml: {json.dumps(text)}\n"
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return f"{head}data:\n  other: |\n    x\n  c.yaml: {form}\n{indented}"


@given(MODELS, st.sampled_from(["|", "|-", "|+", "json", "binary", "quoted"]), st.booleans())
def test_each_value_is_on_the_line_that_is_told(
    tmp_path: Path, models: list[tuple[str, str]], form: str, flow: bool
) -> None:
    """In a block on its very line; in a text of another form, where its lines are none of the file's, on the key's."""
    config = written(models)
    file = tmp_path / "all.yaml"
    file.write_text(manifest_of(yaml.safe_dump(config, default_flow_style=flow or None), form), encoding="utf-8")
    configuration = Configuration(loading.read(file)[0], "c.yaml")
    told = file.read_text().splitlines()
    for model, entry in zip(configuration.models, config["model_list"], strict=True):
        wanted = (entry["model_name"], entry["litellm_params"]["model"], entry["litellm_params"]["api_base"])
        assert (model.asked, f"{model.prefix}/{model.model}", model.api_base) == wanted
        where = configuration.where(*model.place, "litellm_params", "api_base")
        line = told[int(where.removeprefix(f"{file}:")) - 1]
        assert (wanted[2] if form.startswith("|") else "c.yaml") in line


def test_what_kustomize_makes_of_a_file_is_told_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [a.yaml]\n"
        "configMapGenerator: [{name: other, files: [c.yaml]}, {name: config, files: [c.yaml=proxy.yaml]}]\n"
    )
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    text = yaml.safe_dump(written([("a", "b")]))
    for name in ("proxy.yaml", "c.yaml"):
        (tmp_path / name).write_text(text)
    (generated,) = (each for each in loading.read(tmp_path) if each.name.startswith("ConfigMap/config-"))
    where = Configuration(generated, "c.yaml").where("router_settings", "timeout")
    assert where == f"{tmp_path / 'proxy.yaml'}:{text.splitlines().index('  timeout: 30') + 1}"


POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: gateway}}
spec:
  template:
    spec:
      containers:
        - name: litellm
          image: litellm:1
          args: [--config, /c/c.yaml]
          volumeMounts: [{{name: c, mountPath: /c}}]
          {variables}
      volumes: [{{name: c, configMap: {{name: config}}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config}}
data:
  c.yaml: |
    model_list:
      - model_name: os.environ/NAME
        litellm_params:
          model: os.environ/MODEL
          api_base: os.environ/BASE
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: urls}}
data: {{BASE: "http://llm:8000/v1", TRUE: "True"}}
"""


def with_variables(folder: Path, *variables: str, envFrom: str = "[]") -> Configuration:  # noqa: N803 - Kubernetes' name
    text = POD.format(variables=f"env: [{', '.join(variables)}]\n          envFrom: {envFrom}")
    (folder / "all.yaml").write_text(text, encoding="utf-8")
    found = loading.read(folder)
    return find(found[0], found)


OF_URLS = "{name: BASE, valueFrom: {configMapKeyRef: {name: urls, key: BASE}}}"
OF_A_SECRET = "{name: BASE, valueFrom: {secretKeyRef: {name: gone, key: BASE}}}"


@pytest.mark.parametrize(
    ("variables", "more", "comes_from"),
    [
        (("{name: BASE, value: 'http://llm:8000/v1'}",), "[]", "all.yaml:13"),
        (("{name: HOST, value: llm}", "{name: BASE, value: 'http://$(HOST):8000/v1'}"), "[]", "all.yaml:13"),
        ((OF_URLS,), "[]", "ConfigMap/urls"),
        ((), "[{configMapRef: {name: urls}}]", "ConfigMap/urls"),
    ],
)
def test_a_variable_is_what_the_container_has(
    variables: tuple[str, ...], more: str, comes_from: str, tmp_path: Path
) -> None:
    configuration = with_variables(tmp_path, *variables, "{name: NAME, value: chat}", envFrom=more)
    (model,) = configuration.models
    assert (model.asked, model.service, model.port, model.unknown) == ("chat", "llm", 8000, ("model",))
    value = configuration.get(*model.place, "litellm_params", "api_base")
    assert value is not None and value.comes_from.endswith(comes_from)


@pytest.mark.parametrize(
    ("variables", "more", "unknown", "hint"),
    [
        ((), "[]", "Deployment/gateway sets no variable BASE", "add BASE to its env"),
        ((OF_A_SECRET,), "[]", "which Secret/gone is to hold, and that is not among", "--secret gone=FILE.env"),
        ((), "[{secretRef: {name: gone}}]", "which Secret/gone may hold, and that is not", "--secret gone=FILE.env"),
        ((), "[{configMapRef: {name: gone}}]", "which ConfigMap/gone may hold", "add the file that holds it"),
        (("{name: BASE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}",), "[]", "do not say", "write the value"),
        (("{name: BASE, value: 'http://$(VLLM_SERVICE_HOST)'}",), "[]", "do not say", "write the value"),
    ],
)
def test_one_that_nobody_can_tell_is_refused_with_what_to_give(
    variables: tuple[str, ...], more: str, unknown: str, hint: str, tmp_path: Path
) -> None:
    configuration = with_variables(
        tmp_path, *variables, "{name: NAME, value: x}", "{name: MODEL, value: a/b}", envFrom=more
    )
    (model,) = configuration.models
    assert model.unknown == ("api_base",)
    with pytest.raises(SignoffError, match=r"^api_base of the model that is judged is os\.environ/BASE") as refused:
        configuration.check_known(model)
    assert unknown in refused.value.what
    assert hint in refused.value.hint
    first = refused.value.where.partition(", ")[0]
    line = (tmp_path / "all.yaml").read_text().splitlines()[int(first.rpartition(":")[2]) - 1]
    assert line.strip() == "api_base: os.environ/BASE"


def test_a_reference_without_a_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    text = "model_list: [{model_name: a, litellm_params: {model: openai/b, api_base: os.environ/}}]\n"
    file.write_text(manifest_of(text, "|"))
    configuration = Configuration(loading.read(file)[0], "c.yaml")
    with pytest.raises(SignoffError, match=r"^api_base of .* is os\.environ/, which names no variable") as refused:
        configuration.check_known(configuration.models[0])
    assert "write os.environ/NAME" in refused.value.hint


def test_a_truth_is_one_to_litellm_and_a_text_that_only_holds_the_word_is_none(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(manifest_of("x: {a: os.environ/YES, b: see os.environ/YES, c: null}\n", "|"))
    known = Environment({"YES": Variable(" True", "")})
    configuration = Configuration(loading.read(file)[0], "c.yaml", known)
    values = [value.value if (value := configuration.get("x", name)) else None for name in "abcd"]
    assert values == [True, "see os.environ/YES", None, None]


def test_the_text_is_read_in_either_table() -> None:
    assert text_in({"binaryData": {"a": "eMO8"}}, "a") == "xü"
    assert text_in({"data": {"a": "x"}}, "b") == ""


FALLBACKS = """\
model_list:
  - {model_name: here, litellm_params: {model: a/b}}
  - {model_name: "openai/*", litellm_params: {model: openai/*}}
router_settings:
  model_group_alias: {short: here}
  fallbacks:
    - here: [short, openai/gpt, gone]
    - gone-too: [{model: away, api_key: x}, {model: here}]
litellm_settings:
  context_window_fallbacks: [{here: [large]}]
  default_fallbacks: [here, nowhere]
"""


def test_a_fallback_to_what_no_model_is_called_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(manifest_of(FALLBACKS, "|"))
    found = dict(Configuration(loading.read(file)[0], "c.yaml").dead_fallbacks)
    assert list(found) == ["gone", "away", "large", "nowhere"]
    lines = file.read_text().splitlines()
    for target, where in found.items():
        assert target in lines[int(where.rpartition(":")[2]) - 1]


@pytest.mark.parametrize("told", ["text", "[]", "{a: b}", "[[[a: [x]]]]", "[1, null, {a: 2}]", "&x [*x]"])
def test_fallbacks_of_another_form_are_read_without_a_traceback(told: str, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(manifest_of(f"model_list: []\nrouter_settings: {{fallbacks: {told}}}\n", "|"))
    names = [target for target, _ in Configuration(loading.read(file)[0], "c.yaml").dead_fallbacks]
    assert names in ([], ["text"])
