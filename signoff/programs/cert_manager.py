"""cert-manager's controller and its solver of HTTP-01 challenges, built from its Go module.

It publishes images, and no programs but its command-line tool; and of its programs' modules none, but only the one that
they are made of. So both have a main of the suite's own (`go/`), which also says what is left out.
"""

import shutil
from pathlib import Path

from signoff.programs import golang
from signoff.programs.search import Progress, Recipe, Unavailable

VERSION = "1.21.2"
FOLDER_VARIABLE = "SIGNOFF_CERT_MANAGER_BIN"
PROGRAMS = ("cert-manager-controller", "cert-manager-acmesolver")
_MODULE = "github.com/cert-manager/cert-manager"


def recipe() -> Recipe:
    """How to get both: three minutes of processor time to build."""
    return Recipe(
        name=f"cert-manager v{VERSION}",
        folder=f"cert-manager/v{VERSION}-{golang.digest(*PROGRAMS)}",
        programs=PROGRAMS,
        variable=FOLDER_VARIABLE,
        contents=f"cert-manager v{VERSION}",
        go=golang.NEEDED,
        space=0.1e9,
        build_space=2e9,
        download=_download,
        build=_build,
    )


def _download(_folder: Path, _progress: Progress) -> None:
    raise Unavailable("cert-manager publishes its programs as images only")


def _build(folder: Path, progress: Progress) -> None:
    name = f"cert-manager v{VERSION}"
    work = golang.Workspace(golang.find(progress), folder / "build" / "cert-manager", name, progress)
    version = golang.dotted(golang.NEEDED)
    work.write_module(f"module signoff/cert-manager\n\ngo {version}.0\n\nrequire {_MODULE} v{VERSION}\n")
    for program in PROGRAMS:
        work.add(golang.SOURCES / program, program)
    work.fetch(["mod", "tidy"])
    work.build([f"./{program}" for program in PROGRAMS], f"{folder}/", f"-X {_MODULE}/pkg/util.AppVersion=v{VERSION}")
    shutil.rmtree(work.folder.parent)
