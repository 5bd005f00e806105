"""Traefik, the ingress controller: its official release, else built from its Go module."""

import shutil
from pathlib import Path

from signoff.programs import golang, releases
from signoff.programs.search import Progress, Recipe

VERSION = "3.6.12"
FOLDER_VARIABLE = "SIGNOFF_TRAEFIK_BIN"
RELEASES = "https://github.com/traefik/traefik/releases/download"
_MODULE = "github.com/traefik/traefik/v3"
_FORKS = {
    "github.com/abbot/go-http-auth": "github.com/containous/go-http-auth v0.4.1-0.20200324110947-a37a7636d23e",
    "github.com/gorilla/mux": "github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59",
    "github.com/mailgun/minheap": "github.com/containous/minheap v0.0.0-20190809180810-6e71eb837595",
}
"""Traefik's own replacements (its go.mod), which count only in a main module."""
_LEGO = "github.com/go-acme/lego/v4"
_LEGO_VERSION = "v4.33.0"
"""The one of Traefik's go.mod."""
_NO_PROVIDERS = "lego-dns"
_LEGO_PARTS = ("acme", "certcrypto", "certificate", "challenge", "internal", "lego", "log", "platform", "registration")


def recipe(source: str = RELEASES) -> Recipe:
    """How to get Traefik: seconds to download, five minutes of processor time to build."""
    return Recipe(
        name=f"Traefik v{VERSION}",
        folder=f"traefik/v{VERSION}-{golang.digest(_NO_PROVIDERS)}",
        programs=("traefik",),
        variable=FOLDER_VARIABLE,
        contents=f"Traefik v{VERSION}",
        go=golang.NEEDED,
        space=0.4e9,
        build_space=4e9,
        download=lambda folder, progress: _download(folder, progress, source),
        build=_build,
    )


def _download(folder: Path, progress: Progress, source: str) -> None:
    archive = folder / f"traefik_v{VERSION}_linux_{releases.architecture()}.tar.gz"
    release = f"{source}/v{VERSION}"
    with releases.client() as client:
        checksum = releases.listed_checksum(client, f"{release}/traefik_v{VERSION}_checksums.txt", archive.name)
        releases.fetch(client, f"{release}/{archive.name}", archive, "sha256", checksum, progress)
    releases.unpack(archive, "traefik", folder / "traefik")


def _build(folder: Path, progress: Progress) -> None:
    """Build it without web pages, which its module lacks, and without DNS-01, two thirds of it."""
    work = golang.Workspace(golang.find(progress), folder / "build" / "traefik", f"Traefik v{VERSION}", progress)
    work.write_module("module signoff/traefik\n")
    _slim_lego(work)
    forks = "".join(f"replace {name} => {fork}\n" for name, fork in {**_FORKS, _LEGO: "./lego"}.items())
    tool = f"tool {_MODULE}/cmd/traefik\n\nrequire {_MODULE} v{VERSION}\n"
    work.write_module(f"module signoff/traefik\n\ngo {golang.dotted(golang.NEEDED)}.0\n\n{tool}\n{forks}")
    work.fetch(["mod", "tidy"])
    work.build([f"{_MODULE}/cmd/traefik"], str(folder / "traefik"), f"-X {_MODULE}/pkg/version.Version={VERSION}")
    shutil.rmtree(work.folder.parent)


def _slim_lego(work: golang.Workspace) -> None:
    """Put lego, Traefik's ACME client, beside the module without its 190 providers of DNS records."""
    source, slim = work.source_of(_LEGO, _LEGO_VERSION), work.folder / "lego"
    for part in _LEGO_PARTS:
        shutil.copytree(source / part, slim / part)
    shutil.copy(source / "go.mod", slim / "go.mod")
    work.add(golang.SOURCES / _NO_PROVIDERS, "lego/providers/dns")
