"""Which cluster is used: the one that is named and allowed, and that answers under the UID that it had before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.changes.rights import Right
from signoff.changes.target import Named
from signoff.cluster.access import Access, Use
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.existing import ExistingCluster, contexts, known
from signoff.core.errors import UsageError
from signoff.kube.client import Kube

HOME = Access("home", "home")
Written = Callable[..., Path]


@pytest.fixture
def home(cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes a person's kubeconfig, whose context `home` leads to the embedded cluster; edited by who asks."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def write(edit: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        entry = config["contexts"][0]
        config["contexts"] = [{**entry, "name": "home"}]
        config["current-context"] = "home"
        for each in (config["clusters"][0]["cluster"], config["users"][0]["user"]):
            for name in ("certificate-authority", "client-certificate", "client-key"):
                if name in each:
                    each[name] = str(cluster.kubeconfig.parent / each[name])
        edit(config)
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(path))
        contexts._reached.cache_clear()
        return path

    return write


def test_it_is_known_by_its_uid_and_its_kubeconfig_stands_by_itself(home: Written, kube: Kube) -> None:
    path = home()
    found = contexts.reach(HOME)
    assert found.uid == kube.core.read_namespace("kube-system").metadata.uid
    path.unlink()
    assert Kube(found.kubeconfig).core.list_node().items
    assert contexts.reach(replace(HOME, uid=found.uid)) == found


@pytest.mark.parametrize(
    ("access", "what", "hint"),
    [
        (Access(), "which cluster is meant? The current context of a kubeconfig is never taken", "--kube-context NAME"),
        (Access("", "home"), "which cluster is meant?", "--kube-context NAME"),
        (Access("home"), "the context home is named, and not allowed", "--allow-context home"),
        (Access("home", "work"), "the context home is named, and work is allowed", "--allow-context home"),
        (Access("hom", "hom"), "no context is called hom: there are home", "name one of these"),
        (replace(HOME, uid="0"), "leads to another cluster than before", "take cluster_uid out"),
    ],
)
def test_no_other_cluster_is_taken(home: Written, access: Access, what: str, hint: str) -> None:
    home()
    with pytest.raises(UsageError) as refused:
        contexts.reach(access)
    assert what in refused.value.what
    assert hint in refused.value.hint


def elsewhere(config: dict[str, Any]) -> None:
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"


def unknown(config: dict[str, Any]) -> None:
    config["users"][0]["user"] = {"token": "made-up"}


def distrusted(config: dict[str, Any]) -> None:
    del config["clusters"][0]["cluster"]["certificate-authority"]


def programless(config: dict[str, Any]) -> None:
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-program",
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": program}


@pytest.mark.parametrize(
    ("edit", "what", "hint"),
    [
        (elsewhere, "does not answer", "`kubectl --context home version`"),
        (distrusted, "does not answer", "`kubectl --context home version`"),
        (unknown, "does not know this user", "renew the credentials in the kubeconfig"),
        (programless, "does not know this user", "`no-such-program`"),
    ],
)
def test_one_that_cannot_be_asked_is_refused_in_a_moment(home: Written, edit: Any, what: str, hint: str) -> None:
    home(edit)
    with pytest.raises(UsageError) as refused:
        contexts.reach(HOME)
    assert what in refused.value.what
    assert refused.value.where.startswith("https://127.")
    assert hint in refused.value.hint


def test_another_cluster_of_a_context_is_refused_from_any_folder_and_whatever_the_settings(home: Written) -> None:
    home()
    found = contexts.reach(HOME)
    known.remember("home", found.server, "0ther")
    known.remember("home", "https://elsewhere", "1")  # another server is another cluster's
    with pytest.raises(UsageError) as caught:
        contexts.reach(HOME)
    file = known.file_of("home", found.server)
    assert caught.value.what == (
        f"the context home leads to another cluster than before: its UID is {found.uid}, and that of an earlier run "
        "from this machine is 0ther"
    )
    assert f"remove {file}" in caught.value.hint
    assert contexts.reach(replace(HOME, uid=found.uid)) == found  # a person says which one is meant
    file.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="which cluster the context home has led to cannot be read"):
        contexts.reach(HOME)
    file.unlink()
    assert contexts.reach(HOME) == found


def test_what_is_read_and_written_is_told_by_name_before_anything_is(
    home: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home()
    found, lines = contexts.reach(HOME), list[str]()
    file = known.file_of("home", found.server)

    def tell(_: str, line: str) -> None:
        assert not file.exists()
        lines.append(line)

    monkeypatch.setattr("signoff.cluster.existing.progress", tell)
    access = replace(HOME, allow=frozenset({Right.DEPLOY, Right.DISRUPTION}))
    named = frozenset({Named("apps", "Deployment", "ml", "gateway")})
    reads, disturbs = ["Deployment/gateway in ml", "Secret/keys in ml"], ["scale Deployment/vllm to 0", "cordon gpu-1"]
    ExistingCluster(found, Use(access, ["ml"], tmp_path / "run", named, reads, disturbs)).close()
    assert f"home at {found.server}, UID {found.uid}" in lines
    assert any(line.endswith("Deployment/gateway in ml and Secret/keys in ml") for line in lines), lines
    assert "applies Deployment/gateway in ml" in lines
    assert "for the scenarios that need it: scale Deployment/vllm to 0 and cordon gpu-1" in lines
    assert known.uid_of("home", found.server) == found.uid
