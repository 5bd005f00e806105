"""Times pairs of direct and proxied requests on a deployment, from this machine or inside the cluster."""

from collections.abc import Callable
from pathlib import Path

from signoff.core.console import progress
from signoff.gateway.deployment import Deployment
from signoff.overhead import timing_job
from signoff.traffic import timings_csv
from signoff.traffic.blocks import Block, time_blocks
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import Timing, failed, measure


def time_pairs(
    deployment: Deployment, pairs: int, seed: int, file: Path, *, ingress: Endpoint | None = None
) -> tuple[list[Block], str]:
    """Time this many rounds of direct and proxied requests; gives the blocks of one arm, and where the clock was.

    Half of the rounds ask LiteLLM through its `ingress` as well, if there is one: as it is reached from where the clock
    is, which is a pod where the cluster is tunnelled. One that does not answer is handed in all the same, so that its
    timings tell why.

    Each request is a line of `file`, with the fields of `Timing`, written as soon as it is known.

    Raises:
        WaitFailed: it cannot be timed inside the cluster.
    """
    with timings_csv.writing(file) as write:
        if not deployment.cluster.tunnelled:
            return _time_pairs_from_here(deployment, pairs, seed, ingress, write), "from this machine"
        image = deployment.manifests.gateway_image
        samples, node = timing_job.time_pairs(
            deployment.kube, deployment.manifests, pairs=pairs, seed=seed, keys=deployment.keys, ingress=ingress
        )
        for timing in samples.timings:
            write(timing)
        return list(samples.blocks), f"inside the cluster, by a Job of {image} on {node}"


def _time_pairs_from_here(
    deployment: Deployment, pairs: int, seed: int, ingress: Endpoint | None, write: Callable[[Timing], None]
) -> list[Block]:
    direct, proxied = deployment.direct, deployment.answering_gateway()

    def tell(text: str) -> None:
        progress("overhead", text)

    ends_early = False
    for timing in measure(direct, proxied, pairs=pairs, seed=seed, ingress=ingress, progress=tell):
        write(timing)
        ends_early = ends_early or failed([timing])
    if ends_early:
        return []
    tell("blocks of one arm at a time, to see where the time goes")
    return list(time_blocks(direct, proxied, pairs=pairs, seed=seed))
