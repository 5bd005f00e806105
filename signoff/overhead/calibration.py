"""`signoff calibrate`: known delays are put in and have to be found again, by the code that judges LiteLLM.

Both arms ask the same server through a relay on loopback; that of the proxied arm waits before each request. So the
true difference is the delay itself, and what is found beyond it is the bias of the measurement. A server that has
been idle for longer is slower, by almost a millisecond where 40 are put in: so the others' requests come later by the
delay, and all arms find it after the same rest.
"""

import argparse
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff import story
from signoff.cluster.registry import open_cluster
from signoff.core.console import progress
from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import MANIFESTS, ROOT, check_reports
from signoff.evidence import Evidence, side_file
from signoff.evidence.models import DelayFound, DelayTimed
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.options import check_deployment
from signoff.overhead.estimate import Overhead, Samples, judge
from signoff.stats.estimate import Estimate
from signoff.traffic import delay_proxy, timings_csv
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.pairs import Arm, failed, measure
from signoff.verdicts.verdict import Value


@dataclass(frozen=True)
class Injection:
    """A delay to put in: `ms`, or evenly between `ms` minus and plus `jitter_ms`."""

    ms: float
    jitter_ms: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Injection":
        """Read "18" or "40+-10".

        Raises:
            ValueError: it is neither, or below nothing.
        """
        ms, _, jitter = text.partition("+-")
        try:
            made = cls(float(ms), float(jitter or 0))
        except ValueError:
            raise ValueError(text) from None
        if not 0 <= made.jitter_ms <= made.ms < math.inf:
            raise ValueError(text)
        return made

    def __str__(self) -> str:
        return f"{self.ms:g}+-{self.jitter_ms:g}" if self.jitter_ms else f"{self.ms:g}"


INJECTIONS = (
    Injection(0),
    Injection(5),
    Injection(18),
    Injection(95),
    Injection(105),
    Injection(40, jitter_ms=10),
)
PAIRS = 200
CLUSTER = "embedded"
"""Where the story's vLLM is asked, if no other server is named."""


