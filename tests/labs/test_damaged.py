"""Manifests that people break, or write as few do: found out all the same, or refused in one sentence with a place."""

import re
from base64 import b64encode
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from signoff.core.errors import UsageError
from tests.labs.expected import EXPECTED
from tests.labs.lab import SETTINGS, Edit, chosen, copied, line_of

pytestmark = pytest.mark.usefixtures("nothing_set")
DEPLOYMENT, CONFIG = "gateway/deployment.yaml", "gateway/configmap.yaml"
ONE, NULLS, CHART = "everything.yml", "all.yaml", "rendered.yaml"
OF_ONE = "  - apiVersion: v1\n    kind: Service\n    metadata: {name: switchboard, namespace: ml}\n    spec:\n"
ARGS = 'args: ["--config", "/etc/proxy/proxy.yaml", "--host", "0.0.0.0", "--port", "4000"]'
ENTRY = """\
      - model_name: Qwen/Qwen2.5-7B-Instruct-AWQ
        litellm_params:
          model: hosted_vllm/Qwen/Qwen2.5-7B-Instruct-AWQ
          api_base: http://qwen.ml.svc.cluster.local:8000/v1
          api_key: unused
"""
ANOTHER = """
---
apiVersion: apps/v1 # another
kind: Deployment
metadata: {name: spare, namespace: ml}
spec:
  selector: {matchLabels: {run: spare}}
  template:
    metadata: {labels: {run: spare}}
    spec: {containers: [{name: spare, image: "ghcr.io/berriai/litellm:v1.80.16"}]}
"""
CLAIM = """\
  serviceName: proxy
  volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 1Gi}}}}]
  replicas: 1
"""
API_BASE = "api_base: http://engine.attic.svc.cluster.local:8000/v1"
OF_A_VARIABLE = Edit(CONFIG, API_BASE, "api_base: os.environ/ENGINE")
PROXY = """\
model_list:
  - model_name: house-model
    litellm_params:
      model: openai/Qwen/Qwen2.5-7B-Instruct-AWQ
      api_base: http://engine.attic.svc.cluster.local:8000/v1
"""
OLD_BESIDE = Edit(
    CONFIG, "\ndata:\n", "\ndata:\n  old.yaml: 'model_list: [{model_name: x, litellm_params: {model: a/b}}]'\n"
)


def bomb(indent: str) -> str:
    """Ten aliases of ten aliases, eight times over: a billion texts in a kilobyte."""
    rows = (f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in pairwise("abcdefghi"))
    return "".join(f"{indent}{row}" for row in (f"a: &a [{', '.join('x' * 10)}]\n", *rows))


@dataclass(frozen=True)
class Odd:
    """A set that is loaded as if it were not changed; `kind` is what its gateway then is, `key` its configuration."""

    lab: str
    edits: tuple[Edit, ...]
    kind: str = "Deployment"
    key: str = ""


@dataclass(frozen=True)
class Refused:
    """A set that is refused: in which words, at which line of which file, and with which hint."""

    lab: str
    edits: tuple[Edit, ...]
    what: str
    file: str
    line: str
    hint: str = "fix the file"


