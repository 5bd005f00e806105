"""`signoff prepare`: what a cluster starts from, fetched or built before there is one."""

import argparse
from pathlib import Path
from typing import Any

from signoff.cluster import registry
from signoff.core.console import progress
from signoff.core.paths import MANIFESTS
from signoff.options import MANIFESTS_HELP, ClusterChoice, add_cluster_option, check_deployment


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("prepare", help="fill the caches that clusters start from", description=run.__doc__)
    add_cluster_option(parser)
    parser.add_argument("--manifests", type=Path, default=MANIFESTS, metavar="PATH", help=MANIFESTS_HELP)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch or build into this machine's caches what a cluster of this kind needs, the images of both included."""
    choice = ClusterChoice.of(options.cluster)
    manifests = check_deployment(options.manifests, choice)
    registry.provider(choice.cluster.value).prepare(manifests.images)
    progress("prepare", "all is there")
    return 0
