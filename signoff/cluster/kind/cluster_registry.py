"""Which kind clusters of ours run, and which of them were kept."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from signoff.cluster.kind import health, ownership, tools
from signoff.cluster.kind.ownership import IMAGE_VARIABLE
from signoff.cluster.users import program
from signoff.core import console
from signoff.core.node import Node


@dataclass(frozen=True)
class Running:
    """A kind cluster of ours that is up; `owner` is the run that started it."""

    dir: Path
    owner: ownership.Owner
    provider: ClassVar[str] = "kind"

    @property
    def name(self) -> str:
        """As kind calls it."""
        return self.dir.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.dir / "kubeconfig"

    @property
    def kept(self) -> bool:
        """Whether it outlives whoever started it."""
        return self.owner.kept

    @property
    def nodes(self) -> tuple[str, ...]:
        """Those that it was started with."""
        return tuple(self.owner.nodes)

    @property
    def difference(self) -> str:
        """Another node image than the one that is asked for now; it has nothing of this checkout in it."""
        then, now = self.owner.image, ownership.node_image()
        return "" if then in (None, now) else f"{IMAGE_VARIABLE} was {then or 'unset'} and is {now or 'unset'}"

    def ailment(self) -> str:
        """Wait a moment for its nodes, such as after a start of the engine; gives what is wrong still, or nothing."""
        return health.ailment(self.name, self.kubeconfig, [Node.parse(text).name for text in self.nodes])

    @property
    def age_seconds(self) -> float:
        """Since its start began."""
        return max(0.0, time.time() - ownership.mark(self.dir).stat().st_mtime)

    @property
    def memory_mb(self) -> float | None:
        """`docker stats` would take two seconds."""
        return None

    @property
    def user(self) -> str:
        """The run that started it; whoever attaches to it later leaves no trace."""
        return program(self.owner.pid) if self.owner.lives else ""

    def how_to_use(self) -> str:
        """What a person does with it; its Services have no URL on this machine."""
        return "\n".join(
            [
                f"  export KUBECONFIG={shlex.quote(str(self.kubeconfig))}",
                f"  pytest features/ --cluster kind --attach {self.name} uses it; "
                f"signoff cluster down {self.name} ends it",
            ]
        )

    def end(self) -> None:
        """Have kind delete it.

        Raises:
            SignoffError: kind cannot.
        """
        ownership.delete(tools.find_kind(lambda text: console.progress("kind", text)), self.dir)


def running() -> list[Running]:
    """The clusters of this user's cache that are up, the newest first; Docker is asked only where there may be one.

    Raises:
        SignoffError: Docker does not answer.
    """
    owned = [(folder, owner) for folder in ownership.folders().glob("*") if (owner := ownership.owner_of(folder))]
    if not owned:
        return []
    tools.check_docker()
    found = [Running(folder, owner) for folder, owner in owned if ownership.is_ours(folder)]
    return sorted(found, key=lambda each: each.age_seconds)
