"""Who may write to a person's cluster: one run at a time, by a Lease in the suite's own namespace.

A holder that has died lapses. Whether it has is not read off its clock, which may differ from ours: who wants the Lease
watches for its whole duration that nobody renews it, as client-go's leader election does. The Python client's own would
wait for ever, where a person wants to know at once who is there.

A run empties its Lease once all that it had changed is put back, and no sooner. So one that is lapsed and still names a
run tells that this run has left something; where its journal is not on this machine, nothing may be built upon that.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.changes import api
from signoff.changes.rights import MANAGED_BY, OWN_NAMESPACE, SUITE
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import SignoffError, UsageError
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import FIELD_MANAGER, Kube, reason_of

NAME = "signoff"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""One that goes on while a laptop sleeps, and another run takes the Lease."""
_HOLDER = re.compile(r"(?P<run>.+) \((?P<user>.+) on (?P<host>.+), pid \d+\)")
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN)
"""What creating something in a namespace is answered with that is on its way out."""


class Known(Protocol):
    """What this machine knows of who has held the Lease of a cluster."""

    def has_journal(self, holder: str) -> bool:
        """Whether the journal of this holder's run is here, so that what it has left is known."""
        ...

    def is_dead(self, holder: str) -> bool:
        """Whether it is a process of this machine that is no more: then its Lease need not lapse."""
        ...


