"""What cert-manager's objects say of a certificate: its state, whose roots vouch for it, and why there is none."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme
import yaml
from kubernetes.client.exceptions import ApiException

from signoff.core.errors import SignoffError
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route, routes_in
from signoff.way_in.certificates import Certificates
from signoff.way_in.controllers import DIRECTORY

HOST = "llm.example"
AUTHORITY = trustme.CA()
PUBLIC = "https://acme-v02.api.letsencrypt.org/directory"
Body = dict[str, Any]


class Objects:
    """A cluster with these objects, in one namespace, and a Secret with this data."""

    tunnelled = False

    def __init__(self, *bodies: Body, secret: dict[str, bytes] | None = None) -> None:
        self._bodies = bodies
        self._secret = secret
        self.core = SimpleNamespace(read_namespaced_secret=self._read)

    def objects(self, _: str, kind: str, __: str = "") -> list[Body]:
        return [each for each in self._bodies if each["kind"] == kind]

    def _read(self, name: str, _: str) -> Any:
        if self._secret is None or name != "llm-tls":
            raise ApiException(status=404)
        return SimpleNamespace(data={key: b64encode(each).decode() for key, each in self._secret.items()})

    def service_url(self, *_: object) -> str:
        raise SignoffError("no such Service")

    def object(self, version: str, kind: str, name: str, _: str = "") -> Body | None:
        return next((each for each in self.objects(version, kind) if each["metadata"]["name"] == name), None)

    @property
    def certificates(self) -> Certificates:
        return Certificates(cast("Any", self), cast("Any", self), where)


def where(name: str, *path: str | int, namespace: str = "") -> str:
    """Of the Certificate alone, with the field in the place of the line."""
    return f"way.yaml:{path[-1] if path else ''}" if name.startswith("Certificate/") else ""


ROUTE = """
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: litellm, namespace: ml}
spec:
  routes: [{match: Host(`llm.example`), services: [{name: litellm, port: 4000}]}]
  tls: {secretName: llm-tls}
