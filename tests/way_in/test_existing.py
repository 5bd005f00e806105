"""Ways in of a person's own cluster, with a Traefik, cert-manager and ACME server that somebody else has started there.

They are in kube-system, and Traefik tells nobody of itself, as in k3s. Nothing is deployed by the suite.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scripts.deploy_as_owner import OF_THE_CLUSTER, Owned, start_controllers
from signoff.cluster.access import Access, Use
from signoff.cluster.embedded import EmbeddedCluster
from signoff.cluster.existing import ExistingCluster
from signoff.cluster.existing.contexts import Reached
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.evidence import Evidence
from signoff.evidence.models import Run
from signoff.kube.objects import Manifest
from signoff.programs import controllers as programs
from signoff.way_in import WayIn, controllers, of
from signoff.way_in.certificates import pebbles_roots, usual_roots
from tests.embedded import IMAGE
from tests.way_in.test_trouble import in_another_namespace, of_the_gateway, secrets
from tests.way_in.waited import Ended, deployment_for, manifests_of, of_the_ways, waited_for
from tests.way_in.ways import CERTIFICATE, INGRESS, WAYS, Way, changed

pytestmark = pytest.mark.cluster
NAMESPACE = "ml"
BY_AN_INGRESS = changed(
    INGRESS,
    ("nobody", "litellm"),
    ("{name: NAME}", "{name: NAME, annotations: {traefik.ingress.kubernetes.io/router.entrypoints: websecure}}"),
    ("good-tls", "NAME-tls"),
)
BY_AN_HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  parentRefs: [{name: home, namespace: edge, sectionName: https}]
  hostnames: [NAME.lab.example]
  rules: [{backendRefs: [{name: litellm, port: 4000}]}]
"""
LEADING = (
    Way("an-ingress", BY_AN_INGRESS + CERTIFICATE, leads=True),
    Way("an-http-route", BY_AN_HTTP_ROUTE, leads=True),
    *(each for each in WAYS if each.name == "by-acme"),
)
AS_ANYWHERE = {
    *("signed-by-itself", "for-another", "expired", "without-secret", "names-no-secret", "by-traefiks-resolver"),
    *("without-issuer", "without-service", "without-port", "without-pods", "without-middleware", "without-entry-point"),
    *("by-plain-http", "two-routes", "of-v2"),
}
"""What is wrong with these, objects and Traefik's arguments tell."""
SHUT = tuple(each for each in WAYS if each.name in AS_ANYWHERE)
LOGGED = next(each for each in WAYS if each.name == "external")


@dataclass(frozen=True)
class Home:
    """A person's cluster, the ways in that are there, and how each ended."""

    ways: Mapping[str, WayIn]
    ended: Mapping[str, Ended]
    roots: list[str]


@pytest.fixture(scope="module")
def home(recipes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A cluster of these tests' own, opened as one that exists."""
    folder, every = tmp_path_factory.mktemp("home"), (*LEADING, *SHUT, LOGGED)
    hosting = EmbeddedCluster.start(images=[IMAGE, *(each.image for each in programs.EVERY)])
    manifests, kube = manifests_of(every, folder / "manifests"), Owned(hosting.kubeconfig)
    kube.make_namespace(NAMESPACE)
    kube.wait_for_namespace(NAMESPACE)
    start_controllers(hosting.kubeconfig, hosting, manifests)
    for body in (*of_the_gateway(), *secrets(), *in_another_namespace()):
        kube.apply(Manifest(Path(__file__), "", body), NAMESPACE)
    for each in of_the_ways(manifests):
        kube.apply(each, NAMESPACE)
    roots = pebbles_roots(kube, hosting, OF_THE_CLUSTER)
    (folder / "roots.pem").write_text("".join(roots))
    reached = Reached("home", hosting.kubeconfig, kube.server, kube.core.read_namespace("kube-system").metadata.uid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        opened = ExistingCluster(reached, Use(Access("home", "home"), [NAMESPACE], folder / "run"))
    evidence = Evidence(folder / "run", Run(tool="serve"))
    deployments = {way.name: deployment_for(way, opened, manifests, evidence) for way in every}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(every)) as pool:
        patch.setenv("SSL_CERT_FILE", str(folder / "roots.pem"))
        usual_roots.cache_clear()
        patch.setattr("signoff.way_in.WAY_IN_LEADS", replace(WAY_IN_LEADS, every=2))  # so many look at once
        ended = dict(zip(deployments, pool.map(waited_for, deployments.values()), strict=True))
        yield Home({name: way for name, each in deployments.items() if (way := of(each))}, ended, roots)
    usual_roots.cache_clear()
    evidence.close()
    opened.close()
    hosting.close()


@pytest.mark.parametrize("way", LEADING, ids=lambda way: way.name)
def test_it_leads_to_litellm_by_a_route_of_each_kind(home: Home, way: Way) -> None:
    assert home.ended[way.name] == Ended("", False, [])
    own = home.ways[way.name]
    assert own.entered == (
        "through a forward to the Service kube-system/traefik, so that the client's address is the forward's"
    )
    assert own.timeouts() == {"readTimeout": 5.0, "writeTimeout": 0.0, "idleTimeout": 5.0}
    state = own.certificate()
    assert (state.ready, state.untold, state.issuer_kind) == (True, "", "acme")
    assert state.server == controllers.directory(OF_THE_CLUSTER)
    assert own.handshake(way.host).chain[0].strip() == state.secret_leaf.strip()
    assert {each.strip() for each in home.roots} <= {each.strip() for each in own.roots()}


@pytest.mark.parametrize("way", SHUT, ids=lambda way: way.name)
def test_what_is_wrong_is_told_as_on_a_cluster_of_the_suites_own(home: Home, way: Way) -> None:
    assert home.ended[way.name].observation == way.sentence


def test_where_only_traefik_knows_its_log_tells(home: Home) -> None:
    assert home.ended[LOGGED.name] == Ended(LOGGED.sentence, True, [])
