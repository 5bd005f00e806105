"""Whose kinds a cluster without add-ons knows."""

from pathlib import Path
from typing import Any

import pytest

from signoff.core.errors import SignoffError
from signoff.kube.addons import addons, why_skipped
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


def test_an_object_of_a_known_add_on_may_be_left_out() -> None:
    told = "not judged, for the cluster does not know IngressRoute of traefik.io/v1alpha1: its CRD is not installed"
    assert why_skipped(of("traefik.io/v1alpha1", "IngressRoute")) == told


@pytest.mark.parametrize(
    ("api_version", "kind", "meant"),
    [
        ("app/v1", "Deployment", "; did you mean 'apps/v1'?"),
        ("apps/v2", "Deployment", "; did you mean 'apps/v1'?"),
        ("networking.k8s.io/v1beta1", "Ingress", "; did you mean 'networking.k8s.io/v1'?"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "; did you mean 'autoscaling/v2'?"),
        ("v2", "Service", ""),
        ("traefik.io/v1", "IngressRoute", "; did you mean 'traefik.io/v1alpha1'?"),
        ("trafik.io/v1alpha1", "IngressRoute", "; did you mean 'traefik.io/v1alpha1'?"),
        ("traefik.io/v1alpha1", "IngresRoute", "; did you mean 'IngressRoute'?"),
        ("cert-manager.io/v1", "Cert", ""),
        ("nobody.example/v1", "Thing", ""),
    ],
)
def test_what_no_add_on_has_is_a_misspelling(api_version: str, kind: str, meant: str) -> None:
    with pytest.raises(SignoffError) as error:
        why_skipped(of(api_version, kind))
    assert error.value.what == f"the cluster knows no {kind} of {api_version}, and it is of no known add-on{meant}"
    assert error.value.where.startswith("x:")
