"""A kubeconfig whose keys lie in files of its folder, so that no client writes them elsewhere."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config
from kubernetes.config import kube_config

from signoff.core.errors import UsageError
from signoff.kube import kubeconfig
from signoff.kube.kubeconfig import hold_in_files


def test_what_it_holds_goes_into_files_that_only_this_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": held("ca")}
    user = {"client-certificate-data": held("cert"), "client-key-data": held("key")}
    path = tmp_path / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "kind-a", "cluster": cluster}],
                "users": [{"name": "kind-a", "user": user}],
                "contexts": [{"name": "kind-a", "context": {"cluster": "kind-a", "user": "kind-a"}}],
                "current-context": "kind-a",
            }
        )
    )
    hold_in_files(path)
    hold_in_files(path)  # as where it was done before
    assert "data" not in path.read_text()
    assert (tmp_path / "client-key.pem").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(kube_config, "_create_temp_file_with_content", None)  # nothing is written by the client
    found = config.new_client_from_config(str(path)).configuration
    files = [Path(each).read_text() for each in (found.ssl_ca_cert, found.cert_file, found.key_file)]
    assert files == ["ca", "cert", "key"]


def held(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def written(path: Path, *names: str, **more: Any) -> Path:
    """A kubeconfig with a context of each name, whose cluster and user have that name too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tls = {"certificate-authority": "tls/ca.pem"}
    clusters = [{"name": name, "cluster": {"server": f"https://{path.stem}-{name}:6443", **tls}} for name in names]
    users = [{"name": name, "user": {"token": f"of-{name}"}} for name in names]
    contexts = [{"name": name, "context": {"cluster": name, "user": name}} for name in names]
    config = {"clusters": clusters, "users": users, "contexts": contexts, "current-context": names[0], **more}
    path.write_text(yaml.safe_dump(config))
    return path


def servers(kubeconfig: Path) -> list[str]:
    return [each["cluster"]["server"] for each in yaml.safe_load(kubeconfig.read_text())["clusters"]]


def test_a_context_becomes_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several files counts, one that is missing does not; paths are those of the file that has them."""
    user = {"client-certificate": "c.pem", "client-key-data": held("key"), "exec": {"command": "./bin/login"}}
    first = written(tmp_path / "a" / "first", "lab", users=[{"name": "lab", "user": user}])
    second = written(tmp_path / "b" / "second", "lab", "home")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    assert kubeconfig.files() == [first, second]
    for each in ("lab", "home"):
        (tmp_path / each).mkdir()
    lab, home = (kubeconfig.only(each, tmp_path / each) for each in ("lab", "home"))
    assert (servers(lab), servers(home)) == (["https://first-lab:6443"], ["https://second-home:6443"])
    assert lab.stat().st_mode & 0o777 == 0o600
    found = yaml.safe_load(lab.read_text())
    assert found["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "a" / "tls" / "ca.pem")
    kept = {"client-certificate": str(tmp_path / "a" / "c.pem"), "client-key": "client-key.pem"}
    assert found["users"][0]["user"] == {**kept, "exec": {"command": str(tmp_path / "a" / "bin" / "login")}}
    assert (tmp_path / "lab" / "client-key.pem").read_text() == "key"
    assert found["current-context"] == "lab"


def test_without_the_variable_it_is_that_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    there = written(tmp_path / ".kube" / "config", "home")
    assert kubeconfig.files() == [there]
    assert servers(kubeconfig.only("home", tmp_path)) == ["https://config-home:6443"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no kubeconfig"),
        ("a: [", "the kubeconfig is no YAML: .*config:1"),
        ("- a list", "the kubeconfig is none: it needs lists of contexts, clusters and users"),
        ("contexts: {}\nclusters: a word", "the kubeconfig is none"),
        ("", "no context is called home: there is none at all"),
        ("contexts: [{name: work}, {name: hone}, just a word]", "no context is called home: there are hone, work"),
        ("contexts: [{name: home}]", "the context home names no cluster"),
        ("contexts: [{name: home, context: {cluster: a, user: b}}]", "names the cluster a, of which no kubeconfig"),
        (
            "{contexts: [{name: home, context: {cluster: a, user: b}}], clusters: [{name: a, cluster: {}}]}",
            "the cluster a of the context home has no server",
        ),
        (
            "{contexts: [{name: home, context: {cluster: a}}], clusters: [{name: a, cluster: {server: http://a}}]}",
            "the context home names no user",
        ),
        (
            "{contexts: [{name: home, context: {cluster: a, user: b}}], clusters: [{name: a, cluster: {server: h}}],"
            " users: [{name: b, user: {client-key-data: abc}}]}",
            "no base64",
        ),
    ],
)
def test_one_that_cannot_be_had_is_told(
    text: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    (tmp_path / "own").mkdir()
    with pytest.raises(UsageError, match=f"(?s){told}"):
        kubeconfig.only("home", tmp_path / "own")


def test_a_folder_is_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(UsageError, match="the kubeconfig cannot be read: Is a directory"):
        kubeconfig.only("home", tmp_path)
