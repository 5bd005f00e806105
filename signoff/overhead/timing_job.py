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

from signoff.core import timeouts
from signoff.core.waiting import Hopeless, NotYet, eventually
from signoff.kube import shipping
from signoff.kube.client import Kube, describe_pod, is_hopeless
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.kube.roles import NAME_LABEL, Workload
from signoff.kube.undo import Apply, Undo
from signoff.traffic.blocks import Block
from signoff.traffic.counted import Counted
from signoff.traffic.endpoint import ROOTS, Endpoint
from signoff.traffic.keys import NO_KEYS, Keys
from signoff.traffic.pairs import Timing

if TYPE_CHECKING:  # with numpy, for which a run that timed nothing should not wait
    from signoff.overhead.estimate import Samples

NAME = "signoff-timing-job"
PROGRAM = "signoff.in_cluster.time_pairs"

_CODE = "/timing-job"
_ROOTS = "roots.pem"


def time_pairs(
    kube: Kube,
    manifests: StoryManifests,
    *,
    pairs: int,
    seed: int,
    keys: Keys = NO_KEYS,
    ingress: Endpoint | None = None,
    namespace: str = "",
) -> tuple["Samples", str]:
    """Run the Job, and remove it; gives what was timed and the name of the node that it was timed on.

    It runs in this `namespace`, LiteLLM's if that is empty.

    `ingress` is where a pod reaches LiteLLM's way in; its model and key are those of LiteLLM's Service.

    Raises:
        WaitFailed: it could not run, or ended without a result.
    """
    namespace = namespace or manifests.roles.gateway.namespace
    with Undo(kube) as undo:
        undo.replace(Apply(code(namespace, ingress), namespace))
        if keys.given:
            undo.replace(Apply(shipping.key_secret(Path(__file__), NAME, namespace, keys), namespace))
        undo.replace(Apply(job(manifests, pairs, seed, keys, ingress, namespace), namespace))
        timed = f"the pairs to be timed by Job {NAME}"
        pod = eventually(timed, timeouts.PAIRS_TIMED, lambda: _finished(kube, namespace))
        log = kube.core.read_namespaced_pod_log(pod.metadata.name, namespace)
        return samples(log), str(pod.spec.node_name)


def samples(log: str) -> "Samples":
    """The timings and blocks among the lines of the Job's log; its other lines tell of its progress."""
    from signoff.overhead.estimate import Samples

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    timings = tuple(Timing(**line["timing"]) for line in lines if "timing" in line)
    counted = next((Counted(**line["counted"]) for line in lines if "counted" in line), None)
    return Samples(timings, tuple(Block(**line["block"]) for line in lines if "block" in line), counted)


def _finished(kube: Kube, namespace: str) -> Any:
    """The Job's pod once it has succeeded."""
    pods = kube.core.list_namespaced_pod(namespace, label_selector=f"{NAME_LABEL}={NAME}").items
    if not pods:
        raise NotYet("it has no pod")
    pod = pods[0]
    if pod.status.phase == "Succeeded":
        return pod
    last = _last_line(kube, pod)
    if pod.status.phase == "Failed":
        raise Hopeless(f"it failed: {last or _never_started(pod)}", grace=0)
    why = f"{describe_pod(pod)}{f': {last}' if last else ''}"
    raise Hopeless(why) if is_hopeless(pod) else NotYet(why)


def _never_started(pod: Any) -> str:
    """What the node says of a container that has no log, since it could not even be started."""
    ended = [each.state.terminated for each in pod.status.container_statuses or [] if each.state.terminated]
    return "; ".join(f"{each.reason}: {each.message}" for each in ended) or describe_pod(pod)


def _last_line(kube: Kube, pod: Any) -> str:
    try:
        log = kube.core.read_namespaced_pod_log(pod.metadata.name, pod.metadata.namespace, tail_lines=1)
    except ApiException:  # no container has started
        return ""
    line = str(log).strip()
    return "the timings are read" if line.startswith("{") else line


def code(namespace: str, ingress: Endpoint | None = None) -> Manifest:
    """The ConfigMap that holds the modules, and the roots of the way in if it has its own."""
    roots = {_ROOTS: ingress.authorities} if ingress and ingress.authorities else {}
    data = shipping.data(_modules()) | roots
    return _manifest(namespace, {"apiVersion": "v1", "kind": "ConfigMap", "data": data})


def job(
    manifests: StoryManifests,
    pairs: int,
    seed: int,
    keys: Keys = NO_KEYS,
    ingress: Endpoint | None = None,
    namespace: str = "",
) -> Manifest:
    """The Job, which runs once; as unprivileged as LiteLLM itself."""
    roles = manifests.roles
    way_in = [f"--ingress={ingress.url}", f"--ingress-host={ingress.host}"] if ingress else []
    has_roots = bool(ingress and ingress.authorities)
    roots = [{"name": ROOTS, "value": f"{_CODE}/{_ROOTS}"}] if has_roots else []
    items = [*shipping.items(_modules()), *([{"key": _ROOTS, "path": _ROOTS}] if has_roots else [])]
    container = {
        "name": "timing-job",
        "image": manifests.gateway_image,
        "imagePullPolicy": "IfNotPresent",  # a Secret to pull it with is LiteLLM's alone
        "command": ["python3", "-u", "-m", PROGRAM],
        "args": [
            f"--direct={roles.backend.url}",
            f"--proxied={roles.gateway.url}",
            f"--model={manifests.settings.model}",
            f"--asked-model={roles.model.asked}",
            f"--pairs={pairs}",
            f"--seed={seed}",
            *way_in,
        ],
        "env": [*shipping.environment(_CODE), *shipping.key_environment(NAME, keys), *roots],
        "resources": shipping.RESOURCES,
        "securityContext": shipping.CONTAINER_SECURITY,
        "volumeMounts": [{"name": "code", "mountPath": _CODE, "readOnly": True}],
    }
    pod = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "affinity": {
            "nodeAffinity": shipping.on_nodes(manifests.settings.allowed_nodes),
            "podAntiAffinity": _preferably_not_beside(roles.gateway),
        },
        "tolerations": manifests.tolerations,
        "securityContext": shipping.POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "code", "configMap": {"name": NAME, "items": items}}],
    }
    template = {"metadata": {"labels": shipping.labels(NAME)}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template}
    return _manifest(namespace or roles.gateway.namespace, {"apiVersion": "batch/v1", "kind": "Job", "spec": spec})


def _modules() -> tuple[str, ...]:
    return shipping.modules(PROGRAM)


def _preferably_not_beside(gateway: Workload) -> dict[str, Any]:
    selector = {"matchLabels": dict(gateway.selector)}
    place = {"namespaces": [gateway.namespace], "topologyKey": "kubernetes.io/hostname"}
    term = {"labelSelector": selector, **place}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def _manifest(namespace: str, body: dict[str, Any]) -> Manifest:
    return shipping.manifest(Path(__file__), NAME, namespace, body)
