"""A person's own cluster, which is there before a run and after it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kubernetes import client

from signoff.changes.rights import OWN_NAMESPACE, Right, Scope
from signoff.changes.session import Run, Session, refuse_left, refuse_written, restore_left, writer
from signoff.cluster.access import Use
from signoff.cluster.base import ClusterFacts, TunnelBreak
from signoff.cluster.existing import known
from signoff.cluster.existing.contexts import Reached
from signoff.cluster.port_forward import Forwards
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.words import listed
from signoff.kube.client import Kube
from signoff.kube.client import reason_of as reason_of
from signoff.kube.gate import Gate
from signoff.kube.gpus import gpu_of

_OPENS: Mapping[Right, frozenset[str]] = {
    Right.JOB: frozenset({"job"}),
    Right.DEPLOY: frozenset({"job", "deploy"}),
    Right.DISRUPTION: frozenset({"job", "cordon", "new-nodes", "scale-backend"}),
}
"""The capabilities that each right gives."""


class ExistingCluster:
    """A cluster that is looked at and, as far as a person allows it, changed for a while."""

    tunnelled = True
    reused = False
    own_namespace = OWN_NAMESPACE

    def __init__(self, reached: Reached, use: Use) -> None:
        self.kubeconfig = reached.kubeconfig
        self.dir = reached.kubeconfig.parent
        self._reached, self._use = reached, use
        self._kube = Kube(self.kubeconfig)
        self._forwards = Forwards(self.kubeconfig)
        allowed = [_OPENS[right] for right in use.access.allow]
        self.capabilities = frozenset[str]().union(*allowed)
        self.opened_by: Mapping[str, str] = {
            capability: f"it was not allowed: --allow {right} opens it"
            for right in reversed(Right)
            for capability in _OPENS[right]
        }
        for line in self._told():
            progress("cluster", line)
        known.remember(reached.context, reached.server, reached.uid)
        if use.access.allow:
            restore_left(self.kubeconfig)
        refuse_left(reached.uid)
        self._unknown = ""
        if not use.access.allow:
            refuse_written(self._writer())
        scope = Scope(use.access.allow, frozenset(use.namespaces), use.named)
        self._session = Session(self.kubeconfig, Run(use.run.name, use.run, reached.context), scope)
        self.gate: Gate = self._session.gate

    def _writer(self) -> str:
        """Who else writes to the cluster; empty if nobody does, or that is not known, which is told."""
        try:
            return writer(self._kube)
        except SignoffError as error:
            self._unknown = f"whether another run writes to this cluster is not known: {error.what}"
            progress("cluster", self._unknown)
            return ""

    def _told(self) -> list[str]:
        """Which cluster it is, and what the run does there: for a person, before anything is done."""
        reached = self._reached
        nodes = self._kube.core.list_node().items
        gpus = [each.metadata.name for each in nodes if gpu_of(each)]
        many = "s" if len(self._use.namespaces) > 1 else ""
        judged = f": {listed(self._use.reads)}" if self._use.reads else ""
        return [
            f"{reached.context} at {reached.server}, UID {reached.uid}",
            f"{len(nodes)} nodes, a GPU on {listed(gpus) or 'none'}",
            f"reads the namespace{many} {listed(self._use.namespaces)}, and judges what LiteLLM is made of{judged}",
            *(self._changes() or ["nothing is changed; --allow says what may be"]),
        ]

    def _changes(self) -> list[str]:
        """What the run may change, and what it is going to."""
        allow = self._use.access.allow
        told = [f"--allow {right}: {right.about}" for right in Right if right in allow]
        if Right.DEPLOY in allow and self._use.named:
            told.append(f"applies {listed(sorted(map(str, self._use.named)))}")
        if Right.DISRUPTION in allow and self._use.disturbs:
            told.append(f"for the scenarios that need it: {listed(self._use.disturbs)}")
        return told

    def facts(self) -> ClusterFacts:
        """Versions, nodes, which cluster it is, and what was allowed there."""
        version = client.VersionApi(self._kube.core.api_client).get_code().git_version
        nodes = [node.metadata.name for node in self._kube.core.list_node().items]
        details = {
            "context": self._reached.context,
            "server": self._reached.server,
            "allowed": sorted(self._use.access.allow),
        }
        if self._unknown:
            details["not_known"] = self._unknown
        return ClusterFacts("existing", version, tuple(nodes), {}, details, uid=self._reached.uid)

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """The base URL of the Service's port on this machine's loopback, through a forward that follows its pods.

        Raises:
            SignoffError: there is no such Service.
        """
        return self._forwards.service_url(namespace, name, port)

    def address_in_pods(self, namespace: str, service: str, port: int) -> tuple[str, int]:
        """The Service's ClusterIP and this port.

        Raises:
            SignoffError: there is no such Service, or it has no address of its own.
        """
        return self._forwards.address_in_pods(namespace, service, port)

    def export_logs(self, folder: Path) -> None:
        """Its own parts are not this suite's to look into."""

    def tunnel_breaks(self, since: float) -> Sequence[TunnelBreak]:
        """What has broken a forward since then."""
        return self._forwards.breaks(since)

    def failure(self) -> SignoffError | None:
        """Nothing here watches it; a control plane that is gone shows in what can't be read."""
        return None

    def close(self) -> Sequence[str]:
        """Put back what the run has not undone itself; gives what is not as it was."""
        try:
            self._forwards.close()
        finally:
            outcome = self._session.close()
        for each in outcome.of_others:
            progress("cluster", f"others have changed meanwhile: {each}")
        if not self._use.access.allow and not self._unknown and (other := self._writer()):
            return [f"another run writes to it, so that what was judged may be what that has changed: {other}"]
        left = [*outcome.problems, *outcome.of_the_run]
        for each in left:  # after Ctrl-C nothing else tells it
            progress("cluster", f"is not as it was before: {each}")
        if left:
            progress("cluster", f"see `signoff restore {self._use.run.name}`")
        return left