class Lease:
    """The Lease of one cluster, once it is taken; renewed until it is released."""

    def __init__(self, kube: Kube, holder: str, known: Known) -> None:
        self._kube, self._holder, self._known = kube, holder, known
        self._renewed = 0.0
        self._lost = ""
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Make the suite's own namespace and take the Lease there; wait for a dead holder's to lapse.

        Raises:
            UsageError: another run holds it, or has died elsewhere with it; or the namespace is another's.
            WaitFailed: the namespace of the run before does not go away.
        """
        seen: dict[str, Any] = {"version": "", "since": 0.0}

        def look() -> None:
            api.answered(self._see_the_namespace)
            lease = _read(self._kube)
            if lease is None:
                self._ask(self._create)
                return
            holder, version = lease.spec.holder_identity or "", lease.metadata.resource_version
            if holder and holder != self._holder and not self._known.is_dead(holder):
                self._watch(lease, version, seen)
            if holder and holder != self._holder:
                if not self._known.has_journal(holder):
                    raise _left_by(holder)
                progress("lease", f"taken over from {holder}, who is no more")
            self._ask(lambda: self._replace(lease))

        eventually("the right to write to this cluster", timeouts.LEASE_WAITED_FOR, look)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def held(self) -> "Lease":
        """This one or, if it was lost meanwhile, it taken anew.

        Raises:
            UsageError: another run holds it.
        """
        with suppress(SignoffError):
            self.check()
            return self
        self._released.set()
        anew = Lease(self._kube, self._holder, self._known)
        anew.take()
        return anew

    def disown(self, run: str) -> str:
        """Empty the Lease that this run has left, once it is lapsed; gives who held it.

        Raises:
            UsageError: it is held by a run that lives, by another or by none.
        """
        seen: dict[str, Any] = {"version": "", "since": 0.0}

        def look() -> str:
            lease = _read(self._kube)
            holder = str(lease.spec.holder_identity or "") if lease else ""
            if run_of(holder) != run:
                what = f"no run of this machine is called {run}, and none has left the cluster's Lease behind"
                held = f"it is held by {holder}" if holder else "nobody holds it"
                raise UsageError(what, where=f"Lease/{NAME} in {OWN_NAMESPACE}: {held}", hint="signoff restore")
            if not self._known.is_dead(holder):
                self._watch(lease, lease.metadata.resource_version, seen)
            lease.spec.holder_identity = ""
            self._ask(lambda: self._send(lease))
            return holder

        return eventually(f"the Lease of {run} to lapse", timeouts.LEASE_WAITED_FOR, look)

    def check(self) -> None:
        """See that the cluster is still ours to write to.

        Raises:
            SignoffError: it is not.
        """
        silent = _now() - self._renewed
        if not self._lost and silent >= timeouts.LEASE_RENEWED.seconds:
            self._lost = f"it could not be renewed for {silent:.0f} s"
        if self._lost or self._released.is_set():
            raise SignoffError(
                f"the right to write to this cluster was lost: {self._lost or 'it was given back'}",
                where=f"Lease/{NAME} in {OWN_NAMESPACE}",
                hint="nothing more is written; `signoff restore` puts back what was changed",
            )

    def release(self, *, is_settled: bool = True) -> None:
        """Renew it no more, and say so in it: the next run need not wait for it to lapse.

        A run that has left something on the cluster stays named in it, so that nobody elsewhere builds upon that.
        """
        self._released.set()
        if self._thread:
            self._thread.join()
        if not is_settled:
            return

        def empty() -> None:
            lease = _read(self._kube)
            if lease is not None and lease.spec.holder_identity == self._holder:
                lease.spec.holder_identity = ""
                self._ask(lambda: self._send(lease))

        with suppress(SignoffError, WaitFailed):  # it lapses
            eventually("the Lease to be given back", timeouts.WRITTEN, empty)

    def _see_the_namespace(self) -> None:
        """See that the suite's own namespace is there, and stays."""
        try:
            there = self._kube.core.read_namespace(OWN_NAMESPACE)
        except ApiException as error:
            if api.is_passing(error):
                raise
            if error.status != HTTPStatus.NOT_FOUND:
                raise SignoffError(f"the namespace {OWN_NAMESPACE} cannot be read: {reason_of(error)}") from None
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": OWN_NAMESPACE, "labels": {MANAGED_BY: SUITE}},
            }
            self._ask(lambda: self._kube.core.create_namespace(body, field_manager=FIELD_MANAGER))
            return
        if (there.metadata.labels or {}).get(MANAGED_BY) != SUITE:
            raise UsageError(
                f"there is a namespace {OWN_NAMESPACE} that signoff has not made: it lacks the label {MANAGED_BY}",
                where=f"Namespace/{OWN_NAMESPACE}",
                hint="signoff needs one of this name for itself alone; remove yours",
            )
        if there.metadata.deletion_timestamp:
            raise NotYet(f"the namespace {OWN_NAMESPACE} of the run before is on its way out")

    def _watch(self, lease: Any, version: str, seen: dict[str, Any]) -> None:
        """Watch a Lease that another holds.

        Raises:
            UsageError: it is renewed.
            NotYet: it is not, and is not lapsed yet.
        """
        if seen["version"] and version != seen["version"]:
            since = lease.spec.acquire_time
            raise UsageError(
                f"another run writes to this cluster: {lease.spec.holder_identity}"
                + (f", since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""),
                where=f"Lease/{NAME} in {OWN_NAMESPACE}",
                hint="wait for its end, or end it",
            )
        if not seen["version"]:
            seen.update(version=version, since=_now())
        duration = lease.spec.lease_duration_seconds or timeouts.LEASE_LAPSES.seconds
        silent = _now() - seen["since"]
        if silent < duration:
            raise NotYet(
                f"{lease.spec.holder_identity} holds it, and has not renewed it for {silent:.0f} s: "
                f"it lapses after {duration:.0f} s"
            )

    def _ask(self, write: Callable[[], Any]) -> None:
        """Ask for something that another may get first."""
        try:
            api.answered(write)
        except ApiException as error:
            if error.status in _GONE and not _is_forbidden_for_good(error):
                raise NotYet(reason_of(error)) from None
            hint = "let signoff do so: manifests/rbac/"
            raise SignoffError(f"the cluster refuses what a run needs: {reason_of(error)}", hint=hint) from None

    def _create(self) -> None:
        spec = {**self._spec(), "acquireTime": _stamp(), "leaseTransitions": 0}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "labels": {MANAGED_BY: SUITE}},
            "spec": spec,
        }
        self._renewed = _now()
        self._kube.coordination.create_namespaced_lease(OWN_NAMESPACE, body, field_manager=FIELD_MANAGER)

    def _replace(self, lease: Any) -> None:
        """Take a Lease that is nobody's any more, unless another was quicker."""
        transitions = (lease.spec.lease_transitions or 0) + 1
        metadata = {"name": NAME, "resourceVersion": lease.metadata.resource_version, "labels": {MANAGED_BY: SUITE}}
        spec = {**self._spec(), "acquireTime": _stamp(), "leaseTransitions": transitions}
        self._renewed = _now()
        self._send({"metadata": metadata, "spec": spec})

    def _spec(self) -> dict[str, Any]:
        duration = int(timeouts.LEASE_LAPSES.seconds)
        return {"holderIdentity": self._holder, "leaseDurationSeconds": duration, "renewTime": _stamp()}

    def _send(self, body: Any) -> None:
        self._kube.coordination.replace_namespaced_lease(
            NAME,
            OWN_NAMESPACE,
            body,
            field_manager=FIELD_MANAGER,
            _request_timeout=timeouts.LEASE_REQUEST.seconds,
        )

    def _renew(self) -> None:
        """Renew it until it is released or lost; what fails is tried again."""
        while not self._lost and not self._released.wait(timeouts.LEASE_RENEWED.every):
            with suppress(SignoffError, ApiException, HTTPError, OSError, NotYet):
                self._renew_once()

    def _renew_once(self) -> None:
        asked, lease = _now(), _read(self._kube)
        holder = lease.spec.holder_identity if lease else ""
        if holder != self._holder:
            self._lost = f"it is held by {holder}" if holder else "it is gone"
            return
        body = {"metadata": {"name": NAME, "resourceVersion": lease.metadata.resource_version}}
        times = {"acquireTime": lease.spec.acquire_time, "leaseTransitions": lease.spec.lease_transitions}
        self._send({**body, "spec": {**self._spec(), **times}})
        self._renewed = asked


