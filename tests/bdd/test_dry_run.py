"""`pytest features/ --dry-run` tells what a run would change, leaves nothing, and ends well."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from signoff.changes import state
from signoff.changes.journal import Before
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.paths import ROOT
from signoff.kube.client import Kube
from tests.home import KEY, applied, home

Run = Callable[..., str]
SETTINGS = """\
namespace = "ai"
model = "org/qwen"
allowed_nodes = ["nuc-1", "nuc-2"]
forbidden_nodes = ["tower"]
backend_nodes = ["tower"]
"""


@pytest.fixture(scope="module")
def plane(plane: EmbeddedCluster) -> EmbeddedCluster:
    """A control plane with nodes that nobody runs."""
    api = Kube(plane.kubeconfig)
    for name in ("nuc-1", "nuc-2", "tower"):
        api.core.create_node({"metadata": {"name": name}})
    applied(api, home("ai"), "helm")
    return plane


@pytest.fixture
def run(plane: EmbeddedCluster, tmp_path: Path) -> Run:
    """Starts a dry run as a person does; gives what it says, once it was seen that nothing was changed."""
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["contexts"][0]["name"] = "home"
    for entry in (*(each["cluster"] for each in config["clusters"]), *(each["user"] for each in config["users"])):
        for key in ("certificate-authority", "client-certificate", "client-key"):
            if key in entry:
                entry[key] = str(plane.kubeconfig.parent / entry[key])
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    (tmp_path / "signoff.toml").write_text(SETTINGS)
    kube = Kube(plane.kubeconfig)

    def everything() -> Before:
        return state.read(kube, [each.metadata.name for each in kube.core.list_namespace().items])

    def run(*options: str) -> str:
        named = ["--kube-context", "home", "--allow-context", "home", "--reports", str(tmp_path / "reports")]
        settings = ["--settings", str(tmp_path / "signoff.toml"), "--cluster", "existing"]
        command = [sys.executable, "-m", "pytest", "features/", *settings, *named, "--dry-run", *options]
        before = everything()
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "KUBECONFIG": str(tmp_path / "config"),
                       "XDG_STATE_HOME": str(tmp_path / "state")}  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        after = everything()
        assert state.differing(before, after) == []
        assert before.objects.keys() == after.objects.keys() and len(before.objects) > 10
        assert not (tmp_path / "reports").exists() and not (tmp_path / "state").exists()
        assert KEY not in said
        return said

    return run


def test_a_run_that_only_looks_would_change_nothing(run: Run) -> None:
    assert "nothing would change: no --allow says that anything may" in run()


def test_each_right_is_shown_with_what_it_would_change(run: Run) -> None:
    said = run("--allow", "job,deploy,disruption")
    for told in (
        "Pod/signoff-inside and Job/signoff-timing-job in signoff-run",
        "+++ Deployment/litellm-no-key in ai",
        "+++ Service/litellm-recorded in ai",
        "--- StatefulSet/engine in ai-gpu",
        "+  replicas: 0",
        "+++ Node/nuc-2",
        "+  unschedulable: true",
        "the namespace signoff-run, which is made for the run",
    ):
        assert told in said, told


def test_manifests_are_shown_with_the_conflicts_that_would_refuse_the_run(run: Run, tmp_path: Path) -> None:
    bodies = home("ai")
    (workload,) = (each for each in bodies if each["kind"] == "Deployment" and each["metadata"]["name"] == "router")
    workload["spec"]["replicas"] = 5
    bodies.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra", "namespace": "ai"},
                   "data": {"a": "1"}})  # fmt: skip
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(bodies))
    said = run("--allow", "deploy", "--manifests", str(tmp_path / "all.yaml"))
    assert "+++ ConfigMap/extra in ai" in said
    assert "Service/router in ai: as it is" in said
    told = "Deployment/router would be changed where others keep it: helm has set spec.replicas"
    assert f"# refused, so that nothing of it is applied: {told}" in said, said


def test_of_a_copy_each_object_is_shown_as_new(run: Run) -> None:
    said = run("--allow", "deploy", "--as-copy")
    assert "+++ Deployment/router-copy in signoff-run" in said
    assert "+++ Secret/router-copy-keys in signoff-run" in said
    assert "[redacted] anew" in said
    assert " in ai\n" not in said, "nothing of the first one's"
