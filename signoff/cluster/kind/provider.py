"""A kind cluster as the one that a run asks for by name."""
# ruff: noqa: ARG001  the nodes can pull any image, and a run takes a kept cluster only by --attach

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from signoff.cluster.access import NO_USE, Access, Use
from signoff.cluster.base import Cluster, Needs, Standing
from signoff.cluster.kind import KindCluster, controller_images, tools
from signoff.cluster.kind.cluster_registry import Running
from signoff.cluster.kind.cluster_registry import running as clusters_that_run
from signoff.core import console
from signoff.core.errors import SignoffError
from signoff.core.node import Node

DEPLOYS = True


def standing(access: Access) -> Standing | None:
    """None stands there: the suite deploys what it judges."""
    return None


def precheck(attach: Path | None, needs: Needs, access: Access) -> None:
    """See that Docker answers, and that the cluster that this run names is there."""
    KindCluster.check(attach)


def unconfined(attach: Path | None) -> str:
    """Its containers are those of a container engine."""
    return ""


def open_cluster(
    attach: Path | None,
    images: Mapping[str, Collection[str]],
    nodes: Sequence[Node],
    *,
    keep: bool,
    fresh: bool,
    use: Use = NO_USE,
) -> Cluster:
    """The one that `attach` names, else one started now."""
    if attach is not None:
        return KindCluster.attach(attach, images=images, nodes=nodes)
    return KindCluster.start(images=images, nodes=nodes, keep=keep)


def prepare(images: Collection[str]) -> None:
    """kind itself into the cache, and the images into the local Docker engine, from which nodes are loaded."""
    tools.check_docker()
    tools.find_kind(_tell)
    missing = [image for image in images if tools.image_bytes(image) is None]
    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        for pulled in [pool.submit(_pull, image) for image in missing]:
            pulled.result()


def _pull(image: str) -> None:
    if image in controller_images.BY_IMAGE:
        controller_images.have(image, _tell)
        return
    _tell(f"pulling {image}")
    tools.docker("pull", "--quiet", image)


def start_kept(name: str | None, nodes: Sequence[Node]) -> Running:
    """One without a deployment, within a minute; the images come with the first run."""
    cluster = KindCluster.start(images={}, nodes=nodes, keep=True, name=name)
    cluster.close()
    return next(each for each in running() if each.dir == cluster.dir)


def running() -> Sequence[Running]:
    """Those of this user's cache."""
    return clusters_that_run()


def ended(name: str) -> SignoffError | None:
    """Nothing watches the engine."""
    return None


def _tell(text: str) -> None:
    console.progress("kind", text)
