"""From a container's specification and its prepared image to the process that stands for it."""

import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from signoff.cluster.embedded.address_range import first_port
from signoff.cluster.embedded.agent.environment import expand
from signoff.cluster.embedded.agent.process import Launch
from signoff.cluster.embedded.agent.translation import Translation
from signoff.cluster.embedded.images import Image
from signoff.cluster.embedded.kubeapi import Json

TERMINATION_LOG = "termination-log"
FOUND = "found"
"""What the image's program found out, in a copy that a start may add to: no other container sees that."""
FOLDERS = ("home", "tmp", "work", FOUND)
"""What a container may write outside of its volumes."""


def words_of(container: Json, image: Image, variables: Mapping[str, str]) -> list[str]:
    """What the pod gives of the command line (`command` and `args`, or else the image's arguments), untranslated."""
    command, args = container.get("command") or [], container.get("args")
    if args is None:
        args = [] if command else image.recipe.cmd
    return [expand(part, variables) for part in (*command, *args)]


def argv_of(container: Json, image: Image, variables: Mapping[str, str], translate: Translation) -> list[str]:
    """The command line. The image's own entrypoint names real paths of this machine and stays as it is.

    The image's bind argument is added where that entrypoint runs without one: the address is this cluster's matter.
    """
    words = [translate(word) for word in words_of(container, image, variables)]
    if container.get("command"):
        return words
    bind = image.recipe.bind
    if bind and not any(word == bind or word.startswith(f"{bind}=") for word in words):
        words += [bind, translate.address]
    return [*image.entrypoint, *words]


def fresh_folders(image: Image, own_dir: Path) -> None:
    """Empty what a container may write outside of its volumes: each start begins with a file system of its own."""
    for folder in FOLDERS:
        shutil.rmtree(own_dir / folder, ignore_errors=True)
        (own_dir / folder).mkdir(parents=True)
    if image.found:
        shutil.copytree(image.found, own_dir / FOUND, dirs_exist_ok=True)
    (own_dir / TERMINATION_LOG).write_bytes(b"")


def own_paths(container: Json, image: Image, own_dir: Path) -> dict[str, str]:
    """The paths that a container has without mounting them: /tmp, the file for its last words, its image's for data."""
    said = container.get("terminationMessagePath", "/dev/termination-log")
    data = {image.recipe.data: str(own_dir / "work")} if image.recipe.data else {}
    return {"/tmp": str(own_dir / "tmp"), said: str(own_dir / TERMINATION_LOG), **data}


def launch(
    container: Json, image: Image, variables: Mapping[str, str], translate: Translation, own_dir: Path, host_name: str
) -> Launch:
    """What to start. Home, temporary and working folders are the container's own unless the pod says otherwise."""
    given = {**_listening(container, translate.address), **image.env(own_dir / FOUND), **variables}
    env = {
        "PATH": image.path,
        "LANG": "C.UTF-8",
        "HOME": str(own_dir / "home"),
        "TMPDIR": translate.paths["/tmp"],
        "HOSTNAME": host_name,
        **{name: translate.variable(name, value) for name, value in given.items()},
    }
    argv = argv_of(container, image, variables, translate)
    folder = container.get("workingDir") or image.recipe.data
    cwd = Path(translate(folder)) if folder else own_dir / "work"
    return Launch(argv, env, cwd, _ports(container, image))


def _listening(container: Json, address: str) -> dict[str, str]:
    """Where a program is to listen that a command of the pod's own starts, a shell say, which takes no argument for it.

    Source: litellm 1.80.16, proxy/proxy_cli.py (`--host`, HOST); https://www.uvicorn.org/settings (UVICORN_*).
    """
    return dict.fromkeys(("HOST", "UVICORN_HOST"), address) if container.get("command") else {}


def _ports(container: Json, image: Image) -> tuple[int, ...]:
    named = {port["containerPort"] for port in container.get("ports") or []}
    by_default = () if container.get("command") else image.recipe.ports
    return tuple(sorted(named or by_default))


def ports_of(pod_spec: Json) -> frozenset[int]:
    """The ports that the pod says its containers listen on."""
    containers = [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]
    return frozenset(int(port["containerPort"]) for each in containers for port in each.get("ports") or [])


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
    # The lowest ports may be forbidden to this user; that is for the program itself to meet.
    return port < first_port()
