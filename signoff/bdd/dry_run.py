"""What a run would change on a person's own cluster, as the API server itself tells it; nothing of it is kept there."""

from collections.abc import Callable, Iterator
from pathlib import Path

from signoff.changes.preview import Preview, as_new
from signoff.changes.rights import OWN_NAMESPACE, Right, Scope
from signoff.changes.target import Named
from signoff.cluster import registry
from signoff.core.errors import SignoffError, UsageError
from signoff.core.words import listed
from signoff.faults.cluster import FAULTS
from signoff.gateway import inside
from signoff.gateway.deployment import NO_KEY, WRONG_MODEL
from signoff.kube import preflight
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.options import Chosen
from signoff.overhead import timing_job
from signoff.parity.deployment import RECORDED
from signoff.parity.recorder_pod import RecorderPod

NOTHING = "nothing would change: no --allow says that anything may"


def shown(chosen: Chosen) -> Iterator[str]:
    """Each change, as a diff of what is there and what would be, by the right that allows it.

    Raises:
        SignoffError: the cluster cannot be asked.
    """
    there = registry.provider(chosen.cluster).standing(chosen.access)
    if there is None or not chosen.access.allow:
        yield NOTHING
        return
    use = chosen.use(chosen.settings.reports)
    asked = _Asked(Preview(Scope(use.access.allow, frozenset(use.namespaces), use.named)), there.kubeconfig)
    for right in (each for each in Right if each in chosen.access.allow):
        yield f"# --allow {right}: {right.about}"
        yield from {Right.JOB: _job, Right.DEPLOY: _deploy, Right.DISRUPTION: _disruption}[right](
            asked, chosen.manifests
        )
    yield f"# the namespace {OWN_NAMESPACE}, which is made for the run and goes with it, and in it the Lease of the run"


class _Asked:
    """A cluster that is asked what it would make of changes."""

    def __init__(self, gate: Preview, kubeconfig: Path) -> None:
        self._gate = gate
        self.kube = Kube(kubeconfig, gate)

    def changes(self, do: Callable[[Kube], object], what: object) -> Iterator[str]:
        """The diffs of what is done here, or why it would not be."""
        first = len(self._gate.changes)
        try:
            do(self.kube)
        except SignoffError as error:
            yield f"{what}: {error.what}"
        for each in self._gate.changes[first:]:
            yield from each.lines


def _deploy(asked: _Asked, manifests: StoryManifests) -> Iterator[str]:
    own = manifests.settings.namespace
    if manifests.copy_of:
        for each in manifests.applied:
            yield from as_new(Named.of(each.body, own), each.body)
    else:
        for each in manifests.applied:
            yield from asked.changes(_apply(each, own), each.name)
        try:
            preflight.check(asked.kube, manifests.applied, own)
        except UsageError as error:
            yield f"# refused, so that nothing of it is applied: {error.what}"
    yield "# for the scenarios that need them, and deleted again: further LiteLLMs, and a recorder between one and vLLM"
    beside = manifests.roles.gateway.namespace
    for each in _further(manifests):
        if beside == OWN_NAMESPACE:
            yield f"{Named.of(each.body, beside)}: would be made"
        else:
            yield from asked.changes(_apply(each, beside), each.name)
    if manifests.way_in:
        yield "# and a copy of the route that leads to LiteLLM, for one path below the host, with a recorder of its own"


def _apply(manifest: Manifest, namespace: str) -> Callable[[Kube], object]:
    return lambda kube: kube.apply(manifest, namespace)


def _further(manifests: StoryManifests) -> Iterator[Manifest]:
    for name in (WRONG_MODEL, NO_KEY, RECORDED):
        yield from manifests.second_gateway(name, lambda _: None)[1]
    recorder = RecorderPod(manifests.roles.gateway, manifests.roles.backend)
    yield from recorder.manifests(manifests.gateway_image, manifests.settings.allowed_nodes)


def _disruption(asked: _Asked, manifests: StoryManifests) -> Iterator[str]:
    for fault, changes in FAULTS.items():
        yield f"# {fault}"
        for change in changes(manifests):
            yield from asked.changes(change.make, change)
    own = manifests.roles.gateway
    yield f"# and for a while: one replica more of {own.object} in {own.namespace}"
    yield "# nodes signoff-worker and signoff-gpu-worker-…, which nobody runs, with the labels and taints of yours"
    yield f"# a pod in {own.namespace} for each node, which asks the scheduler and never runs: nobody has its image"


def _job(_: _Asked, __: StoryManifests) -> Iterator[str]:
    names = listed([f"Pod/{inside.NAME}", f"Job/{timing_job.NAME}"])
    yield f"# {names} in {OWN_NAMESPACE}, each with a ConfigMap or a Secret of its name: they ask, and are deleted"
