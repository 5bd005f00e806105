"""Every bad way in ends with one sentence of its cause, on a cluster with the real Traefik, cert-manager and Pebble.

All of them are applied at once, each under a host name of its own, and waited for side by side.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from signoff.cluster.embedded import EmbeddedCluster
from signoff.core.errors import SignoffError
from signoff.core.timeouts import WAY_IN_LEADS
from signoff.evidence import Evidence
from signoff.evidence.causes import cause_of
from signoff.evidence.models import Run, Subject
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.programs import controllers as programs
from signoff.way_in import controllers, of
from tests.embedded import IMAGE, container, pod
from tests.way_in.waited import Ended, deployed, deployment_for, manifests_of, of_the_ways, waited_for
from tests.way_in.ways import CERTIFICATE, DOMAIN, INGRESS, OWN, ROUTE, WAYS, Way

pytestmark = pytest.mark.cluster
NAMESPACE = "ml"
SERVE = """
import http.server

class Models(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"object": "list", "data": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", 4000), Models).serve_forever()
"""


@pytest.fixture(scope="module")
def hosting(recipes: None) -> Iterator[EmbeddedCluster]:
    """A cluster of these tests' own: the controllers stay in it."""
    started = EmbeddedCluster.start(images=[IMAGE, *(each.image for each in programs.EVERY)])
    yield started
    started.close()


@pytest.fixture(scope="module")
def ended(hosting: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Ended]]:
    """How each way in ended, by its name."""
    folder = tmp_path_factory.mktemp("ways")
    manifests, kube = manifests_of(WAYS, folder / "manifests"), Kube(hosting.kubeconfig)
    kube.make_namespace(NAMESPACE)
    kube.wait_for_namespace(NAMESPACE)
    controllers.start(kube, hosting, manifests)
    for body in (*of_the_gateway(), *secrets(), *in_another_namespace()):
        kube.apply(Manifest(Path(__file__), "", body), NAMESPACE)
    for each in of_the_ways(manifests):
        kube.apply(each, NAMESPACE)
    evidence = Evidence(folder / "run", Run(tool="serve"))

    def wait(way: Way) -> Ended:
        return waited_for(deployment_for(way, hosting, manifests, evidence))

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(WAYS)) as pool:
        patch.setattr("signoff.way_in.WAY_IN_LEADS", replace(WAY_IN_LEADS, every=2))  # so many look at once
        yield dict(zip([way.name for way in WAYS], pool.map(wait, WAYS), strict=True))
    evidence.close()


def of_the_gateway() -> Iterator[dict[str, Any]]:
    """What answers as LiteLLM would, and Services that lead there, and nowhere."""
    runs = pod(container(SERVE, ports=[{"containerPort": 4000}]))
    yield {"apiVersion": "v1", "kind": "Pod", **runs}
    for name, selected in {"litellm": "pod", "other": "pod", "empty": "nobody"}.items():
        yield service(name, selector={"app": selected})
    yield service("external", type="ExternalName", externalName="nobody.invalid")


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 4000}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


def secrets() -> Iterator[dict[str, Any]]:
    """Certificates that nobody obtained: a good one for whom it is not about these, and bad ones."""
    authority = trustme.CA()
    own = [way.host for way in WAYS if "good-tls" in way.text]
    yield of_pair("good-tls", authority, authority.issue_cert(*own))
    yield of_pair("for-another-tls", authority, authority.issue_cert(f"other.{DOMAIN}"))
    began, ended = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    host = f"expired.{DOMAIN}"
    yield of_pair("expired-tls", authority, authority.issue_cert(host, not_before=began, not_after=ended))
    yield secret("signed-by-itself-tls", signed_by_itself(f"signed-by-itself.{DOMAIN}"))
    yield secret("of-other-keys-tls", {"cert.pem": b"", "key.pem": b""}, kind="Opaque")


