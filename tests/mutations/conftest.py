"""One embedded cluster with one vLLM for the whole table; LiteLLM is deployed anew for each mutation."""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff import evidence, story
from signoff.cluster.base import Cluster
from signoff.cluster.provider import open_cluster
from signoff.deployment import Deployment
from signoff.kube import Kube
from signoff.manifests import StoryManifests
from signoff.paths import MANIFESTS, ROOT
from tests.mutations.scenarios import OVERHEAD
from tests.mutations.table import BACKEND_LIAR, Mutation, Objects

PAIRS = "20"
RUN_SECONDS = 600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-feature", action="store_true", help="run all of features/ for each mutation (make mutations)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first."""
    items.sort(key=lambda item: "tests/mutations/" not in item.nodeid)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A cluster of the kind that `--cluster` names, or the running one of `--attach`."""
    manifests = StoryManifests.read(MANIFESTS)
    attach = pytestconfig.getoption("--attach")
    started = open_cluster(pytestconfig.getoption("--cluster"), attach and Path(attach), manifests.images)
    try:
        deployment = Deployment(started, manifests, lambda kind, **data: None)
        deployment.apply(manifests.backend)
        deployment.wait_for_backend()
        yield started
    finally:
        started.close()


@pytest.fixture
def run_features(
    cluster: Cluster, tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[Callable[[Mutation], dict[str, dict[str, Any]]]]:
    """Runs the features against the mutated manifests; gives each scenario's record by its name in the table."""
    runs = itertools.count(1)

    def run(mutation: Mutation) -> dict[str, dict[str, Any]]:
        own = tmp_path / str(next(runs))
        manifests = mutated(mutation, own / "manifests")
        everything = pytestconfig.getoption("--every-feature")
        paths = ["features"] if everything else [f"features/{name}.feature" for name in mutation.tested]
        name, attach = pytestconfig.getoption("--cluster"), str(cluster.dir)
        command = [sys.executable, "-m", "pytest", *paths, "--cluster", name, "--attach", attach]
        if not everything and OVERHEAD not in mutation.red:
            command += ["-k", "not overhead"]  # it takes as long as all else in a run
        command += ["--manifests", str(manifests)]
        command += ["--reports", str(own / "reports"), "--overhead-pairs", PAIRS, "-q"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        folders = list((own / "reports").iterdir())
        assert len(folders) == 1, done.stdout + done.stderr
        records, _ = evidence.read(folders[0])
        scenarios = {scenario_name(r): r for r in records if r["kind"] == "scenario"}
        assert scenarios, done.stdout + done.stderr
        return scenarios

    yield run
    remove_gateway(Kube(cluster.kubeconfig))


def scenario_name(record: dict[str, Any]) -> str:
    """The scenario as the table names it: feature, scenario, and the example in brackets."""
    feature = Path(record["feature"]).stem
    example = record["id"].partition("[")[2]
    return f"{feature}: {record['name']}" + (f" [{example}" if example else "")


def mutated(mutation: Mutation, folder: Path) -> Path:
    """A copy of manifests/ with the mutation in it."""
    shutil.copytree(MANIFESTS, folder)
    backend_file = folder / "vllm" / "deployment.yaml"
    backend = list(yaml.safe_load_all(backend_file.read_text()))
    files = ("configmap.yaml", "deployment.yaml", "ingressroute.yaml")
    objects: Objects = {
        document["kind"]: document
        for name in files
        for document in yaml.safe_load_all((folder / "litellm" / name).read_text())
    }
    objects["BackendService"] = next(document for document in backend if document["kind"] == "Service")
    mutation.edit(objects)
    del objects["BackendService"]  # edited in place
    backend_file.write_text(yaml.safe_dump_all(backend))
    (folder / "litellm" / "all.yaml").write_text(yaml.safe_dump_all(objects.values()))
    (folder / "litellm" / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    return folder


def remove_gateway(kube: Kube) -> None:
    """Leave the cluster as the next mutation wants it: with vLLM and no LiteLLM."""
    namespace = story.NAMESPACE
    for deployment in kube.apps.list_namespaced_deployment(namespace).items:
        if deployment.metadata.name.startswith(story.GATEWAY):
            kube.apps.delete_namespaced_deployment(deployment.metadata.name, namespace, grace_period_seconds=0)
    for service in kube.core.list_namespaced_service(namespace).items:
        if service.metadata.name.startswith(story.GATEWAY):
            kube.core.delete_namespaced_service(service.metadata.name, namespace)
    for app in (story.GATEWAY, BACKEND_LIAR):
        kube.delete_pods(namespace, app)
        kube.wait_until_gone(namespace, app)
