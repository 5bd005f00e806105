"""How wide the interval of the overhead is: signoff's pairs beside direct-then-proxied runs of the usual generators.

    python -m scripts.measure_width                                # 10 repeats of each, at most 25 minutes
    python -m scripts.measure_width --delay 18                     # vLLM behind a known delay in LiteLLM's place
    python -m scripts.measure_width --from reports/width-<time>    # the tables of an earlier run again

On one deployment each repeat runs every tool once, in random order: one request in flight, prompts and answers of one
length. A run of a tool ends in one estimate of what LiteLLM adds to the end-to-end latency, with an interval:

- signoff: `--pairs` rounds of direct, proxied and direct again (the control), and what
  `signoff.overhead.estimate` says of them.
  "signoff, streams" times streams alone, as the peers do; "signoff" both kinds, as in a sign-off.
- A peer: one command against vLLM, then the same against LiteLLM, as its users do, each a process of its own. The
  estimate is the difference of the medians of the two runs.

Equal numbers: P pairs are 3 P requests, the control's counted in; a peer times 1.5 P directly and 1.5 P proxied. What
warms up is counted on neither side: signoff asks 20 to 50 rounds, each run of a peer is told to ask 20 requests.

Two widths are shown, since only one of them need be honest where the two arms lie apart in time:

- own: the 95 % interval that a single run allows by itself. Of signoff, its block bootstrap; of a peer, the ordinary
  bootstrap of two independent samples (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 8.3 and 13.3). The
  latter takes requests for independent, and cannot see what changed between the two runs.
- repeats: 2 x 1.96 standard deviations of the estimates over the repeats, the width that would have been right were
  they normal. From 10 repeats a standard deviation is known to within a factor of 0.69 to 1.83 (chi-squared, 95 %).

LiteLLM itself is slower in one minute than in the next, and both hold that too; so do all tools. With `--delay` the
overhead is known and stays what it is (both arms are vLLM behind a relay, that of the proxied one waits; signoff rests
by the delay longer before the other arm's requests, as `signoff calibrate` does): what the estimates then scatter by is
the method's own.

"true" says how many own intervals hold the delay, or without one the mean of their tool's estimates: of honest ones,
95 %. The tools do not stop the clock at the same byte (signoff at the last of the answer, vLLM's and AIPerf at the last
token), GuideLLM asks for the usage with each token, and signoff alone lets vLLM rest before each request, which is
quicker when it has just answered: so their means may differ a little.
"""

import argparse
import math
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scripts import peers
from signoff import evidence as store
from signoff.cluster.registry import open_cluster
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.evidence import Evidence, side_file
from signoff.evidence.models import Measurement
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.overhead.estimate import Samples, judge
from signoff.stats.bootstrap import BlockBootstrap
from signoff.stats.estimate import Estimate, z
from signoff.story import MODEL, OVERHEAD_LIMIT_MS
from signoff.traffic import delay_proxy, timings_csv
from signoff.traffic.client import OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import (
    ARMS,
    PAIRS_FOR_P95,
    TOKENS,
    WINDOW_ROUNDS,
    Arm,
    Manner,
    Timing,
    measure,
    random_prompt,
)

OWN = "signoff"
STREAMS = "signoff, streams"
"""What the peers are compared with: the same work as theirs."""

REPEATS = 10
PAIRS = 200
MINUTES = 25.0
PEER_SECONDS = 300.0
"""Of one command of a peer; it takes a tenth of that on a machine that does nothing else."""
FAILURES = 2
"""So many of one tool, and it is not run again."""
WARM_UP_REQUESTS = 2 * WINDOW_ROUNDS
"""Of each run of a peer: as many as signoff's shortest warm-up sends over each connection."""
HUB = "huggingface"
CLUSTER = "embedded"
RUN = "run"
"""What a run of a tool is called in the evidence."""


