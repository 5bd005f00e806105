"""A run's time on a person's cluster: from the right to write to the proof that all is as before."""

from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.changes import api, restoring, state
from signoff.changes import journal as journals
from signoff.changes import lease as leases
from signoff.changes.guard import Guard, LookOnly
from signoff.changes.journal import Before, Header, Journal, Restoring
from signoff.changes.lease import Lease
from signoff.changes.process import Process
from signoff.changes.restoring import Outcome, Restorer
from signoff.changes.rights import OWN_NAMESPACE, Right, Scope
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import check_state
from signoff.core.waiting import WaitFailed, eventually
from signoff.kube import kubeconfig as kubeconfigs
from signoff.kube.client import Kube, reason_of
from signoff.kube.gate import Gate


@dataclass(frozen=True)
class Run:
    """What a run is called, where its report goes, and the context through which it reached the cluster."""

    name: str
    folder: Path
    context: str


class Session:
    """What a run needs to write to a person's cluster: its `gate`, and `close` at the end, whatever that is."""

    def __init__(self, kubeconfig: Path, run: Run, scope: Scope) -> None:
        self._kubeconfig = kubeconfig
        self._looks = Kube(kubeconfig)
        self._journal: Journal | None = None
        self.gate: Gate = LookOnly()
        if scope.rights:
            self._open(run, scope)

    def _open(self, run: Run, scope: Scope) -> None:
        """Take the Lease, and write down how the cluster is.

        Raises:
            UsageError: the journal cannot be written, or another run writes to the cluster.
            SignoffError: what is there cannot be read, or an earlier run has left something.
        """
        check_state()
        uid = cluster_uid(self._looks)
        refuse_left(uid)
        self._journal = Journal.begun(
            Header(
                run=run.name,
                folder=str(run.folder.absolute()),
                context=run.context,
                kubeconfigs=[str(each) for each in kubeconfigs.files()],
                cluster=uid,
                rights=sorted(scope.rights),
                namespaces=sorted(scope.namespaces),
                named=sorted(scope.named),
                process=Process.this(),
            )
        )
        holder = _Held()
        self.gate = self._guard = Guard(scope, self._journal, holder)
        kube = Kube(self._kubeconfig, self.gate)
        self._lease = holder.lease = Lease(kube, _holder(run.name), _KnownHere(uid))
        try:
            self._lease.take()
            before = self._read(scope, self._journal.header.salt)
            self._journal.add(before)
            if hidden := state.uncompared(before):
                progress("cluster", f"what cannot be listed is not compared at the end: {hidden}")
        except BaseException:
            self._give_up()
            raise

    def _read(self, scope: Scope, salt: str) -> Before:
        """How the cluster is, once the API server says it.

        Raises:
            SignoffError: it does not.
        """

        def read() -> Before:
            return api.answered(lambda: state.read(self._looks, scope.namespaces, scope.named, salt))

        slow = Timer(timeouts.READING_TOLD.seconds, progress, ("cluster", "reads what is there before a change"))
        slow.daemon = True
        slow.start()
        try:
            return eventually("the cluster to be read", timeouts.WRITTEN, read)
        except WaitFailed as error:
            raise SignoffError(f"how the cluster is cannot be read: {error.observation}") from None
        finally:
            slow.cancel()

    def _give_up(self) -> None:
        """Leave nothing of a session that could not begin."""
        assert self._journal
        if self._journal.intents:
            self.close()
        else:
            self._lease.release()
            self._journal.forget()
        self._journal = None

    def close(self) -> Outcome:
        """Put back what the run has not undone itself, judge whether all is as before, and give the Lease back.

        Raises:
            SignoffError: the right to write was lost, and another run has it.
        """
        if self._journal is None or self._journal.is_closed:
            return Outcome()
        self._guard.shut("the run is over")
        return _put_back(self._kubeconfig, self._looks, self._journal, self._lease.held())


class _Held:
    """The Lease, which is taken through the gate that asks for it."""

    lease: Lease

    def check(self) -> None:
        self.lease.check()


def restore(kubeconfig: Path, journal: Journal, *, accept: bool = False) -> Outcome:
    """Put back what an ended run has left, and close its journal if nothing of it is left.

    With `accept`, what cannot be put back is left as it is, and the journal is closed all the same.

    Raises:
        UsageError: the run still lives, another run writes to the cluster, or this is another cluster.
        SignoffError: what is there cannot be read.
    """
    check_state()
    _refuse_alive(journal)
    looks = Kube(kubeconfig)
    uid = cluster_uid(looks)
    if uid != journal.header.cluster:
        raise UsageError(
            f"this is another cluster than the one that the run {journal.run} changed: its UID is {uid}",
            where=f"context {journal.header.context}, UID {journal.header.cluster}",
            hint="let the context lead to that cluster again",
        )
    process = Process.this()
    journal.add(Restoring(process=process))
    holder = _Held()
    kube = Kube(kubeconfig, _Opening(journal, holder))
    lease = holder.lease = Lease(kube, _holder(journal.run), _KnownHere(uid))
    lease.take()
    return _put_back(kubeconfig, looks, journal, lease, accept=accept)


