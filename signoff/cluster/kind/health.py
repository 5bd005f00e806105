"""Whether a kind cluster that runs is well and has its nodes: it is looked at before it is handed out."""

from collections.abc import Sequence
from pathlib import Path

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from signoff.cluster.kind import tools
from signoff.core.timeouts import API_REQUEST, NODES_READY
from signoff.core.waiting import Hopeless, NotYet, WaitFailed, eventually
from signoff.core.words import listed
from signoff.kube.client import Kube, is_ready


def ailment(name: str, kubeconfig: Path, nodes: Sequence[str]) -> str:
    """What is wrong with it; empty if it is well, or becomes so in a moment."""
    if stopped := tools.stopped_containers(name):
        return f"not running: {listed(stopped)}; start again by: docker start {' '.join(stopped)}"
    kube = Kube(kubeconfig)
    try:
        eventually("the nodes to be Ready", NODES_READY, lambda: _see_well(kube, nodes))
    except WaitFailed as failed:
        return failed.observation
    except (ApiException, HTTPError) as error:
        return f"its API does not answer: {type(error).__name__}"
    return ""


def _see_well(kube: Kube, wanted: Sequence[str]) -> None:
    nodes = kube.core.list_node(_request_timeout=API_REQUEST.seconds).items
    names = {node.metadata.name for node in nodes}
    if lacking := [name for name in wanted if name not in names]:
        raise Hopeless(f"it has no node {listed(lacking)}", grace=0)
    if sick := sorted(node.metadata.name for node in nodes if not is_ready(node)):
        raise NotYet(f"not Ready: {listed(sick)}")
