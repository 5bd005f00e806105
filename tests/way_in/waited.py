"""A way in of a test, deployed on a cluster and waited for."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.core.paths import MANIFESTS
from signoff.core.waiting import WaitFailed
from signoff.evidence import Evidence
from signoff.evidence.models import Run
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.settings import Settings
from signoff.way_in import of
from tests.way_in.ways import Way


@dataclass(frozen=True)
class Ended:
    """How the wait for a way in ended: with what observation, none if it leads, and whether early; its trouble then."""

    observation: str
    early: bool
    trouble: list[str]


def manifests_of(ways: tuple[Way, ...], folder: Path) -> StoryManifests:
    """The story's manifests with these in the place of its own route and certificate."""
    shutil.copytree(MANIFESTS, folder, ignore=shutil.ignore_patterns("kustomization.yaml", "locust", "ingressroute.*"))
    (folder / "ways").mkdir()
    for way in ways:
        (folder / "ways" / f"{way.name}.yaml").write_text(way.text)
    return StoryManifests.read(Settings(manifests=(folder,)))


def of_the_ways(manifests: StoryManifests) -> list[Manifest]:
    return [each for each in manifests.gateway if each.file and each.file.parent.name == "ways"]


def deployment_for(way: Way, cluster: Cluster, manifests: StoryManifests, evidence: Evidence) -> Deployment:
    """A deployment of which this way in is judged, though its manifests may hold others as well."""
    own = replace(manifests, settings=manifests.settings.model_copy(update={"host": way.host}))
    return Deployment(cluster, own, evidence)


def waited_for(deployment: Deployment) -> Ended:
    """How the wait for its way in ends."""
    way_in = of(deployment)
    assert way_in is not None
    try:
        way_in.wait()
    except WaitFailed as failed:
        return Ended(failed.observation, failed.hopeless, way_in.trouble())
    return Ended("", False, way_in.trouble())


def deployed(way: Way, cluster: Cluster, namespace: str, folder: Path) -> tuple[str | None, Ended]:
    """Deploy one way in of a single object alone: why it was left out, if it was, and how the wait for it ended."""
    manifests, evidence = manifests_of((way,), folder / "manifests"), Evidence(folder / "run", Run(tool="serve"))
    deployment = deployment_for(way, cluster, manifests, evidence)
    (route,) = of_the_ways(manifests)
    skipped = deployment.kube.apply(route, namespace)
    ended = waited_for(deployment)
    evidence.close()
    return skipped, ended