@dataclass(frozen=True)
class Run:
    """One run of a tool: its estimate in milliseconds with the ends of its own interval, and what it took.

    `requests` counts the timed ones of both arms, `load` is the machine's load average before it, `put_in` the delay
    in LiteLLM's place.
    """

    tool: str
    repeat: int
    requests: int
    ms: float
    low: float
    high: float
    seconds: float
    load: float
    put_in: float | None = None

    @property
    def width(self) -> float:
        """Of its own interval."""
        return self.high - self.low

    def to_json(self) -> dict[str, Any]:
        """As it is recorded; JSON has no NaN, which is an end of no interval."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Run":
        """What was recorded."""
        ends = {name: math.nan if told[name] is None else told[name] for name in ("low", "high")}
        return cls(**{**told, **ends})


@dataclass(frozen=True)
class Measured:
    """What a tool makes of one run."""

    estimate: Estimate
    requests: int


Tool = Callable[[int], Measured]
"""Measures the overhead once; it is told the number of the repeat."""


def main() -> int:
    """Run every tool in each repeat, in random order, and print the tables; of what there is when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of each tool (default: {REPEATS})")
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help=f"of each run of signoff (default: {PAIRS}, at most {PAIRS_FOR_P95})"
    )
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"no repeat begins that would end later (default: {MINUTES:g})"
    )
    parser.add_argument("--without", action="append", default=[], choices=tuple(INSTALLED), help="leave a peer out")
    parser.add_argument("--delay", type=float, metavar="MS", help="a known delay in LiteLLM's place, in milliseconds")
    parser.add_argument("--seed", type=int, default=1, help="of orders, prompts and intervals (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: reports/width-<time>)")
    parser.add_argument("--from", type=Path, metavar="DIR", dest="earlier", help="the tables of an earlier run again")
    options = parser.parse_args()
    if options.repeats < 1 or options.pairs < 1:
        parser.error("--repeats and --pairs are positive numbers")
    if options.delay is not None and options.delay < 0:
        parser.error(f"--delay {options.delay:g} is below nothing")
    if options.pairs > PAIRS_FOR_P95:
        parser.error(
            f"--pairs {options.pairs}: above {PAIRS_FOR_P95} signoff ends once its intervals are narrow, "
            "and the peers would have asked more requests than it has"
        )
    try:
        if options.earlier:
            runs, status = read(options.earlier), 0
        else:
            runs, status = compare(options)
    except SignoffError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(tables(runs)))
    return status


def compare(options: argparse.Namespace) -> tuple[list[Run], int]:
    """Deploy, run the tools, and give their runs and the exit status: 130 if it was interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    until = time.monotonic() + options.minutes * 60
    folder = options.out or ROOT / "reports" / f"width-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    asked = {name: getattr(options, name) for name in ("repeats", "pairs", "minutes", "without", "delay", "seed")}
    begun = began("measure", CLUSTER, asked)
    runs: list[Run] = []
    try:
        with (
            recording(folder, begun) as evidence,
            tempfile.TemporaryDirectory(prefix="signoff-") as name,
            deployed(Path(name), options.delay, evidence) as (direct, proxied),
        ):
            progress("width", "warming the deployment up")
            list(measured(direct, proxied, pairs=options.pairs // 4, seed=options.seed))
            tools = _tools(direct, proxied, Path(name), options, evidence)
            for run in repeated(tools, options.repeats, random.Random(options.seed), until, put_in=options.delay):
                evidence.add(Measurement(name=RUN, values=run.to_json()))
                runs.append(run)
    except KeyboardInterrupt:
        progress("width", "interrupted; what there is until now:")
        return runs, 130
    progress("width", f"all runs are in {folder}")
    return runs, 0


@contextmanager
def deployed(folder: Path, delay: float | None, evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The story on an embedded cluster: vLLM's URL and LiteLLM's, or those of vLLM without and with the delay.

    Meanwhile the peers' tokenizer is made.
    """
    manifests = StoryManifests.read()
    cluster = open_cluster(CLUSTER, None, manifests.images, fresh=True)
    try:
        record_cluster(evidence, cluster)
        deployment = Deployment(cluster, manifests, evidence)
        if delay is None:
            deployment.start_both()
        else:
            deployment.apply(manifests.backend)
        progress("peers", "making the tiny model's tokenizer for them")
        peers.make_hub(peers.vllm_programs(), folder / HUB)
        if delay is None:
            deployment.wait_for_gateway()
            yield deployment.wait_for_backend().url, deployment.answering_gateway().url
        else:
            backend = deployment.wait_for_backend().url
            with delay_proxy.running(backend) as direct, delay_proxy.running(backend, delay) as delayed:
                yield direct, delayed
    finally:
        cluster.close()


