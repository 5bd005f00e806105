"""What a cluster of the suite's own is given for a way in: the issuers and Gateways that manifests name and lack."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from signoff.core.paths import MANIFESTS
from signoff.kube.manifests import StoryManifests
from signoff.programs import controllers as programs
from signoff.settings import Settings
from signoff.way_in import controllers, route_in

STORY = StoryManifests.read()


def with_objects(tmp_path: Path, text: str, *, without: str = "") -> StoryManifests:
    """The story's manifests with more objects, and without the route and its certificate where that is said."""
    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "all"))
    if without:
        (folder / "litellm" / "ingressroute.yaml").write_text(text)
    else:
        with (folder / "litellm" / "ingressroute.yaml").open("a") as file:
            file.write(f"---\n{text}")
    return StoryManifests.read(Settings(manifests=(folder,)))


def test_the_storys_own_route_is_found_with_its_line() -> None:
    route = route_in(STORY)
    assert route is not None
    assert (route.name, route.service, route.secret) == ("IngressRoute/litellm", "litellm", "litellm-tls")
    assert route.where.endswith("ingressroute.yaml:30")


def test_the_issuer_of_the_story_is_made_as_an_account_at_pebble() -> None:
    (issuer,) = controllers.issuers_beside(STORY)
    assert issuer.name == "ClusterIssuer/letsencrypt-prod"
    assert issuer.body["spec"]["acme"]["server"] == controllers.DIRECTORY
    assert "namespace" not in issuer.body["metadata"]


ISSUER = """
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: letsencrypt-prod}
spec:
  acme:
    server: https://acme-v02.api.letsencrypt.org/directory
    privateKeySecretRef: {name: account}
    solvers: [{dns01: {cloudflare: {apiTokenSecretRef: {name: token, key: t}}}}]
"""


def test_an_issuer_of_ones_own_asks_pebble_by_http_and_that_is_said(tmp_path: Path) -> None:
    own = with_objects(tmp_path, ISSUER)
    assert controllers.issuers_beside(own) == []
    changed = controllers.with_pebble(own)
    (issuer,) = (each.body for each in changed.gateway if each.kind == "ClusterIssuer")
    acme = issuer["spec"]["acme"]
    assert (acme["server"], acme["privateKeySecretRef"]) == (controllers.DIRECTORY, {"name": "account"})
    assert [list(each) for each in acme["solvers"]] == [["http01"]]
    told = "ClusterIssuer/letsencrypt-prod asks Pebble in the place of https://acme-v02.api.letsencrypt.org/directory"
    assert told in changed.notes
    assert told not in own.notes


def test_that_an_issuer_was_made_and_asks_pebble_is_said() -> None:
    """Else whoever reads the page would take it that Let's Encrypt was asked."""
    told = "ClusterIssuer/letsencrypt-prod is not among the manifests: made here, and asks Pebble"
    assert told in controllers.with_pebble(STORY).notes


def test_names_that_were_proved_by_dns_are_proved_beside_those_of_another_zone(tmp_path: Path) -> None:
    other = "{http01: {ingress: {ingressClassName: traefik}}, selector: {dnsZones: [other.example]}}"
    own = with_objects(tmp_path, ISSUER.replace("solvers: [", f"solvers: [{other}, "))
    (issuer,) = (each.body for each in controllers.with_pebble(own).gateway if each.kind == "ClusterIssuer")
    assert ["selector" in each for each in issuer["spec"]["acme"]["solvers"]] == [True, False]
    assert all("http01" in each for each in issuer["spec"]["acme"]["solvers"])


def test_an_issuer_whose_kind_was_left_out_is_not_made(tmp_path: Path) -> None:
    """It is then an Issuer of the namespace."""
    route = (MANIFESTS / "litellm" / "ingressroute.yaml").read_text()
    asked = route.replace("    kind: ClusterIssuer\n", "")
    assert asked != route
    assert controllers.issuers_beside(with_objects(tmp_path, asked, without="route")) == []


def test_an_issuer_that_is_no_acme_stays(tmp_path: Path) -> None:
    own = with_objects(tmp_path, ISSUER.partition("  acme:")[0] + "  selfSigned: {}\n")
    assert controllers.with_pebble(own).gateway == own.gateway


@pytest.mark.parametrize(
    ("annotation", "made"),
    [("cert-manager.io/cluster-issuer: le", ["ClusterIssuer/le"]), ("cert-manager.io/issuer: le", [])],
)
def test_an_ingress_asks_for_its_certificate_by_an_annotation(tmp_path: Path, annotation: str, made: list[str]) -> None:
    """A ClusterIssuer is the cluster's; an Issuer has to come with the manifests."""
    text = f"""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: litellm, namespace: ml, annotations: {{{annotation}}}}}
spec:
  tls: [{{hosts: [litellm.home.jetzinger.com], secretName: tls}}]
  rules:
    - host: litellm.home.jetzinger.com
      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: litellm, port: {{number: 4000}}}}}}}}]}}
"""
    issuers = controllers.issuers_beside(with_objects(tmp_path, text, without="route"))
    assert [each.name for each in issuers] == made
    assert all("namespace" not in each.body["metadata"] for each in issuers)


def test_nothing_is_wanted_where_no_route_is(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: ml}\n"
    none = with_objects(tmp_path, text, without="route")
    assert not controllers.wanted_by(none)
    assert controllers.images(none) == {}
    assert set(controllers.images(STORY)) == {each.image for each in programs.EVERY}
    assert route_in(none) is None


@pytest.mark.parametrize("name", ["traefik", "cert-manager", "pebble"])
def test_the_manifests_of_the_controllers_run_the_images_that_are_known(name: str) -> None:
    file = Path(controllers.__file__).with_name("manifests") / f"{name}.yaml"
    bodies: list[dict[str, Any]] = [each for each in yaml.safe_load_all(file.read_text()) if each]
    used = {
        each["image"].strip("$")
        for body in bodies
        if body["kind"] == "Deployment"
        for each in body["spec"]["template"]["spec"]["containers"]
    }
    known = {"traefik", "cert_manager", "pebble", "pebble_dns"}
    assert used <= known
    assert used
