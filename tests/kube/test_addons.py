"""Whose kinds a cluster without add-ons knows."""

from pathlib import Path
from typing import Any

from signoff.kube.addons import addons
from signoff.kube.objects import Manifest


def of(api_version: str, kind: str, **more: Any) -> Manifest:
    return Manifest(Path("x"), "", {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **more})


def test_an_add_on_is_what_kubernetes_has_not_and_no_crd_here_brings() -> None:
    own = [
        of("v1", "Service"),
        of("apps/v1", "Deployment"),
        of("networking.k8s.io/v1", "Ingress"),
        of("rbac.authorization.k8s.io/v1", "Role"),
    ]
    others = [of("traefik.io/v1alpha1", "IngressRoute"), of("gateway.networking.k8s.io/v1", "HTTPRoute")]
    assert addons([*own, *others]) == others
    crd = of(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        spec={"group": "traefik.io", "names": {"kind": "IngressRoute"}},
    )
    odd = [of("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"names": []}), *own]
    assert addons([crd, *odd, *others]) == others[1:]