# The tools


def _tools(direct: str, proxied: str, folder: Path, options: argparse.Namespace, evidence: Evidence) -> dict[str, Tool]:
    """signoff in both ways, and the peers that can be had."""

    def own(tool: str, kinds: Sequence[bool]) -> Tool:
        def once(repeat: int) -> Measured:
            seed = options.seed * 1000 + repeat
            timings = measured(direct, proxied, pairs=options.pairs, seed=seed, kinds=kinds, delay=options.delay or 0.0)
            path = evidence.dir / f"{'streams' if all(kinds) else 'both'}-{repeat}.csv"
            with timings_csv.writing(path) as write:
                for each in timings:
                    write(each)
            evidence.add(Measurement(name="timings", values={"tool": tool, "repeat": repeat}, files=[side_file(path)]))
            return judged(timings, seed)

        return once

    def other(peer: peers.Peer) -> Tool:
        def once(repeat: int) -> Measured:
            each, rng = options.pairs * len(ARMS) // 2, random.Random(f"{peer.name} {options.seed} {repeat}")
            found: list[list[float]] = []
            for url in (direct, proxied):
                with tempfile.TemporaryDirectory(dir=folder) as name:
                    prompts = [random_prompt(rng) for _ in range(WARM_UP_REQUESTS + each)]
                    seed = rng.randrange(2**31)
                    progress(peer.name, "the proxied arm" if found else "vLLM directly")
                    work = peers.Work(url, prompts, length, TOKENS, WARM_UP_REQUESTS, seed, folder / HUB, Path(name))
                    found.append(peer.run(work, seconds=PEER_SECONDS))
            once_direct, once_proxied = found
            told = {"tool": peer.name, "repeat": repeat, "direct": once_direct, "proxied": once_proxied}
            evidence.add(Measurement(name="latencies", values=told))
            return Measured(two_samples(once_direct, once_proxied, seed=repeat), 2 * each)

        return once

    tools = {OWN: own(OWN, (False, True)), STREAMS: own(STREAMS, (True,))}
    length = prompt_tokens(direct)
    tools |= {peer.name: other(peer) for peer in _peers(options.without)}
    return tools


INSTALLED: dict[str, tuple[str, Callable[[Path], peers.Peer]]] = {
    "guidellm": (peers.GUIDELLM, peers.guidellm),
    "aiperf": (peers.AIPERF, peers.aiperf),
}


def _peers(without: Sequence[str]) -> Iterator[peers.Peer]:
    yield peers.vllm_bench(peers.vllm_programs())
    for name, (requirement, peer) in INSTALLED.items():
        if name in without:
            continue
        try:
            yield peer(peers.installed(requirement))
        except SignoffError as error:
            progress("peers", f"without {name}: {error}")


