"""What a person has allowed a run to change on their cluster, and whether a change is among it.

It is judged by what the API server says that a request would change, not by what the request says of itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from signoff.changes.fields import Difference, shown
from signoff.changes.target import Named
from signoff.core.errors import SignoffError

OWN_NAMESPACE: Final = "signoff-run"
"""The namespace that a run makes for what is its own alone."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
SUITE: Final = "signoff"


class Right(StrEnum):
    """What `--allow` may open."""

    JOB = "job"
    DEPLOY = "deploy"
    DISRUPTION = "disruption"

    @property
    def about(self) -> str:
        """What it allows, in words."""
        return _ABOUT[self]


_ABOUT = {
    Right.JOB: f"a namespace of the suite's own, {OWN_NAMESPACE}, with whatever in it",
    Right.DEPLOY: "new objects in the gateway's namespaces, and changes of those that the manifests name",
    Right.DISRUPTION: "other replicas of workloads in the gateway's namespaces, cordons, labels, taints and extended "
    "resources of nodes, nodes of the suite's own, and pods that ask the scheduler",
}
_WORKLOADS = {("apps", kind) for kind in ("Deployment", "ReplicaSet", "StatefulSet")}
_NODE = ("", "Node")
_REPLICAS = ("spec", "replicas")
_OF_NODES = (("spec", "unschedulable"), ("spec", "taints"), ("metadata", "labels"))
_RESOURCES = (("status", "capacity"), ("status", "allocatable"))


class NotAllowed(SignoffError):
    """A run has tried to change what it may not; nothing was written."""

    def __init__(self, tried: str, opened_by: Right | None = None, *, hint: str = "") -> None:
        self.opened_by = opened_by
        opening = f"--allow {opened_by} opens {opened_by.about}" if opened_by else "no option opens it"
        super().__init__(f"not allowed on this cluster: to {tried}", hint=hint or opening)


@dataclass(frozen=True)
class Scope:
    """How far a run's rights reach. `named` are the objects that its manifests name."""

    rights: frozenset[Right] = frozenset()
    namespaces: frozenset[str] = frozenset()
    """The gateway's, and the backend's if that has another."""
    named: frozenset[Named] = field(default_factory=frozenset)

    def check_any(self, tried: str, opened_by: Right = Right.JOB) -> None:
        """See that anything may be written at all.

        Raises:
            NotAllowed: nothing may.
        """
        if not self.rights:
            raise NotAllowed(tried, opened_by)

    def check_created(self, name: Named) -> None:
        """See that this object may be made.

        Raises:
            NotAllowed: it may not.
        """
        tried = f"make {name}"
        if (name.group, name.kind) == _NODE:
            self._need(tried, Right.DISRUPTION)
        elif (name.group, name.kind) == ("", "Pod") and name.namespace in self.namespaces:
            self._need(tried, Right.DEPLOY, Right.DISRUPTION)
        elif name.namespace in self.namespaces or name in self.named:
            self._need(tried, Right.DEPLOY)
        else:
            where = (
                f"in {name.namespace}, which is no namespace of the gateway" if name.namespace else "in no namespace"
            )
            raise NotAllowed(f"{tried}: it would be {where}", hint="signoff makes such objects on no one's cluster")

    def check_touched(self, name: Named) -> None:
        """See that some right opens some change of this object, which others have made.

        Raises:
            NotAllowed: none does.
        """
        if not self._is_shaken(name) and name not in self.named:
            raise NotAllowed(f"change {name}", hint="signoff changes only what your manifests name, and nodes")

    def check_changed(self, name: Named, changed: Sequence[Difference]) -> None:
        """See that these fields of it may be changed.

        Raises:
            NotAllowed: they may not.
        """
        tried = f"change {name} ({shown([each.field for each in changed])})"
        by_deploy = [Right.DEPLOY] if name in self.named else []
        may = _is_of_nodes if (name.group, name.kind) == _NODE else _is_of_replicas
        if self._is_shaken(name) and all(map(may, changed)):
            self._need(tried, Right.DISRUPTION, *by_deploy)
        elif by_deploy:
            self._need(tried, *by_deploy)
        else:
            raise NotAllowed(tried, hint="signoff changes only what your manifests name, and replicas")

    def _is_shaken(self, name: Named) -> bool:
        """Whether Gaming Mode and faults may change something of it."""
        kind = (name.group, name.kind)
        return kind == _NODE or (kind in _WORKLOADS and name.namespace in self.namespaces)

    def _need(self, tried: str, *rights: Right) -> None:
        """One of the rights is needed; the first is the one to ask for."""
        if not self.rights.intersection(rights):
            raise NotAllowed(tried, rights[0])


def _is_of_replicas(change: Difference) -> bool:
    return change.path == _REPLICAS


def _is_of_nodes(change: Difference) -> bool:
    """Whether it is a cordon, a label, a taint or an extended resource."""
    is_extended = change.path[:2] in _RESOURCES and "/" in "".join(change.path[2:3])
    return change.path[:2] in _OF_NODES or is_extended
