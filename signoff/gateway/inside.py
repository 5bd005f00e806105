"""Asks from inside the cluster, by the cluster's own names: what a workload beside LiteLLM gets.

A pod of LiteLLM's image runs `SCRIPT`, which needs nothing beyond Python. It runs where LiteLLM may run, since its
image is there.
"""

import json
from dataclasses import dataclass
from typing import Any

from kubernetes.client.exceptions import ApiException

from signoff import story
from signoff.core import timeouts
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.kube import shipping
from signoff.kube.client import Kube, describe_pod, is_hopeless

NAME = "signoff-inside"

SCRIPT = """
import json, socket, sys, urllib.error, urllib.request
def ask(url, body):
    request = urllib.request.Request(url, data=body and json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Bearer sk-none")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode(errors="replace")}
    except OSError as error:
        return {"error": str(error), "unresolved": isinstance(getattr(error, "reason", error), socket.gaierror)}
base, model = sys.argv[1:]
chat = {"model": model, "messages": [{"role": "user", "content": "Who asks?"}], "max_tokens": 8}
print(json.dumps({"models": ask(base + "/models", None), "chat": ask(base + "/chat/completions", chat)}))
"""


@dataclass(frozen=True)
class Inside:
    """What came back, by what was asked ("models", "chat"): `status` and `body`, or `error`."""

    pod: str
    node: str
    answers: dict[str, dict[str, Any]]


def ask(kube: Kube, image: str, base_url: str, model: str) -> Inside:
    """Run the pod, and remove it.

    Raises:
        WaitFailed: it could not run, or ended without a result.
    """
    remove(kube)
    kube.core.create_namespaced_pod(story.NAMESPACE, _pod(image, base_url, model))
    try:
        pod = eventually(f"the pod {NAME} to ask from inside", timeouts.INSIDE_ASKED, lambda: _finished(kube))
        log = kube.core.read_namespaced_pod_log(NAME, story.NAMESPACE)
        return Inside(NAME, str(pod.spec.node_name), json.loads(str(log).strip().splitlines()[-1]))
    finally:
        remove(kube)


def remove(kube: Kube) -> None:
    """Delete the pod; also one that a killed run has left."""
    kube.delete_pods(story.NAMESPACE, NAME)
    kube.wait_until_gone(story.NAMESPACE, NAME)


def _finished(kube: Kube) -> Any:
    try:
        pod = kube.core.read_namespaced_pod(NAME, story.NAMESPACE)
    except ApiException as error:
        raise NotYet(f"it is not there: {error.reason}") from None
    if pod.status.phase == "Succeeded":
        return pod
    if pod.status.phase == "Failed":
        raise Hopeless(f"it failed: {describe_pod(pod)}", grace=0)
    raise Hopeless(describe_pod(pod)) if is_hopeless(pod) else NotYet(describe_pod(pod))


def _pod(image: str, base_url: str, model: str) -> dict[str, Any]:
    container = {
        "name": "asks",
        "image": image,
        "command": ["python3", "-c", SCRIPT],
        "args": [base_url, model],
        "resources": shipping.RESOURCES,
        "securityContext": shipping.CONTAINER_SECURITY,
    }
    on_workers = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(story.ALLOWED_NODES)}
    terms = [{"matchExpressions": [on_workers]}]
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
        "securityContext": shipping.POD_SECURITY,
        "containers": [container],
    }
    labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "signoff"}
    return {"metadata": {"name": NAME, "labels": labels}, "spec": spec}