def measured(
    direct: str, proxied: str, *, pairs: int, seed: int, kinds: Sequence[bool] = (False, True), delay: float = 0.0
) -> list[Timing]:
    """signoff's timings. Where vLLM waits for the delay, in milliseconds, it also does so between the other requests.

    Raises:
        SignoffError: a request failed.
    """

    def tell(text: str) -> None:
        progress("signoff", text)

    rests: dict[Arm, float] = dict.fromkeys(("direct", "control"), delay / 1000)
    manner = Manner(kinds, rests)
    timings = list(measure(Endpoint(direct), Endpoint(proxied), pairs=pairs, seed=seed, manner=manner, progress=tell))
    if wrong := next((each for each in timings if each.error), None):
        raise SignoffError(f"a request failed: {wrong.error}", where=wrong.arm)
    return timings


def judged(timings: Sequence[Timing], seed: int) -> Measured:
    """What signoff says of its timings."""
    found = judge(Samples(tuple(timings)), limit_ms=OVERHEAD_LIMIT_MS, seed=seed)
    if found.is_invalid:
        progress("signoff", found.verdict.reason)
    return Measured(found.figures["median"], found.pairs * len(ARMS))


def prompt_tokens(url: str) -> int:
    """The length of signoff's prompts in tokens, as vLLM counts: the median of some."""
    rng = random.Random(0)
    with OpenAIClient(Endpoint(url)) as client:
        asked = [client.send("POST", "/tokenize", {"model": MODEL, "prompt": random_prompt(rng)}) for _ in range(21)]
    return int(statistics.median(each.json["count"] for each in asked))


def two_samples(direct: Sequence[float], proxied: Sequence[float], *, seed: int) -> Estimate:
    """The difference of two medians with the interval of the ordinary bootstrap of two samples.

    Requests are drawn one by one, each arm's apart from the other's, and the ends lie as much further out as signoff's.
    """
    one, other = (BlockBootstrap(len(arm), (seed, number), length=1) for number, arm in enumerate((direct, proxied)))
    return one.estimate(other.quantile(np.asarray(proxied), 0.5) - one.quantile(np.asarray(direct), 0.5))


# The repeats


def repeated(
    tools: dict[str, Tool], repeats: int, rng: random.Random, until: float, put_in: float | None = None
) -> Iterator[Run]:
    """Run all tools, in another order in each repeat, until `until` (time.monotonic()) would not be kept.

    A run that fails is told and left out, a tool that fails for the second time is not run again.
    """
    failures: Counter[str] = Counter()
    longest = 0.0
    for repeat in range(repeats):
        begun = time.monotonic()
        if begun + longest > until:
            progress("width", f"{repeat} of {repeats} repeats fit into the time")
            return
        if repeat:
            progress("width", f"about {longest * (repeats - repeat) / 60:.0f} minutes to go")
        order = [name for name in tools if failures[name] < FAILURES]
        for place, name in enumerate(rng.sample(order, len(order))):
            progress("width", f"repeat {repeat + 1} of {repeats}, {place + 1} of {len(order)}: {name}")
            load, started = os.getloadavg()[0], time.monotonic()
            try:
                found = tools[name](repeat)
            except SignoffError as error:
                failures[name] += 1
                progress("width", f"{name} failed: {error}")
                continue
            took, ms, (low, high) = time.monotonic() - started, found.estimate.value, found.estimate.ends
            progress("width", f"{name}: {ms:.2f} ms ({low:.2f} to {high:.2f}) in {took:.0f} s")
            yield Run(name, repeat, found.requests, ms, low, high, took, load, put_in)
        longest = max(longest, time.monotonic() - begun)


def read(folder: Path) -> list[Run]:
    """The runs of an earlier comparison.

    Raises:
        SignoffError: there are none.
    """
    evidence = store.read(folder)
    if evidence.run.tool != "measure":
        raise SignoffError(f"a run of signoff {evidence.run.tool}, which compares no widths", where=str(folder))
    return [Run.from_json(each.values) for each in evidence.of(Measurement) if each.name == RUN]


# The tables


