"""Times pairs of direct and proxied requests on a deployment, from this machine or inside the cluster."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.evidence import causes
from signoff.evidence.models import Subject
from signoff.gateway.deployment import Deployment
from signoff.overhead import timing_job
from signoff.traffic import timings_csv
from signoff.traffic.blocks import Block, time_blocks
from signoff.traffic.counted import Counted, Counting
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import ARMS, USUAL, Manner, Timing, failed, measure

THROUGH_FORWARD = "from this machine, through the API server's port forward, which both arms pass"
IN_A_ROW = 3
"""So many spoilt rounds, one after the other, end the timing: the tunnel does not come back."""
SPOILT_AT_MOST = 0.1
"""The part of the rounds that may be spoilt: more of them, and those that are left were timed by a sick tunnel."""


@dataclass(frozen=True)
class Taken:
    """The blocks of one arm, what vLLM counted during the rounds, and where the clock was.

    `left_out` rounds were spoilt by a tunnel.
    """

    blocks: list[Block]
    counted: Counted | None
    place: str
    left_out: int = 0


def time_pairs(deployment: Deployment, pairs: int, seed: int, file: Path, *, ingress: Endpoint | None = None) -> Taken:
    """Time this many rounds of direct and proxied requests.

    Half of the rounds ask LiteLLM through its `ingress` as well, if there is one: as it is reached from where the clock
    is, which is a pod where the cluster is tunnelled and a Job may be made. One that does not answer is handed in all
    the same, so that its timings tell why.

    Each request is a line of `file`, with the fields of `Timing`, written as soon as it is known.

    Raises:
        WaitFailed: it cannot be timed inside the cluster.
        SignoffError: the tunnel broke too often.
    """
    with timings_csv.writing(file) as write:
        if not deployment.cluster.tunnelled:
            return Taken(*_time_pairs_from_here(deployment, pairs, seed, ingress, write), "from this machine")
        if not deployment.is_timed_inside:
            spoilt = _Spoilt(deployment.cluster, pairs)
            blocks, counted = _time_pairs_from_here(deployment, pairs, seed, ingress, write, Manner(spoilt=spoilt))
            counted = replace(counted, uncertain=spoilt.rounds * (len(ARMS) + 1))
            return Taken(blocks, counted, THROUGH_FORWARD, spoilt.rounds)
        image = deployment.manifests.gateway_image
        samples, node = timing_job.time_pairs(
            deployment.kube,
            deployment.manifests,
            pairs=pairs,
            seed=seed,
            keys=deployment.keys,
            ingress=ingress,
            namespace=deployment.cluster.own_namespace,
        )
        for timing in samples.timings:
            write(timing)
        return Taken(list(samples.blocks), samples.counted, f"inside the cluster, by a Job of {image} on {node}")


class _Spoilt:
    """Whether the tunnel broke while a round was asked, of which it counts the rounds.

    A kept-alive connection that broke while nothing was asked is such a break too: the next request opens another, and
    takes longer.
    """

    def __init__(self, cluster: Cluster, pairs: int) -> None:
        self._cluster, self._most = cluster, max(IN_A_ROW, int(pairs * SPOILT_AT_MOST))
        self.rounds = self._in_a_row = 0

    def __call__(self, since: float) -> bool:
        """Since this moment of `time.monotonic()`.

        Raises:
            SignoffError: it breaks too often.
        """
        breaks = [each for each in self._cluster.tunnel_breaks(since) if each.by_tunnel]
        if not breaks:
            self._in_a_row = 0
            return False
        self.rounds, self._in_a_row = self.rounds + 1, self._in_a_row + 1
        if self.rounds > self._most or self._in_a_row >= IN_A_ROW:
            with causes.of(Subject.CLUSTER):
                raise SignoffError(
                    f"the tunnel broke under {self.rounds} rounds of requests, too many to go on: {breaks[0]}",
                    hint="run again once the way to the cluster is steady, or allow a Job, which times inside of it",
                )
        return True


def _time_pairs_from_here(
    deployment: Deployment,
    pairs: int,
    seed: int,
    ingress: Endpoint | None,
    write: Callable[[Timing], None],
    manner: Manner = USUAL,
) -> tuple[list[Block], Counted]:
    direct, proxied = deployment.direct, deployment.answering_gateway()

    def tell(text: str) -> None:
        progress("overhead", text)

    counting, answered, ends_early = Counting(direct.url), 0, False
    for timing in measure(direct, proxied, pairs=pairs, seed=seed, ingress=ingress, manner=manner, progress=tell):
        write(timing)
        answered += not timing.error
        ends_early = ends_early or failed([timing])
    counted = counting.over(answered)
    if ends_early:
        return [], counted
    tell("blocks of one arm at a time, to see where the time goes")
    return list(time_blocks(direct, proxied, pairs=pairs, seed=seed)), counted
