"""What a person needs to know to use a kept cluster, and to be rid of it."""

import shlex
from pathlib import Path

from signoff.cluster.embedded.address_range import served_port, to_loopback
from signoff.kube.client import Kube


def how_to_use(name: str, kubeconfig: Path, unconfined: str) -> str:
    """The lines to paste into a shell, the URL of each Service on this machine, and why pods may do what you may."""
    kube = Kube(kubeconfig)
    caution = f"  nothing keeps its containers from your files ({unconfined}): apply only manifests that you trust"
    return "\n".join(
        [
            f"  export KUBECONFIG={shlex.quote(str(kubeconfig))}",
            *(f"  {service}  {url}" for service, url in service_urls(kube)),
            f"  pytest features/ and locust -f bench/ use it by themselves; signoff cluster down {name} ends it",
            *([caution] if unconfined else []),
        ]
    )


def service_urls(kube: Kube) -> list[tuple[str, str]]:
    """Namespace/name and URL of each port of each Service that has an address of its own."""
    found = []
    for service in kube.core.list_service_for_all_namespaces().items:
        address, name = service.spec.cluster_ip, f"{service.metadata.namespace}/{service.metadata.name}"
        if address and address != "None" and name != "default/kubernetes":
            found += [
                (name, f"http://{to_loopback(address)}:{served_port(port.port)}") for port in service.spec.ports or []
            ]
    return found
