"""What a person wants to see when a scenario has failed: the namespace as it is now, the likely cause first."""

from typing import Any

from kubernetes.client.exceptions import ApiException

from signoff.kube import Kube, describe_pod, is_ready

LOG_LINES = 60


def collect(kube: Kube, namespace: str) -> str:
    """Pods, events, logs (current and previous), EndpointSlices and nodes of the namespace as plain text.

    Best effort: what can't be read is named instead of raised, since a bundle must not hide the failure it explains.
    """
    pods = kube.core.list_namespaced_pod(namespace).items
    sections = {
        "Likely cause": likely_cause(pods),
        "Pods": "\n".join(f"{p.metadata.name} on {p.spec.node_name or 'no node'}: {describe_pod(p)}" for p in pods),
        "Events": _events(kube, namespace),
        "EndpointSlices": _endpoint_slices(kube, namespace),
        "Nodes": "\n".join(_node(node) for node in kube.core.list_node().items),
        **{f"Log of {name}": text for pod in pods for name, text in _logs(kube, pod)},
    }
    return "\n\n".join(f"== {title}\n{text or '(none)'}" for title, text in sections.items()) + "\n"


def likely_cause(pods: list[Any]) -> str:
    """One sentence: the first pod that is not Ready and why, or that all are."""
    for pod in pods:
        if not is_ready(pod) and pod.status.phase != "Succeeded":
            return f"{pod.metadata.name} is not Ready: {describe_pod(pod)}"
    return "Every pod is Ready; look at the exchange that the scenario judged."


def _events(kube: Kube, namespace: str) -> str:
    events = kube.core.list_namespaced_event(namespace).items
    events.sort(key=lambda e: e.last_timestamp or e.event_time or e.metadata.creation_timestamp)
    return "\n".join(
        f"{e.type} {e.reason} {e.involved_object.kind}/{e.involved_object.name}: {e.message}" for e in events
    )


def _endpoint_slices(kube: Kube, namespace: str) -> str:
    lines = []
    for piece in kube.discovery.list_namespaced_endpoint_slice(namespace).items:
        ends = [f"{e.addresses[0]} ready={e.conditions.ready}" for e in piece.endpoints or []]
        ports = [str(p.port) for p in piece.ports or []]
        lines.append(f"{piece.metadata.name} ports {','.join(ports)}: {'; '.join(ends) or 'no endpoints'}")
    return "\n".join(lines)


def _node(node: Any) -> str:
    ready = next((c.status for c in node.status.conditions or [] if c.type == "Ready"), "Unknown")
    taints = [f"{t.key}:{t.effect}" for t in node.spec.taints or []]
    return f"{node.metadata.name} Ready={ready} unschedulable={bool(node.spec.unschedulable)} taints={taints}"


def _logs(kube: Kube, pod: Any) -> list[tuple[str, str]]:
    texts = []
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        for previous in (True, False) if status.restart_count else (False,):
            try:
                text = kube.core.read_namespaced_pod_log(
                    pod.metadata.name,
                    pod.metadata.namespace,
                    container=status.name,
                    previous=previous,
                    tail_lines=LOG_LINES,
                )
            except ApiException as error:
                text = f"(no log: {error.status} {error.reason})"
            texts.append((f"{pod.metadata.name}/{status.name}{' (previous)' if previous else ''}", text))
    return texts
