"""The embedded cluster as the one that a run asks for by name."""
# ruff: noqa: ARG001  what is allowed on a person's own cluster is nothing to it

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

from signoff.cluster.access import NO_USE, Access, Use
from signoff.cluster.base import Cluster, Needs, Standing
from signoff.cluster.embedded import EmbeddedCluster, facts_of, namespaces, once
from signoff.cluster.embedded.binaries import check_named_folder, find_binaries
from signoff.cluster.embedded.cluster_registry import OLDER, UNCONFINED, Running, clusters_dir
from signoff.cluster.embedded.cluster_registry import running as clusters_that_run
from signoff.cluster.embedded.images import EXTRA, ImageError, Images
from signoff.cluster.embedded.postmortem import reason_of_end
from signoff.cluster.embedded.processes import descendants, kill
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.core.paths import cache_dir
from signoff.core.timeouts import PROCESS_EXIT

DEPLOYS = True


def standing(access: Access) -> Standing | None:
    """None stands there: the suite deploys what it judges."""
    return None


def precheck(attach: Path | None, needs: Needs, access: Access) -> None:
    """See that what this run names is there: the cluster, Kubernetes' programs, and a recipe for each image."""
    if attach is not None:
        facts_of(attach)
    check_named_folder()
    _check_recipes()
    known = Images(cache_dir())
    for image, where in needs.images.items():
        try:
            told = known.check(image)
        except ImageError as error:
            raise SignoffError(error.what, where=where, hint=error.hint) from error
        for each in told:
            progress("images", f"{each} ({where})")
        if lack := known.lack(image, needs.variables):
            raise SignoffError(
                f"{image} cannot run with {lack.variable} here: that needs {lack.what}",
                where=needs.variables[lack.variable],
                hint=f"take kind, whose image has it: --cluster kind; or leave {lack.variable} out",
            )


def _check_recipes() -> None:
    for part in filter(None, os.environ.get(EXTRA, "").split(os.pathsep)):
        if not Path(part).is_dir():
            raise SignoffError(
                f"{EXTRA} names {part}, which is no folder", where=f"{EXTRA}={os.environ[EXTRA]}", hint="fix it"
            )
    Images(cache_dir()).recipes()


def unconfined(attach: Path | None) -> str:
    """What keeps this machine from making namespaces, or kept it when the cluster that runs was started."""
    return namespaces.why_not() if attach is None else str(facts_of(attach).get(UNCONFINED, OLDER))


def open_cluster(
    attach: Path | None,
    images: Mapping[str, Collection[str]],
    nodes: Sequence[Node],
    *,
    keep: bool,
    fresh: bool,
    use: Use = NO_USE,
) -> Cluster:
    """One that runs: that of `attach`, else one that is kept unless it has to be `fresh`; else one started now."""
    if attach is not None:
        return EmbeddedCluster.attach(attach, nodes)
    kept = None if fresh else EmbeddedCluster.reuse(nodes=nodes)
    return kept or EmbeddedCluster.start(images=list(images), nodes=nodes, keep=keep)


def prepare(images: Collection[str]) -> None:
    """Kubernetes' programs and each image, side by side, into the cache."""
    cached = Images(cache_dir())
    jobs: list[Callable[[], Any]] = [
        lambda: find_binaries(lambda text: progress("cluster", text)),
        *(partial(once.prepared, cached, image) for image in images),
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        started = list[Future[Any]]()
        try:
            started.extend(pool.submit(job) for job in jobs)
            for each in started:
                each.result()
        except KeyboardInterrupt:
            _end_what_they_wait_for(started)
            raise


def _end_what_they_wait_for(started: Collection[Future[Any]]) -> None:
    """Kill Go and uv, and what begins just then, until each thread has seen the end of its own."""
    while wait(started, PROCESS_EXIT.every).not_done:
        for each in descendants(os.getpid()):
            kill(each)


def start_kept(name: str | None, nodes: Sequence[Node]) -> Running:
    """One without a deployment, within seconds."""
    cluster = EmbeddedCluster.start(name=name, nodes=nodes)
    cluster.keep()
    return next(each for each in running() if each.dir == cluster.dir)


def running() -> Sequence[Running]:
    """Those of this user's cache."""
    return clusters_that_run()


def ended(name: str) -> SignoffError | None:
    """What its supervisor said last."""
    return reason_of_end(clusters_dir() / name)
