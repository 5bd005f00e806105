"""Asks from inside the cluster, by the cluster's own names: what a workload beside LiteLLM gets.

A pod of LiteLLM's image runs `SCRIPT`, which needs nothing beyond Python. It runs where LiteLLM may run, since its
image is there.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException

from signoff.core import timeouts
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.kube import shipping
from signoff.kube.client import Kube, describe_pod, is_hopeless
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.undo import Apply, Undo
from signoff.traffic.keys import NO_KEYS, Keys

NAME = "signoff-inside"

SCRIPT = """
import json, os, socket, sys, urllib.error, urllib.request
def ask(url, body):
    request = urllib.request.Request(url, data=body and json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Bearer " + (os.environ.get("SIGNOFF_API_KEY") or "sk-none"))
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


def ask(kube: Kube, manifests: StoryManifests, keys: Keys = NO_KEYS, namespace: str = "") -> Inside:
    """Run the pod in this namespace, beside the gateway if it is empty, and remove it.

    Raises:
        WaitFailed: it could not run, or ended without a result.
    """
    namespace = namespace or manifests.roles.gateway.namespace
    with Undo(kube) as undo:
        if keys.given:
            undo.replace(Apply(shipping.key_secret(Path(__file__), NAME, namespace, keys), namespace))
        undo.replace(Apply(_pod(manifests, namespace, keys), namespace))
        asked = f"the pod {NAME} to ask from inside"
        pod = eventually(asked, timeouts.INSIDE_ASKED, lambda: _finished(kube, namespace))
        log = kube.core.read_namespaced_pod_log(NAME, namespace)
        return Inside(NAME, str(pod.spec.node_name), json.loads(str(log).strip().splitlines()[-1]))


def _finished(kube: Kube, namespace: str) -> Any:
    try:
        pod = kube.core.read_namespaced_pod(NAME, namespace)
    except ApiException as error:
        raise NotYet(f"it is not there: {error.reason}") from None
    if pod.status.phase == "Succeeded":
        return pod
    if pod.status.phase == "Failed":
        raise Hopeless(f"it failed: {describe_pod(pod)}", grace=0)
    raise Hopeless(describe_pod(pod)) if is_hopeless(pod) else NotYet(describe_pod(pod))


def base_url(manifests: StoryManifests) -> str:
    """What the pod asks below."""
    return f"{manifests.roles.gateway.url}/v1"


def _pod(manifests: StoryManifests, namespace: str, keys: Keys) -> Manifest:
    container = {
        "name": "asks",
        "image": manifests.gateway_image,
        "imagePullPolicy": "IfNotPresent",  # a Secret to pull it with is LiteLLM's alone
        "command": ["python3", "-c", SCRIPT],
        "args": [base_url(manifests), manifests.roles.model.asked],
        "env": shipping.key_environment(NAME, keys),
        "resources": shipping.RESOURCES,
        "securityContext": shipping.CONTAINER_SECURITY,
    }
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "affinity": {"nodeAffinity": shipping.on_nodes(manifests.settings.allowed_nodes)},
        "tolerations": manifests.tolerations,
        "securityContext": shipping.POD_SECURITY,
        "containers": [container],
    }
    body = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
    return shipping.manifest(Path(__file__), NAME, namespace, body)
