"""Features on a person's own cluster, on which somebody else has deployed a home lab: judged, and left as it was.

It is the embedded one, opened by a kubeconfig and its context alone. The objects are compared by other code than the
suite's own (scripts/kill_and_restore.py).
"""

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from scripts.deploy_as_owner import deploy
from scripts.kill_and_restore import RIGHTS, Objects, differences, killed, objects, run
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.paths import ROOT
from signoff.kube.client import Kube, is_ready
from signoff.kube.manifests import StoryManifests
from signoff.settings import read
from tests.labs.lab import HERE, SETTINGS

pytestmark = pytest.mark.cluster
SECONDS = 600
QUICK = "deploy or proxying or keys or placement"
NAMESPACE = "attic"
OF_SERVICE = "name: proxy\n  namespace: attic\n  "
EDITS = (
    ("deployment.yaml", "          envFrom:\n", "          env: [{name: TRIED, value: anew}]\n          envFrom:\n"),
    ("deployment.yaml", f"{OF_SERVICE}labels: {{", f"{OF_SERVICE}labels: {{tried: anew, "),
)
"""What becomes of LiteLLM's files."""
ADDED = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "added", "namespace": NAMESPACE, "labels": {"app": "llm-proxy"}},
    "data": {"a": "b"},
}
DISTURBS = "gaming or placement or misconfiguration"


class Home:
    """The cluster with the home lab, as a person sees it."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self.kube, self.settings, self._reports = kube, folder / "lab" / SETTINGS, folder / "reports"

    def command(self, *rights: str, k: str) -> list[str]:
        return run("home", str(self.settings), self._reports, rights, ("-k", k))

    def judged(self, *rights: str, k: str) -> tuple[str, dict[str, Any]]:
        """What a run says, and its verdict."""
        done = subprocess.run(
            self.command(*rights, k=k), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        verdicts = sorted(self._reports.glob("*/verdict.json"), key=lambda each: each.stat().st_mtime)
        assert verdicts, done.stdout + done.stderr
        return done.stdout + done.stderr, json.loads(verdicts[-1].read_text(encoding="utf-8"))

    @property
    def newest(self) -> str:
        """The name of the newest run."""
        return max(self._reports.iterdir(), key=lambda each: each.stat().st_mtime).name

    def objects(self) -> Objects:
        return objects(self.kube)

    def edit(self) -> None:
        """Let the manifests say something else than what stands."""
        folder = self.settings.parent / "gateway"
        for file, old, new in EDITS:
            text = (folder / file).read_text(encoding="utf-8")
            assert text.count(old) == 1, old
            (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        (folder / "more.yaml").write_text(yaml.safe_dump(ADDED), encoding="utf-8")

    def pods(self) -> list[tuple[str, bool]]:
        """The templates that LiteLLM's pods are of, and whether they are Ready."""
        every = self.kube.pods(NAMESPACE, {"app": "llm-proxy"})
        return [(each.metadata.labels["pod-template-hash"], is_ready(each)) for each in every]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    copytree(HERE / "home_lab", folder / "lab")  # in which the run writes its cluster's UID
    wanted = read({}, str(folder / "lab" / SETTINGS)).settings
    with pytest.MonkeyPatch.context() as patch, closing(EmbeddedCluster.start(nodes=wanted.nodes)) as cluster:
        kube = Kube(cluster.kubeconfig)
        deploy(kube, StoryManifests.read(wanted))
        config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
        config["contexts"][0]["name"] = "home"
        (cluster.dir / "home").write_text(yaml.safe_dump(config), encoding="utf-8")
        patch.setenv("KUBECONFIG", str(cluster.dir / "home"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield Home(kube, folder)


def test_what_stands_there_is_judged_and_nothing_is_changed(home: Home) -> None:
    before, (said, verdict) = home.objects(), home.judged(k=QUICK)
    checks = verdict["checks"]
    passed = {name for name, each in checks.items() if each["verdict"] == "passed"}
    assert {"pod-ready", "labels", "service", "each-request-once", "key-asked", "on-workers", "no-gpu"} <= passed, said
    assert checks["stays-pending"]["reason"] == "skipped: it was not allowed: --allow disruption opens it"
    assert checks["cluster-name"]["verdict"] == "not judged"
    assert verdict["status"] == "not judged", said
    assert differences(before, home.objects()) == []
    assert "nothing is changed; --allow says what may be" in said
    uid = home.kube.core.read_namespace("kube-system").metadata.uid
    assert f'cluster_uid = "{uid}"' in home.settings.read_text(encoding="utf-8")
    told, _, pinned = said.partition(f"cluster_uid = {uid} is now in")  # which one it is is told before
    assert f"UID {uid}" in told, said
    assert all(each in told for each in ("and judges", "Deployment/", "Service/", "ConfigMap/", "Secret/")), said
    assert pinned


def test_what_was_changed_is_put_back_at_the_end_and_after_a_kill(home: Home) -> None:
    """The run's manifests add to what stands: a variable, with which its pods start anew, a label, and an object."""
    beside = home.kube.core.patch_namespaced_service
    beside("proxy", NAMESPACE, {"metadata": {"labels": {"theirs": "yes"}}}, field_manager="kubectl-label")
    before, pods = home.objects(), home.pods()
    assert pods and all(is_ready for _, is_ready in pods)
    home.edit()
    said, verdict = home.judged("deploy", "disruption", k="placement")
    assert verdict["checks"]["stays-pending"]["verdict"] == "passed", said
    assert re.search(r"waits until the pods of Deployment/llm-proxy .*are as before", said), said
    assert differences(before, home.objects()) == []
    assert home.pods() == pods, said

    moment = random.uniform(5, 60)
    print(f"killed after {moment:.1f} s")
    assert killed(home.command(*RIGHTS, k=DISTURBS), moment)
    name = home.newest
    if differences(before, home.objects()):
        refused = subprocess.run(home.command(k=QUICK), cwd=ROOT, capture_output=True, text=True, check=False)
        assert re.search(rf"an earlier run has left changes on this cluster: {name}", refused.stdout), refused.stdout
    restored = subprocess.run(
        [sys.executable, "-m", "signoff.cli", "restore", name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert differences(before, home.objects()) == []
    assert restored.returncode == 0 or "no run" in restored.stderr, restored.stdout + restored.stderr
