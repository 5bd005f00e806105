"""Times the pairs from inside the cluster, where this process reaches Services only through a tunnel.

A Job runs `signoff.in_cluster.time_pairs` from LiteLLM's own image, with the code in a ConfigMap; its log brings the
timings back. It runs on a worker without a GPU, so that it takes nothing from vLLM, and preferably not on LiteLLM's:
there it would compete with it for the processor, and the callers of a gateway are elsewhere as well. So the way through
LiteLLM has one hop between nodes more than the direct one, which counts against LiteLLM.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from signoff import story
from signoff.core import timeouts
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.kube import shipping
from signoff.kube.client import Kube, describe_pod, is_hopeless
from signoff.kube.objects import Manifest
from signoff.kube.undo import Apply, Undo
from signoff.traffic.blocks import Block
from signoff.traffic.keys import NO_KEYS, Keys
from signoff.traffic.pairs import Timing

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.estimate import Samples

NAME = "signoff-timing-job"
PROGRAM = "signoff.in_cluster.time_pairs"

_CODE = "/timing-job"


def time_pairs(kube: Kube, image: str, *, pairs: int, seed: int, keys: Keys = NO_KEYS) -> tuple["Samples", str]:
    """Run the Job, and remove it; gives what was timed and the name of the node that it was timed on.

    Raises:
        WaitFailed: it could not run, or ended without a result.
    """
    with Undo(kube) as undo:
        undo.replace(Apply(code(), story.NAMESPACE))
        if keys.given:
            undo.replace(Apply(shipping.key_secret(Path(__file__), NAME, keys), story.NAMESPACE))
        undo.replace(Apply(job(image, pairs, seed, keys), story.NAMESPACE))
        pod = eventually(f"the pairs to be timed by Job {NAME}", timeouts.PAIRS_TIMED, lambda: _finished(kube))
        log = kube.core.read_namespaced_pod_log(pod.metadata.name, story.NAMESPACE)
        return samples(log), str(pod.spec.node_name)


def samples(log: str) -> "Samples":
    """The timings and blocks among the lines of the Job's log; its other lines tell of its progress."""
    from signoff.overhead.estimate import Samples

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    timings = tuple(Timing(**line["timing"]) for line in lines if "timing" in line)
    return Samples(timings, tuple(Block(**line["block"]) for line in lines if "block" in line))


def _finished(kube: Kube) -> Any:
    """The Job's pod once it has succeeded."""
    pods = kube.core.list_namespaced_pod(story.NAMESPACE, label_selector=f"app.kubernetes.io/name={NAME}").items
    if not pods:
        raise NotYet("it has no pod")
    pod = pods[0]
    if pod.status.phase == "Succeeded":
        return pod
    last = _last_line(kube, pod)
    if pod.status.phase == "Failed":
        raise Hopeless(f"it failed: {last}", grace=0)
    why = f"{describe_pod(pod)}{f': {last}' if last else ''}"
    raise Hopeless(why) if is_hopeless(pod) else NotYet(why)


def _last_line(kube: Kube, pod: Any) -> str:
    try:
        log = kube.core.read_namespaced_pod_log(pod.metadata.name, story.NAMESPACE, tail_lines=1)
    except ApiException:  # no container has started
        return ""
    line = str(log).strip()
    return "the timings are read" if line.startswith("{") else line


def code() -> Manifest:
    """The ConfigMap that holds the modules."""
    return _manifest({"apiVersion": "v1", "kind": "ConfigMap", "data": shipping.data(_modules())})


def job(image: str, pairs: int, seed: int, keys: Keys = NO_KEYS) -> Manifest:
    """The Job, which runs once; as unprivileged as LiteLLM itself."""
    here = f"{story.NAMESPACE}.svc.cluster.local"
    container = {
        "name": "timing-job",
        "image": image,
        "command": ["python3", "-u", "-m", PROGRAM],
        "args": [
            f"--direct=http://{story.BACKEND}.{here}:{story.BACKEND_PORT}",
            f"--proxied=http://{story.GATEWAY}.{here}:{story.GATEWAY_PORT}",
            f"--pairs={pairs}",
            f"--seed={seed}",
        ],
        "env": [*shipping.environment(_CODE), *shipping.key_environment(NAME, keys)],
        "resources": shipping.RESOURCES,
        "securityContext": shipping.CONTAINER_SECURITY,
        "volumeMounts": [{"name": "code", "mountPath": _CODE, "readOnly": True}],
    }
    pod = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "affinity": {"nodeAffinity": shipping.ON_A_WORKER, "podAntiAffinity": _preferably_not_beside_the_gateway()},
        "securityContext": shipping.POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "code", "configMap": {"name": NAME, "items": shipping.items(_modules())}}],
    }
    template = {"metadata": {"labels": shipping.labels(NAME)}, "spec": pod}
    return _manifest({"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": template}})


def _modules() -> tuple[str, ...]:
    return shipping.modules(PROGRAM)


def _preferably_not_beside_the_gateway() -> dict[str, Any]:
    selector = {"matchLabels": {"app.kubernetes.io/name": story.GATEWAY}}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def _manifest(body: dict[str, Any]) -> Manifest:
    return shipping.manifest(Path(__file__), NAME, body)
