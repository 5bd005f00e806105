"""The likely cause is named in one sentence; the states here are those that take long to come about for real."""

from typing import Any, cast

import pytest

from signoff.core.errors import SignoffError
from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, WaitFailed, eventually
from signoff.kube.client import Kube
from signoff.kube.diagnostics import Snapshot, collect, likely_cause, render

IMAGE = "ghcr.io/berriai/litellm:main-v9"


def pod(status: dict[str, Any], node: str | None = "k3s-worker-01", **container: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "litellm", "image": IMAGE, **container}]}
    if node:
        spec["nodeName"] = node
    return {
        "metadata": {"name": "litellm-1", "namespace": "ml"},
        "spec": spec,
        "status": {"phase": "Pending", **status},
    }


def with_container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "litellm", "image": IMAGE, "state": state, "ready": False, **more}]}


def node(name: str, *, message: str = "", **conditions: str) -> dict[str, Any]:
    states = [{"type": key, "status": value, "message": message} for key, value in conditions.items()]
    return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": states}}


def event(reason: str, message: str, name: str = "litellm-1") -> dict[str, Any]:
    about = {"kind": "Pod", "name": name}
    return {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "involvedObject": about} | {
        "reason": reason,
        "message": message,
    }


BACKOFF = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}"'}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
CRASH = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
ENDED = {"lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}, "restartCount": 2}
UNPLACED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/4 nodes are available"}]}

CASES = {
    "image": (
        Snapshot(
            pods=[pod(with_container(BACKOFF))],
            events=[event("Failed", f'Failed to pull image "{IMAGE}": not found'), event("Failed", "ErrImagePull")],
        ),
        [f"The image {IMAGE} cannot be pulled onto k3s-worker-01", "not found", "load it"],
    ),
    "memory": (
        Snapshot(pods=[pod(with_container(OOM), resources={"limits": {"memory": "2Gi"}})]),
        ["Container litellm of litellm-1 was killed", "memory", "2Gi"],
    ),
    "crash": (
        Snapshot(
            pods=[pod(with_container(CRASH, **ENDED))],
            logs={("litellm-1", "litellm", True): "starting\nValueError: no such key\nbye\n"},
        ),
        ["ended with status 3", "its last word: ValueError: no such key"],
    ),
    "liveness": (
        Snapshot(
            pods=[pod(with_container(CRASH, **ENDED))],
            events=[
                event("Killing", "Container litellm failed liveness probe, will be restarted"),
                event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500"),
            ],
        ),
        ["restarted again and again", "statuscode: 500"],
    ),
    "full disk of its node": (
        Snapshot(
            pods=[pod({"phase": "Failed", "reason": "Evicted", "message": "low on resource: ephemeral-storage"})],
            nodes=[node("k3s-worker-01", DiskPressure="True", Ready="True"), node("k3s-worker-02", Ready="True")],
        ),
        ["Node k3s-worker-01 runs out of disk (DiskPressure)", "litellm-1 cannot run there"],
    ),
    "full disk of a node that it could have": (
        Snapshot(pods=[pod(UNPLACED, node=None)], nodes=[node("k3s-gpu-worker", DiskPressure="True", Ready="True")]),
        ["Node k3s-gpu-worker runs out of disk (DiskPressure)"],
    ),
    "dead node": (
        Snapshot(pods=[pod({})], nodes=[node("k3s-worker-01", Ready="Unknown", message="Kubelet stopped posting")]),
        ["Node k3s-worker-01 is not Ready", "Kubelet stopped posting"],
    ),
    "evicted": (
        Snapshot(pods=[pod({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"})]),
        ["litellm-1 was evicted from k3s-worker-01: The node was low on memory"],
    ),
    "quota": (
        Snapshot(
            deployments=[
                {
                    "metadata": {"name": "litellm"},
                    "spec": {},
                    "status": {
                        "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: tight"}]
                    },
                }
            ]
        ),
        ["No pod can be created for Deployment litellm", "exceeded quota"],
    ),
    "unreadable": (Snapshot(unread=["pods: connection refused"]), ["could not be asked", "connection refused"]),
}


@pytest.mark.parametrize("case", CASES)
def test_likely_cause(case: str) -> None:
    seen, words = CASES[case]
    cause = likely_cause(seen)
    assert all(word in cause for word in words), cause
    assert render(seen).splitlines()[0] == cause


def test_a_log_that_may_not_be_read_is_no_last_word() -> None:
    crashed, unread = pod(with_container(CRASH, **ENDED)), "(no log: 403 Forbidden)"
    seen = Snapshot(pods=[crashed], logs={("litellm-1", "litellm", previous): unread for previous in (True, False)})
    assert likely_cause(seen) == "Container litellm of litellm-1 ended with status 3"
    assert unread in render(seen)


def test_the_last_observation_of_the_wait_is_kept() -> None:
    def look() -> None:
        raise NotYet("0 of 1 replicas available")

    with pytest.raises(WaitFailed) as failed:
        eventually("Deployment litellm", Timeout(0.01, every=0.01), look)
    text = render(Snapshot(), failed.value)
    assert "waited 0.0 s for Deployment litellm" in text
    assert "last seen: 0 of 1 replicas available" in text


def test_secrets_are_in_no_part_of_it() -> None:
    seen = Snapshot(
        pods=[
            pod(
                with_container(CRASH),
                args=["--master-key=hush-hush-1"],
                env=[
                    {"name": "OPENAI_API_KEY", "value": "hush-hush-2"},
                    {"name": "DATABASE_URL", "value": "postgres://llm:hush-hush-3@db/llm"},
                    {"name": "HOME", "value": "/tmp"},
                ],
            )
        ],
        events=[event("Unhealthy", "Authorization: Bearer hush-hush-4")],
        logs={("litellm-1", "litellm", False): 'key sk-hush-hush-5, {"api_key": "hush-hush-6"}, PASSWORD=hush-hush-7'},
    )
    text = render(seen, ValueError("api_key='hush-hush-8'"))
    assert "hush" not in text, text
    assert "postgres://llm:[redacted]@db/llm" in text
    assert "/tmp" in text


def test_a_cluster_that_ended_is_the_cause() -> None:
    ended = SignoffError("the embedded cluster has ended: kube-scheduler was killed by signal 9", where="its log")
    text = collect(cast("Kube", None), "ml", AssertionError("connection refused"), ended)
    assert text.splitlines()[0] == ended.what
    assert "its log" in text
    assert "connection refused" in text


def test_what_is_told_of_a_cluster_that_ended_holds_no_secret() -> None:
    token = "sk-1234567890abcdefghij"
    ended = SignoffError("the cluster has ended", where=f"its log, which ends\n    Authorization: Bearer {token}")
    assert token not in collect(cast("Kube", None), "ml", AssertionError(f"Authorization: Bearer {token}"), ended)
