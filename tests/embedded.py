"""Clusters for tests: one for all that leave it as it was, a module's own control plane, small pods, features run."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.embedded.processes import marked
from signoff.core.paths import ROOT, cache_dir
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube
from tests.processes import start

IMAGE = "signoff.test/snake:1"
RECIPES = Path(__file__).parent / "cluster" / "embedded" / "recipes"
SOON = Timeout(20, every=0.1)
Body = dict[str, Any]
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def recipes() -> Iterator[None]:
    """The image of the small pods, and a secret that no pod may see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNOFF_RECIPES", str(RECIPES))
        patch.setenv("OPENAI_API_KEY", "sk-of-this-machine")
        yield


@pytest.fixture(scope="session")
def cluster(recipes: None) -> Iterator[EmbeddedCluster]:
    started = EmbeddedCluster.start(images=[IMAGE])
    yield started
    started.close()


@pytest.fixture(scope="session")
def kube(cluster: EmbeddedCluster) -> Kube:
    return Kube(cluster.kubeconfig)


@pytest.fixture(scope="module")
def plane() -> Iterator[EmbeddedCluster]:
    """A control plane without nodes, of a module's own: nothing runs, and objects are as the API server makes them."""
    started = EmbeddedCluster.start(nodes=())
    yield started
    started.close()


@pytest.fixture(scope="module")
def api(plane: EmbeddedCluster) -> Kube:
    return Kube(plane.kubeconfig)


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of the test's own; what runs in it, and is probed each second, ends with the test."""
    name = f"test-{next(_NUMBERS)}"
    kube.core.create_namespace({"metadata": {"name": name}})
    kube.wait_for_namespace(name)
    yield name
    kube.core.delete_namespace(name)


def own_cache(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make this folder a cache that other tests do not share, with the programs and images of the user's."""
    for shared in ("kubernetes", "images"):
        (folder / shared).symlink_to(cache_dir() / shared)
    patch.setenv("SIGNOFF_CACHE", str(folder))


def container(code: str, **more: Any) -> Body:
    """A container that runs this Python."""
    return {"name": "main", "image": IMAGE, "args": ["-c", code], **more}


def pod(*containers: Body, **spec: Any) -> Body:
    """A pod on any node that is ended quickly."""
    return {
        "metadata": {"name": "pod", "labels": {"app": "pod"}},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 1, **spec},
    }


def wait_for(what: str, look: Callable[[], Any], timeout: Timeout = SOON) -> Any:
    """Wait until `look` gives something that is true; its last answer is shown when it never does."""

    def looked() -> Any:
        seen = look()
        if not seen:
            raise NotYet(repr(seen))
        return seen

    return eventually(what, timeout, looked)


def status(kube: Kube, namespace: str, name: str = "pod") -> Any:
    return kube.core.read_namespaced_pod(name, namespace).status


def waiting(kube: Kube, namespace: str, reason: str) -> Any:
    """The waiting state of the first container once it has this reason."""

    def look() -> Any:
        found = status(kube, namespace)
        states = [each.state.waiting for each in found.container_statuses or []]
        return next((state for state in states if state and state.reason == reason), None)

    return wait_for(f"the reason {reason}", look)


def event(kube: Kube, namespace: str, reason: str) -> Any:
    """The first event with this reason."""

    def look() -> Any:
        return next((e for e in kube.core.list_namespaced_event(namespace).items if e.reason == reason), None)

    return wait_for(f"an event {reason}", look)


def ended(kube: Kube, namespace: str) -> str:
    """The phase of a pod that runs once, when it is over."""
    return str(wait_for("its end", lambda: (p := status(kube, namespace).phase) in ("Succeeded", "Failed") and p))


def processes_of(cluster: Path) -> list[int]:
    """The living processes of the cluster at this folder."""
    return [pid for pid, folder in marked() if folder == cluster]


def run_features(reports: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Run features/deploy.feature, or the features that are named, on a cluster of its own, as a user would."""
    named = any(each.endswith(".feature") for each in arguments)
    features = [] if named else ["features/deploy.feature"]
    command = [sys.executable, "-m", "pytest", *features, "--fresh-cluster", "--reports", str(reports), *arguments]
    return start(command, ROOT)


def cluster_in(said: str) -> Path:
    """The folder of the cluster that a run says it has started."""
    found = re.search(r"\((\S*/clusters/\w+)\)", said)
    assert found, said
    return Path(found[1])
