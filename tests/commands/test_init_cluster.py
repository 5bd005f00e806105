"""`signoff init --kube-context` finds in what stands on a cluster what the story does not say, and changes nothing."""

import itertools
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.cli import main
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import REFUSED
from signoff.core.words import listed
from signoff.gateway.live_survey import survey_cluster
from signoff.gateway.survey import Fact, Question
from signoff.kube import standing
from signoff.kube.client import Kube
from signoff.settings import Settings
from signoff.settings.model import PREFIX
from signoff.settings.reading import read
from tests.home import KEY, applied, home, of, strangers

Capture = pytest.CaptureFixture[str]
_NUMBERS = itertools.count(1)
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
NODES: dict[str, dict[str, Any]] = {
    "master": {"labels": {CONTROL_PLANE: "true"}, "taints": [CONTROL_PLANE]},
    "nuc-1": {"labels": {CONTROL_PLANE: "true", "gpu": "false"}},
    "nuc-2": {},
    "tower": {"allocatable": {"nvidia.com/gpu": "1"}, "ready": False},
    "attic": {"labels": {"nvidia.com/gpu.present": "true"}},
    "cellar": {"taints": ["gpu"]},
}
"""A home's: a control plane that takes no pods and one that does, and three with a GPU, known by different things."""


@pytest.fixture(scope="module")
def plane(plane: EmbeddedCluster) -> EmbeddedCluster:
    """A control plane of which nothing runs the nodes."""
    kube = Kube(plane.kubeconfig)
    for name, told in NODES.items():
        taints = [{"key": key, "effect": "NoSchedule", "value": ""} for key in told.get("taints", ())]
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **told.get("labels", {})}}
        kube.core.create_node({"metadata": metadata, "spec": {"taints": taints}})
        conditions = [{"type": "Ready", "status": str(told.get("ready", True)), "reason": "x", "message": "x"}]
        status = {"conditions": conditions, "allocatable": told.get("allocatable", {"cpu": "4"})}
        kube.core.patch_node_status(name, {"status": status})
    return plane


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: EmbeddedCluster) -> Path:
    """An empty folder that is the current one, and a kubeconfig whose context is called home."""
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIGNOFF_CACHE", str(tmp_path / "cache"))
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["contexts"][0]["name"] = config["current-context"] = "home"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ai(api: Kube) -> Iterator[str]:
    """A namespace whose LiteLLM is gone when the test has ended: others are looked for in all of them."""
    name = f"ai-{next(_NUMBERS)}"
    yield name
    for home_of_one in (name, f"{name}-gpu", f"{name}-b"):
        api.apps.delete_collection_namespaced_deployment(home_of_one)
        api.apps.delete_collection_namespaced_stateful_set(home_of_one)


def init(*arguments: str) -> int:
    return main(["init", "--kube-context", "home", *arguments])


def written() -> dict[str, Any]:
    return tomllib.loads(Path("signoff.toml").read_text(encoding="utf-8"))


def test_what_stands_there_is_found_in_all_namespaces_and_written(api: Kube, ai: str, capfd: Capture) -> None:
    applied(api, [*home(ai), *strangers(ai)])
    before = standing.read(api, Settings(namespace=ai, model="org/qwen")).stood
    assert init() == 0
    told = capfd.readouterr()
    assert told.err == "" and KEY not in told.out and KEY not in Path("signoff.toml").read_text()
    uid = api.core.read_namespace("kube-system").metadata.uid
    gpus = ["attic", "cellar", "tower"]
    assert written() == {
        "cluster": "existing",
        "kube_context": "home",
        "cluster_uid": uid,
        "namespace": ai,
        "gateway": "router",
        "service": "router",
        "model": "org/qwen",
        "host": "llm.home.example.com",
        "port": 8080,
        "allowed_nodes": ["nuc-1", "nuc-2"],
        "forbidden_nodes": gpus,
        "backend_nodes": gpus,
    }
    lines = told.out.splitlines()
    assert lines[0] == f"Found on home ({api.server}):"
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "Next: signoff run --settings signoff.toml --allow-context home"
    assert standing.read(api, Settings(namespace=ai, model="org/qwen")).stood == before
    found = standing.read(api, read({}, "signoff.toml").settings)
    assert (found.roles.gateway.name, found.roles.backend.name) == ("router", "engine")


def test_the_nodes_are_told_with_what_is_known_of_them(api: Kube, ai: str) -> None:
    applied(api, home(ai))
    told = {each.what for each in survey_cluster(api, lambda *_: None, ai).facts if each.of.endswith("node")}
    assert told == {
        f"master, takes no pods: {CONTROL_PLANE}:NoSchedule",
        "nuc-1",
        "nuc-2",
        "tower, nvidia.com/gpu: 1, NotReady",
        "attic, nvidia.com/gpu.present=true",
        "cellar, gpu=:NoSchedule",
    }


