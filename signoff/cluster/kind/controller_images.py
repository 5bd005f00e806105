"""Images of the controllers that the suite puts onto a cluster: pulled as published, else made of the program alone.

A node would pull them itself, again for each cluster; the local Docker engine keeps them. Where no registry is reached,
the program that `signoff.programs` finds or builds makes an image: it is linked statically, and asks for no more than
the roots that it trusts.
"""

import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import certifi

from signoff.cluster.kind import tools
from signoff.core.errors import SignoffError
from signoff.programs.controllers import EVERY, Controller

_ROOTS = "etc/ssl/certs/ca-certificates.crt"
BY_IMAGE = {each.image: each for each in EVERY}


def have(image: str, tell: Callable[[str], None]) -> None:
    """See that the local Docker engine has the image of a controller.

    Raises:
        SignoffError: it can be neither pulled nor made here.
    """
    if tools.image_bytes(image) is not None:
        return
    tell(f"pulling {image}")
    try:
        tools.docker("pull", "--quiet", image)
    except SignoffError as closed:
        tell(f"no pull ({closed.what.splitlines()[-1]}): making {image} here")
        _make(BY_IMAGE[image], tell)


def _make(controller: Controller, tell: Callable[[str], None]) -> None:
    program = controller.find(tell)
    changes = [f'ENTRYPOINT ["/{controller.program}"]', f"USER {controller.user}"]
    command = ["docker", "import", *(f"--change={each}" for each in changes), "-", controller.image]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin is not None
        with suppress(BrokenPipeError):  # what docker says of it follows
            _pack(program, controller.program, running.stdin)
        _, said = running.communicate()
    if running.returncode != 0:
        told = said.decode(errors="replace")
        raise tools.failure(f"the image {controller.image} cannot be made", told, where="docker import")


def _pack(program: Path, name: str, target: IO[bytes]) -> None:
    """Write a file system with the program, the roots that are trusted, and a /tmp."""
    with tarfile.open(fileobj=target, mode="w|") as archive:
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
        for path, there, mode in ((name, program, 0o755), (_ROOTS, Path(certifi.where()), 0o644)):
            entry = archive.gettarinfo(there, path)
            entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = mode, 0, 0, "", ""
            with there.open("rb") as content:
                archive.addfile(entry, content)
