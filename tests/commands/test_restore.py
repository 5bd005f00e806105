"""`signoff restore`, as a person calls it after a run that was killed."""

from pathlib import Path

import pytest
import yaml

from signoff import cli
from signoff.changes import journal as journals
from signoff.changes import state
from signoff.changes.lease import NAME
from signoff.changes.rights import OWN_NAMESPACE
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import REFUSED
from signoff.kube.client import Kube
from tests.changes.conftest import home, state_folder
from tests.changes.test_killed import see_clean, writer
from tests.changes.test_lease import brisk, held_by, remove

__all__ = ["brisk", "home", "state_folder"]
LATE = "135"
"""A moment after all changes, and before any is put back."""


@pytest.fixture
def context(cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's kubeconfig, in which the cluster is called home."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["name"] = "home"
    for entries, kind in (("clusters", "cluster"), ("users", "user")):
        held = config[entries][0][kind]
        held |= {key: str(cluster.kubeconfig.parent / value) for key, value in held.items() if value.endswith(".pem")}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def test_a_killed_run_is_listed_and_put_back(
    context: Path, cluster: EmbeddedCluster, kube: Kube, home: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = state.read(kube, [home])
    writer(cluster, home, "killed", "--killed-at", LATE)
    assert cli.main(["restore"]) == 0
    listed = capfd.readouterr().out
    assert "killed" in listed and "context home" in listed and "not put back" in listed
    assert cli.main(["restore", "another"]) == REFUSED
    assert "is called another\n  next:  those that left something: killed" in capfd.readouterr().err
    assert cli.main(["restore", "report"]) == 0  # the folder of its report
    said = capfd.readouterr().out
    assert f"put back ConfigMap/settings in {home}" in said and said.endswith("all is as before the run killed\n")
    see_clean(kube, home, before)
    assert cli.main(["restore", "killed"]) == 0
    assert capfd.readouterr().out == "nothing is left of the run killed: all was put back before\n"
    assert cli.main(["restore"]) == 0
    assert capfd.readouterr().out == "no run has left anything on a cluster\n"


def test_what_cannot_be_put_back_is_told_until_it_is_accepted(
    context: Path, cluster: EmbeddedCluster, kube: Kube, home: str, capfd: pytest.CaptureFixture[str]
) -> None:
    writer(cluster, home, "killed", "--killed-at", LATE)
    kube.core.patch_namespaced_config_map("settings", home, {"data": {"a": "theirs"}})
    for _ in range(2):
        assert cli.main(["restore", "killed"]) == 1
        said = capfd.readouterr().out
        assert f"not put back: data.a of ConfigMap/settings in {home} was changed by another since" in said
        assert "signoff restore killed --accept" in said
    assert cli.main(["restore", "killed", "--accept"]) == 1
    assert "the next run may begin" in capfd.readouterr().out
    assert [each.is_closed for each in journals.everywhere()[0]] == [True]


def test_the_context_is_needed(
    context: Path,
    cluster: EmbeddedCluster,
    home: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    writer(cluster, home, "killed", "--killed-at", LATE)
    other = yaml.safe_load(context.read_text())
    other["contexts"][0]["name"] = "work"
    context.with_name("other").write_text(yaml.safe_dump(other))
    monkeypatch.setenv("KUBECONFIG", str(context.with_name("other")))
    assert cli.main(["restore", "killed"]) == REFUSED
    said = capfd.readouterr().err
    assert "no context is called home: there are work" in said and f"what the run used: {context}" in said
    monkeypatch.setenv("KUBECONFIG", str(context))
    assert cli.main(["restore", "killed"]) == 0


def test_what_a_run_of_another_machine_has_left_is_accepted(
    context: Path, kube: Kube, brisk: None, capfd: pytest.CaptureFixture[str], state_folder: Path
) -> None:
    held_by(kube, "killed (ann on desktop, pid 7)")
    try:
        assert cli.main(["restore", "killed", "--kube-context", "home"]) == REFUSED
        assert "--kube-context is for a run whose journal is not on this machine" in capfd.readouterr().err
        assert cli.main(["restore", "killed", "--accept", "--kube-context", "home"]) == 1
        said = capfd.readouterr().out
        assert "what the run killed (ann on desktop, pid 7) has changed stays as it is now" in said
        assert "the next run may begin" in said
        assert kube.coordination.read_namespaced_lease(NAME, OWN_NAMESPACE).spec.holder_identity == ""
    finally:
        remove(kube)


def test_accept_is_for_one_run(state_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["restore", "--accept"]) == REFUSED
    assert "--accept is for one run" in capfd.readouterr().err


def test_a_damaged_journal_is_told_and_hides_no_other(state_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (state_folder / "uid").mkdir(parents=True)
    (state_folder / "uid" / "run.jsonl").write_text("no JSON\n")
    assert cli.main(["restore"]) == 1
    assert "the journal of changes is damaged" in capfd.readouterr().out
    assert cli.main(["restore", "run"]) == 1
    assert "damaged" in capfd.readouterr().err