def in_another_namespace() -> Iterator[dict[str, Any]]:
    authority, name = trustme.CA(), "secret-elsewhere"
    there = of_pair(f"{name}-tls", authority, authority.issue_cert(f"{name}.{DOMAIN}"))
    yield {**there, "metadata": {"name": f"{name}-tls", "namespace": "default"}}
    options = {"name": "strict", "namespace": "default"}
    yield {"apiVersion": "traefik.io/v1alpha1", "kind": "TLSOption", "metadata": options, "spec": {}}


def of_pair(name: str, authority: trustme.CA, leaf: trustme.LeafCert) -> dict[str, Any]:
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    pair = {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes(), "ca.crt": authority.cert_pem.bytes()}
    return secret(name, pair)


def secret(name: str, data: Mapping[str, bytes], kind: str = "kubernetes.io/tls") -> dict[str, Any]:
    texts = {key: b64encode(each).decode() for key, each in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": texts}


def signed_by_itself(host: str) -> dict[str, bytes]:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now, pem = datetime.now(UTC), serialization.Encoding.PEM
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=60))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"tls.crt": certificate.public_bytes(pem), "tls.key": private}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_way_in_is_told_in_one_sentence_of_its_cause(way: Way, ended: Mapping[str, Ended]) -> None:
    seen = ended[way.name]
    assert seen.observation == ("" if way.leads else way.sentence)
    assert seen.trouble == ([way.sentence] if way.told else [])
    assert seen.early is not way.leads


def test_an_ingress_for_another_controller_is_none_that_this_cluster_can_show(
    hosting: EmbeddedCluster, tmp_path: Path
) -> None:
    """It is no fault of the manifests: nobody can tell what that controller makes of it."""
    way = Way("of-haproxy", INGRESS.replace("spec:", "spec:\n  ingressClassName: haproxy", 1))
    evidence = Evidence(tmp_path / "run", Run(tool="serve"))
    own = of(deployment_for(way, hosting, manifests_of((way,), tmp_path / "manifests"), evidence))
    assert own is not None
    with pytest.raises(SignoffError) as refused:
        own.wait()
    evidence.close()
    cause = cause_of(refused.value)
    assert cause.subject is Subject.CLUSTER
    assert "Ingress/of-haproxy is of the class haproxy, which no controller of this cluster serves" in cause.what


def test_a_pebble_that_was_started_again_is_asked_with_an_account_of_its_own(
    hosting: EmbeddedCluster, tmp_path: Path
) -> None:
    """It has forgotten all accounts, and has a new root; what a run before obtained is no good any more."""
    way, kube = Way("again", OWN + CERTIFICATE), Kube(hosting.kubeconfig)
    manifests, evidence = manifests_of((way,), tmp_path / "manifests"), Evidence(tmp_path / "run", Run(tool="serve"))
    if kube.make_namespace(NAMESPACE):
        kube.wait_for_namespace(NAMESPACE)

    def ends() -> Ended:
        controllers.start(kube, hosting, manifests)
        for body in of_the_gateway():
            kube.apply(Manifest(Path(__file__), "", body), NAMESPACE)
        for each in of_the_ways(manifests):
            kube.apply(each, NAMESPACE)
        return waited_for(deployment_for(way, hosting, manifests, evidence))

    assert ends() == Ended("", early=False, trouble=[])
    (old,) = kube.pods(controllers.NAMESPACE, {"app.kubernetes.io/name": "pebble"})
    kube.core.delete_namespaced_pod(old.metadata.name, controllers.NAMESPACE, grace_period_seconds=0)
    kube.wait_until_deleted("v1", "Pod", controllers.NAMESPACE, old.metadata.name)
    assert ends() == Ended("", early=False, trouble=[])
    evidence.close()


def test_a_cluster_without_the_kinds_of_a_way_in_has_none(
    cluster: EmbeddedCluster, namespace: str, tmp_path: Path
) -> None:
    skipped, seen = deployed(Way("nowhere", ROUTE), cluster, namespace, tmp_path)
    missing = "the cluster does not know IngressRoute of traefik.io/v1alpha1: its CRD is not installed"
    assert skipped == f"not judged, for {missing}"
    told = f"IngressRoute/nowhere is not there, since {missing} (ways/nowhere.yaml:2)"
    assert seen == Ended(told, early=True, trouble=[told])
