"""The faults of a cluster, by the words that features use: a When step of these words injects the fault.

Each is a list of changes that know how they are undone, at the scenario's end at the latest. What vLLM itself does
wrong is played by the recorder, as the cases in signoff/parity/cases/ say it.
"""

from collections.abc import Callable, Mapping, Sequence

from signoff.gateway.deployment import Deployment
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Key
from signoff.kube.roles import Workload
from signoff.kube.undo import Change, Cordon, Scale, Undo


def scaled(deployment: Deployment, workload: Workload, replicas: int) -> Scale:
    """This many replicas of a gateway or a backend, by the suite: nobody else is to be taken for who has done it."""
    deployment.touched.add(workload.key)
    return _of(workload, replicas)


FAULTS: Mapping[str, Callable[[StoryManifests], Sequence[Change]]] = {
    "vLLM is scaled to 0": lambda manifests: [_of(manifests.roles.backend, 0)],
    "the allowed nodes are cordoned": lambda manifests: [Cordon(node) for node in manifests.settings.allowed_nodes],
}


def _of(workload: Workload, replicas: int) -> Scale:
    return Scale(workload.namespace, workload.name, replicas, workload.kind)


def inject(fault: str, deployment: Deployment, undo: Undo) -> None:
    """Make the changes of the fault, and wait until the cluster shows them all."""
    changes = FAULTS[fault](deployment.manifests)
    deployment.touched |= {
        Key(f"{each.workload}/{each.name}", each.namespace) for each in changes if isinstance(each, Scale)
    }
    for change in changes:
        undo.make(change)
    for change in changes:
        change.wait(deployment.kube)
