"""`signoff calibrate`: whether the overhead's measurement finds known delays again."""

import argparse
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import REPORTS, check_reports
from signoff.evidence import Evidence
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.options import ClusterChoice, add_deployment_options, check_deployment, check_trust
from signoff.overhead.calibration import PAIRS, Injection, Recovery, injections, recover
from signoff.settings import Read, Settings
from signoff.settings.arguments import read_from
from signoff.settings.shown import not_the_storys, record
from signoff.stats.estimate import Estimate
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.keys import Keys

_OF_A_SERVER = ("model", "overhead_limit_ms")
"""The settings that count where a server is asked which the suite did not deploy."""


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "calibrate",
        help="add known delays, and see whether the overhead's measurement finds them",
        description="""Time pairs of one and the same server, with a known delay before each request of one arm, by the
        code that judges LiteLLM. Shows for each delay what was found, its 95 % interval, the bias, and the verdict
        against the overhead's limit. Exits 1 if a bias is beyond 0.3 ms + 1 % of the delay, or a verdict is wrong.""",
        epilog="""Without --url it asks the story's vLLM on a cluster, which it starts for the purpose unless one
        is kept or attached to. A restless machine gives wide intervals; a bias that may be noise is
        reported as such, and exits 1 as well: take more --pairs, or wait.""",
    )
    parser.add_argument("--url", help="a running server to ask instead, such as http://127.0.0.1:8000")
    add_deployment_options(parser, "overhead_limit_ms")
    parser.add_argument(
        "--delay",
        action="append",
        metavar="MS",
        help="a delay in milliseconds, such as 18 or 40+-10 (evenly spread); again for more (default: "
        + ", ".join(map(str, injections(Settings().overhead_limit_ms)))
        + "; those near the limit follow it)",
    )
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help=f"pairs for each delay (default: {PAIRS}; p95 is judged from 400)"
    )
    parser.add_argument("--seed", type=int, help="of prompts and intervals (default: a new one)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: reports/calibration-<time>)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Calibrate, and print a line for each delay; returns 1 if one was not found again."""
    read = read_from(options)
    limit_ms = read.settings.overhead_limit_ms
    delays = _delays(options.delay) or injections(limit_ms)
    choice = ClusterChoice.of(read, options.attach, trust=options.trust)
    manifests = _check(options, read, choice)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    folder = options.out or REPORTS / f"calibration-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{os.getpid()}"
    asked = {"url": options.url, "pairs": options.pairs, "seed": seed, "delays": list(map(str, delays))}
    if manifests:
        asked["trust"] = check_trust(choice, manifests)
    recorded = record(read)
    settings = {**(recorded if manifests else {name: recorded[name] for name in _OF_A_SERVER}), **asked}
    begun = began("calibrate", "" if options.url else choice.cluster.value, settings)
    with recording(folder, begun) as evidence, _server(options.url, read, choice, manifests, evidence) as server:
        recoveries = [
            recover(
                server,
                each,
                limit_ms=limit_ms,
                pairs=options.pairs,
                seed=seed,
                evidence=evidence,
                file=f"delay-{number}.csv",
            )
            for number, each in enumerate(delays, start=1)
        ]
    print("\n".join([*lines(recoveries), *(each.as_line for each in not_the_storys(settings))]))
    print(f"evidence: {evidence.dir}")
    return 1 if any(each.fault for each in recoveries) else 0


def _check(options: argparse.Namespace, read: Read, choice: ClusterChoice) -> StoryManifests | None:
    """See that there is something to time, a way to it, and a place for what comes of it.

    Returns what is to be deployed; None where a server is named.
    """
    if options.url is not None and (read.origins["cluster"].source == "option" or options.attach):
        what = "--url names a server that runs, and --cluster and --attach a cluster to have one on"
        raise UsageError(what, where=f"--url {options.url}", hint="leave out one or the other")
    if options.pairs < 1:
        raise UsageError(f"--pairs {options.pairs} times nothing", hint="name a positive number, such as 200")
    if options.out is not None and options.out.exists():
        raise UsageError("the output folder already exists", where=f"--out {options.out}", hint="name a new folder")
    check_reports(options.out or REPORTS, "--out")
    if options.url is None:
        return check_deployment(read, choice).without_way_in()
    if not options.url.startswith("http://"):
        raise UsageError(f"--url {options.url} is no http:// URL", hint="name one such as http://127.0.0.1:8000")
    return None


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


def _delays(asked: Sequence[str] | None) -> Sequence[Injection]:
    try:
        return [Injection.parse(text) for text in asked or ()]
    except ValueError as error:
        raise UsageError(f"--delay takes milliseconds, not {error}", hint="write 18, or 40+-10 for 30 to 50") from error


@contextmanager
def _server(
    url: str | None, read: Read, choice: ClusterChoice, manifests: StoryManifests | None, evidence: Evidence
) -> Iterator[Endpoint]:
    """The server to ask: the one that was named, else the story's vLLM."""
    if url:
        server = Endpoint(url, read.settings.model, Keys.from_environment().gateway)
        try:
            with OpenAIClient(server) as client:
                client.models()
        except NoAnswer as error:
            raise SignoffError(error.what, where=url, hint="is the server up, and the URL its base?") from error
        yield server
        return
    assert manifests is not None, "there is a URL, or there are manifests"
    cluster = choice.open_cluster(manifests.images)
    try:
        record_cluster(evidence, cluster)
        deployment = Deployment(cluster, manifests, evidence)
        deployment.apply(manifests.backend)
        yield deployment.wait_for_backend()
    finally:
        cluster.close()
