"""The CustomResourceDefinitions of Traefik, cert-manager and the Gateway API, as their projects publish them.

Both Traefiks that k3s ships are here: v2 up to k3s 1.32, v3 from 1.33 on. A file is taken from the project's
repository, else from its Go module, which is the same tree; either way it is the one with the checksum below.
"""

import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from signoff.core.errors import SignoffError
from signoff.programs import cert_manager, golang, releases, search, traefik
from signoff.programs.search import Progress, Recipe

FOLDER_VARIABLE = "SIGNOFF_CRDS"
SOURCE = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class _Published:
    """The files of one project in one version: `files` maps each to its SHA-256, below `folder` of the repository."""

    repository: str
    module: str
    version: str
    folder: str
    files: dict[str, str]


_TRAEFIKS = "docs/content/reference/dynamic-configuration"
_TRAEFIK_FILE = "kubernetes-crd-definition-v1.yml"
PUBLISHED = {
    "traefik-v3.yaml": _Published(
        "traefik/traefik",
        "github.com/traefik/traefik/v3",
        traefik.VERSION,
        _TRAEFIKS,
        {_TRAEFIK_FILE: "19df8d4caa268314977886df8415cd809ec3faed4c6da608debc2b1c10e38397"},
    ),
    "traefik-v2.yaml": _Published(
        "traefik/traefik",
        "github.com/traefik/traefik/v2",
        "2.11.40",
        _TRAEFIKS,
        {_TRAEFIK_FILE: "1bf4464247a41083df1ed4aa00f44391d29ccabb3504f9933dcabd389d569b57"},
    ),
    "cert-manager.yaml": _Published(
        "cert-manager/cert-manager",
        "github.com/cert-manager/cert-manager",
        cert_manager.VERSION,
        "deploy/crds",
        {
            "acme.cert-manager.io_challenges.yaml": "dff7542a2ee6581e3963a076410212ad3207201b70df8a328aa50826d569161c",
            "acme.cert-manager.io_orders.yaml": "b1e9c938b9724482cc0612aac949b40e062001fc9732234c591f24cb9ffc5ca7",
            "cert-manager.io_certificaterequests.yaml": (
                "74cf3801ab146a1745498de5f3b619cde6f2dc89ae03755084be08129ce726c3"
            ),
            "cert-manager.io_certificates.yaml": "7ad91029c00ec959d54215b19d3b1a9b7e0247eaa60f987151c2b70d8661f8af",
            "cert-manager.io_clusterissuers.yaml": "30008001b78aafb8e110af61359561104b5fafc3a4dc6ac0013245d0ee3fe4ca",
            "cert-manager.io_issuers.yaml": "05e37efb02777e0362d24269fa103c2fc11419f9c85e31854ef873e5d9e5c5cc",
        },
    ),
    "gateway-api.yaml": _Published(
        "kubernetes-sigs/gateway-api",
        "sigs.k8s.io/gateway-api",
        "1.4.0",
        "config/crd/standard",
        {
            "gateway.networking.k8s.io_backendtlspolicies.yaml": (
                "59d7cf1d99e1337e6d6a19c6306172d8f7ff2d9f920142a88ef9ba597d6d97bb"
            ),
            "gateway.networking.k8s.io_gatewayclasses.yaml": (
                "2f61e8c8c2289843a61d7b1bba31f8a5a46dbf20a1c54359209d638d3bd899c9"
            ),
            "gateway.networking.k8s.io_gateways.yaml": (
                "b0e29566bbe07fbe4ede55c2eff73865bd566f3063736ec9046224d7e20d6f88"
            ),
            "gateway.networking.k8s.io_grpcroutes.yaml": (
                "dc114a794b2bf2565489c3182d4b173590ea01348f986daf42c7bc0505521d26"
            ),
            "gateway.networking.k8s.io_httproutes.yaml": (
                "c2539410dec72b793ef840f484c19d13b48210074ec801b730e9fce2c5fc825c"
            ),
            "gateway.networking.k8s.io_referencegrants.yaml": (
                "3a59dcc699c2d01b19f13233943597f69de25420495ab3d4af7de7997bd807cc"
            ),
        },
    ),
}
"""By the name of the file that all definitions of a project are put into. The Gateway API's is the version that this
Traefik implements.
"""


def find(progress: Progress) -> dict[str, Path]:
    """The file of each name of `PUBLISHED`.

    Raises:
        SignoffError: they cannot be had, or one is not the file that is known here.
    """
    return search.find(recipe(), progress)


def recipe(source: str = SOURCE) -> Recipe:
    """How to get the files: seconds, either way."""
    pins = hashlib.sha256(repr(PUBLISHED).encode()).hexdigest()[:12]
    return Recipe(
        name="the definitions of Traefik's, cert-manager's and the Gateway API's objects",
        folder=f"crds/{pins}",
        programs=tuple(PUBLISHED),
        variable=FOLDER_VARIABLE,
        contents=", ".join(f"{name} ({each.module} v{each.version})" for name, each in PUBLISHED.items()),
        go=golang.NEEDED,
        space=0.02e9,
        build_space=0.4e9,
        download=partial(_download, source=source),
        build=_from_modules,
        executable=False,
    )


def _download(folder: Path, progress: Progress, source: str) -> None:
    with releases.client() as client:
        for name, published in PUBLISHED.items():
            ask = partial(_fetched, client, folder, progress, source, published)
            _write(folder / name, [ask(file) for file in published.files])


def _fetched(
    client: httpx.Client, folder: Path, progress: Progress, source: str, published: _Published, file: str
) -> str:
    url = f"{source}/{published.repository}/v{published.version}/{published.folder}/{file}"
    part = folder / "part"
    releases.fetch(client, url, part, "sha256", published.files[file], progress)
    text = part.read_text(encoding="utf-8")
    part.unlink()
    return text


def _from_modules(folder: Path, progress: Progress) -> None:
    work = golang.Workspace(golang.find(progress), folder / "build" / "crds", "CRDs", progress)
    work.write_module("module signoff/crds\n")
    for name, published in PUBLISHED.items():
        source = work.source_of(published.module, f"v{published.version}") / published.folder
        _write(folder / name, [_checked(source / file, checksum) for file, checksum in published.files.items()])
    shutil.rmtree(work.folder.parent)


def _checked(file: Path, checksum: str) -> str:
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise SignoffError(f"{file.name} is not the file that is known here", hint=releases.CHANGED_ON_ITS_WAY)
    return content.decode()


def _write(path: Path, parts: list[str]) -> None:
    path.write_text("\n---\n".join(parts), encoding="utf-8")
