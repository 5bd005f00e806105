"""Containers in user and mount namespaces of their own, where this machine lets its users make such.

A container then sees what programs need of the machine (`_SYSTEM`), read-only, and of all else only what it is given:
no home, no other pod's folder, no key of the cluster. Processes, signals and the network are not kept apart.
"""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, TypedDict

from signoff.core.paths import REPORTS, ROOT, cache_dir
from signoff.core.timeouts import NAMESPACES_TRIED

_PROGRAM = Path(__file__).with_name("confined.py")
_SYSTEM = frozenset(
    {"bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "proc", "sbin", "sys", "usr"}
)
"""The top folders that are a machine's own; the others hold homes, data, sockets and mounts."""
_SECRETS = ("/etc/kubernetes", "/etc/rancher", "/etc/ssh", "/etc/ssl/private")
"""What lies among a machine's own and is for nobody else: keys, and the kubeconfig of its own cluster."""
_LED_TO = ("/etc/resolv.conf", "/etc/hosts", "/etc/localtime")
"""Files that are often links, to a folder that is hidden."""
_TRIED = """\
import ssl, sys
open(sys.argv[1], "w").close()
try:
    open(sys.argv[2], "w")
except OSError:
    sys.exit()
sys.exit("what is read-only can be written")
"""
"""`ssl` needs libraries beside Python's own, wherever those lie."""


class Told(TypedDict):
    """A view as `confined.py` is told of it, which describes nothing that it does not do."""

    hidden: list[str]
    shown: list[str]
    own: list[str]
    at: dict[str, str]
    seen_at: dict[str, str]
    empty: list[str]
    links: dict[str, str]
    user: int | None


@dataclass(frozen=True)
class View:
    """What a container sees of the file system, beside what each of them sees.

    It may read what is `shown` and write what is its `own`. `at` and `seen_at` are places of which it sees something
    else, which it may write and only read; they lie below what is hidden.
    """

    shown: Sequence[Path] = ()
    own: Sequence[Path] = ()
    at: Mapping[str, Path] = field(default_factory=dict)
    seen_at: Mapping[str, Path] = field(default_factory=dict)
    volumes: Sequence[Path] = ()
    """Folders, or links to such, in which containers make links: of what is given below one no link is followed."""
    user: int | None = None
    """The number that its user and group have in there, if not the one that they have here."""

    def told(self) -> Told:
        """The real paths of all, and the links that lead to them, as the short name of a cluster does."""
        shown = [*self.shown, *(Path(each) for each in _LED_TO if Path(each).exists())]
        ways = {way for each in (*self.shown, *self.own, *self.volumes) for way in (each, *each.parents)}
        return {
            "hidden": _hidden(),
            "shown": list(map(self._real, shown)),
            "own": list(map(self._real, self.own)),
            "at": {place: self._real(source) for place, source in self.at.items()},
            "seen_at": {place: self._real(source) for place, source in self.seen_at.items()},
            "empty": ["/dev/shm", os.path.realpath("/var/tmp")],
            "links": {str(way): os.path.realpath(way) for way in ways if way.is_symlink()},
            "user": self.user,
        }

    def _real(self, path: Path) -> str:
        volume = next((each for each in map(os.path.realpath, self.volumes) if path.is_relative_to(each)), None)
        return str(path) if volume else os.path.realpath(path)


def _hidden() -> list[str]:
    """All top folders that are not the machine's own, and what is private wherever it lies."""
    with os.scandir("/") as found:
        top = [each.path for each in found if each.is_dir() and each.name not in _SYSTEM]
    private = (*_homes(), str(cache_dir()), str(REPORTS.absolute()), str(ROOT), *filter(os.path.exists, _SECRETS))
    own = {"/", *(f"/{each}" for each in _SYSTEM), *(os.path.realpath(f"/{each}") for each in _SYSTEM)}
    return sorted({os.path.realpath(each) for each in (*top, *private)} - own)


def _homes() -> Iterator[str]:
    yield os.path.expanduser("~")  # noqa: PTH111  HOME may name none, where Path.home() fails
    with suppress(KeyError):  # a user whom nobody has entered, as in many containers
        yield pwd.getpwuid(os.getuid()).pw_dir


def interpreter(python: Path) -> tuple[Path, ...]:
    """The folders of the installation that a virtual environment's Python is a link to."""
    return tuple(dict.fromkeys(each.parent.parent for each in (_first_outside(python), python.resolve())))


def _first_outside(python: Path) -> Path:
    """Where its link leads out of its folder; an installation may itself be reached by a link."""
    found = python
    while found.is_symlink() and found.parent == python.parent:
        found = found.parent / found.readlink()
    return Path(os.path.normpath(found))


@dataclass(frozen=True)
class Begun:
    """A process that makes its namespaces, and then becomes the program; `report` is where it says that it cannot."""

    process: "subprocess.Popen[bytes]"
    report: IO[str]

    def wait(self) -> None:
        """Wait until the program runs: some twenty milliseconds, and longer while a machine is busy. Called once.

        Raises:
            OSError: the namespaces cannot be made, or there is no such program; the process ends.
        """
        with self.report:
            failure = self.report.read()  # its end is there as soon as the program runs
        if failure:
            raise OSError(*json.loads(failure))


def start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, view: View, *, marks: Mapping[str, str], **how: Any
) -> "subprocess.Popen[bytes]":
    """Start a program as `begin` does, and wait until it runs.

    Raises:
        OSError: the namespaces cannot be made, or there is no such program.
    """
    begun = begin(argv, env, cwd, view, marks=marks, **how)
    try:
        begun.wait()
    except OSError:
        begun.process.wait()
        raise
    return begun.process


def begin(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, view: View, *, marks: Mapping[str, str], **how: Any
) -> Begun:
    """Begin to start a program that sees this view only; `how` are further arguments of Popen.

    `marks` is the environment that the process has before it becomes the program.

    Raises:
        OSError: no process can be started.
    """
    order = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "view": view.told()}
    said, report = os.pipe()
    with ExitStack() as failed, os.fdopen(os.memfd_create("order"), "w+", encoding="ascii") as told:
        reported = failed.enter_context(os.fdopen(said, encoding="utf-8"))
        try:
            json.dump(order, told)
            told.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _PROGRAM, str(told.fileno()), str(report)],
                env=dict(marks),
                cwd="/",
                pass_fds=(told.fileno(), report),
                **how,
            )
        finally:
            os.close(report)
        failed.pop_all()
    return Begun(process, reported)


@cache
def why_not() -> str:
    """Why containers cannot be kept apart on this machine, found out by doing it; empty where they can."""
    python = Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        own, shown = Path(folder) / "own", Path(folder) / "shown"
        own.mkdir()
        shown.mkdir()
        view = View([shown, *interpreter(python)], [own])
        argv = [os.path.realpath(python), "-I", "-S", "-c", _TRIED, str(own / "x"), str(shown / "x")]
        try:
            tried = start(argv, {}, own, view, marks={}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as error:
            return str(error.strerror)
        try:
            _, said = tried.communicate(timeout=NAMESPACES_TRIED.seconds)
        except subprocess.TimeoutExpired:
            tried.kill()
            tried.communicate()
            return f"a program in namespaces does not end within {NAMESPACES_TRIED.seconds:g} s"
    lines = said.decode(errors="replace").strip().splitlines()
    return "" if tried.returncode == 0 else (lines or [f"exit code {tried.returncode}"])[-1]
