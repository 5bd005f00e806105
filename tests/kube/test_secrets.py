"""Secrets of manifests and of files: read as kubectl reads them, or refused with the line, and never shown."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from signoff.core.errors import SignoffError, UsageError
from signoff.core.redact import scrubbed
from signoff.kube import loading, secrets
from signoff.kube.manifests import StoryManifests
from signoff.kube.missing import Missing, check_complete, missing
from signoff.kube.missing import given as given_secrets
from signoff.kube.objects import Manifest

HUSH = "hush-hush-5"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def written(folder: Path, content: bytes | str) -> Path:
    file = folder / "secrets.env"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(folder: Path, content: bytes | str) -> dict[str, str]:
    (manifest,) = secrets.read({"litellm-secrets": written(folder, content)}, "ml")
    assert manifest.name == "Secret/litellm-secrets"
    assert manifest.body["metadata"]["namespace"] == "ml"
    return {key: base64.b64decode(value).decode() for key, value in manifest.body["data"].items()}


# --secret NAME=FILE.env


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ("KEY=sk-1234\n", {"KEY": "sk-1234"}),
        ("KEY=sk-1234", {"KEY": "sk-1234"}),
        ("\ufeffKEY=sk-1234\n", {"KEY": "sk-1234"}),
        ("# a comment\n\n   # another\n  KEY=a\n", {"KEY": "a"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("KEY=\"quoted\" 'so' # no comment \n", {"KEY": "\"quoted\" 'so' # no comment "}),
        ("KEY=a=b==\nEMPTY=\n", {"KEY": "a=b==", "EMPTY": ""}),
        ("a.b-c_D=1\n.x=2\n", {"a.b-c_D": "1", ".x": "2"}),
        ("KEY=\u2028in a line\n", {"KEY": "\u2028in a line"}),
        ("\u00a0\u2003KEY=1\n", {"KEY": "1"}),
    ],
)
def test_a_file_is_read_as_kubectl_reads_it(content: str, held: dict[str, str], tmp_path: Path) -> None:
    assert read(tmp_path, content) == held


def test_a_key_alone_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_SHELL", HUSH)
    assert read(tmp_path, "OF_THE_SHELL\n") == {"OF_THE_SHELL": HUSH}


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", 0, "holds no value"),
        ("# nothing\n\n", 0, "holds no value"),
        (f"A=1\n{HUSH}\n", 2, "a key alone, and no variable"),
        (f"export KEY={HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"KEY ={HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"={HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"1KEY={HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"..={HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"KEY: {HUSH}\n", 1, "not of the form KEY=VALUE"),
        (f"A=1\nA={HUSH}\n", 2, "the key of line 1 is there again"),
        (b"A=1\nB=\xff" + HUSH.encode(), 2, "not UTF-8"),
        (b"\xff\xfeK\x00", 1, "not UTF-8"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line_and_not_repeated(
    content: bytes | str, line: int, why: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        read(tmp_path, content)
    file = str(tmp_path / "secrets.env")
    assert refused.value.where == (f"{file}:{line}" if line else file)
    assert refused.value.hint
    assert HUSH not in str(refused.value) + repr(refused.value)
    assert (refused.value.__cause__ is None and refused.value.__suppress_context__) or refused.value.__context__ is None


def test_a_file_that_cannot_be_read_is_refused_by_what_named_it(tmp_path: Path) -> None:
    for file, why in ((tmp_path / "none.env", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=why) as refused:
            secrets.read({"litellm-secrets": file}, "ml")
        assert refused.value.where == f"--secret litellm-secrets={file}"


@pytest.mark.parametrize(
    "name", ["Upper", "under_score", "-x", "x-", "a..b", "x" * 254, "", "Ml/x", "a.b/x", "/x", "ml/", "a/b/x"]
)
def test_a_name_that_no_object_may_have_is_refused(name: str, tmp_path: Path) -> None:
    file = written(tmp_path, "A=1")
    with pytest.raises(UsageError, match="cannot be called so") as refused:
        secrets.read({name: file}, "ml")
    assert refused.value.where == f"--secret {name}={file}"
    assert "NAMESPACE/NAME=FILE.env" in refused.value.hint


# Which namespace one is for


def of_namespaces(*namespaces: str) -> list[dict[str, Any]]:
    """Pods in each of these that take their variables from a Secret which nobody makes."""
    bodies = [pods(envFrom=[{"secretRef": {"name": "keys"}}]) for _ in namespaces]
    for body, namespace in zip(bodies, namespaces, strict=True):
        body["metadata"] = body["metadata"] | {"namespace": namespace}
    return bodies


@pytest.mark.parametrize(
    ("needed_in", "given", "homes"),
    [
        (["ml"], ["keys"], ["ml"]),
        (["tools"], ["keys"], ["tools"]),
        (["ml", "tools"], ["tools/keys"], ["tools"]),
        (["ml", "tools"], ["tools/keys", "ml/keys"], ["tools", "ml"]),
    ],
)
def test_a_secret_is_for_the_namespace_that_is_said_else_for_the_one_that_misses_it(
    needed_in: list[str], given: list[str], homes: list[str], tmp_path: Path
) -> None:
    found = loaded(tmp_path, *of_namespaces(*needed_in), {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}})
    file = written(tmp_path, "A=1")
    made = given_secrets(found, dict.fromkeys(given, file), "ml")
    assert [each.body["metadata"]["namespace"] for each in made] == homes
    lacking = [each.namespace for each in missing([*found, *made], "ml")]
    assert lacking == [each for each in needed_in if each not in homes]


def test_where_several_namespaces_miss_a_secret_it_has_to_be_said_for_which_it_is(tmp_path: Path) -> None:
    found, file = loaded(tmp_path, *of_namespaces("ml", "tools")), written(tmp_path, "A=1")
    with pytest.raises(UsageError, match="pods of several namespaces need a Secret keys: ml and tools") as refused:
        given_secrets(found, {"keys": file}, "ml")
    assert "--secret ml/keys=FILE.env --secret tools/keys=FILE.env" in refused.value.hint
    with pytest.raises(UsageError, match="Secret/keys of the namespace ml is given twice"):
        secrets.read({"keys": file, "ml/keys": file}, "ml")
    with pytest.raises(UsageError) as refused:
        check_complete(found, "ml")
    assert refused.value.hint == "give it with --secret keys=FILE.env --secret tools/keys=FILE.env"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("kyes", "; did you mean 'keys'?"), ("ml/keys", ""), ("ml/kyes", ""), ("tools/kyes", "; did you mean 'keys'?")],
)
def test_a_name_that_no_manifest_refers_to_is_refused(given: str, meant: str, tmp_path: Path) -> None:
    found, file = loaded(tmp_path, *of_namespaces("tools")), written(tmp_path, "A=1")
    home = given.rpartition("/")[0] or "tools"
    with pytest.raises(UsageError) as refused:
        given_secrets(found, {given: file}, home)
    name = given.rpartition("/")[2]
    assert refused.value.what == f"no manifest of the namespace {home} refers to Secret/{name}{meant}"
    assert refused.value.where == f"--secret {given}={file}"


OPTIONAL = {"name": "a", "image": "a", "envFrom": [{"secretRef": {"name": "keys", "optional": True}}]}
OTHER_REFERENCES: list[dict[str, Any]] = [
    {"kind": "Pod", "spec": {"imagePullSecrets": [{"name": "keys"}]}},
    {"kind": "Ingress", "spec": {"tls": [{"secretName": "keys"}]}},
    {"kind": "Gateway", "spec": {"listeners": [{"tls": {"certificateRefs": [{"kind": "Secret", "name": "keys"}]}}]}},
    {"kind": "ServiceAccount", "secrets": [{"name": "keys"}]},
    {"kind": "Job", "spec": {"template": {"spec": {"containers": [OPTIONAL]}}}},
]


@pytest.mark.parametrize("body", OTHER_REFERENCES, ids=lambda body: body["kind"])
def test_whatever_names_a_secret_refers_to_it(body: dict[str, Any], tmp_path: Path) -> None:
    found = loaded(tmp_path, {"apiVersion": "v1", "metadata": {"name": "x"}, **body})
    assert given_secrets(found, {"keys": written(tmp_path, "A=1")}, "ml")


def test_one_of_another_namespace_that_is_among_the_manifests_is_not_given(tmp_path: Path) -> None:
    there = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "tools"}}
    found, file = loaded(tmp_path, there), written(tmp_path, "A=1")
    assert given_secrets([*found, *loaded(tmp_path, *of_namespaces("ml"))], {"ml/keys": file}, "ml")
    with pytest.raises(UsageError, match="Secret/keys is given, and is among the manifests"):
        given_secrets(found, {"tools/keys": file}, "ml")


@given(st.binary(max_size=60) | st.text(alphabet="AB=#\n\r\t \ufeff\xa0.\"'\\$", max_size=40).map(str.encode))
@example(b"\xef\xbb\xbf\xef\xbb\xbfA=1")
@example(b"A=1\x00")
@example(b"A\x00")
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = written(tmp_path_factory.getbasetemp(), content)
    try:
        (manifest,) = secrets.read({"s": file}, "ml")
    except UsageError as error:
        told = str(error).replace(str(file), "")
        values = [line.partition(b"=")[2].strip() for line in content.split(b"\n")]
        assert not any(len(each) > 5 and each.decode(errors="replace") in told for each in values)
        return
    for key, value in manifest.body["data"].items():
        own = os.environb.get(key.encode())
        assert base64.b64decode(value) == own or f"{key}=".encode() + base64.b64decode(value) in content
    assert manifest.line("data") == 1


# Secrets among the manifests


def secret(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "litellm-secrets", "namespace": "ml"}, **more}


def loaded(folder: Path, *bodies: dict[str, Any]) -> list[Manifest]:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    return loading.read(folder / "all.yaml")


CONFIG = "model_list: []\ngeneral_settings:\n  master_key: sk-1234\n"


def config_map(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": text}}


def pods(name: str = "litellm", **container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "litellm", "image": "litellm:1", **container}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    metadata = {"name": name, "namespace": "ml"}
    selector = {"matchLabels": {"app": name}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    return {**body, "spec": {"selector": selector, "template": template}}


@pytest.mark.parametrize(
    "body",
    [
        secret(stringData={"LITELLM_MASTER_KEY": HUSH}),
        secret(data={"LITELLM_MASTER_KEY": encoded(HUSH)}),
        secret(data={"anything": encoded(f"{HUSH}\n")}),
        config_map(CONFIG.replace("sk-1234", HUSH)),
        config_map(f"environment_variables: {{OPENAI_API_KEY: {HUSH}}}"),
        pods(env=[{"name": "LITELLM_MASTER_KEY", "value": HUSH}]),
        config_map(f"model_list: [{{litellm_params: {{model: a, api_key: {HUSH}}}}}]"),
        config_map(f"litellm_settings: {{cache_params: {{type: redis, password: {HUSH}}}}}"),
        config_map(f"general_settings: {{alert_to_webhook_url: {{budget: [{HUSH}]}}}}"),
        config_map(f"general_settings: {{database_url: 'postgresql://u:{HUSH}@db/x'}}"),
        config_map("model_list: []") | {"data": {"OPENAI_API_KEY": HUSH}},
        pods(env=[{"name": "DATABASE_URL", "value": f"postgresql://u:{HUSH}@db/x"}]),
        pods(env=[{"name": "SLACK_WEBHOOK_URL", "value": HUSH}]),
        pods(args=["--port", "8000", "--api-key", HUSH]),
        pods(args=[f"--api-key={HUSH}"]),
        pods(command=["sh", "-c", f"vllm serve --api-key '{HUSH}' --port 8000"]),
        pods(livenessProbe={"httpGet": {"httpHeaders": [{"name": "Authorization", "value": f"Bearer {HUSH}"}]}}),
        {**pods(env=[{"name": "API_KEY", "value": HUSH}]), "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"},
    ],
)
def test_what_manifests_hold_is_shown_nowhere_and_hashed_nowhere(body: dict[str, Any], tmp_path: Path) -> None:
    (manifest,) = loaded(tmp_path, body)
    assert scrubbed(f"it said {HUSH}") == "it said [redacted]"
    assert (manifest.sha256, manifest.object_sha256) == ("", "")
    assert HUSH not in repr(manifest) and encoded(HUSH) not in repr(manifest)


def test_a_secret_too_short_to_be_hidden_is_hashed_nowhere_either(tmp_path: Path) -> None:
    (manifest,) = loaded(tmp_path, pods(env=[{"name": "LITELLM_MASTER_KEY", "value": "sk-1"}]))
    assert (manifest.sha256, manifest.object_sha256) == ("", "")


@pytest.mark.parametrize(
    "body",
    [
        *(
            config_map(f"model_list: [{{litellm_params: {{model: a, api_key: {value}}}}}]")
            for value in ("none", "sk-none", "EMPTY", "os.environ/OPENAI_API_KEY", "not-needed", "''", "null")
        ),
        config_map("model_list: [{model_info: {input_cost_per_token: 1000000}}]"),
        config_map("litellm_settings: {drop_params: true, set_verbose: false}"),
        pods(env=[{"name": "DATABASE_URL", "value": "postgresql://u:$(DB_PASSWORD)@db/x"}]),
        pods(args=["--api-key", "$(VLLM_API_KEY)", "--enable-token", "--port=8000"]),
        pods(command=["sh", "-c", "vllm serve --api-key $VLLM_API_KEY"]),
        pods(env=[{"name": "OPENAI_API_KEY", "value": ""}]),
    ],
)
def test_what_stands_for_no_secret_is_none(body: dict[str, Any], tmp_path: Path) -> None:
    (manifest,) = loaded(tmp_path, body)
    assert manifest.sha256
    assert manifest.object_sha256


def test_the_storys_manifests_hold_no_secret() -> None:
    found = StoryManifests.read()
    assert all(each.sha256 and each.object_sha256 for each in (*found.gateway, *found.backend))


def test_a_value_that_somebody_wrote_without_base64_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SignoffError, match=r"data\.KEY is not base64") as refused:
        loaded(tmp_path, secret(data={"KEY": HUSH}))
    assert refused.value.where == f"{tmp_path / 'all.yaml'}:3"
    assert HUSH not in str(refused.value)


def test_a_file_with_a_secret_has_no_hash_and_other_objects_keep_their_own(tmp_path: Path) -> None:
    short_one, deployment = loaded(tmp_path, secret(stringData={"PASSWORD": "abc"}), pods())
    assert (short_one.sha256, short_one.object_sha256, deployment.sha256) == ("", "", "")
    assert deployment.object_sha256
    (alone,) = loaded(tmp_path, pods())
    assert alone.sha256 and alone.object_sha256 == deployment.object_sha256


def test_what_a_file_given_holds_is_hidden_and_hashed_nowhere(tmp_path: Path) -> None:
    (manifest,) = secrets.read({"litellm-secrets": written(tmp_path, f"LITELLM_MASTER_KEY={HUSH}")}, "ml")
    assert scrubbed(f"{HUSH} {encoded(HUSH)}") == "[redacted] [redacted]"
    assert (manifest.sha256, manifest.object_sha256) == ("", "")


def test_an_address_in_a_secret_that_stands_openly_too_is_written(tmp_path: Path) -> None:
    address = "http://vllm:8000/v1"
    loaded(tmp_path, config_map(f"model_list: [{{litellm_params: {{api_base: {address}}}}}]"))
    secrets.read({"s": written(tmp_path, f"OPENAI_API_BASE={address}\nDATABASE_URL=postgres://u:{HUSH}@db/x\n")}, "ml")
    assert scrubbed(f"{address} postgres://u:{HUSH}@db/x") == f"{address} [redacted]"


@pytest.mark.parametrize("data", [["x"], {"a": 5}, {"a": "no base64!"}, None, {"a": None}])
def test_a_secret_that_holds_nonsense_is_refused_or_holds_nothing(data: Any, tmp_path: Path) -> None:
    try:
        (manifest,) = loaded(tmp_path, secret(data=data))
    except SignoffError as error:
        assert "not a Kubernetes object" in str(error)
        return
    assert set(secrets.values(manifest.body).values()) <= {b""}


# What no manifest makes

EVERYTHING: dict[str, Any] = {
    "env": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "of-env", "key": "a"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "config-of-env", "key": "b"}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "optional", "key": "c", "optional": True}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "of-env", "key": "d"}}},
    ],
    "envFrom": [{"secretRef": {"name": "of-env-from"}}, {"configMapRef": {"name": "optional", "optional": True}}],
}
IN_EVERY_NAMESPACE = {"configMap": {"name": "kube-root-ca.crt"}}
VOLUMES = [
    {"name": "one", "secret": {"secretName": "of-volume"}},
    {"name": "two", "configMap": {"name": "config-of-volume"}},
    {"name": "three", "secret": {"secretName": "optional", "optional": True}},
    {"name": "four", "projected": {"sources": [{"secret": {"name": "of-projected"}}, IN_EVERY_NAMESPACE]}},
]


def needy() -> dict[str, Any]:
    body = pods(**EVERYTHING)
    body["spec"]["template"]["spec"] |= {"volumes": VOLUMES, "imagePullSecrets": [{"name": "for-pulling"}]}
    return body


def test_what_pods_cannot_start_without_is_found_wherever_they_name_it(tmp_path: Path) -> None:
    found = missing(loaded(tmp_path, needy()), "ml")
    assert [each.object for each in found] == [
        "Secret/of-env",
        "ConfigMap/config-of-env",
        "Secret/of-env-from",
        "Secret/of-volume",
        "ConfigMap/config-of-volume",
        "Secret/of-projected",
    ]
    lines = (tmp_path / "all.yaml").read_text().splitlines()
    for each in found:
        for where in each.referred:
            assert each.name in lines[int(where.rpartition(":")[2]) - 1]
    assert len(found[0].referred) == 2


def test_what_is_there_is_not_missing_if_it_is_in_the_pods_namespace(tmp_path: Path) -> None:
    asks = pods(envFrom=[{"secretRef": {"name": "litellm-secrets"}}])
    assert missing(loaded(tmp_path, asks, secret()), "ml") == []
    elsewhere = secret() | {"metadata": {"name": "litellm-secrets", "namespace": "other"}}
    assert [each.object for each in missing(loaded(tmp_path, asks, elsewhere), "ml")] == ["Secret/litellm-secrets"]
    without = secret() | {"metadata": {"name": "litellm-secrets"}}
    assert missing(loaded(tmp_path, asks, without), "ml") == []
    given_one = secrets.read({"litellm-secrets": written(tmp_path, "A=1")}, "ml")
    assert missing([*loaded(tmp_path, asks), *given_one], "ml") == []


def test_the_refusal_says_which_where_and_how_to_give_it(tmp_path: Path) -> None:
    asks = pods(envFrom=[{"secretRef": {"name": "litellm-secrets"}}])
    with pytest.raises(UsageError) as refused:
        check_complete(loaded(tmp_path, asks), "ml")
    assert refused.value.what == "Secret/litellm-secrets is not among the manifests"
    assert refused.value.where.startswith(f"{tmp_path / 'all.yaml'}:")
    assert refused.value.hint == "give it with --secret litellm-secrets=FILE.env"
    check_complete(loaded(tmp_path, asks, secret()), "ml")


def test_secrets_are_given_and_files_added(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        check_complete(loaded(tmp_path, needy()), "ml")
    assert "give it with --secret of-env=FILE.env --secret of-env-from=FILE.env" in refused.value.hint
    assert "add the file that holds ConfigMap/config-of-env and ConfigMap/config-of-volume" in refused.value.hint


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ExternalSecret", {"target": {"name": "litellm-secrets"}}),
        ("ExternalSecret", {}),
        ("SealedSecret", {"template": {"metadata": {"name": "litellm-secrets"}}}),
        ("SealedSecret", {"encryptedData": {}}),
        ("VaultStaticSecret", {"destination": {"name": "litellm-secrets"}}),
        ("Certificate", {"secretName": "litellm-secrets"}),
    ],
)
def test_what_a_controller_would_make_is_named(kind: str, spec: dict[str, Any], tmp_path: Path) -> None:
    maker = {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "litellm-secrets"}, "spec": spec}
    asks = pods(envFrom=[{"secretRef": {"name": "litellm-secrets"}}])
    (found,) = missing(loaded(tmp_path, maker, asks), "ml")
    assert found == Missing("Secret", "litellm-secrets", found.referred, f"{kind}/litellm-secrets", "ml")
    with pytest.raises(UsageError, match=f"{kind}/litellm-secrets makes it only where its controller runs"):
        check_complete(loaded(tmp_path, maker, asks), "ml")
