"""The API server holds the story's route and certificate against the definitions of Traefik v3, v2 and cert-manager."""

import re
from pathlib import Path

import pytest

from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.core.timeouts import KINDS_KNOWN
from signoff.core.waiting import NotYet, eventually
from signoff.kube.client import Kube
from signoff.programs import crds
from signoff.way_in.controllers import objects_in
from tests.way_in.waited import Ended, deployed
from tests.way_in.ways import OF_V2, ROUTE, Way, changed

NAMESPACE = "ml"
FILE = MANIFESTS / "litellm" / "ingressroute.yaml"
OWN = FILE.read_text()
FOR_V3 = ("- kind: Rule\n      match", "- match")
"""What is left out may be left out since v3."""


@pytest.fixture(scope="module")
def api(api: Kube) -> Kube:
    api.make_namespace(NAMESPACE)
    return api


@pytest.fixture(scope="module", params=["v3", "v2"])
def traefik(request: pytest.FixtureRequest, api: Kube) -> str:
    """The version whose definitions hold beside cert-manager's; v2's take the place of v3's, and have a group more."""
    version: str = request.param
    files = crds.find(lambda _: None)
    for name in ("cert-manager.yaml", f"traefik-{version}.yaml"):
        for each in objects_in(files[name]):
            api.apply(each, NAMESPACE)

    def look() -> None:
        told = applied(api, changed(OWN, FOR_V3))
        if told and (version == "v3" or "kind: Required value" not in told):
            raise NotYet(told)
        if not told and version == "v2":
            raise NotYet("those of v3 hold still")

    eventually(f"the definitions of Traefik {version} to hold", KINDS_KNOWN, look)
    return version


def applied(kube: Kube, text: str) -> str:
    """What the suite says where the API server does not take the objects of a text; empty where it does."""
    try:
        return "; ".join(filter(None, [kube.apply(each, NAMESPACE) for each in objects_in(FILE, text)]))
    except SignoffError as error:
        return error.what


def test_the_storys_route_and_certificate_are_what_they_define(traefik: str, api: Kube) -> None:
    assert applied(api, OWN) == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("entryPoints: [websecure]", "entryPoints: websecure", "IngressRoute/litellm: "),
        ("  routes:", "  rules:", "IngressRoute/litellm: .*rules: field not declared in schema"),
        ("      match: Host(`litellm.home.jetzinger.com`)\n", "", r"IngressRoute/litellm: .*match: Required value"),
        ("{name: litellm, port: 4000}", "{port: 4000}", r"IngressRoute/litellm: .*services\[0\].name: Required value"),
        ("  tls:\n    secretName", "  tls:\n    secret", "IngressRoute/litellm: .*tls.secret: field not declared"),
        ("  secretName: litellm-tls\n  dns", "  dns", "Certificate/litellm-tls: .*secretName: Required value"),
        ("[litellm.home.jetzinger.com]", "litellm.home.jetzinger.com", "Certificate/litellm-tls: .*dnsNames: "),
        ("    name: letsencrypt-prod\n", "", "Certificate/litellm-tls: .*issuerRef.name: Required value"),
    ],
)
def test_what_they_do_not_define_is_refused_with_the_field(
    traefik: str, api: Kube, old: str, new: str, told: str
) -> None:
    assert re.search(told, applied(api, changed(OWN, (old, new))))


def test_a_route_of_v2s_group_is_left_out_or_taken_and_read_by_nobody(
    traefik: str, plane: EmbeddedCluster, tmp_path: Path
) -> None:
    way = Way("of-v2", changed(ROUTE, *OF_V2.items()))
    skipped, seen = deployed(way, plane, NAMESPACE, tmp_path)
    assert bool(skipped) is (traefik == "v3")
    told = "traefik.containo.us is Traefik v2's group; v3 reads traefik.io/v1alpha1 only"
    told = f"IngressRoute/of-v2 is not read: {told} (ways/of-v2.yaml:2)"
    assert seen == Ended(told, early=True, trouble=[told])
