"""The faults of a cluster, by the words that features use: a When step of these words injects the fault.

Each is a list of changes that know how they are undone, at the scenario's end at the latest. What vLLM itself does
wrong is played by the recorder, as the cases in signoff/parity/cases/ say it.
"""

from collections.abc import Mapping, Sequence

from signoff import story
from signoff.gateway.deployment import BACKEND_APP
from signoff.kube.client import Kube
from signoff.kube.undo import Change, Cordon, Scale, Undo

FAULTS: Mapping[str, Sequence[Change]] = {
    "vLLM is scaled to 0": [Scale(story.NAMESPACE, BACKEND_APP, 0)],
    "the nodes k3s-worker-01 and k3s-worker-02 are cordoned": [Cordon("k3s-worker-01"), Cordon("k3s-worker-02")],
}


def inject(fault: str, kube: Kube, undo: Undo) -> None:
    """Make the changes of the fault, and wait until the cluster shows them all."""
    for change in FAULTS[fault]:
        undo.make(change)
    for change in FAULTS[fault]:
        change.wait(kube)
