"""Deploys a set of manifests on a cluster as whoever it belongs to would, for trying what the suite makes of that.

    python -m scripts.deploy_as_owner --kubeconfig FILE --settings tests/labs/home_lab/signoff.toml

The objects are another field manager's, as after `kubectl apply`, and stay. What the cluster knows no kind of, such as
an IngressRoute without Traefik, is left out; with `--controllers` a cluster of the suite's gets Traefik, cert-manager
and Pebble of its own in the namespace kube-system, as k3s has Traefik there: with no API to ask. Clients that trust
Pebble have its root from `--roots`.
"""

import argparse
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from signoff.cluster.base import Cluster
from signoff.cluster.registry import DEFAULT, NAMES, open_cluster
from signoff.core import timeouts
from signoff.core.console import progress
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.settings import read
from signoff.way_in import controllers
from signoff.way_in.certificates import pebbles_roots

OWNER = "kubectl-client-side-apply"
"""What kubectl calls itself (kubectl: cmd/apply/apply.go)."""


OF_THE_CLUSTER = "kube-system"
"""Where k3s has its Traefik."""


class Owned(Kube):
    """Applies as the owner does."""

    def apply(self, manifest: Manifest, namespace: str) -> str | None:
        """Apply one object."""
        if self.knows(manifest):
            apply(self, manifest, namespace)
        return None


class Shut(Owned):
    """Applies controllers whose Traefik tells nobody of itself."""

    def apply(self, manifest: Manifest, namespace: str) -> str | None:
        """Apply one object, without what would tell."""
        if manifest.name == f"Service/{controllers.TRAEFIK_API}":
            return None
        body = deepcopy(manifest.body)
        if manifest.name == f"Deployment/{controllers.TRAEFIK}":
            (container,) = body["spec"]["template"]["spec"]["containers"]
            container["args"].remove("--api.insecure=true")
        return super().apply(replace(manifest, body=body), namespace)


def start_controllers(kubeconfig: Path, cluster: Cluster, manifests: StoryManifests) -> None:
    """Start those of a way in as the cluster's own."""
    kube = Shut(kubeconfig)
    controllers.start(kube, cluster, manifests, OF_THE_CLUSTER)
    for each in kube.apps.list_namespaced_deployment(OF_THE_CLUSTER).items:
        kube.wait_until_available(OF_THE_CLUSTER, each.metadata.name, timeouts.WAY_IN_LEADS)


def deploy(kube: Kube, manifests: StoryManifests) -> None:
    """Apply all of them, and wait until vLLM and LiteLLM are available."""
    for namespace in manifests.namespaces:
        if kube.make_namespace(namespace):
            kube.wait_for_namespace(namespace)
    for each in (*manifests.backend, *manifests.gateway):
        if kube.knows(each):
            apply(kube, each, manifests.settings.namespace)
            progress("owner", f"applied {each.name}")
    for workload in (manifests.roles.backend, manifests.roles.gateway):
        progress("owner", f"waits for {workload.object}")
        kube.wait_until_available(workload.namespace, workload.name, timeouts.BACKEND_READY, workload.kind)


def apply(kube: Kube, manifest: Manifest, namespace: str) -> None:
    """Apply one object, which is then its owner's."""
    body = manifest.body
    resource = kube.dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])
    kube.dynamic.server_side_apply(
        resource,
        body=body,
        name=body["metadata"]["name"],
        namespace=body["metadata"].get("namespace", namespace) if resource.namespaced else None,
        field_manager=OWNER,
        force_conflicts=True,
    )


def main() -> None:
    """Deploy the set of the settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE")
    parser.add_argument("--settings", required=True, metavar="FILE")
    parser.add_argument("--controllers", metavar="NAME", help="the suite's cluster that gets those of a way in")
    parser.add_argument(
        "--cluster", choices=NAMES, default=DEFAULT, help="of which kind that is (default: %(default)s)"
    )
    parser.add_argument("--roots", type=Path, metavar="FILE", help="where Pebble's root is written to")
    options = parser.parse_args()
    settings = read({}, options.settings).settings
    manifests, kube = StoryManifests.read(settings), Owned(options.kubeconfig)
    if options.controllers:
        images = {**manifests.images, **controllers.images(manifests)}
        cluster = open_cluster(options.cluster, Path(options.controllers), images, settings.nodes)
        start_controllers(options.kubeconfig, cluster, manifests)
        if options.roots:
            options.roots.write_text("".join(pebbles_roots(kube, cluster, OF_THE_CLUSTER)), encoding="utf-8")
    deploy(kube, manifests)


if __name__ == "__main__":
    main()