ODD = {
    "of an unknown kind": Odd(
        "home_lab", (Edit(CONFIG, "", "---\napiVersion: x.example/v1\nkind: Gadget\nmetadata: {name: g}\n"),)
    ),
    "a StatefulSet without serviceName": Odd(
        "home_lab", (Edit(DEPLOYMENT, "kind: Deployment", "kind: StatefulSet"),), kind="StatefulSet"
    ),
    "a StatefulSet with claims": Odd(
        "home_lab",
        (Edit(DEPLOYMENT, "kind: Deployment", "kind: StatefulSet"), Edit(DEPLOYMENT, "  replicas: 1\n", CLAIM)),
        kind="StatefulSet",
    ),
    "a shell's line": Odd(
        "home_lab",
        (Edit(DEPLOYMENT, ARGS, 'command: [sh, -c, "exec litellm --config=/etc/proxy/proxy.yaml --port 4000"]'),),
    ),
    "a variable in the arguments, and two files with models": Odd(
        "home_lab",
        (
            Edit(DEPLOYMENT, '"/etc/proxy/proxy.yaml", "--host"', '"$(SETTINGS)", "--host"'),
            Edit(
                DEPLOYMENT,
                "          envFrom:",
                "          env: [{name: SETTINGS, value: /etc/proxy/proxy.yaml}]\n          envFrom:",
            ),
            Edit(DEPLOYMENT, "mountPath: /etc/proxy/proxy.yaml, subPath: proxy.yaml", "mountPath: /etc/proxy"),
            OLD_BESIDE,
        ),
    ),
    "a path of items that no argument names": Odd("chart", (Edit(CHART, 'path: "config.yaml"', 'path: "c.yaml"'),)),
    "a Secret that need not be there": Odd(
        "one_file",
        (
            Edit(ONE, "key: MASTER}", "key: MASTER, optional: true}"),
            Edit(SETTINGS, 'secrets.switchboard-env = "switchboard.env"\n', ""),
        ),
    ),
    "a projected volume of several sources": Odd(
        "home_lab",
        (
            Edit(
                DEPLOYMENT,
                "configMap: {name: proxy-settings}",
                "projected: {sources: [{secret: {name: proxy-keys}}, {configMap: {name: proxy-settings}}]}",
            ),
            OLD_BESIDE,
        ),
    ),
    "the configuration in base64": Odd(
        "home_lab",
        (
            Edit(
                CONFIG,
                "data:\n  proxy.yaml: |\n",
                f"binaryData:\n  proxy.yaml: {b64encode(PROXY.encode()).decode()}\ndata:\n  old.yaml: |\n",
            ),
        ),
    ),
    "a program beside it with a configuration of its own": Odd(
        "home_lab",
        (
            Edit(
                DEPLOYMENT,
                "      containers:\n",
                "      containers:\n"
                "        - {name: logs, image: 'locustio/locust:2.47.0', args: [--config, /etc/proxy/old.yaml]}\n",
            ),
            Edit(DEPLOYMENT, "mountPath: /etc/proxy/proxy.yaml, subPath: proxy.yaml", "mountPath: /etc/proxy"),
            OLD_BESIDE,
        ),
    ),
    "an api_base in a variable": Odd(
        "home_lab",
        (
            OF_A_VARIABLE,
            Edit(
                DEPLOYMENT,
                "          envFrom:",
                "          env: [{name: ENGINE, value: 'http://engine.attic.svc.cluster.local:8000/v1'}]\n"
                "          envFrom:",
            ),
        ),
    ),
    "an api_base in a Secret that is given": Odd(
        "home_lab",
        (OF_A_VARIABLE, Edit("keys.env", "", "\nENGINE=http://engine.attic.svc.cluster.local:8000/v1\n")),
    ),
    "a list of nothing": Odd("one_file", (Edit(ONE, "", "---\nkind: List\napiVersion: v1\nitems:\n"),)),
    "a target by a name that no port has": Odd(
        "home_lab", (Edit(DEPLOYMENT, "targetPort: web", "targetPort: nowhere"),)
    ),
    "a Service that selects nobody": Odd(
        "one_file", (Edit(ONE, "      selector: {svc: switchboard}\n", "      selector: {svc: swichboard}\n"),)
    ),
    "a Service without a selector": Odd("one_file", (Edit(ONE, "      selector: {svc: switchboard}\n", ""),)),
    "a preferred node only": Odd(
        "nulls",
        (
            Edit(
                NULLS,
                "requiredDuringSchedulingIgnoredDuringExecution:\n            nodeSelectorTerms:\n              - ",
                "preferredDuringSchedulingIgnoredDuringExecution:\n            - weight: 1\n              preference:\n"
                "                ",
            ),
        ),
    ),
    "a moving tag": Odd(
        "one_file",
        (Edit(SETTINGS, 'litellm_image = "docker.litellm.ai/berriai/litellm:main-v1.80.16-stable"\n', ""),),
    ),
}

