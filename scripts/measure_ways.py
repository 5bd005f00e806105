"""What each way to the Services of a cluster costs, as a Markdown table: the shortest one, and the forward.

    python -m scripts.measure_ways --attach ~/.cache/signoff/kind/clusters/signoff-... --pairs 100 --blocks 4

The shortest is the timing job's, inside of a cluster that is tunnelled, and else from here. Blocks of both ways
alternate on one deployment, so that both meet the same machine.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from scripts.deployed import deployed
from signoff.cluster.port_forward import Forwards
from signoff.gateway.deployment import Deployment
from signoff.overhead import timing_job
from signoff.overhead.estimate import Samples, judge
from signoff.story import OVERHEAD_LIMIT_MS
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import Timing, measure

CONNECTIONS = 50


def main() -> None:
    """Compare the ways; what the deployment records on the way is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", default="kind", help="its kind (default: kind)")
    parser.add_argument("--attach", type=Path, help="the folder of a running one (default: start one)")
    parser.add_argument("--pairs", type=int, default=100, help="pairs of each block (default: 100)")
    parser.add_argument("--blocks", type=int, default=4, help="blocks of each way (default: 4)")
    options = parser.parse_args()
    with (
        deployed(options.cluster, options.attach) as (deployment, direct),
        closing(Forwards(deployment.cluster.kubeconfig)) as forwards,
    ):
        near, roles = (direct, deployment.answering_gateway()), deployment.manifests.roles
        several = zip(near, (roles.backend, roles.gateway), strict=True)
        far = [replace(each, url=forwards.url(of.namespace, of.service, of.port)) for each, of in several]
        inside: list[Timing] = []
        outside: list[Timing] = []
        around: list[float] = []
        for block in range(options.blocks):
            begun = time.monotonic()
            timed, where = shortest(deployment, near, options.pairs, block)
            around.append(time.monotonic() - begun - sum(each.ms for each in timed) / 1000)
            inside += _renumbered(timed, block * options.pairs)
            outside += _renumbered(measure(*far, pairs=options.pairs, seed=block), block * options.pairs)
        added = paired(near, far, options.pairs) if not deployment.is_timed_inside else {}
        fresh, kept = connection_ms(far[0].url)
    print(f"{options.blocks} blocks of {options.pairs} pairs each way; the shortest is {where}\n")
    print("| ms | shortest | through the forward | difference |\n| --- | ---: | ---: | ---: |")
    for (title, one), other in zip(figures(inside).items(), figures(outside).values(), strict=True):
        print(f"| {title} | {one:.2f} | {other:.2f} | {other - one:+.2f} |")
    for title, (low, value, high) in added.items():
        print(f"{title}: {value:.2f} ms (95 % interval {low:.2f} to {high:.2f})")
    print(f"\nnew connection through the forward: {fresh:.1f} ms for GET /v1/models, kept alive {kept:.1f} ms")
    print(f"around the timing, the shortest takes {np.median(around):.1f} s (a job's blocks of one arm included)")


def shortest(
    deployment: Deployment, near: tuple[Endpoint, Endpoint], pairs: int, seed: int
) -> tuple[Sequence[Timing], str]:
    """What was timed on the way with the least in it, and where."""
    if not deployment.is_timed_inside:
        return list(measure(*near, pairs=pairs, seed=seed)), "from here"
    samples, node = timing_job.time_pairs(deployment.kube, deployment.manifests, pairs=pairs, seed=seed)
    return samples.timings, f"a timing job on {node}"


def paired(near: Sequence[Endpoint], far: Sequence[Endpoint], pairs: int) -> dict[str, tuple[float, float, float]]:
    """What the forward adds to each arm, by pairs of the near and the far way, which blocks in turn do not have."""
    found = {}
    for arm, one, other in zip(("direct", "proxied"), near, far, strict=True):
        timed = Samples(tuple(measure(one, other, pairs=pairs, seed=1)))
        median = judge(timed, limit_ms=OVERHEAD_LIMIT_MS, seed=1).figures["median"]
        found[f"the forward adds to {arm}, paired"] = (median.ends[0], median.value, median.ends[1])
    return found


def figures(timed: list[Timing]) -> dict[str, float]:
    """The rows of the table for one way."""
    found = judge(Samples(tuple(timed)), limit_ms=OVERHEAD_LIMIT_MS, seed=1)
    median, control = found.figures["median"], found.figures["control"]
    assert found.direct_median_ms is not None
    assert found.proxied_median_ms is not None
    return {
        "direct, median": found.direct_median_ms,
        "proxied, median": found.proxied_median_ms,
        "overhead, median of the paired differences": median.value,
        "overhead, width of its 95 % interval": median.width,
        "control, width of its 95 % interval": control.width,
    }


def _renumbered(timed: Iterable[Timing], by: int) -> list[Timing]:
    return [replace(each, round=each.round + by) for each in timed if each.round >= 0]


def connection_ms(url: str) -> tuple[float, float]:
    """Median milliseconds of a small request over a connection of its own, and over one that is kept alive."""
    fresh, kept = [], []
    with OpenAIClient(Endpoint(url)) as same:
        for _ in range(CONNECTIONS):
            with OpenAIClient(Endpoint(url)) as new:
                fresh.append(new.models().e2e_ms)
            kept.append(same.models().e2e_ms)
    return float(np.median(fresh)), float(np.median(kept[1:]))


if __name__ == "__main__":
    main()