def named_in(kube: Kube) -> str:
    """Who writes to this cluster, or has left something there: the run that its Lease names; empty if it names none.

    Raises:
        SignoffError: the Lease cannot be read.
    """
    lease = _read(kube)
    return str(lease.spec.holder_identity or "") if lease else ""


def _read(kube: Kube) -> Any:
    read, seconds = kube.coordination.read_namespaced_lease, timeouts.LEASE_REQUEST.seconds
    try:
        return api.answered(lambda: read(NAME, OWN_NAMESPACE, _request_timeout=seconds))
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise SignoffError(f"the Lease cannot be read: {reason_of(error)}", where=OWN_NAMESPACE) from None


def run_of(holder: str) -> str:
    """The name of the run that holds a Lease."""
    found = _HOLDER.fullmatch(holder)
    return found["run"] if found else holder


def _left_by(holder: str) -> UsageError:
    """Says what to do with what a run has left that this machine knows nothing of."""
    found, run = _HOLDER.fullmatch(holder), run_of(holder)
    there = f" on {found['host']}, as {found['user']}" if found else ", where it was started"
    return UsageError(
        f"the run {holder} has ended without putting back what it had changed, and its journal is not on this machine",
        where=f"Lease/{NAME} in {OWN_NAMESPACE}",
        hint=f"run `signoff restore {run}`{there}; if that can't be done any more, leave the cluster as it is: "
        f"signoff restore {run} --accept --kube-context NAME",
    )


def _is_forbidden_for_good(error: ApiException) -> bool:
    """Whether it is a right that lacks, not a namespace that is on its way out."""
    return error.status == HTTPStatus.FORBIDDEN and "being terminated" not in reason_of(error)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _stamp() -> str:
    """Now, never on a full second: the Python client would write no fraction of it, without which it is none here."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
