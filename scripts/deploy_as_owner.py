"""Deploys a set of manifests on a cluster as whoever it belongs to would, for trying what the suite makes of that.

    python -m scripts.deploy_as_owner --kubeconfig FILE --settings tests/labs/home_lab/signoff.toml

The objects are another field manager's, as after `kubectl apply`, and stay. What the cluster knows no kind of, such as
an IngressRoute without Traefik, is left out.
"""

import argparse
from pathlib import Path

from signoff.core import timeouts
from signoff.core.console import progress
from signoff.kube.client import Kube
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest
from signoff.settings import read

OWNER = "kubectl-client-side-apply"
"""What kubectl calls itself (kubectl: cmd/apply/apply.go)."""


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
    options = parser.parse_args()
    settings = read({}, options.settings).settings
    deploy(Kube(options.kubeconfig), StoryManifests.read(settings))


if __name__ == "__main__":
    main()
