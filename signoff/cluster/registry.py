"""From a cluster's name on the command line to a running cluster."""

from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError

_MODULES = {
    "embedded": "signoff.cluster.embedded.provider",
    "kind": "signoff.cluster.kind.provider",
    "existing": "signoff.cluster.existing",
}
"""Each a `Provider`. Only the one asked for is imported: what kind needs costs the embedded cluster's start nothing."""
NAMES = tuple(_MODULES)


class Provider(Protocol):
    """What a kind of cluster brings, as functions of a module."""

    def precheck(self, attach: Path | None, images: Mapping[str, str]) -> None:
        """As `precheck` below."""
        ...

    def open_cluster(
        self, attach: Path | None, images: Mapping[str, Collection[str]], *, keep: bool, fresh: bool
    ) -> Cluster:
        """As `open_cluster` below."""
        ...


def precheck(name: str, attach: Path | None, images: Mapping[str, str]) -> None:
    """See in a moment that `open_cluster` has a chance; starts nothing and writes nothing.

    `images` are those that pods will ask for, each with what names it: an option, a variable or a file.

    Raises:
        SignoffError: there is no such provider, it cannot run here, nothing runs that it could attach to, or it cannot
            have an image.
    """
    _provider(name).precheck(attach, images)


def open_cluster(
    name: str,
    attach: Path | None = None,
    images: Mapping[str, Collection[str]] | None = None,
    *,
    keep: bool = False,
    fresh: bool = False,
) -> Cluster:
    """Open the cluster of this name: one that is kept for reuse unless it has to be `fresh`, else one started now.

    `attach` is the folder of the running one to use instead (or the name of an embedded one). `images` are those that
    pods will ask for, with the nodes that these may run on: a cluster that can starts with them at once. One that is
    to be kept is left running by its `close()`.

    Raises:
        SignoffError: it cannot be started, or there is no such provider yet.
    """
    return _provider(name).open_cluster(attach, images or {}, keep=keep, fresh=fresh)


def _provider(name: str) -> Provider:
    if name not in _MODULES:
        raise SignoffError(f"there is no kind of cluster called {name!r}", hint=f"name one of {', '.join(NAMES)}")
    return cast("Provider", import_module(_MODULES[name]))
