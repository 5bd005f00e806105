"""What is changed on a cluster for a while, and put back whatever happens.

A change and what undoes it are data: the way back is known before the change is made, so that half a change is undone
as well as a whole one. What could not be undone, `signoff.kube.cleanup` finds by the suite's field manager.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from kubernetes.client.exceptions import ApiException

from signoff.core import timeouts
from signoff.core.errors import SignoffError
from signoff.kube.client import Kube, reason_of, selector_of
from signoff.kube.objects import Manifest


class Action(Protocol):
    """Something that is done to a cluster; its text says what, as a person would."""

    def make(self, kube: Kube, /) -> None:
        """Ask the API server for it."""
        ...

    def wait(self, kube: Kube, /) -> None:
        """Wait until the cluster shows it."""
        ...


class Change(Action, Protocol):
    """An action that can be undone."""

    def inverse(self, kube: Kube, /) -> Action:
        """What puts things back as they are now."""
        ...


@dataclass(frozen=True)
class Apply:
    """An object is there that was not there before."""

    manifest: Manifest
    namespace: str

    def __str__(self) -> str:
        return f"apply {self.manifest.name}"

    def inverse(self, _: Kube) -> "Delete":
        """Delete it."""
        body = self.manifest.body
        namespace = body["metadata"].get("namespace", self.namespace)
        return Delete(body["apiVersion"], body["kind"], namespace, body["metadata"]["name"])

    def make(self, kube: Kube) -> None:
        """Apply it server-side."""
        kube.apply(self.manifest, self.namespace)

    def wait(self, _: Kube) -> None:
        """An object is there as soon as it was applied; who needs its pods waits for those."""


@dataclass(frozen=True)
class Delete:
    """An object is gone, with its pods."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"delete {self.kind}/{self.name}"

    def make(self, kube: Kube) -> None:
        """Delete it, if it is there."""
        kube.delete(self.api_version, self.kind, self.namespace, self.name)

    def wait(self, kube: Kube) -> None:
        """Wait until it is gone."""
        kube.wait_until_deleted(self.api_version, self.kind, self.namespace, self.name)


@dataclass(frozen=True)
class Scale:
    """A Deployment or a StatefulSet has another number of replicas."""

    namespace: str
    name: str
    replicas: int
    workload: str = "Deployment"
    """Its kind."""

    def __str__(self) -> str:
        return f"scale {self.workload}/{self.name} to {self.replicas}"

    def inverse(self, kube: Kube) -> "Scale":
        """Scale it to what it has now."""
        now = kube.workload(self.namespace, self.name, self.workload).spec.replicas
        return Scale(self.namespace, self.name, now, self.workload)

    def make(self, kube: Kube) -> None:
        """Scale it."""
        kube.scale(self.namespace, self.name, self.replicas, self.workload)

    def wait(self, kube: Kube) -> None:
        """Wait until all its pods are available, or the last one is gone."""
        if self.replicas:
            kube.wait_until_available(self.namespace, self.name, timeouts.UNDONE, self.workload)
        else:
            workload = kube.workload(self.namespace, self.name, self.workload)
            kube.wait_until_gone(self.namespace, selector_of(workload))


@dataclass(frozen=True)
class Cordon:
    """A node takes no new pods, or takes them again."""

    node: str
    cordoned: bool = True

    def __str__(self) -> str:
        return f"{'cordon' if self.cordoned else 'uncordon'} {self.node}"

    def inverse(self, kube: Kube) -> "Cordon":
        """Leave a node cordoned that was so before."""
        return Cordon(self.node, cordoned=bool(kube.core.read_node(self.node).spec.unschedulable))

    def make(self, kube: Kube) -> None:
        """Cordon it, or uncordon it."""
        kube.cordon(self.node, cordoned=self.cordoned)

    def wait(self, kube: Kube) -> None:
        """Wait until the scheduler knows."""
        kube.wait_until_cordoned(self.node, cordoned=self.cordoned)


class UndoFailed(SignoffError):
    """Some of what was changed could not be put back."""


Failure = tuple[Action, Exception]
"""What was to be done to put things back, and what that failed of."""


class Undo:
    """Makes changes, and undoes them in reverse order: when `all` is called, or at the end of its `with` block.

    An error that ends the block stays the one that is raised; what could not be undone after it is noted on it.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._inverses: list[Action] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.all()
        except UndoFailed as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    def make(self, change: Change) -> None:
        """Make the change, to be undone later."""
        self.remember(change)
        change.make(self._kube)

    def replace(self, change: Apply) -> None:
        """Apply an object in place of one that a killed run has left, to be deleted later."""
        left = change.inverse(self._kube)
        left.make(self._kube)
        left.wait(self._kube)
        self.make(change)

    def remember(self, change: Change) -> None:
        """Have the change undone later; the caller is about to make it."""
        self._inverses.append(change.inverse(self._kube))

    def all(self, *, wait: bool = True) -> None:
        """Undo each change and `wait` until the cluster shows it, the last change first; try them all.

        Ctrl-C ends the waiting, not the undoing.

        Raises:
            UndoFailed: not all of them could be undone.
        """
        failures: list[Failure] = []
        try:
            self._all(failures, wait=wait)
        except KeyboardInterrupt as interrupt:
            self._all(failures, wait=False)
            if failures:
                interrupt.add_note(str(_undo_failed(failures)))
            raise
        if failures:
            raise _undo_failed(failures) from failures[0][1]

    def _all(self, failures: list[Failure], *, wait: bool) -> None:
        """Try them all, whatever one fails of, and add to `failures`."""
        while self._inverses:
            inverse = self._inverses[-1]
            try:
                inverse.make(self._kube)
                if wait:
                    inverse.wait(self._kube)
            except Exception as error:
                failures.append((inverse, error))
            self._inverses.pop()  # only now: after Ctrl-C in between, this one is made again


def _undo_failed(failures: list[Failure]) -> UndoFailed:
    told = "; ".join(f"{inverse}: {_one_line(error)}" for inverse, error in failures)
    return UndoFailed(
        f"what was changed on the cluster could not all be undone: {told}",
        hint="do so by hand; the next run on this cluster clears it away too",
    )


def _one_line(error: Exception) -> str:
    return reason_of(error) if isinstance(error, ApiException) else " ".join(str(error).split())
