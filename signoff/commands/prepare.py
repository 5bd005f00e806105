"""`signoff prepare`: what a cluster starts from, fetched or built before there is one."""

import argparse
from typing import Any

from signoff.cluster import registry
from signoff.core.console import progress
from signoff.options import ClusterChoice, check_deployment, declare_settings
from signoff.settings import arguments


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("prepare", help="fill the caches that clusters start from", description=run.__doc__)
    declare_settings(parser.add_argument, arguments.DEPLOYMENT)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch or build into this machine's caches what a cluster of this kind needs, the images of both included."""
    read = arguments.read_from(options)
    choice = ClusterChoice.of(read)
    manifests = check_deployment(read, choice)
    registry.provider(choice.cluster.value).prepare(manifests.images)
    progress("prepare", "all is there")
    return 0