@dataclass(frozen=True)
class Recovery:
    """What the measurement made of a delay that was put in."""

    injection: Injection
    result: Overhead

    @property
    def tolerance_ms(self) -> float:
        """How far off it may be."""
        return 0.3 + 0.01 * self.injection.ms

    @property
    def bias_ms(self) -> float | None:
        """Found minus put in."""
        found = self.result.figures.get("median")
        return None if found is None else found.value - self.injection.ms

    @property
    def is_untold(self) -> bool:
        """Whether too few pairs or too busy a machine say nothing: a void run, or a bias that may be noise.

        A wrong verdict is told all the same.
        """
        if self.bias_ms is None or self.result.is_void:
            return True
        if self.is_wrongly_judged:
            return False
        put_in = self.injection.ms
        allowed = Estimate(put_in, put_in - self.tolerance_ms, put_in + self.tolerance_ms)
        return abs(self.bias_ms) > self.tolerance_ms and self.result.figures["median"].meets(allowed)

    @property
    def is_wrongly_judged(self) -> bool:
        """Whether the verdict is the opposite of what was put in."""
        below = self.injection.ms < self.result.limit_ms
        return self.result.verdict.value is (Value.FAILED if below else Value.PASSED)

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.bias_ms is None or self.result.is_void:
            return self.result.verdict.reason
        if self.is_wrongly_judged:
            return f"wrongly {self.result.verdict.value}"
        if self.is_untold:
            return "too restless to say: the interval holds what is allowed and what is not"
        if abs(self.bias_ms) > self.tolerance_ms:
            return f"off by more than {self.tolerance_ms:.2f} ms"
        return ""


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "calibrate",
        help="put known delays in, and see whether the overhead's measurement finds them",
        description="""Time pairs of one and the same server, with a known delay before each request of one arm, by the
        code that judges LiteLLM. Shows for each delay what was found, its 95 % interval, the bias, and the verdict
        against the limit of 100 ms. Exits 1 if a bias is beyond 0.3 ms + 1 % of the delay, or a verdict is wrong.""",
        epilog="""Without --url it asks the vLLM of a kept cluster (`signoff cluster up`), or of one that it starts for
        the purpose. A restless machine gives wide intervals; a bias that may be no more than that is told as such, and
        exits 1 as well: take more --pairs, or wait.""",
    )
    parser.add_argument("--url", help="a running server to ask, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--delay",
        action="append",
        metavar="MS",
        help="a delay in milliseconds, such as 18 or 40+-10 (evenly spread); again for more (default: "
        + ", ".join(map(str, INJECTIONS))
        + ")",
    )
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help=f"pairs for each delay (default: {PAIRS}; p95 is judged from 400)"
    )
    parser.add_argument("--seed", type=int, help="of prompts and intervals (default: a new one)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: reports/calibration-<time>)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Calibrate, and print a line for each delay; returns 1 if one was not found again."""
    injections = _injections(options.delay)
    _check(options)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    folder = options.out or ROOT / "reports" / f"calibration-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{os.getpid()}"
    settings = {"url": options.url, "pairs": options.pairs, "seed": seed, "delays": list(map(str, injections))}
    begun = began("calibrate", "" if options.url else CLUSTER, settings)
    with recording(folder, begun) as evidence, _server(options.url, evidence) as url:
        recoveries = [
            recover(url, each, pairs=options.pairs, seed=seed, evidence=evidence, file=f"delay-{number}.csv")
            for number, each in enumerate(injections, start=1)
        ]
    print("\n".join(lines(recoveries)))
    print(f"evidence: {evidence.dir}")
    return 1 if any(each.fault for each in recoveries) else 0


def _check(options: argparse.Namespace) -> None:
    """See that there is something to time, a way to it, and a place for what comes of it."""
    if options.pairs < 1:
        raise UsageError(f"--pairs {options.pairs} times nothing", hint="name a positive number, such as 200")
    if options.out is not None and options.out.exists():
        raise UsageError("there is something already", where=f"--out {options.out}", hint="name a folder to be made")
    check_reports(options.out or ROOT / "reports", "--out")
    if options.url is None:
        check_deployment(MANIFESTS)
    elif not options.url.startswith("http://"):
        raise UsageError(f"--url {options.url} is no http:// URL", hint="name one such as http://127.0.0.1:8000")


def recover(url: str, injection: Injection, *, pairs: int, seed: int, evidence: Evidence, file: str) -> Recovery:
    """Put one delay in, and judge what is timed; each request is a line of `file`, beside the evidence.

    Raises:
        SignoffError: a request failed.
    """
    progress("calibrate", f"{injection} ms, {pairs} pairs")
    path, timings = evidence.dir / file, []
    with (
        delay_proxy.running(url) as direct,
        delay_proxy.running(url, injection.ms, injection.jitter_ms) as delayed,
        timings_csv.writing(path) as write,
    ):
        longer_rests: dict[Arm, float] = dict.fromkeys(("direct", "control"), injection.ms / 1000)
        for timing in measure(
            direct,
            delayed,
            pairs=pairs,
            seed=seed,
            longer_rests=longer_rests,
            progress=lambda text: progress("calibrate", text),
        ):
            write(timing)
            timings.append(timing)
    timed = DelayTimed(
        delay_ms=injection.ms,
        jitter_ms=injection.jitter_ms,
        url=url,
        pairs_asked=pairs,
        seed=seed,
        requests=side_file(path),
    )
    number = evidence.add(timed)
    if failed(timings):
        raise SignoffError(
            f"a request failed: {next(each.error for each in timings if each.error)}",
            where=url,
            hint=f"does it serve {story.MODEL} in OpenAI's format?",
        )
    found = Recovery(injection, judge(Samples(tuple(timings)), limit_ms=story.OVERHEAD_LIMIT_MS, seed=seed))
    evidence.add(
        DelayFound(
            timed=number,
            bias_ms=found.bias_ms,
            figures=dict(found.result.figures),
            verdict=found.result.verdict.value,
            code=found.result.verdict.code,
            reason=found.result.verdict.reason,
            fault=found.fault,
        )
    )
    return found


def lines(recoveries: Sequence[Recovery]) -> Iterator[str]:
    """The table for the terminal, in milliseconds."""
    yield f"{'put in':>8} {'found':>8} {'95 % interval':>18} {'bias':>7} {'allowed':>8} {'control':>16}  verdict"
    for each in recoveries:
        median, control = each.result.figures["median"], each.result.figures["control"]
        yield (
            f"{each.injection!s:>8} {median.value:8.2f} {_ends(median):>18} "
            f"{each.bias_ms:+7.2f} {each.tolerance_ms:8.2f} {_ends(control):>16}  "
            f"{each.result.verdict.value}{f'  <- {each.fault}' if each.fault else ''}"
        )
    wrong = sum(bool(each.fault) for each in recoveries)
    untold = sum(each.is_untold for each in recoveries)
    yield ""
    yield f"{len(recoveries) - wrong} of {len(recoveries)} delays were found again"
    if untold:
        machine = f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs"
        yield f"too few pairs or too busy a machine to say of {untold} ({machine}): take more --pairs, or wait"


def _ends(figure: Estimate) -> str:
    return "too few pairs" if figure.low is None else f"{figure.low:.2f} to {figure.high:.2f}"


def _injections(asked: Sequence[str] | None) -> Sequence[Injection]:
    try:
        return [Injection.parse(text) for text in asked] if asked else INJECTIONS
    except ValueError as error:
        raise UsageError(f"--delay takes milliseconds, not {error}", hint="write 18, or 40+-10 for 30 to 50") from error


@contextmanager
def _server(url: str | None, evidence: Evidence) -> Iterator[str]:
    """The server to ask: the one that was named, else the story's vLLM."""
    if url:
        try:
            with OpenAIClient(url) as client:
                client.models()
        except NoAnswer as error:
            raise SignoffError(error.what, where=url, hint="is the server up, and the URL its base?") from error
        yield url
        return
    manifests = StoryManifests.read(MANIFESTS)
    cluster = open_cluster(CLUSTER, None, manifests.images)
    try:
        record_cluster(evidence, cluster)
        deployment = Deployment(cluster, manifests, evidence)
        deployment.apply(manifests.backend)
        yield deployment.wait_for_backend()
    finally:
        cluster.close()
