"""The four programs of the control plane: how to get Kubernetes and etcd."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from signoff.core.errors import SignoffError
from signoff.programs import golang, releases, search
from signoff.programs.search import Progress, Recipe

KUBERNETES = "1.35.4"
ETCD = "3.6.6"
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PROGRAMS = ("etcd", *KUBERNETES_PROGRAMS)

FOLDER_VARIABLE = "SIGNOFF_KUBERNETES_BIN"


@dataclass(frozen=True)
class Sources:
    """Where the official releases are."""

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"


def recipe(sources: Sources | None = None) -> Recipe:
    """How to get `PROGRAMS`: a minute to download, five to build."""
    where = sources or Sources()
    return Recipe(
        name=f"Kubernetes v{KUBERNETES}",
        folder=f"kubernetes/v{KUBERNETES}",
        programs=PROGRAMS,
        variable=FOLDER_VARIABLE,
        contents=f"Kubernetes v{KUBERNETES} and etcd v{ETCD}",
        go=golang.NEEDED,
        space=0.6e9,
        build_space=6e9,
        download=lambda folder, progress: _download(folder, progress, where),
        build=_build,
    )


def find_binaries(progress: Progress, sources: Sources | None = None) -> dict[str, Path]:
    """Return the path of each of `PROGRAMS`, making them first if need be.

    Raises:
        SignoffError: the folder that the user named lacks a program, a download has the wrong checksum, or there is
            neither a download nor Go.
    """
    return search.find(recipe(sources), progress)


def check_named_folder() -> None:
    """See that the folder that the user names, if any, has all programs.

    Raises:
        SignoffError: it lacks one.
    """
    search.check_named_folder(recipe())


def versions_of(programs: Mapping[str, Path]) -> dict[str, str]:
    """What etcd and the API server say of themselves: {"etcd": "3.6.6", "kube-apiserver": "1.35.4"}.

    Raises:
        SignoffError: one does not run, names no version, or is older than what the suite is written for.
    """
    found = {}
    for name, oldest in (("etcd", ETCD), ("kube-apiserver", KUBERNETES)):
        said = _said_of_itself(programs[name])
        number = re.search(r"\d+\.\d+\.\d+", said)
        if not number or _numbers(number[0]) < _numbers(oldest):
            raise SignoffError(
                f"{name} v{oldest} or newer is needed, and this one says: {said.partition(chr(10))[0] or 'nothing'}",
                where=str(programs[name]),
                hint=f"put a newer one there, or unset {FOLDER_VARIABLE}",
            )
        found[name] = number[0]
    return found


def _said_of_itself(program: Path) -> str:
    try:
        return subprocess.run(
            [program, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SignoffError(f"{program.name} does not run: {error}", where=str(program)) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _download(folder: Path, progress: Progress, sources: Sources) -> None:
    arch = releases.architecture()
    with releases.client() as client:
        release = f"{sources.kubernetes}/v{KUBERNETES}/bin/linux/{arch}"
        for name in KUBERNETES_PROGRAMS:
            checksum = releases.only_checksum(client, f"{release}/{name}.sha512")
            releases.fetch(client, f"{release}/{name}", folder / name, "sha512", checksum, progress)
            (folder / name).chmod(0o755)
        release, packed = f"{sources.etcd}/v{ETCD}", f"etcd-v{ETCD}-linux-{arch}"
        archive = folder / f"{packed}.tar.gz"
        checksum = releases.listed_checksum(client, f"{release}/SHA256SUMS", archive.name)
        releases.fetch(client, f"{release}/{archive.name}", archive, "sha256", checksum, progress)
    releases.unpack(archive, f"{packed}/etcd", folder / "etcd")


def _build(folder: Path, progress: Progress) -> None:
    go = golang.find(progress)
    work = folder / "build"
    progress("building takes about five minutes and 6 GB, which are freed afterwards")
    _build_etcd(golang.Workspace(go, work / "etcd", f"etcd v{ETCD}", progress), folder)
    _build_kubernetes(golang.Workspace(go, work / "kubernetes", f"Kubernetes v{KUBERNETES}", progress), folder)
    rmtree(work)


def _build_etcd(work: golang.Workspace, target: Path) -> None:
    module = "go.etcd.io/etcd/server/v3"
    work.write_module(
        f"module signoff/etcd\n\ngo {golang.dotted(golang.NEEDED)}.0\n\ntool {module}\n\nrequire {module} v{ETCD}\n"
    )
    work.fetch(["mod", "tidy"])
    work.build([module], str(target / "etcd"))


def _build_kubernetes(work: golang.Workspace, target: Path) -> None:
    work.write_module(_kubernetes_module(_own_module_file(work)))
    work.fetch(["mod", "tidy"])
    major, minor, _ = KUBERNETES.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = " ".join(f"-X {package}.{name}={value}" for name, value in values.items())
    work.build([f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS], f"{target}/", stamps)


def _own_module_file(work: golang.Workspace) -> str:
    """Kubernetes' own go.mod, as its module is published."""
    work.write_module(f"module signoff/kubernetes\n\ngo {golang.dotted(golang.NEEDED)}.0\n")
    work.fetch(["mod", "download", f"k8s.io/kubernetes@v{KUBERNETES}"], "fetching its source")
    published = work.module_cache / "cache" / "download" / "k8s.io" / "kubernetes" / "@v" / f"v{KUBERNETES}.mod"
    return published.read_text(encoding="utf-8")


def _kubernetes_module(own: str) -> str:
    """A go.mod that builds Kubernetes from outside of its repository.

    Its own names the staging modules (k8s.io/api, ...) as v0.0.0 from the working tree; here each is replaced by what
    is published of it, whose version 0.35.4 belongs to 1.35.4.
    """
    staging = sorted(set(re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", own, re.MULTILINE)))
    go_version = re.search(r"^go \S+$", own, re.MULTILINE)
    version = f"v0.{KUBERNETES.removeprefix('1.')}"
    return "\n".join(
        [
            "module signoff/kubernetes",
            go_version.group() if go_version else f"go {golang.dotted(golang.NEEDED)}.0",
            *(f"tool k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS),
            f"require k8s.io/kubernetes v{KUBERNETES}",
            *(f"replace {module} => {module} {version}" for module in staging),
            "",
        ]
    )
