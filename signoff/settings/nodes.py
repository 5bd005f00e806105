"""The nodes that the settings name: a rule about a node that the cluster lacks holds whatever the pods do."""

from collections.abc import Collection

from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.settings.model import OF_NODES
from signoff.settings.reading import FILE, Read, option_of
from signoff.story.declaration import nearest


def check(read: Read, there: Collection[str]) -> None:
    """See that the cluster has every node that a setting names.

    Raises:
        SignoffError: it lacks one.
    """
    for name in OF_NODES:
        for node in getattr(read.settings, name):
            if node not in there:
                raise SignoffError(
                    f"the cluster has no node {node}; it has {listed(sorted(there))}{nearest(node, there)}",
                    where=read.where(name) or f"{name}, which is the story's",
                    hint=f"name nodes of this cluster with {option_of(name)}, or as {name} in {FILE}",
                )
