"""A run that only looks is opened by an account with exactly its rights: they are enough, and each is made use of."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from shutil import copytree

import pytest
import yaml

from scripts.deploy_as_owner import deploy
from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.paths import ROOT
from signoff.kube import rights
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.rights import Question
from signoff.settings import read
from tests.kube import accounts, asked
from tests.labs.lab import HERE, SETTINGS

pytestmark = [pytest.mark.cluster, pytest.mark.prove]
SECONDS = 600
EXPECTED = {
    *("pod-ready", "probes", "labels", "service", "endpoints", "version", "chat-answer", "each-request-once"),
    *("equal-answers", "on-workers", "no-gpu", "vllm-on-gpu-worker", "key-asked"),
}
"""What such a run judges, and finds well with this lab."""
TRIED = {("get", "nodes/proxy"), ("list", "events")}
"""What is asked for and not granted: of a kubelet, without which the node's state counts; and of events of nodes."""
ELSEWHERE = {
    ("get", "statefulsets"): "this gateway is a Deployment",
    ("list", "replicasets"): "nothing was waited for",
    ("create", "pods/portforward"): "the API server asks for it besides `get`",
}
"""What is granted and not seen to be asked for, and why; beside the routes, whose kinds this cluster lacks."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A copy of the home lab's, for the run writes its cluster's UID there."""
    return copytree(HERE / "home_lab", tmp_path / "lab") / SETTINGS


@pytest.fixture
def kubeconfig(settings: Path, tmp_path: Path) -> Iterator[Path]:
    """That of an account which may look at the namespace in which somebody else has deployed the home lab."""
    wanted = read({}, str(settings)).settings
    with closing(EmbeddedCluster.start(nodes=wanted.nodes)) as cluster:
        kube = Kube(cluster.kubeconfig)
        deploy(kube, StoryManifests.read(wanted))
        path = accounts.kubeconfig_of(kube, cluster.kubeconfig, "looker", tmp_path)
        accounts.grant(kube, "looker", [wanted.namespace], ())
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["contexts"][0]["name"] = config["current-context"] = "home"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield path


def test_the_rights_of_a_run_that_only_looks(kubeconfig: Path, settings: Path, tmp_path: Path) -> None:
    seen_in, reports = tmp_path / "asked", tmp_path / "reports"
    which = ["--kube-context", "home", "--allow-context", "home", "--settings", str(settings)]
    options = ["-p", "tests.kube.asked", "features", "-k", "not overhead", "--cluster", "existing", *which]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--reports", str(reports), "-q"],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), asked.FILE: str(seen_in)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    (verdict,) = reports.glob("*/verdict.json")
    checks = json.loads(verdict.read_text(encoding="utf-8"))["checks"]
    passed = {name for name, each in checks.items() if each["verdict"] == "passed"}
    assert passed >= EXPECTED, done.stdout + done.stderr

    seen = asked.read(seen_in)
    roles = rights.roles(())
    assert {(each.verb, each.resource) for each in seen if not _granted(each, roles)} <= TRIED
    unused = {
        (verb, resource)
        for role in roles
        for rule in role.rules
        for resource, verb in product(rule["resources"], rule["verbs"])
        if "routes" not in role.name
        and not any(asked.allows({**rule, "verbs": [verb], "resources": [resource]}, each) for each in seen)
    }
    assert unused <= set(ELSEWHERE)


def _granted(question: Question, roles: list[rights.Role]) -> bool:
    own = [role for role in roles if question.namespace != "default" or role.bind_with != "RoleBinding"]
    return any(asked.allows(rule, question) for role in own for rule in role.rules)
