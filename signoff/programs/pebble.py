"""Pebble, Let's Encrypt's ACME server for tests, and its DNS server, built from their Go module."""

import shutil
from pathlib import Path

from signoff.programs import golang
from signoff.programs.search import Progress, Recipe, Unavailable

VERSION = "2.10.1"
FOLDER_VARIABLE = "SIGNOFF_PEBBLE_BIN"
PROGRAMS = ("pebble", "pebble-challtestsrv")
_MODULE = "github.com/letsencrypt/pebble/v2"


def recipe() -> Recipe:
    """How to get both: seconds to build."""
    return Recipe(
        name=f"Pebble v{VERSION}",
        folder=f"pebble/v{VERSION}",
        programs=PROGRAMS,
        variable=FOLDER_VARIABLE,
        contents=f"Pebble v{VERSION}",
        go=golang.NEEDED,
        space=0.02e9,
        build_space=0.5e9,
        download=_download,
        build=_build,
    )


def _download(_folder: Path, _progress: Progress) -> None:
    raise Unavailable("Pebble publishes no checksums beside its programs")


def _build(folder: Path, progress: Progress) -> None:
    work = golang.Workspace(golang.find(progress), folder / "build" / "pebble", f"Pebble v{VERSION}", progress)
    tools = "".join(f"tool {_MODULE}/cmd/{program}\n" for program in PROGRAMS)
    version = golang.dotted(golang.NEEDED)
    work.write_module(f"module signoff/pebble\n\ngo {version}.0\n\n{tools}\nrequire {_MODULE} v{VERSION}\n")
    work.fetch(["mod", "tidy"])
    work.build([f"{_MODULE}/cmd/{program}" for program in PROGRAMS], f"{folder}/", f"-X main.version=v{VERSION}")
    shutil.rmtree(work.folder.parent)
