"""Whose doing it is that LiteLLM does not start."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from signoff.core.waiting import WaitFailed
from signoff.evidence.causes import cause_of
from signoff.evidence.models import Subject
from signoff.gateway import deployment

NODES = "0/4 nodes are available: 1 node(s) had untolerated taint(s), "


def pod(message: str, reason: str = "Unschedulable") -> Any:
    scheduled = SimpleNamespace(type="PodScheduled", status="False", reason=reason, message=message)
    return SimpleNamespace(status=SimpleNamespace(conditions=[scheduled]))


class Waiting:
    """A cluster on which LiteLLM does not become available."""

    def __init__(self, pods: list[Any]) -> None:
        self._pods = pods

    def pods(self, namespace: str, app: str) -> list[Any]:
        return self._pods

    def wait_until_available(self, namespace: str, name: str, timeout: object) -> None:
        raise WaitFailed(f"Deployment {name} to be available", 60, "Pending", hopeless=True)


@pytest.mark.parametrize(
    ("pods", "subject"),
    [
        ([pod(NODES + "3 Insufficient memory.")], Subject.CLUSTER),
        ([pod(NODES + "1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.")], Subject.CLUSTER),
        ([pod(NODES + "3 Too many pods.")], Subject.CLUSTER),
        ([pod(NODES + "3 Insufficient nvidia.com/gpu.")], Subject.GATEWAY),
        ([pod(NODES + "3 node(s) didn't match Pod's node affinity/selector.")], Subject.GATEWAY),
        ([pod("Insufficient memory", reason="SchedulingGated")], Subject.GATEWAY),
        ([], Subject.GATEWAY),
    ],
)
def test_that_no_node_has_room_is_the_clusters_doing(
    pods: list[Any], subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "Kube", lambda kubeconfig: Waiting(pods))
    cluster: Any = SimpleNamespace(kubeconfig=Path("kubeconfig"))
    unused: Any = None
    with pytest.raises(WaitFailed) as failed:
        deployment.Deployment(cluster, unused, unused).wait_for_gateway()
    assert cause_of(failed.value).subject is subject
