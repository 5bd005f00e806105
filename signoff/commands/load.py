"""`signoff load`: Locust's master and workers as pods of the cluster, and what they recorded."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from signoff.core.errors import UsageError, refusing
from signoff.core.paths import BENCH, free_folder
from signoff.core.redact import redacted_log
from signoff.evidence.recording import began, record_cluster, recording
from signoff.gateway.deployment import Deployment
from signoff.gateway.key import keys_of
from signoff.in_cluster.load_generator.workload import Workload
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import containers
from signoff.load import distributed
from signoff.load.distributed import DEFAULT_TIME, IMAGE_NAME
from signoff.options import (
    ClusterChoice,
    Named,
    add_deployment_options,
    check_deployment,
    check_reports_of,
    check_trust,
)
from signoff.settings import Read
from signoff.settings.arguments import read_from
from signoff.settings.reading import VARIABLE
from signoff.settings.shown import record
from signoff.traffic.keys import refuse_on_command_line


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "load",
        help="run Locust's master and workers as pods, and collect the raw records",
        description="""Deploy the story (or use a kept cluster), run bench/locustfile.py there in Locust's distributed
        mode, and collect evidence, samples.csv, the raw records and Locust's own report into a folder under reports/.
        Everything after -- goes to Locust: `signoff load --options` lists what bench/ adds to Locust's own options,
        which `locust --help` lists.""",
        epilog="Example: signoff load --workers 3 -- --shape sweep-rate --stages 5,10,20,40 --stage-seconds 60. A load "
        f"from this machine instead: locust -f '{BENCH}'",
    )
    parser.add_argument("--workers", type=int, default=3, help="number of workers, one core each (default: 3)")
    add_deployment_options(parser, "reports", "overhead_limit_ms")
    parser.add_argument("--image", metavar="IMAGE", help=f"Locust's image instead of the manifests' {IMAGE_NAME}")
    parser.add_argument("--lengths", type=Path, metavar="FILE", help="CSV with the columns prompt_tokens,answer_tokens")
    parser.add_argument("--options", action="store_true", help="list the options of bench/locustfile.py and exit")
    parser.add_argument("--print", action="store_true", help="print what would be applied, for kubectl apply -f -")
    parser.add_argument("locust", nargs="*", metavar="-- OPTION", help=f"for Locust (default: -t {DEFAULT_TIME})")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks; exit status 1 if the load is invalid or incomplete."""
    if options.options and options.print:
        hint = "leave out one or the other"
        raise UsageError(
            "--options lists options, and --print what would be applied", where="--options --print", hint=hint
        )
    if options.options:
        # Locust's own --help ends before it has read a locustfile; importing Locust here would change this process.
        return subprocess.run(
            [sys.executable, "-m", "signoff.in_cluster.load_generator.options"], check=False
        ).returncode
    read = read_from(options)
    _check(options, read)
    with refusing():
        under_load = StoryManifests.read(read.settings)
        keys = keys_of(under_load)
        wanted = distributed.manifests(options, under_load, keys)
    if refused := _check_for_locust(options, read):
        return refused
    if options.print:
        shown = [each.body for each in wanted if each.body["kind"] != "Secret"]
        print(yaml.safe_dump_all(shown, sort_keys=False), end="")
        if keys.given:
            made = f"kubectl -n {under_load.roles.gateway.namespace} create secret generic {distributed.KEYS}"
            lines = " and ".join(f"{name}=..." for name in keys.given)
            told = f"make their Secret from a file of the lines {lines}: {made} --from-env-file=FILE"
            print(f"the keys are not shown; {told}", file=sys.stderr)
        return 0
    choice, image = (
        ClusterChoice.of(read, options.attach, trust=options.trust),
        Named.by_option("--image", options.image),
    )
    images = {c["image"]: image.where or m.place() for m in wanted for c in containers(m.body)}
    story_manifests = check_deployment(read, choice, images).without_way_in()
    settings = {
        **record(read),
        **story_manifests.not_the_storys,
        "attach": choice.attach.value,
        "trust": check_trust(choice, story_manifests),
        "image": image.value,
        "locust": [redacted_log(each) for each in options.locust],
        "workers": options.workers,
    }
    folder = free_folder(read.settings.reports, "load")
    with recording(folder, began("load", choice.cluster.value, settings)) as evidence:
        cluster = choice.open_cluster(
            {**story_manifests.images, **dict.fromkeys(images, story_manifests.settings.allowed_nodes)}
        )
        try:
            record_cluster(evidence, cluster)
            deployment = Deployment(cluster, story_manifests, evidence)
            deployment.clear_away()
            deployment.start_both()
            deployment.wait_for_gateway()
            deployment.wait_for_backend()
            deployment.answering_gateway()
            with distributed.applied(deployment.kube, deployment.namespace, wanted):
                error = distributed.follow(cluster, deployment.kube, story_manifests.roles, evidence)
        finally:
            cluster.close()
        return distributed.concluded(evidence.dir, error)


def _check(options: argparse.Namespace, read: Read) -> None:
    refuse_on_command_line(options.locust)
    if options.workers < 1:
        hint = "leave it out for 3"
        raise UsageError("at least one worker has to send requests", where=f"--workers {options.workers}", hint=hint)
    check_reports_of(read)
    if options.lengths:
        with refusing():
            Workload.read(options.lengths)


def _check_for_locust(options: argparse.Namespace, read: Read) -> int:
    """Have Locust and bench/ look at what is meant for them, in a process of their own; exit status, 0 if it is fine.

    What is wrong has been said then.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "SIGNOFF_"))}
    environment[VARIABLE] = os.devnull  # the settings have been read
    command = [sys.executable, "-m", "signoff.load.asked", str(read.settings.reports), *options.locust]
    return subprocess.run(command, env=environment, check=False).returncode
