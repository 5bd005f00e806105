"""From a container's specification and its prepared image to the process that stands for it."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from signoff.cluster.embedded.agent.environment import expand
from signoff.cluster.embedded.agent.process import Launch
from signoff.cluster.embedded.agent.translation import Translation
from signoff.cluster.embedded.images import Image
from signoff.cluster.embedded.kubeapi import Json


def argv_of(container: Json, image: Image, variables: Mapping[str, str], address: str) -> list[str]:
    """The command line by the rules of `command` and `args`, not yet translated.

    The image's bind argument is added where its own entrypoint runs without one: the address is this cluster's matter.
    """
    command, args = container.get("command"), container.get("args")
    default_args = [] if command else list(image.recipe.cmd)
    argv = list(command or image.entrypoint) + list(default_args if args is None else args)
    argv = [expand(part, variables) for part in argv]
    bind = image.recipe.bind
    if bind and not command and not any(part == bind or part.startswith(f"{bind}=") for part in argv):
        argv += [bind, address]
    return argv


def launch(
    container: Json, image: Image, variables: Mapping[str, str], translate: Translation, own_dir: Path, host_name: str
) -> Launch:
    """What to start. Home, temporary and working folders are the container's own unless the pod says otherwise."""
    folders = {name: own_dir / name for name in ("home", "tmp", "work")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    given = {**image.recipe.env, **variables}
    env = {
        "PATH": image.path,
        "LANG": "C.UTF-8",
        "HOME": str(folders["home"]),
        "TMPDIR": translate.paths.get("/tmp", str(folders["tmp"])),
        "HOSTNAME": host_name,
        **{name: translate(value) for name, value in given.items()},
    }
    argv = [translate(part) for part in argv_of(container, image, variables, translate.address)]
    cwd = Path(translate(container["workingDir"])) if "workingDir" in container else folders["work"]
    return Launch(argv, env, cwd, _ports(container, image))


def _ports(container: Json, image: Image) -> tuple[int, ...]:
    named = {port["containerPort"] for port in container.get("ports") or []}
    by_default = () if container.get("command") else image.recipe.ports
    return tuple(sorted(named or by_default))


def taken_ports(address: str, ports: tuple[int, ...]) -> list[int]:
    """Those of the ports on which a program outside the cluster listens, for all addresses say."""
    return [port for port in ports if not _is_free(address, port)]


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((address, port))
            probe.listen(1)
            return True
    # Ports below 1024 may be forbidden to this user; that is for the program itself to meet.
    return port < 1024 and os.geteuid() != 0
