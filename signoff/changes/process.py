"""The program that writes to a cluster: who it is to others, and whether it lives, as far as this machine can tell."""

import getpass
import os
import socket
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NUMBERED_IN = Path("/proc/self/ns/pid")


class Process(BaseModel):
    """A process of one machine."""

    host: str
    user: str
    pid: int
    started: float
    numbered_in: str
    """Where its pid means something: this boot and, in a container, that one."""

    @classmethod
    def this(cls) -> Self:
        """This one."""
        me = psutil.Process()
        return cls(
            host=socket.gethostname(),
            user=_user(),
            pid=me.pid,
            started=me.create_time(),
            numbered_in=_numbered_in(),
        )

    @property
    def lives(self) -> bool | None:
        """Whether it lives; None if it is not of this machine, or from before it was started anew."""
        if (self.host, self.numbered_in) != (socket.gethostname(), _numbered_in()):
            return None
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        return f"{self.user} on {self.host}, pid {self.pid}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        return str(os.getuid())


def _numbered_in() -> str:
    try:
        return f"{_BOOT.read_text(encoding='utf-8').strip()} {os.readlink(_NUMBERED_IN)}"  # noqa: PTH115  no file is behind it
    except OSError:  # no Linux
        return str(int(psutil.boot_time()))
