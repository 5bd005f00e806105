"""kustomize, for folders of manifests that have more than a list of files: the user's own, or one that is made here."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from signoff.programs import golang, releases, search
from signoff.programs.search import Progress, Recipe

VERSION = "5.7.1"
FOLDER_VARIABLE = "SIGNOFF_KUSTOMIZE_BIN"
RELEASES = "https://github.com/kubernetes-sigs/kustomize/releases/download"
_MODULE = "sigs.k8s.io/kustomize/kustomize/v5"


def recipe(source: str = RELEASES) -> Recipe:
    """How to get kustomize: seconds to download, a minute to build."""
    return Recipe(
        name=f"kustomize v{VERSION}",
        folder=f"kustomize/v{VERSION}",
        programs=("kustomize",),
        variable=FOLDER_VARIABLE,
        contents=f"kustomize v{VERSION}",
        go=golang.NEEDED,
        space=0.05e9,
        build_space=1e9,
        download=lambda folder, progress: _download(folder, progress, source),
        build=_build,
    )


def command(progress: Progress) -> Sequence[str]:
    """What makes one text of a folder, whose path is to follow: the kubectl or kustomize on PATH, else our own.

    Raises:
        SignoffError: there is neither, and it can be neither downloaded nor built.
    """
    for program, verb in (("kubectl", "kustomize"), ("kustomize", "build")):
        if found := shutil.which(program):
            return found, verb
    return str(search.find(recipe(), progress)["kustomize"]), "build"


def _download(folder: Path, progress: Progress, source: str) -> None:
    archive = folder / f"kustomize_v{VERSION}_linux_{releases.architecture()}.tar.gz"
    release = f"{source}/kustomize%2Fv{VERSION}"
    with releases.client() as client:
        checksum = releases.listed_checksum(client, f"{release}/checksums.txt", archive.name)
        releases.fetch(client, f"{release}/{archive.name}", archive, "sha256", checksum, progress)
    releases.unpack(archive, "kustomize", folder / "kustomize")


def _build(folder: Path, progress: Progress) -> None:
    work = golang.Workspace(golang.find(progress), folder / "build" / "kustomize", f"kustomize v{VERSION}", progress)
    version = golang.dotted(golang.NEEDED)
    work.write_module(f"module signoff/kustomize\n\ngo {version}.0\n\ntool {_MODULE}\n\nrequire {_MODULE} v{VERSION}\n")
    work.fetch(["mod", "tidy"])
    work.build([_MODULE], str(folder / "kustomize"))
    shutil.rmtree(work.folder.parent)
