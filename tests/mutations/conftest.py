"""One embedded cluster with one vLLM for the whole table; LiteLLM is deployed again for each mutation."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from signoff import story
from signoff.cluster.base import Cluster
from signoff.cluster.embedded.processes import marked
from signoff.cluster.registry import open_cluster
from signoff.core import timeouts
from signoff.core.paths import ROOT
from signoff.evidence import Evidence, read
from signoff.evidence.models import Run
from signoff.gateway.deployment import Deployment
from signoff.judges.run import Result, Scenario, State
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.roles import NAME_LABEL
from signoff.options import ClusterChoice
from signoff.settings.arguments import read_from
from tests import prove
from tests.mutations.scenarios import OVERHEAD
from tests.mutations.table import FAULTY_BACKEND
from tests.mutations.together import Together, mutated
from tests.processes import said_until, start

EVERY = sorted(path.stem for path in (ROOT / "features").glob("*.feature"))
WAY_IN = "way_in"
PAIRS = "20"
RUN_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/mutations/"))


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of the kind that `--cluster` names, or the running one of `--attach`."""
    manifests = StoryManifests.read()
    attach = pytestconfig.getoption("--attach")
    started = open_cluster(cluster_name(pytestconfig), attach and Path(attach), manifests.images)
    evidence = Evidence(tmp_path_factory.mktemp("start") / "run", Run(tool="serve"))
    try:
        deployment = Deployment(started, manifests, evidence)
        deployment.apply(manifests.backend)
        deployment.wait_for_backend()
        yield started
    finally:
        started.close()
        evidence.close()


def cluster_name(config: pytest.Config) -> str:
    """The kind of cluster that was asked for."""
    return ClusterChoice.of(read_from(config.option)).cluster.value


@pytest.fixture
def run_features(
    cluster: Cluster, tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[Callable[[Together], dict[str, dict[str, Any]]]]:
    """Runs the features against the mutated manifests; gives each scenario's record by its name in the table.

    `make prove` runs all features for a mutation that is tried alone.
    """
    runs = itertools.count(1)

    def run(mutations: Together) -> dict[str, dict[str, Any]]:
        own = tmp_path / str(next(runs))
        manifests = mutated(mutations, own / "manifests")
        everything = pytestconfig.getoption(prove.OPTION, None) is not None and len(mutations) == 1
        tested = sorted({name for each in mutations for name in each.tested})
        names = EVERY if everything else tested
        paths = [f"features/{name}.feature" for name in names if name != WAY_IN or name in tested]
        command = features_command(pytestconfig, cluster, *paths, "--overhead-pairs", PAIRS, "-q")
        if not everything and not any(OVERHEAD in each.red for each in mutations):
            command += ["-k", "not overhead"]  # it takes as long as all else in a run
        options = [option for each in mutations for option in each.options]
        command += [*options, "--manifests", str(manifests), "--reports", str(own / "reports")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        folders = list((own / "reports").iterdir())
        assert len(folders) == 1, done.stdout + done.stderr
        result = Result(read(folders[0]))
        ran = [each for each in result.scenarios if each.state not in (State.NOT_RUN, State.SKIPPED)]
        scenarios = {scenario_name(each): outcome_of(each) for each in ran}
        assert scenarios, done.stdout + done.stderr
        return scenarios

    yield run
    remove_gateway(Kube(cluster.kubeconfig))


def features_command(config: pytest.Config, cluster: Cluster, *arguments: str) -> list[str]:
    """How features are run on the cluster."""
    return [
        *(sys.executable, "-m", "pytest", *arguments),
        *("--cluster", cluster_name(config), "--attach", str(cluster.dir)),
    ]


@dataclass(frozen=True)
class Finished:
    """What a run said, how it ended, and its folder."""

    output: str
    status: int
    run_dir: Path


@pytest.fixture
def vllm_is_killed_while_timed(cluster: Cluster, tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Finished]:
    """A run that times the overhead, in the middle of which vLLM is killed."""
    if cluster_name(pytestconfig) != "embedded":
        pytest.skip("only on embedded is vLLM a process of this machine")
    reports = tmp_path / "reports"
    command = features_command(pytestconfig, cluster, "features/completion.feature", "-k", "overhead")
    process = start([*command, "--reports", str(reports)], ROOT)
    seen = said_until(process, "overhead: 50 ")
    for pid, folder in marked():
        if folder == cluster.dir and "--served-model-name" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=RUN_SECONDS)
    (run_dir,) = reports.iterdir()
    yield Finished(seen + rest, process.returncode, run_dir)
    remove_gateway(Kube(cluster.kubeconfig))
    Kube(cluster.kubeconfig).wait_until_available(story.NAMESPACE, "vllm", timeouts.BACKEND_READY)


def scenario_name(scenario: Scenario) -> str:
    """The scenario as the table names it: feature, scenario, and the example in brackets."""
    planned = scenario.planned
    example = planned.id.partition("[")[2]
    return f"{Path(planned.feature).stem}: {planned.name}" + (f" [{example}" if example else "")


def outcome_of(scenario: Scenario) -> dict[str, str]:
    """How it went, the step at which it ended, and why."""
    return {
        "outcome": scenario.state.value,
        "step": scenario.end.step if scenario.end else "",
        "reason": scenario.reason,
    }


def remove_gateway(kube: Kube) -> None:
    """Leave the cluster as the next mutation wants it: with vLLM and no LiteLLM."""
    namespace = story.NAMESPACE
    for deployment in kube.apps.list_namespaced_deployment(namespace).items:
        if deployment.metadata.name.startswith(story.GATEWAY):
            kube.apps.delete_namespaced_deployment(deployment.metadata.name, namespace, grace_period_seconds=0)
    for service in kube.core.list_namespaced_service(namespace).items:
        if service.metadata.name.startswith(story.GATEWAY):
            kube.core.delete_namespaced_service(service.metadata.name, namespace)
    for pod in kube.pods(namespace, {NAME_LABEL: "vllm"}):
        if pod.metadata.name.endswith("-alone"):
            kube.core.delete_namespaced_pod(pod.metadata.name, namespace, grace_period_seconds=0)
    for app in (story.GATEWAY, FAULTY_BACKEND):
        kube.core.delete_collection_namespaced_pod(namespace, label_selector=f"{NAME_LABEL}={app}")
        kube.wait_until_gone(namespace, f"{NAME_LABEL}={app}")