def test_a_second_look_leaves_the_file_and_finds_the_same(api: Kube, ai: str, capfd: Capture) -> None:
    applied(api, home(ai))
    assert init() == 0
    assert init() == 0
    assert "Unchanged: signoff.toml" in capfd.readouterr().out


def test_of_several_namespaces_one_is_asked_for(api: Kube, ai: str, capfd: Capture) -> None:
    applied(api, [*home(ai), *home(f"{ai}-b")])
    asked: list[Question] = []

    def second(question: Question, _: Any) -> str:
        asked.append(question)
        return question.answers[-1]

    assert survey_cluster(api, second).unanswered == []
    (about,) = (each for each in asked if each.setting == "namespace")
    assert set(about.answers) == {ai, f"{ai}-b"}
    assert init() == 1  # on no terminal nobody answers
    assert "Set `namespace`, or name it with --namespace." in " ".join(capfd.readouterr().out.split())
    assert init("--force", "--namespace", f"{ai}-b") == 0
    assert written()["namespace"] == f"{ai}-b"
    api.core.delete_namespace(f"{ai}-b-gpu")


def test_of_several_gateways_of_a_namespace_one_is_asked_for(api: Kube, ai: str) -> None:
    text = yaml.safe_dump(of(home(ai), "Deployment/router")).replace("app: router", "app: second")
    second = yaml.safe_load(text.replace("name: router\n  namespace", "name: second\n  namespace"))
    applied(api, [*home(ai), second])
    found = survey_cluster(api, lambda *_: None, ai)
    assert any(
        "Several workloads run LiteLLM: Deployment" in each or "router and second" in each for each in found.unanswered
    )
    assert found.undecided


def test_what_no_backend_serves_is_asked_for(api: Kube, ai: str) -> None:
    applied(api, [each for each in home(ai) if each["kind"] != "StatefulSet"])
    found = survey_cluster(api, lambda *_: None, ai)
    assert Fact("backend", f"none is there: http://llm.{ai}-gpu.svc.cluster.local:8000") in found.facts
    assert "No vLLM of the cluster is behind LiteLLM: set `backend` to its name." in found.unanswered


def few_rights(api: Kube, ai: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the context home be a ServiceAccount's that may look at two namespaces, and at no Secret."""
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": ["get", "list"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    applied(api, [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker", "namespace": ai}}])
    for namespace in (ai, f"{ai}-gpu"):
        metadata = {"name": "looker", "namespace": namespace}
        subjects = [{"kind": "ServiceAccount", "name": "looker", "namespace": ai}]
        of_role = {"apiGroup": rbac, "kind": "Role", "name": "looker"}
        role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
        binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": metadata, "subjects": subjects}
        applied(api, [role, {**binding, "roleRef": of_role}])
    token = api.core.create_namespaced_service_account_token("looker", ai, {"spec": {}}).status.token
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "few").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "few"))


def test_with_few_rights_it_says_what_it_could_not_read(
    api: Kube, ai: str, capfd: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    applied(api, home(ai))
    few_rights(api, ai, monkeypatch, tmp_path)
    assert init() == REFUSED
    told = capfd.readouterr().err
    assert "does not let this user list deployments in all namespaces" in told and "--namespace" in told
    assert init("--namespace", ai) == 1
    told = " ".join(capfd.readouterr().out.split())
    assert f"Secret/router-keys of {ai} may not be read" in told
    assert "LiteLLM asks its clients for a key, and the Secret that" in told
    text = Path("signoff.toml").read_text()
    assert "set `cluster_uid`" in text
    assert f"set {listed(['`allowed_nodes`', '`forbidden_nodes`', '`backend_nodes`'])}" in text
    assert "waive" not in text, "what may not be listed may be there"
    assert "cluster_uid" not in written()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--kube-context", "home", "manifests"], "a cluster is looked at alone"),
        ([], "there is nothing to look at"),
        (["--kube-context", "hoem"], "no context is called hoem: there are home"),
        (["--namespace", "ai", "manifests"], "manifests say their namespace themselves"),
        (["--kube-context", "home", "--namespace", "nowhere"], "nothing in the namespace nowhere is a Deployment"),
        (["--kube-context", "home"], "nothing on the cluster is a Deployment or StatefulSet that runs LiteLLM"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(arguments: list[str], what: str, capfd: Capture) -> None:
    assert main(["init", *arguments]) == REFUSED
    assert what in capfd.readouterr().err
    assert not Path("signoff.toml").exists()


def test_a_cluster_that_does_not_answer_is_named(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "gone").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    assert init() == REFUSED
    told = capfd.readouterr().err
    assert "the cluster of the context home does not answer" in told and "https://127.0.0.1:9" in told