@dataclass(frozen=True)
class Row:
    """A tool over its repeats, in milliseconds; `spread` is the standard deviation of its estimates."""

    tool: str
    runs: tuple[Run, ...]

    @property
    def mean(self) -> float:
        """Of the estimates."""
        return statistics.fmean(run.ms for run in self.runs)

    @property
    def spread(self) -> float:
        """NaN for a single one."""
        return statistics.stdev(run.ms for run in self.runs) if len(self.runs) > 1 else math.nan

    @property
    def own(self) -> float:
        """The median width of the own intervals."""
        return statistics.median(run.width for run in self.runs)

    @property
    def repeats(self) -> float:
        """The width that the scatter of the repeats asks for."""
        return 2 * z() * self.spread

    @property
    def put_in(self) -> float | None:
        """What there was to find, where it is known."""
        return self.runs[0].put_in

    @property
    def true(self) -> int:
        """How many own intervals hold what there was to find, or else the mean."""
        truth = self.mean if self.put_in is None else self.put_in
        return sum(run.low <= truth <= run.high for run in self.runs)

    def cells(self, reference: float) -> Iterator[str]:
        """Of the first table; `reference` is what the mean is compared with."""
        yield self.tool
        yield f"{statistics.median(run.requests for run in self.runs):g}"
        yield f"{self.mean:.2f}"
        yield f"{self.mean - reference:+.2f}"
        yield f"{self.own:.2f}"
        yield f"{self.true} of {len(self.runs)}"
        yield told(self.spread)
        yield told(self.repeats)
        yield f"{statistics.median(run.seconds for run in self.runs):.0f}"
        yield f"{statistics.median(run.load for run in self.runs):.1f}"


def tables(runs: Sequence[Run]) -> Iterator[str]:
    """Both tables in Markdown: the widths, and signoff's as a part of each peer's."""
    by_tool: dict[str, list[Run]] = {}
    for run in runs:
        by_tool.setdefault(run.tool, []).append(run)
    rows = {tool: Row(tool, tuple(found)) for tool, found in by_tool.items()}
    if not rows:
        yield "no run has ended"
        return
    streams = [row.mean for tool, row in rows.items() if tool != OWN]
    put_in = runs[0].put_in
    if put_in is None:
        reference, compared = statistics.fmean(streams) if streams else rows[OWN].mean, "off the streams' grand mean"
    else:
        reference, compared = put_in, f"off the {put_in:g} put in"
    loads = [run.load for run in runs]
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load average {min(loads):.1f} to {max(loads):.1f}"
    yield f"{machine}; milliseconds"
    yield ""
    yield (
        f"| overhead by | requests | mean of the estimates | {compared} | width, own (median) | true "
        "| standard deviation | width, repeats | s each | load |"
    )
    yield "| --- |" + " ---: |" * 9
    for row in sorted(rows.values(), key=lambda row: (row.tool not in (OWN, STREAMS), row.tool)):
        yield f"| {' | '.join(row.cells(reference))} |"
    yield ""
    yield "| width as a part of | " + " | ".join(f"{own}: {kind}" for own in (OWN, STREAMS) for kind in KINDS) + " |"
    yield "| --- |" + " ---: |" * 2 * len(KINDS)
    for peer in (row for tool, row in rows.items() if tool not in (OWN, STREAMS)):
        cells = [part(rows.get(own), peer, kind) for own in (OWN, STREAMS) for kind in KINDS]
        yield f"| {peer.tool} | {' | '.join(cells)} |"


KINDS: dict[str, Callable[[Row], float]] = {"own": lambda row: row.own, "repeats": lambda row: row.repeats}


def part(own: Row | None, peer: Row, kind: str) -> str:
    """signoff's width by that of a peer."""
    width = KINDS[kind]
    return told(width(own) / width(peer)) if own and width(peer) > 0 else "-"


def told(value: float) -> str:
    """For a cell; a single repeat has no standard deviation."""
    return "-" if math.isnan(value) else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
