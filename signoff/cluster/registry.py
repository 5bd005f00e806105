"""From a provider's name on the command line to a running cluster."""

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

from signoff.cluster.access import NO_USE, Use
from signoff.cluster.base import Cluster, Provider
from signoff.core.errors import SignoffError
from signoff.core.node import Node
from signoff.story import NODES


class _Entry(NamedTuple):
    module: str
    about: str


_PROVIDERS = {
    "embedded": _Entry("signoff.cluster.embedded.provider", "processes of this machine, which need no preparation"),
    "kind": _Entry("signoff.cluster.kind.provider", "containers of the local Docker engine"),
    "existing": _Entry(
        "signoff.cluster.existing.provider", "your own, of which --allow says what may be changed there"
    ),
}
"""The providers, the default first. A provider is imported when it is asked for, so that none costs another's start."""
NAMES = tuple(_PROVIDERS)
DEFAULT = NAMES[0]
OF_A_CONTEXT = "existing"
"""The one that opens a person's own cluster, by a context of a kubeconfig."""
ABOUT = "; ".join(f"{name}: {entry.about}" for name, entry in _PROVIDERS.items())
"""What each is, for a help text."""


def provider(name: str) -> Provider:
    """The provider of this name.

    Raises:
        SignoffError: there is none.
    """
    if name not in _PROVIDERS:
        raise SignoffError(f"there is no kind of cluster called {name!r}", hint=f"name one of {', '.join(NAMES)}")
    return cast("Provider", import_module(_PROVIDERS[name].module))


def open_cluster(
    name: str,
    attach: Path | None = None,
    images: Mapping[str, Collection[str]] | None = None,
    nodes: Sequence[Node] = NODES,
    *,
    keep: bool = False,
    fresh: bool = False,
    use: Use = NO_USE,
) -> Cluster:
    """Open a cluster of this provider, as `Provider.open_cluster` says.

    Raises:
        SignoffError: it cannot be had, or there is no such provider.
    """
    return provider(name).open_cluster(attach, images or {}, nodes, keep=keep, fresh=fresh, use=use)