REFUSED = {
    "a mapping for a list": Refused(
        "home_lab",
        (
            Edit(
                DEPLOYMENT,
                "          ports:\n            - {name: web, containerPort: 4000}",
                "          ports: {a: b}",
            ),
        ),
        "spec.template.spec.containers.0.ports is not a list",
        DEPLOYMENT,
        "ports: {a: b}",
    ),
    "a text for a list": Refused(
        "nulls", (Edit(NULLS, "          env:\n", "          env: A=b\n"),), "env is not a list", NULLS, "env: A=b"
    ),
    "a number for a text": Refused(
        "nulls", (Edit(NULLS, "[k3s-gpu-worker]", "[17]"),), "values.0 is not a string", NULLS, "values: [17]"
    ),
    "a truth for a text": Refused(
        "one_file",
        (Edit(ONE, "metadata: {labels: {svc: switchboard}}", "metadata: {labels: {svc: switchboard, on: yes}}"),),
        "labels.true is not a string",
        ONE,
        "on: yes",
    ),
    "a text for a port": Refused(
        "one_file",
        (Edit(ONE, "ports: [{port: 4000}]", 'ports: [{port: "4000"}]'),),
        "spec.ports.0.port is not a whole number",
        ONE,
        'port: "4000"',
    ),
    "no kind": Refused("home_lab", (Edit(CONFIG, "kind: ConfigMap\n", ""),), "kind is missing", CONFIG, "apiVersion"),
    "no name": Refused(
        "home_lab",
        (Edit(DEPLOYMENT, "metadata:\n  name: proxy\n", "metadata: # of nobody\n"),),
        "metadata.name is missing",
        DEPLOYMENT,
        "# of nobody",
    ),
    "a key twice": Refused(
        "home_lab",
        (Edit(DEPLOYMENT, "  type: ClusterIP\n", "  type: ClusterIP\n  type: NodePort\n"),),
        "duplicate key 'type'",
        DEPLOYMENT,
        "type: NodePort",
    ),
    "a tab": Refused(
        "home_lab", (Edit(CONFIG, "  name: proxy-settings", "\tname: x"),), "not valid YAML", CONFIG, "\tname: x"
    ),
    "a chart's template": Refused(
        "home_lab",
        (Edit(DEPLOYMENT, "  replicas: 1", "  replicas: {{ .Values.replicas }}"),),
        "a key is not a string",
        DEPLOYMENT,
        ".Values",
        "helm template",
    ),
    "aliases of aliases in the configuration": Refused(
        "nulls",
        (Edit(NULLS, "    router_settings:\n", bomb("    ")),),
        "is not valid YAML: its aliases make it larger than a Kubernetes object can be",
        NULLS,
        "litellm.yaml:",
        "fix it",
    ),
    "aliases of aliases in the name of a model": Refused(
        "chart",
        (
            Edit(CHART, "    model_list:\n", f"{bomb('    ')}    model_list:\n"),
            Edit(CHART, "model_name: assistant", "model_name: *i"),
        ),
        "is not valid YAML: its aliases make it larger than a Kubernetes object can be",
        CHART,
        "config.yaml: ",
        "fix it",
    ),
    "an alias of itself": Refused(
        "nulls",
        (Edit(NULLS, "    router_settings:\n", "    x: &x [*x]\n"),),
        "is not valid YAML: nested too deeply",
        NULLS,
        "litellm.yaml:",
        "fix it",
    ),
    "aliases of aliases": Refused(
        "nulls",
        (Edit(NULLS, "spec:\n  strategy:\n", f"{bomb('')}spec:\n  strategy:\n"),),
        "its aliases make it larger than a Kubernetes object can be",
        NULLS,
        "apiVersion: apps/v1",
    ),
    "a Secret without base64": Refused(
        "chart",
        (Edit(CHART, "c2stZnJvbnQtbWFkZS11cC00", "sk-plain!"),),
        "data.masterkey is not base64",
        CHART,
        "sk-plain!",
    ),
    "no configuration": Refused(
        "home_lab",
        (Edit(CONFIG, "kind: ConfigMap", "kind: Gadget"),),
        "LiteLLM's configuration is in no ConfigMap among the manifests",
        DEPLOYMENT,
        "containers:",
        "--config names (/etc/proxy/proxy.yaml)",
    ),
    "the configuration in a Secret": Refused(
        "nulls",
        (Edit(NULLS, "configMap: {name: gateway-config}", "secret: {secretName: gateway-config}"),),
        "LiteLLM's configuration is in the Secret gateway-config, and can be judged in a ConfigMap alone",
        NULLS,
        "volumes:",
        "from a ConfigMap",
    ),
    "a key of items that the ConfigMap has not": Refused(
        "chart",
        (Edit(CHART, 'key: "config.yaml"', 'key: "conf.yaml"'),),
        "ConfigMap/front-litellm-config has no key conf.yaml",
        CHART,
        "volumes:",
        "config.yaml",
    ),
    "several files with models": Refused(
        "home_lab",
        (
            OLD_BESIDE,
            Edit(DEPLOYMENT, "mountPath: /etc/proxy/proxy.yaml, subPath: proxy.yaml", "mountPath: /srv"),
        ),
        "have a model_list: old.yaml of ConfigMap/proxy-settings and proxy.yaml of ConfigMap/proxy-settings",
        DEPLOYMENT,
        "containers:",
        "/etc/proxy/proxy.yaml",
    ),
    "a configuration that is not YAML": Refused(
        "home_lab",
        (Edit(CONFIG, "    model_list:", "    model_list: ["),),
        "LiteLLM's configuration is not valid YAML: ",
        CONFIG,
        "- model_name: pocket",
        "fix it",
    ),
    "a tab in the configuration": Refused(
        "home_lab",
        (Edit(CONFIG, "      num_retries: 2", "    \tnum_retries: 2"),),
        "LiteLLM's configuration is not valid YAML: ",
        CONFIG,
        "\tnum_retries",
        "fix it",
    ),
    "a configuration that is a list": Refused(
        "home_lab",
        (Edit(CONFIG, "  proxy.yaml: |", "  proxy.yaml: '[a]'\n  x: |"),),
        "LiteLLM's configuration is no mapping",
        CONFIG,
        "proxy.yaml: '[a]'",
        "write `model_list:`",
    ),
    "a configuration of nothing": Refused(
        "home_lab",
        (Edit(CONFIG, "  proxy.yaml: |", "  proxy.yaml:\n  x: |"),),
        "LiteLLM's configuration is no mapping",
        CONFIG,
        "proxy.yaml:",
        "write `model_list:`",
    ),
    "no models": Refused(
        "nulls",
        (Edit(NULLS, f"    model_list:\n{ENTRY}", "    model_list: []\n"),),
        "LiteLLM's configuration has a model_list without a model",
        NULLS,
        "model_list: []",
        "`- model_name: NAME`",
    ),
    "no model_list": Refused(
        "nulls",
        (Edit(NULLS, f"    model_list:\n{ENTRY}", "    model_lists: []\n"),),
        "LiteLLM's configuration has no model_list",
        NULLS,
        "router_settings:",
        "`- model_name: NAME`",
    ),
    "a model without its parameters": Refused(
        "nulls",
        (Edit(NULLS, "        litellm_params:\n", "        parameters:\n"),),
        "LiteLLM's configuration has a model_list without a model",
        NULLS,
        "model_list:",
        "`litellm_params:`",
    ),
    "a backend elsewhere": Refused(
        "home_lab",
        (Edit(CONFIG, "http://engine.attic.svc.cluster.local:8000/v1", "https://llm.example.com/v1"),),
        "api_base names none: https://llm.example.com",
        CONFIG,
        "llm.example.com",
        "write `api_base: http://NAME.attic.svc.cluster.local:8000/v1`",
    ),
    "an api_base in a variable that nothing sets": Refused(
        "home_lab",
        (OF_A_VARIABLE,),
        "api_base of the model that is judged is os.environ/ENGINE, and Deployment/llm-proxy sets no variable ENGINE",
        CONFIG,
        "os.environ/ENGINE",
        "add ENGINE to its env, or write the value",
    ),
    "an api_base in a Secret that is not given": Refused(
        "home_lab",
        (OF_A_VARIABLE, Edit(SETTINGS, 'secrets.proxy-keys = "keys.env"\n', "")),
        "is os.environ/ENGINE, which Secret/proxy-keys may hold, and that is not among the manifests",
        CONFIG,
        "os.environ/ENGINE",
        "give it with --secret proxy-keys=FILE.env",
    ),
    "sources of a projected volume that are no list": Refused(
        "home_lab",
        (Edit(DEPLOYMENT, "configMap: {name: proxy-settings}", "projected: {sources: {configMap: {}}}"),),
        "projected.sources is not a list",
        DEPLOYMENT,
        "sources: {configMap",
    ),
    "two gateways": Refused(
        "nulls",
        (Edit(NULLS, "", ANOTHER),),
        "several workloads run LiteLLM: Deployment/gateway and Deployment/spare",
        NULLS,
        "# another",
        "set `gateway`",
    ),
    "a DaemonSet": Refused(
        "home_lab",
        (Edit(DEPLOYMENT, "kind: Deployment", "kind: DaemonSet"),),
        "runs LiteLLM: DaemonSet/llm-proxy is neither",
        DEPLOYMENT,
        "kind: DaemonSet",
        "set `gateway`",
    ),
    "no Service": Refused(
        "one_file",
        (Edit(ONE, f"{OF_ONE}      selector: {{svc: switchboard}}\n      ports: [{{port: 4000}}]\n", ""),),
        "no Service leads to the pods of Deployment/switchboard",
        ONE,
        "metadata: {labels: {svc: switchboard}}",
        "add one with the selector svc=switchboard and the port 4000",
    ),
    "another namespace": Refused(
        "home_lab",
        (Edit(SETTINGS, 'namespace = "attic"\n', ""),),
        "Deployment/llm-proxy is in the namespace attic, and ml is the one to be judged",
        DEPLOYMENT,
        "namespace: attic",
        "set `namespace` to attic",
    ),
    "a Secret without the key that is asked of it": Refused(
        "one_file",
        (Edit("switchboard.env", "MASTER=", "OTHER="),),
        "Secret/switchboard-env has no key MASTER, without which Deployment/switchboard does not start",
        ONE,
        "key: MASTER",
        "correct the one or the other",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_found_out(name: str, tmp_path: Path) -> None:
    odd = ODD[name]
    found = chosen(copied(odd.lab, tmp_path, odd.edits)).manifests
    expected = EXPECTED[odd.lab]
    assert (found.roles.gateway.kind, found.roles.gateway.name) == (odd.kind, expected.gateway.name)
    assert (found.roles.gateway.service, found.roles.config) == (expected.gateway.service, expected.config)
    assert found.roles.model.asked == expected.asked
    assert found.second_gateway("second", lambda config: config.update(extra=1))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_is_refused_with_its_line_and_what_to_do(name: str, tmp_path: Path) -> None:
    case = REFUSED[name]
    folder = copied(case.lab, tmp_path, case.edits)
    with pytest.raises(UsageError) as refused:
        chosen(folder)
    assert case.what in refused.value.what
    assert line_of(folder / case.file, case.line) in refused.value.where
    assert case.hint in refused.value.hint
    assert "\n" not in refused.value.what


@pytest.mark.parametrize("lab", EXPECTED)
@pytest.mark.parametrize("how", ["lines of Windows", "a byte order mark", "no line break at the end"])
def test_files_as_other_editors_write_them(lab: str, how: str, tmp_path: Path) -> None:
    folder = copied(lab, tmp_path)
    for file in (path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml", ".env")):
        data = file.read_bytes()
        written = {
            "lines of Windows": data.replace(b"\n", b"\r\n"),
            "a byte order mark": b"\xef\xbb\xbf" + data,
            "no line break at the end": data.rstrip(b"\n"),
        }
        file.write_bytes(written[how])
    found, expected = chosen(folder).manifests, EXPECTED[lab]
    assert (found.roles.gateway, found.roles.config) == (expected.gateway, expected.config)


def test_a_secret_that_is_given_and_among_the_manifests_is_refused(tmp_path: Path) -> None:
    given = Edit(SETTINGS, "[waive]", 'secrets.front-litellm-masterkey = "key.env"\n[waive]')
    folder = copied("chart", tmp_path, [given])
    (folder / "key.env").write_text("masterkey=sk-made-up-6\n")
    with pytest.raises(UsageError, match=r"^Secret/front-litellm-masterkey is given, and is among") as refused:
        chosen(folder)
    assert f"key.env, {line_of(folder / CHART, 'apiVersion: v1')}" in refused.value.where


def test_a_name_of_a_model_may_be_long(tmp_path: Path) -> None:
    long = "a" * 20_000
    folder = copied("chart", tmp_path, [Edit(CHART, "model_name: assistant", f"model_name: {long}")])
    assert chosen(folder).manifests.roles.model.asked == long


def test_without_the_stand_in_a_backend_has_to_be_there(tmp_path: Path) -> None:
    folder = copied("chart", tmp_path, [Edit(SETTINGS, "stand_in = true\n", "")])
    with pytest.raises(UsageError, match="no manifest is a Deployment or StatefulSet that runs vLLM") as refused:
        chosen(folder)
    assert "`stand_in = true`" in refused.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = copied("nulls", tmp_path)
    (folder / NULLS).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is not UTF-8") as refused:
        chosen(folder)
    assert re.search(r"all\.yaml$", refused.value.where)
