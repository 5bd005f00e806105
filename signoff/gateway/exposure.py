"""The ways that lead to the gateway's pods, as they stand on the cluster: the story wants one Service with one port."""

from collections.abc import Iterator, Mapping
from typing import Any

from signoff.core.waiting import WaitFailed
from signoff.evidence.models import Opening
from signoff.gateway.deployment import Deployment
from signoff.gateway.probes import placed

_OPEN_OUTSIDE = ("NodePort", "LoadBalancer")


def openings(deployment: Deployment) -> list[Opening]:
    """The ways beside the one port of the gateway's Service; ports of nodes that its pods take are `host_ports`."""
    template = _template(deployment)
    return [*_of_services(deployment, template.metadata.labels or {}), *_of_the_nodes(deployment, template.spec)]


def _template(deployment: Deployment) -> Any:
    """What the gateway's pods are made of, as the API has it."""
    own = deployment.gateway
    return deployment.kube.workload(own.namespace, own.name, own.kind).spec.template


def _of_services(deployment: Deployment, labels: Mapping[str, str]) -> Iterator[Opening]:
    own = deployment.gateway
    for service in deployment.kube.core.list_namespaced_service(own.namespace).items:
        if not _leads_to(service, labels):
            continue
        name = f"Service/{service.metadata.name}"
        yield from _external_addresses(deployment, service, name)
        if service.metadata.name == own.service:
            yield from _further_ports(deployment, service, name)
        elif service.spec.type in _OPEN_OUTSIDE:
            ports = ", ".join(str(port.node_port or port.port) for port in service.spec.ports or [])
            file = deployment.manifests.where(name, "spec", "type")
            yield Opening(object=name, what=service.spec.type, value=ports, file=file)


def _external_addresses(deployment: Deployment, service: Any, name: str) -> Iterator[Opening]:
    for at, address in enumerate(service.spec.external_ips or []):
        file = deployment.manifests.where(name, "spec", "externalIPs", at)
        yield Opening(object=name, what="externalIPs", value=address, file=file)


def _further_ports(deployment: Deployment, service: Any, name: str) -> Iterator[Opening]:
    ports, wanted = service.spec.ports or [], deployment.settings.port
    judged = wanted if any(port.port == wanted for port in ports) else deployment.gateway.port
    for at, port in enumerate(ports):
        if port.port != judged:
            file = deployment.manifests.where(name, "spec", "ports", at)
            yield Opening(object=name, what="port", value=str(port.port), file=file)


def _of_the_nodes(deployment: Deployment, pods: Any) -> Iterator[Opening]:
    if pods.host_network:
        own = deployment.gateway.object
        file = deployment.manifests.where(own, "spec", "template", "spec", "hostNetwork")
        yield Opening(object=own, what="hostNetwork", value="", file=file)


def _leads_to(service: Any, labels: Mapping[str, str]) -> bool:
    selector = service.spec.selector
    return bool(selector) and selector.items() <= labels.items()


def host_ports(deployment: Deployment) -> dict[int, str]:
    """The ports of its node that the gateway's pod takes for itself, and where each is written."""
    own = deployment.gateway.object
    return {
        port.host_port: deployment.manifests.where(own, *place, "ports", number)
        for container, place in placed(_template(deployment).spec)
        for number, port in enumerate(container.ports or [])
        if port.host_port
    }


def target_port(deployment: Deployment, service: Any) -> tuple[str, str]:
    """The port of the pods that the judged port of the gateway's Service sends to, and where that is written."""
    ports = [(at, port) for at, port in enumerate(service.spec.ports or []) if port.port == deployment.gateway.port]
    if not ports:
        return "", ""
    at, port = ports[0]
    name = f"Service/{service.metadata.name}"
    return str(port.target_port or port.port), deployment.manifests.where(name, "spec", "ports", at, "targetPort")


def unanswered(deployment: Deployment) -> str:
    """What was seen last where nobody answers through the gateway's Service; empty if LiteLLM does."""
    try:
        deployment.answering_gateway()
    except WaitFailed as failed:
        return failed.observation
    return ""
