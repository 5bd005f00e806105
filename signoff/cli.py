"""`signoff`: what a person or another program may ask of the suite outside pytest."""

import argparse
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from signoff import story
from signoff.cluster.embedded.binaries import find_binaries
from signoff.cluster.embedded.images import Images
from signoff.cluster.registry import NAMES, open_cluster
from signoff.core.console import progress
from signoff.core.errors import REFUSED, SignoffError, UsageError
from signoff.core.paths import MANIFESTS, ROOT, cache_dir, check_reports, free_folder
from signoff.core.waiting import WaitFailed
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.options import Setting, check_deployment, cluster_of

ELSEWHERE = {
    "report": "signoff.commands.report",
    "verify": "signoff.commands.verify",
    "parity": "signoff.commands.parity",
    "calibrate": "signoff.overhead.calibration",
    "load": "signoff.load.distributed",
    "load-report": "signoff.commands.load_report",
    "cluster": "signoff.commands.cluster",
}
"""The commands that have a module of their own; all of them take seconds to import, so only the one asked for is."""
_READER_GONE = 128 + signal.SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        return _READER_GONE


def _run(argv: list[str]) -> int:
    options = _parser(argv[0] if argv else "").parse_args(argv)
    try:
        return int(options.run(options))
    except (SignoffError, WaitFailed) as error:
        print(f"signoff: {error}", file=sys.stderr)
        return REFUSED if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130


def _reader_has_gone() -> bool:
    """Whether nobody reads our output any more, as after `| head`; what is still to be written then goes nowhere."""
    output = select.poll()
    output.register(sys.stdout, 0)
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def serve(options: argparse.Namespace) -> int:
    """Hold the story's deployment for another program until that closes our standard input.

    A kept cluster is used and left running, else one is started that ends with this. Writes one line of JSON to
    standard output once LiteLLM and vLLM answer: the URLs of both, the model, the cluster's kubeconfig, and the folder
    with the evidence of what was deployed.
    """
    attach = Setting.of("--attach", options.attach)
    asked = cluster_of(options.cluster)
    manifests = check_deployment(options.manifests, cluster=asked, attach=attach)
    check_reports(options.reports)
    settings = {"attach": attach.value, "manifests": str(options.manifests)}
    folder = free_folder(options.reports, "serve")
    with recording(folder, began("serve", asked.value, settings)) as evidence:
        closed = _interrupt_when_stdin_closes()
        cluster = None
        try:
            cluster = open_cluster(asked.value, Path(attach.value) if attach.value else None, manifests.images)
            record_cluster(evidence, cluster)
            deployment = Deployment(cluster, manifests, evidence)
            deployment.start_both()
            deployment.wait_for_gateway()
            direct, proxied = deployment.wait_for_backend(), deployment.answering_gateway()
            urls = {"proxied": proxied, "direct": direct, "model": story.MODEL}
            told = {**urls, "kubeconfig": str(cluster.kubeconfig), "evidence": str(evidence.dir)}
            print(json.dumps(told), flush=True)
            closed.wait()
        except KeyboardInterrupt:
            if not closed.is_set():
                raise
        finally:
            if cluster:
                cluster.close()
    return 0


def _interrupt_when_stdin_closes() -> threading.Event:
    """Interrupt this process as Ctrl-C does once its caller has gone, be it while the cluster still starts.

    The event that is returned tells this end from a real Ctrl-C.
    """
    closed = threading.Event()

    def follow() -> None:
        # Not through sys.stdin, whose lock a daemon thread would still hold when Python ends.
        with suppress(OSError):  # closed from the start
            while os.read(0, 4096):
                pass
        closed.set()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=follow, daemon=True).start()
    return closed


def prepare(options: argparse.Namespace) -> int:
    """Fetch or build what the embedded cluster needs into the cache: Kubernetes and each image, side by side."""
    manifests = check_deployment(options.manifests)
    images = Images(cache_dir())
    jobs: list[Callable[[], Any]] = [
        lambda: find_binaries(lambda text: progress("cluster", text)),
        *(partial(images.prepare, image) for image in manifests.images),
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()
    progress("prepare", f"all is in {cache_dir()}")
    return 0


def _parser(asked: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="signoff",
        description="Is this LLM gateway, on this cluster, faithful, fast and safe enough to sign off?",
        epilog="The acceptance run itself is `pytest features/`; load is `locust -f bench/`. Exit status: 4 if what "
        "was asked for cannot be done, and nothing was started or written (2 if the command line cannot be read); 1 if "
        "it was done and failed.",
    )
    parser.add_argument("--version", action="version", version=f"signoff {version('signoff')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser(
        "serve", help="hold the deployment until standard input closes", description=serve.__doc__
    )
    serving.add_argument("--cluster", choices=NAMES, default="embedded", help="where to deploy (default: embedded)")
    serving.add_argument(
        "--attach", metavar="NAME", help="use this running cluster (its folder, or the name of an embedded one)"
    )
    serving.add_argument("--manifests", type=Path, default=MANIFESTS, help="the folder of litellm/ and vllm/")
    serving.add_argument(
        "--reports", type=Path, default=ROOT / "reports", metavar="DIR", help="where its evidence goes"
    )
    serving.set_defaults(run=serve)
    preparing = commands.add_parser(
        "prepare", help="fill the cache that embedded clusters start from", description=prepare.__doc__
    )
    preparing.add_argument("--manifests", type=Path, default=MANIFESTS, help="the folder of litellm/ and vllm/")
    preparing.set_defaults(run=prepare)
    if asked not in commands.choices:
        for module in [ELSEWHERE[asked]] if asked in ELSEWHERE else ELSEWHERE.values():
            import_module(module).add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
