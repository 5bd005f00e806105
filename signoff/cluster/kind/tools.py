"""docker and kind: found, checked, and what they say made into errors that a person can act on."""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from signoff.cluster.registry import DEFAULT
from signoff.core.errors import SignoffError
from signoff.core.paths import cache_dir
from signoff.core.timeouts import DOWNLOAD_CONNECT

KIND = "0.33.0"
"""The release that is downloaded where PATH has none; pytest-kind's own (0.17) is too old for today's node images."""
RELEASES = "https://github.com/kubernetes-sigs/kind/releases/download"

_INSTALL_KIND = "install it (https://kind.sigs.k8s.io/docs/user/quick-start/#installation) and run again"
_LAST_LINES = 8
_NO_SPACE = "no space left on device"


def check_docker() -> None:
    """See that a Docker engine answers.

    Raises:
        SignoffError: docker is not installed, its engine does not run, or this user may not use it.
    """
    if shutil.which("docker") is None:
        raise SignoffError(
            "docker is not on PATH, and kind's nodes are its containers",
            hint=f"install Docker, or take --cluster {DEFAULT}, which needs none",
        )
    done = _run(["docker", "version", "--format", "{{.Server.Version}}"])
    if done.returncode == 0:
        return
    if "permission denied" in done.stderr.lower():
        hint = "let your user use it: https://docs.docker.com/engine/install/linux-postinstall/"
    else:
        hint = f"start Docker, or take --cluster {DEFAULT}, which needs none"
    raise SignoffError(f"the Docker engine does not answer: {_tail(done.stderr)}", where="docker version", hint=hint)


def find_kind(progress: Callable[[str], None]) -> Path:
    """kind from PATH, else from the cache, else downloaded into that with its published checksum.

    Raises:
        SignoffError: it is nowhere and cannot be downloaded.
    """
    if found := shutil.which("kind"):
        return Path(found)
    kept = cache_dir() / "kind" / f"kind-{KIND}"
    if not kept.exists():
        progress(f"kind is not on PATH: downloading v{KIND}")
        _download(kept)
    return kept


def _download(kept: Path) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    base = os.environ.get("SIGNOFF_KIND_RELEASES", RELEASES)
    url = f"{base}/v{KIND}/kind-{platform.system().lower()}-{machine}"
    timeout = httpx.Timeout(60, connect=DOWNLOAD_CONNECT.seconds)
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            wanted = client.get(f"{url}.sha256sum").raise_for_status().text.split()[0]
            program = client.get(url).raise_for_status().content
    except httpx.HTTPError as error:
        what = f"kind is not on PATH and cannot be downloaded: {error}"
        raise SignoffError(what, where=url, hint=_INSTALL_KIND) from error
    if hashlib.sha256(program).hexdigest() != wanted:
        raise SignoffError("the download of kind does not match its published checksum", where=url, hint=_INSTALL_KIND)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_name(f"{kept.name}.{os.getpid()}")
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.rename(kept)


def docker(*arguments: str) -> str:
    """What docker prints for these arguments.

    Raises:
        SignoffError: it fails, with its own words.
    """
    done = _run(["docker", *arguments])
    if done.returncode != 0:
        raise failure(f"docker {arguments[0]} failed", done.stderr, where=f"docker {' '.join(arguments)}")
    return done.stdout


def image_bytes(image: str) -> int | None:
    """The size of an image of the local engine; None if it has none of this name."""
    done = _run(["docker", "image", "inspect", "--format", "{{.Size}}", image])
    return int(done.stdout) if done.returncode == 0 else None


def containers_of(cluster: str) -> dict[str, list[str]]:
    """The containers of a kind cluster by name, each with the folders of this machine that are mounted in it."""
    label = f"label=io.x-k8s.kind.cluster={cluster}"
    names = docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()
    mounts = "{{range .Mounts}}{{println .Source}}{{end}}"
    inspected = {name: _run(["docker", "inspect", "--format", mounts, name]) for name in names}
    # One that cannot be inspected has gone meanwhile.
    return {name: done.stdout.split("\n") for name, done in inspected.items() if done.returncode == 0}


def stopped_containers(cluster: str) -> list[str]:
    """The containers of a kind cluster that do not run, long before their nodes count as not Ready."""
    label = f"label=io.x-k8s.kind.cluster={cluster}"
    shown = docker("ps", "--all", "--filter", label, "--format", "{{.Names}} {{.State}}").splitlines()
    containers = dict(line.split() for line in shown)
    return sorted(name for name, state in containers.items() if state != "running")


def run_kind(kind: Path, *arguments: str) -> str:
    """What kind prints for these arguments.

    Raises:
        SignoffError: it fails, with its own words.
    """
    done = _run([str(kind), *arguments])
    if done.returncode != 0:
        raise failure(f"kind {arguments[0]} {arguments[1]} failed", done.stderr, where=f"kind {' '.join(arguments)}")
    return done.stdout


def failure(what: str, said: str, *, where: str) -> SignoffError:
    """The error for what a tool said before it failed; what is known to go wrong gets a hint of its own."""
    lowered = said.lower()
    if _NO_SPACE in lowered:
        line = next(line for line in said.splitlines() if _NO_SPACE in line.lower())
        return SignoffError(
            f"a disk is full: {line.strip()}",
            where=where,
            hint="free some space where Docker keeps its data (`docker system df`), then run again",
        )
    if "failed to pull image" in lowered or "pull access denied" in lowered or "manifest unknown" in lowered:
        hint = "check the name in SIGNOFF_KIND_IMAGE and the way to the registry, or load the image into Docker first"
        return SignoffError(f"the node image cannot be pulled: {_tail(said)}", where=where, hint=hint)
    return SignoffError(f"{what}: {_tail(said)}", where=where, hint="fix the cause shown above, then run again")


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LAST_LINES:])
