"""`signoff prepare`: what a cluster starts from, fetched or built before there is one."""

import argparse
from typing import Any

from signoff.cluster import registry
from signoff.core.console import progress
from signoff.options import ClusterChoice, check_deployment, check_way_in, declare_settings
from signoff.settings import arguments
from signoff.way_in import controllers


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser("prepare", help="fill the caches that clusters start from", description=run.__doc__)
    declare_settings(parser.add_argument, arguments.DEPLOYMENT)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch or build into this machine's caches what a cluster of this kind needs, all images included.

    Those are LiteLLM's and vLLM's, and those of the controllers that make a way in, if the manifests declare one.
    """
    read = arguments.read_from(options)
    choice = ClusterChoice.of(read)
    manifests = check_deployment(read, choice)
    check_way_in(manifests)
    wanted = controllers.images(manifests)
    registry.provider(choice.cluster.value).prepare({*manifests.images, *wanted})
    if wanted:
        controllers.definitions()
    progress("prepare", "all is there")
    return 0