def accept_elsewhere(kubeconfig: Path, run: str) -> str:
    """Leave what a run has left whose journal is not on this machine, and let the next begin; gives who it was.

    Raises:
        UsageError: it lives, or has left nothing.
    """
    kube = Kube(kubeconfig)
    return Lease(kube, "", _KnownHere(cluster_uid(kube))).disown(run)


class _Opening(Guard):
    """The gate of those who put things back, until they have the Lease: it lets them have the namespace of it."""

    def __init__(self, journal: Journal, holder: _Held) -> None:
        super().__init__(Scope(rights=frozenset(Right)), journal, holder)
        self.shut("things are put back")


def _put_back(kubeconfig: Path, looks: Kube, journal: Journal, lease: Lease, *, accept: bool = False) -> Outcome:
    """Undo what the run has done; `looks` knows the kinds already where the run itself does so."""
    kube = Kube(kubeconfig, Restorer(journal, lease.check))
    outcome, is_settled = Outcome(), False
    try:
        try:
            restoring.put_back(kube, journal, outcome)
            restoring.judge(looks, journal, outcome)
            is_settled = accept or outcome.is_settled
        finally:
            lease.release(is_settled=is_settled)
        if is_settled:  # else it goes on naming this run in its Lease
            restoring.remove_own_namespace(Kube(kubeconfig, Restorer(journal, _nobody_else)), journal, outcome)
    except api.Away as error:
        hint = f"what the run has changed is not all put back: when it is there again, signoff restore {journal.run}"
        raise SignoffError(error.what, hint=hint) from None
    if accept or outcome.is_settled:
        journal.close([*outcome.problems, *outcome.differences])
    return outcome


def _nobody_else() -> None:
    """What goes last is the namespace that holds the Lease itself."""


def cluster_uid(kube: Kube) -> str:
    """What tells one cluster from another, whatever its context and address are called.

    Raises:
        SignoffError: it cannot be read.
    """
    try:
        return str(kube.core.read_namespace("kube-system").metadata.uid)
    except HTTPError as error:
        raise SignoffError(f"the cluster does not answer: {' '.join(str(error).split())}") from None
    except ApiException as error:
        hint = "let signoff `get` the namespace kube-system: manifests/rbac/"
        raise SignoffError(f"which cluster this is cannot be read: {reason_of(error)}", hint=hint) from None


def left(uid: str) -> list[Journal]:
    """The journals of runs that have ended and left something on this cluster, the newest first."""
    return [each for each in reversed(journals.unclosed(uid)) if not _lives(each)]


def restore_left(kubeconfig: Path) -> list[tuple[Journal, Outcome]]:
    """Put back what earlier runs have left on this cluster, the newest first; says so.

    Raises:
        UsageError: another run writes to the cluster.
        SignoffError: a journal cannot be read.
    """
    restored = []
    for each in left(cluster_uid(Kube(kubeconfig))):
        progress("restore", f"the run {each.run} was ended before it put back what it had changed: that is done now")
        restored.append((each, restore(kubeconfig, each)))
    return restored


def refuse_left(uid: str) -> None:
    """See that no run has left anything on this cluster: what stands there is not what a person wants there.

    Raises:
        UsageError: one has.
    """
    if found := left(uid):
        names = ", ".join(each.run for each in found)
        hint = f"signoff restore {found[0].run}"
        raise UsageError(
            f"an earlier run has left changes on this cluster: {names}", where=str(found[0].path), hint=hint
        )


def writer(kube: Kube) -> str:
    """The run that writes to this cluster or has left something there, wherever it was started; empty if none does.

    Raises:
        SignoffError: nobody can tell: the Lease that would name it cannot be read.
    """
    try:
        return eventually("the Lease to be read", timeouts.WRITTEN, lambda: leases.named_in(kube))
    except WaitFailed as error:
        raise SignoffError(f"the Lease cannot be read: {error.observation}") from None


def refuse_written(holder: str) -> None:
    """See that nobody writes to this cluster: what stands there need not be what a person wants there.

    Raises:
        UsageError: this one does, or has left something.
    """
    if holder:
        raise UsageError(
            f"another run writes to this cluster, or has ended without putting back what it had changed: {holder}",
            where=f"Lease/{leases.NAME} in {OWN_NAMESPACE}",
            hint=f"wait for its end; if it has ended: `signoff restore {leases.run_of(holder)}` where it began",
        )


def _refuse_alive(journal: Journal) -> None:
    alive = next((each for each in journal.processes if each.lives and each != Process.this()), None)
    if alive:
        raise UsageError(f"the run {journal.run} is still at work", where=str(alive), hint="end it; it puts all back")


def _lives(journal: Journal) -> bool:
    return any(each.lives for each in journal.processes)


def _holder(run: str) -> str:
    return f"{run} ({Process.this()})"


class _KnownHere:
    """What the journals of this machine tell of who has held the Lease of a cluster."""

    def __init__(self, uid: str) -> None:
        self._uid = uid

    def has_journal(self, holder: str) -> bool:
        return bool(self._processes(holder))

    def is_dead(self, holder: str) -> bool:
        return any(each.lives is False for each in self._processes(holder))

    def _processes(self, holder: str) -> list[Process]:
        every = ((each, process) for each in journals.of_cluster(self._uid) for process in each.processes)
        return [process for each, process in every if f"{each.run} ({process})" == holder]