"""


def route() -> Route:
    (found,) = routes_in([Manifest(Path("x"), "", yaml.safe_load(ROUTE))], "ml")
    return found


def body(kind: str, name: str, owner: str = "", spec: Body | None = None, **status: Any) -> Body:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    owners = {"ownerReferences": [{"uid": owner}]} if owner else {}
    return {"kind": kind, "metadata": {**metadata, **owners}, "spec": spec or {}, "status": status}


def conditions(*, ready: bool, message: str = "") -> list[Body]:
    return [{"type": "Ready", "status": str(ready), "message": message}]


def certificate(*, ready: bool, message: str = "", **status: Any) -> Body:
    spec = {"secretName": "llm-tls", "dnsNames": [HOST], "issuerRef": {"kind": "ClusterIssuer", "name": "le"}}
    return body("Certificate", "llm", spec=spec, conditions=conditions(ready=ready, message=message), **status)


def issuer(server: str = DIRECTORY, *, ready: bool = True, message: str = "") -> Body:
    spec = {"acme": {"server": server}}
    return body("ClusterIssuer", "le", spec=spec, conditions=conditions(ready=ready, message=message))


def pair(*hosts: str, since: datetime | None = None, until: datetime | None = None) -> dict[str, bytes]:
    leaf = AUTHORITY.issue_cert(*hosts, not_before=since, not_after=until)
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes(), "ca.crt": AUTHORITY.cert_pem.bytes()}


def causes(*bodies: Body, secret: dict[str, bytes] | None = None) -> list[tuple[str, str, bool]]:
    found = Objects(*bodies, secret=secret).certificates.causes(route(), HOST)
    return [(each.told, each.file, each.stays) for each in found]


def test_the_state_of_a_certificate_is_what_cert_manager_says() -> None:
    times = {"notAfter": "2026-04-01T00:00:00Z", "renewalTime": "2026-03-01T00:00:00Z"}
    state = Objects(certificate(ready=True, **times), issuer(PUBLIC), secret=pair(HOST)).certificates.of(route())
    assert (state.object, state.ready, state.dns_names) == ("Certificate/llm", True, [HOST])
    assert (state.issuer, state.issuer_kind, state.server) == ("ClusterIssuer/le", "acme", PUBLIC)
    assert (state.not_after, state.renewal_time) == (datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert state.secret_leaf.startswith("-----BEGIN CERTIFICATE-----")
    assert state.secret_leaf.count("BEGIN") == 1


def test_without_any_object_there_is_no_state() -> None:
    state = Objects().certificates.of(route())
    assert (state.object, state.ready, state.secret_leaf) == ("", False, "")
    assert causes() == []


def test_a_public_authoritys_roots_are_the_usual_ones_and_a_cas_own_lies_in_the_secret() -> None:
    public = Objects(certificate(ready=True), issuer(PUBLIC), secret=pair(HOST)).certificates.roots(route())
    assert len(public) > 50
    own = Objects(secret=pair(HOST)).certificates.roots(route())
    assert [each.strip() for each in own] == [AUTHORITY.cert_pem.bytes().decode().strip()]
    assert Objects().certificates.roots(route()) == []


def test_a_pebble_that_does_not_answer_has_no_roots() -> None:
    assert Objects(certificate(ready=True), issuer(DIRECTORY), secret=pair(HOST)).certificates.roots(route()) == []


def test_a_good_certificate_has_no_cause() -> None:
    assert causes(secret=pair(HOST)) == []
    assert causes(certificate(ready=True), issuer(), secret=pair("*.example.com", HOST)) == []


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        (pair("a.example"), f"is for a.example, not for {HOST}"),
        (pair(HOST, since=NOW + timedelta(days=1), until=NOW + timedelta(days=2)), "is valid from "),
        ({"tls.crt": b"none", "tls.key": b"none"}, "holds no certificate that can be read"),
        ({**pair(HOST), "tls.key": b""}, "holds no certificate: it has no tls.key"),
    ],
)
def test_a_bad_certificate_that_nobody_issues_anew_stays(secret: dict[str, bytes], told: str) -> None:
    ((sentence, _, stays),) = causes(secret=secret)
    assert told in sentence
    assert stays


def test_a_bad_certificate_that_is_being_issued_anew_is_not_the_cause() -> None:
    ((sentence, *_),) = causes(certificate(ready=False), issuer(), secret=pair("a.example"))
    assert sentence == "Certificate/llm is not Ready: cert-manager has not looked at it yet"


@pytest.mark.parametrize(("server", "stays"), [(DIRECTORY, False), (PUBLIC, True)])
def test_an_issuer_that_is_not_ready_may_be_where_pebble_starts(server: str, stays: bool) -> None:
    told = "Certificate/llm is not Ready: ClusterIssuer/le, which is to issue it, is not Ready: refused"
    own = issuer(server, ready=False, message="refused.")
    assert causes(certificate(ready=False), own) == [(told, "way.yaml:issuerRef", stays)]


REQUEST = body("CertificateRequest", "request", "llm", conditions=conditions(ready=False, message="Waiting on order."))
ORDER = body("Order", "order", "request", state="pending")
REASON = "wrong status code '404', expected '200'"


def challenge(state: str, reason: str, **solver: Any) -> Body:
    spec = {"dnsName": HOST, "solver": {"http01": {"ingress": solver}}}
    made = body("Challenge", "challenge", "order", spec, state=state, reason=reason)
    return {**made, "metadata": {**made["metadata"], "namespace": "ml"}}


def of_unready(*bodies: Body) -> tuple[str, bool]:
    ((told, _, stays),) = causes(certificate(ready=False, message="Issuing"), issuer(), *bodies)
    return told.removeprefix("Certificate/llm is not Ready: "), stays


def test_the_cause_is_told_by_the_last_object_on_the_way_to_a_certificate() -> None:
    assert of_unready() == ("Issuing", False)
    assert of_unready(REQUEST) == ("Waiting on order", False)
    assert of_unready(REQUEST, ORDER) == ("Waiting on order", False)
    told = f"the challenge for {HOST} is not met: {REASON}"
    assert of_unready(REQUEST, ORDER, challenge("pending", f"{REASON}.")) == (told, False)


def test_an_order_that_has_failed_stays() -> None:
    failed = body("Order", "order", "request", state="invalid", reason="the name is refused")
    assert of_unready(REQUEST, failed) == ("the name is refused", True)
    told = f"the challenge for {HOST} is not met: {REASON}"
    assert of_unready(REQUEST, failed, challenge("invalid", REASON)) == (told, True)


TRAEFIKS = body("IngressClass", "front", spec={"controller": "traefik.io/ingress-controller"})
OTHERS = body("IngressClass", "nginx", spec={"controller": "k8s.io/ingress-nginx"})


@pytest.mark.parametrize(
    ("solver", "named"),
    [
        ({"ingressClassName": "front"}, ""),
        ({"class": "traefik"}, ""),
        ({}, ""),
        ({"ingressClassName": "nginx"}, "nginx"),
        ({"ingressClassName": "none"}, "none"),
        ({"class": "nginx"}, "nginx"),
    ],
)
def test_a_challenge_is_answered_where_traefik_serves_its_ingress(solver: dict[str, str], named: str) -> None:
    told, stays = of_unready(REQUEST, ORDER, challenge("pending", REASON, **solver), TRAEFIKS, OTHERS)
    assert stays is bool(named)
    assert (f"answered at the ingress class {named}, which Traefik does not serve" in told) is bool(named)


def test_an_issuer_that_is_not_there_is_named_and_one_of_the_other_kind_too() -> None:
    told = "Certificate/llm is not Ready: ClusterIssuer/le, which is to issue it, is not there"
    assert causes(certificate(ready=False)) == [(told, "way.yaml:issuerRef", True)]
    own = body("Issuer", "le")
    other = f"{told}, and Issuer/le is: name its kind in issuerRef"
    assert causes(certificate(ready=False), own) == [(other, "way.yaml:issuerRef", True)]
