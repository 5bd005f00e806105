"""The controllers of a way in, which run as pods: the image that each is published as, and the program in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signoff.programs import cert_manager, crds, pebble, search, traefik
from signoff.programs.search import Progress, Recipe


@dataclass(frozen=True)
class Controller:
    """A program that runs in an image of its own.

    `user` is the one of the published image. Where that cannot be pulled, the program alone makes an image: it needs
    nothing beside it.
    """

    image: str
    program: str
    recipe: Callable[[], Recipe]
    user: int = 0

    def find(self, progress: Progress) -> Path:
        """The program, made first if need be.

        Raises:
            SignoffError: it can be neither downloaded nor built.
        """
        return search.find(self.recipe(), progress)[self.program]


TRAEFIK = Controller(f"traefik:v{traefik.VERSION}", "traefik", traefik.recipe)
CERT_MANAGER = Controller(
    f"quay.io/jetstack/cert-manager-controller:v{cert_manager.VERSION}",
    "cert-manager-controller",
    cert_manager.recipe,
    user=1000,
)
ACME_SOLVER = Controller(
    f"quay.io/jetstack/cert-manager-acmesolver:v{cert_manager.VERSION}",
    "cert-manager-acmesolver",
    cert_manager.recipe,
    user=1000,
)
PEBBLE = Controller(f"ghcr.io/letsencrypt/pebble:{pebble.VERSION}", "pebble", pebble.recipe)
PEBBLE_DNS = Controller(
    f"ghcr.io/letsencrypt/pebble-challtestsrv:{pebble.VERSION}", "pebble-challtestsrv", pebble.recipe
)
EVERY = (TRAEFIK, CERT_MANAGER, ACME_SOLVER, PEBBLE, PEBBLE_DNS)
BY_PROGRAM = {each.program: each for each in EVERY}


def check_named_folders() -> None:
    """See that each folder that the user names for a controller, or for the definitions of its kinds, has all.

    Raises:
        SignoffError: one lacks a file.
    """
    for recipe in (*dict.fromkeys(each.recipe for each in EVERY), crds.recipe):
        search.check_named_folder(recipe())
