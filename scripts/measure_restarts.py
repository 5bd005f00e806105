"""How far the overhead wanders from start to start of LiteLLM, and from minute to minute, as Markdown tables.

    python -m scripts.measure_restarts --restarts 10 --blocks 3 --pairs 30 --csv build/restarts.csv

Each restart ends LiteLLM's pods and times blocks of pairs on the new ones, vLLM running on. The variance of the blocks'
medians is split into that between restarts, that between the blocks of one, and what so few pairs alone give
(one-way nested analysis of variance: Searle, Casella and McCulloch, Variance Components, 1992, 3.6; the last from a
bootstrap within each block). From them and from what a restart and a pair cost follows how many pairs each restart
deserves (Kalibera and Jones, Rigorous Benchmarking in Reasonable Time, ISMM 2013, doi:10.1145/2464157.2464160, 6.3).
"""

import argparse
import csv
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path

import numpy as np

from scripts.deployed import deployed
from signoff.core.console import progress
from signoff.gateway.deployment import Deployment
from signoff.overhead.estimate import Samples, estimates
from signoff.stats.arrays import Numbers
from signoff.stats.estimate import z
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import Timing, measure

FIGURES = ("median", "median_plain", "median_streamed", "ttft")


@dataclass(frozen=True)
class Timed:
    """One block of pairs: each figure, and the standard error that its pairs alone give it, in milliseconds."""

    restart: int
    block: int
    began: float
    figures: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Components:
    """Standard deviations in milliseconds: of starts, of blocks of one start, and of the pairs of one block."""

    mean: float
    starts: float
    blocks: float
    pairs: float


def main() -> None:
    """Measure, and print; what the deployment records on the way is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", default="embedded", help="its kind (default: embedded)")
    parser.add_argument("--attach", type=Path, help="the folder of a running one (default: start one)")
    parser.add_argument("--restarts", type=int, default=10, help="starts of LiteLLM (default: 10)")
    parser.add_argument("--blocks", type=int, default=3, help="blocks of each start (default: 3)")
    parser.add_argument("--pairs", type=int, default=30, help="pairs of each block (default: 30)")
    parser.add_argument("--csv", type=Path, help="keep every request in this file")
    options = parser.parse_args()
    if options.restarts < 2 or options.blocks < 2 or options.pairs < 20:
        parser.error("a variance needs two restarts of two blocks at least, and a block's error twenty pairs")
    with deployed(options.cluster, options.attach) as (deployment, direct):
        timed, restart_seconds, pair_seconds = several(deployment, direct, options)
    print(f"{options.restarts} starts of {options.blocks} blocks of {options.pairs} pairs, ", end="")
    print(f"load average {os.getloadavg()[1]:.1f}\n\n{table(timed)}\n")
    print(f"a restart takes {restart_seconds:.1f} s with its warm-up, a pair {pair_seconds:.2f} s\n")
    print("| ms | mean | sd of starts | sd of blocks of a start | sd of pairs alone | pairs a start deserves |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for figure in FIGURES:
        found = components(timed, figure)
        deserved = pairs_per_restart(found, options.pairs, restart_seconds / pair_seconds)
        print(
            f"| {figure.replace('_', ' ')} | {found.mean:.2f} | {found.starts:.2f} | {found.blocks:.2f} "
            f"| {found.pairs:.2f} | {deserved} |"
        )


def several(deployment: Deployment, direct: Endpoint, options: argparse.Namespace) -> tuple[list[Timed], float, float]:
    """All blocks, and the median seconds of a restart and of a pair."""
    found: list[Timed] = []
    restarts, pairs = [], []
    for restart in range(options.restarts):
        begun = time.monotonic()
        proxied = restarted(deployment)
        for block in range(options.blocks):
            seed = restart * options.blocks + block
            timed = list(measure(direct, proxied, pairs=options.pairs, seed=seed))
            first = next(each.started for each in timed if each.round >= 0)
            if block == 0:
                restarts.append(first - begun)
            pairs.append((time.monotonic() - first) / options.pairs)
            keep(options.csv, restart, block, timed)
            found.append(Timed(restart, block, first, figures(timed, seed)))
        progress("restarts", f"{restart + 1} of {options.restarts}: {found[-1].figures['median'][0]:.1f} ms")
    return found, float(np.median(restarts)), float(np.median(pairs))


def restarted(deployment: Deployment) -> Endpoint:
    """LiteLLM as it answers from new pods."""
    old = deployment.pods(deployment.gateway)
    for pod in old:
        deployment.kube.delete("v1", "Pod", pod.metadata.namespace, pod.metadata.name)
        deployment.kube.wait_until_deleted("v1", "Pod", pod.metadata.namespace, pod.metadata.name)
    deployment.wait_for_gateway()
    return deployment.answering_gateway()


def figures(timed: Sequence[Timing], seed: int) -> dict[str, tuple[float, float]]:
    """Each figure of a block with its standard error.

    Raises:
        SystemExit: a request failed.
    """
    if failed := [each.error for each in timed if each.error]:
        raise SystemExit(f"a request failed: {failed[0]}")
    several = estimates(Samples(tuple(timed)).rounds(), seed=seed)
    return {name: (several[name].value, several[name].width / (2 * z())) for name in FIGURES}


def keep(file: Path | None, restart: int, block: int, timed: Sequence[Timing]) -> None:
    """Append each request."""
    if file is None:
        return
    with file.open("a", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        for each in timed:
            rows.writerow(
                (restart, block, each.round, each.arm, each.streamed, f"{each.started:.3f}", f"{each.ms:.3f}")
            )


def table(timed: Sequence[Timed]) -> str:
    """A row for each start: when it was, and the median of each of its blocks."""
    by_start: dict[int, list[Timed]] = {}
    for each in timed:
        by_start.setdefault(each.restart, []).append(each)

    def rows() -> Iterator[str]:
        yield "| start | at, s | medians of its blocks, ms |\n| ---: | ---: | --- |"
        for start, blocks in by_start.items():
            medians = ", ".join(f"{each.figures['median'][0]:.2f}" for each in blocks)
            yield f"| {start + 1} | {blocks[0].began - timed[0].began:.0f} | {medians} |"

    return "\n".join(rows())


def components(timed: Sequence[Timed], figure: str) -> Components:
    """Split the variance of the blocks' figures; a component that comes out below nothing is nothing."""
    starts = 1 + max(each.restart for each in timed)
    values: Numbers = np.array([each.figures[figure][0] for each in timed]).reshape(starts, -1)
    errors: Numbers = np.array([each.figures[figure][1] for each in timed])
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1)) - within / values.shape[1]
    of_pairs = float((errors**2).mean())
    return Components(
        mean=float(values.mean()),
        starts=sqrt(max(0.0, between)),
        blocks=sqrt(max(0.0, within - of_pairs)),
        pairs=sqrt(of_pairs),
    )


def pairs_per_restart(found: Components, pairs: int, restart_in_pairs: float) -> str:
    """How many pairs each start deserves, where a restart costs as much as so many pairs; all, if starts agree."""
    if not found.starts:
        return "any: starts do not differ"
    of_one = (found.blocks**2 + found.pairs**2) * pairs
    return str(ceil(sqrt(restart_in_pairs * of_one / found.starts**2)))


if __name__ == "__main__":
    main()
