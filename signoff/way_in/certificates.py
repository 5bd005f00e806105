"""The certificate of a way in as cert-manager has it: the object, its Secret, who is to issue it, and what went wrong.

A Certificate is obtained by a CertificateRequest, which an ACME issuer turns into an Order with a Challenge for each
name (https://cert-manager.io/docs/troubleshooting/acme/); the cause is told by the last of these that there is.
"""

import ssl
import warnings
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import certifi
import httpx
from cryptography import x509
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ForbiddenError

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.core.words import listed
from signoff.kube.client import Kube
from signoff.kube.objects import Manifest
from signoff.kube.routes import Route
from signoff.traffic import certificates
from signoff.traffic.client import authorities
from signoff.way_in.cause import Cause
from signoff.way_in.controllers import DIRECTORY, NAMESPACE, PEBBLE, TRAEFIK, names_of

_CERT_MANAGER, _ACME = "cert-manager.io/v1", "acme.cert-manager.io/v1"
_ISSUERS = ("acme", "ca", "selfSigned", "vault", "venafi")
_OTHER = {"Issuer": "ClusterIssuer", "ClusterIssuer": "Issuer"}
_OVER, _MET = ("invalid", "errored", "expired"), ("valid", "ready")
"""States of an ACME order that has failed, after which an hour passes before the next, and of a challenge that is met.

Source: cert-manager, pkg/apis/acme/v1/types_order.go.
"""
_MANAGEMENT = 15000
_END = "-----END CERTIFICATE-----\n"


class Where(Protocol):
    """How a place in an object is found among the manifests, as `StoryManifests.where` does it."""

    def __call__(self, name: str, *path: str | int, namespace: str = "") -> str:
        """File and line; empty for what is not there."""
        ...


@dataclass(frozen=True)
class CertificateState:
    """What cert-manager says of the certificate of a route.

    Times are UTC; `secret_leaf` is PEM, empty if there is none.
    `object` is "Certificate/litellm-tls", empty where no Certificate has the route's Secret written.
    """

    object: str = ""
    ready: bool = False
    message: str = ""
    issuer: str = ""
    issuer_kind: str = ""
    server: str = ""
    dns_names: list[str] = field(default_factory=list)
    not_after: datetime | None = None
    renewal_time: datetime | None = None
    secret_leaf: str = ""
    untold: str = ""
    """Why cert-manager has no say, or cannot be asked, on a person's own cluster; empty where it can."""


@dataclass(frozen=True)
class Certificates:
    """Those of the way in of one cluster."""

    kube: Kube
    cluster: Cluster
    where: Where
    """Gives file and line of a place in an object."""
    are_the_suites: bool = True
    """Whether the cluster's controllers are the suite's own."""

    def of(self, route: Route) -> CertificateState:
        """The state of a route's certificate, as the cluster has it now."""
        secret = self.secret(route)
        leaf = _pems(secret.get("tls.crt", b""))[:1]
        found = self.object(route)
        if found is None:
            return CertificateState(secret_leaf="".join(leaf))
        status, reference = found.get("status") or {}, found["spec"].get("issuerRef") or {}
        ready: dict[str, Any] = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})
        issuer = self._issuer(reference, route.secret_namespace) or {}
        spec = issuer.get("spec") or {}
        return CertificateState(
            object=f"Certificate/{found['metadata']['name']}",
            ready=ready.get("status") == "True",
            message=str(ready.get("message", "")),
            issuer=_name_of(reference),
            issuer_kind=next((kind for kind in _ISSUERS if kind in spec), ""),
            server=str((spec.get("acme") or {}).get("server", "")),
            dns_names=list(found["spec"].get("dnsNames") or []),
            not_after=_time(status.get("notAfter")),
            renewal_time=_time(status.get("renewalTime")),
            secret_leaf="".join(leaf),
        )

    def object(self, route: Route) -> dict[str, Any] | None:
        """The Certificate that has a route's Secret written."""
        try:
            every = self._all(route) if route.secret else []
        except ForbiddenError:
            return None
        return next((each for each in every if each["spec"].get("secretName") == route.secret), None)

    def _all(self, route: Route) -> list[dict[str, Any]]:
        return self.kube.objects(_CERT_MANAGER, "Certificate", route.secret_namespace)

    def unread(self, route: Route) -> list[str]:
        """What of a route's certificate this user may not read, and would have to know."""
        if not route.secret:
            return []
        found = []
        try:
            self._all(route)
        except ForbiddenError:
            found.append(f"Certificates of {route.secret_namespace} may not be listed")
        try:
            self.kube.core.read_namespaced_secret(route.secret, route.secret_namespace)
        except ApiException as error:
            if error.status == HTTPStatus.FORBIDDEN:
                found.append(f"the Secret {route.secret} of {route.secret_namespace} may not be read")
        return found

    def has_cert_manager(self) -> bool:
        """Whether the cluster knows what a Certificate is."""
        probe = {"apiVersion": _CERT_MANAGER, "kind": "Certificate", "metadata": {"name": "any"}}
        return self.kube.knows(Manifest(None, "", probe))

    def secret(self, route: Route) -> dict[str, bytes]:
        """What a route's Secret holds; nothing where there is none."""
        try:
            there = (
                self.kube.core.read_namespaced_secret(route.secret, route.secret_namespace) if route.secret else None
            )
        except ApiException:
            return {}
        return {key: b64decode(value) for key, value in ((there and there.data) or {}).items()}

    def roots(self, route: Route) -> list[str]:
        """The roots that clients of the issuer trust, as PEM.

        The suite's Pebble makes one at each start, and tells it; whom another ACME server has its certificates from,
        clients trust as they trust others; a CA of cert-manager's puts its root into the Secret. None are known of a
        certificate that nobody issued; of one of a person's own, it is those again that clients trust.
        """
        state = self.of(route)
        if self.are_the_suites and state.server == DIRECTORY:
            return pebbles_roots(self.kube, self.cluster)
        if state.server:
            return usual_roots()
        own = _pems(self.secret(route).get("ca.crt", b""))
        return own or ([] if self.are_the_suites else usual_roots())

    def causes(self, route: Route, host: str) -> list[Cause]:
        """Why there is no certificate for a route, or why the one that there is serves no client of this host."""
        certificate, state = self.object(route), self.of(route)
        if certificate is None or state.ready:
            return list(self._of_leaf(state, route, host))
        causes = self._of_issuance(certificate, route)
        unready = (replace(each, told=f"{state.object} is not Ready: {each.told}") for each in causes)
        return list(dict.fromkeys(unready))

    def _of_leaf(self, state: CertificateState, route: Route, host: str) -> Iterator[Cause]:
        secret = self.secret(route)
        if not secret:
            return
        namespace, named = route.secret_namespace, f"the Secret {route.secret} of {route.secret_namespace}"
        file = self.where(f"Secret/{route.secret}", namespace=namespace)
        if lacking := [key for key in ("tls.crt", "tls.key") if not secret.get(key)]:
            yield Cause(f"{named} holds no certificate: it has no {listed(lacking)}", file)
            return
        try:
            leaf = certificates.certificate(state.secret_leaf)
        except ValueError:
            yield Cause(f"{named} holds no certificate that can be read", file)
            return
        for told, rests_on in _wrong_with(leaf, host):
            if state.object:
                by = f"{state.object} has it from {state.issuer} of the kind {state.issuer_kind}"
                asked = self.where(state.object, "spec", rests_on, namespace=namespace)
                yield Cause(f"the certificate in {named} {told}: {by}", asked)
            else:
                yield Cause(f"the certificate in {named} {told}, and no Certificate has another written", file)

    def _of_issuance(self, certificate: dict[str, Any], route: Route) -> Iterator[Cause]:
        """Why it is not issued: the cause is told by the last of the objects that there are on the way to it."""
        namespace, own = route.secret_namespace, f"Certificate/{certificate['metadata']['name']}"
        reference = certificate["spec"].get("issuerRef") or {}
        asked = self.where(own, "spec", "issuerRef", namespace=namespace)
        issuer, name = self._issuer(reference, namespace), _name_of(reference)
        if issuer is None and not self._may_read_issuers(reference, namespace):
            yield from self._of_requests(certificate, namespace, asked, name)
        elif issuer is None:
            other = self._issuer(reference | {"kind": _OTHER.get(name.partition("/")[0])}, namespace)
            instead = (
                f", and {other['kind']}/{other['metadata']['name']} is: name its kind in issuerRef" if other else ""
            )
            yield Cause(f"{name}, which is to issue it, is not there{instead}", asked)
        elif told := _not_ready(issuer):
            known = bool((issuer.get("status") or {}).get("conditions"))
            is_pebble = (issuer["spec"].get("acme") or {}).get("server") == DIRECTORY  # which may be starting
            file = self.where(name, "spec", namespace=issuer["metadata"].get("namespace", ""))
            told = f"{name}, which is to issue it, is not Ready: {told.rstrip('. ')}"
            yield Cause(told, file or asked, stays=known and not is_pebble)
        else:
            yield from self._of_requests(certificate, namespace, asked, name)

    def _of_requests(self, certificate: dict[str, Any], namespace: str, asked: str, issuer: str) -> Iterator[Cause]:
        """What became of the last request for a certificate, and of its order and challenges."""
        requests = self._owned(_CERT_MANAGER, "CertificateRequest", certificate, namespace)
        orders = self._owned(_ACME, "Order", requests[-1], namespace) if requests else []
        challenges = self._owned(_ACME, "Challenge", orders[-1], namespace) if orders else []
        over = bool(orders) and (orders[-1].get("status") or {}).get("state") in _OVER
        told = [each for each in (self._of_challenge(each, asked, issuer, over) for each in challenges) if each]
        if told:
            yield from told
        elif orders and (reason := (orders[-1].get("status") or {}).get("reason")):
            own = f"Certificate/{certificate['metadata']['name']}"
            yield Cause(str(reason).rstrip(". "), self.where(own, "spec", "dnsNames", namespace=namespace), stays=over)
        else:
            last = [each for each in (*requests[-1:], certificate) if _not_ready(each)]
            yield Cause(_not_ready(last[0]).rstrip(". ") if last else "nothing says why", asked, stays=False)

    def _of_challenge(self, challenge: dict[str, Any], asked: str, issuer: str, over: bool) -> Cause | None:
        """Why a challenge is not met; None of one that is, or of which nothing is known yet."""
        solver, name = challenge["spec"].get("solver") or {}, challenge["spec"]["dnsName"]
        status = challenge.get("status") or {}
        ingress = (solver.get("http01") or {}).get("ingress") or {}
        asked_of = ingress.get("ingressClassName") or ingress.get("class")
        if asked_of and status.get("state") not in _MET and not self._is_served(ingress):
            file = self.where(issuer, "spec", "acme", "solvers", namespace=challenge["metadata"]["namespace"])
            told = f"{issuer} has the challenge for {name} answered at the ingress class {asked_of}"
            if self.are_the_suites:
                return Cause(f"{told}, which Traefik does not serve", file or asked)
            return Cause(f"{told}, which no controller of this cluster serves", file or asked)
        reason = str(status.get("reason", "")).rstrip(". ")
        return Cause(f"the challenge for {name} is not met: {reason}", asked, stays=over) if reason else None

    def _is_traefiks(self, ingress: dict[str, Any]) -> bool:
        """Whether Traefik serves the Ingress by which a challenge is answered: by its class, or by its old annotation.

        Source: https://doc.traefik.io/traefik/reference/install-configuration/providers/kubernetes/kubernetes-ingress/
        (ingressClass).
        """
        if name := ingress.get("ingressClassName"):
            classes = self.kube.objects("networking.k8s.io/v1", "IngressClass")
            own = [each for each in classes if each["spec"].get("controller") == "traefik.io/ingress-controller"]
            return any(each["metadata"]["name"] == name for each in own)
        return bool(ingress.get("class") == TRAEFIK)

    def _is_served(self, ingress: dict[str, Any]) -> bool:
        """Whether a controller serves it; on a person's own cluster, whichever that is, as far as can be told."""
        if self.are_the_suites:
            return self._is_traefiks(ingress)
        try:
            classes = self.kube.objects("networking.k8s.io/v1", "IngressClass")
        except ForbiddenError:
            return True
        name = ingress.get("ingressClassName")
        return not name or any(each["metadata"]["name"] == name for each in classes)

    def _owned(self, version: str, kind: str, owner: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
        """The objects of a kind that another has made, the oldest first."""
        uid = owner["metadata"]["uid"]
        try:
            every = self.kube.objects(version, kind, namespace)
        except ForbiddenError:
            return []
        own = [each for each in every if any(by["uid"] == uid for by in each["metadata"].get("ownerReferences") or [])]
        return sorted(own, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def _issuer(self, reference: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        kind = reference.get("kind") or "Issuer"
        if kind not in _OTHER or not reference.get("name"):
            return None
        within = "" if kind == "ClusterIssuer" else namespace
        try:
            return self.kube.object(_CERT_MANAGER, kind, str(reference["name"]), within)
        except ForbiddenError:
            return None

    def _may_read_issuers(self, reference: dict[str, Any], namespace: str) -> bool:
        kind = reference.get("kind") or "Issuer"
        try:
            self.kube.object(
                _CERT_MANAGER, kind, str(reference.get("name")), "" if kind == "ClusterIssuer" else namespace
            )
        except ForbiddenError:
            return False
        return True


def pebbles_roots(kube: Kube, cluster: Cluster, namespace: str = NAMESPACE) -> list[str]:
    """The roots of the Pebble of a namespace, as it tells them; none where it does not."""
    try:
        url = cluster.service_url(namespace, PEBBLE, _MANAGEMENT).replace("http://", "https://")
        own = kube.core.read_namespaced_secret(PEBBLE, namespace).data["ca.crt"]
        name = names_of(PEBBLE, namespace)[0]
        with httpx.Client(verify=authorities(b64decode(own).decode()), trust_env=False) as client:
            answer = client.get(
                f"{url}/roots/0",
                headers={"Host": name},
                extensions={"sni_hostname": name},
                timeout=REQUEST.seconds,
            )
        return _pems(answer.raise_for_status().content)
    except (httpx.HTTPError, ApiException, SignoffError):
        return []


@cache
def usual_roots() -> list[str]:
    """The roots that clients trust here: the public ones, and what this machine's own store has beside them, as PEM.

    A person's private authority is trusted as elsewhere: by `update-ca-certificates`, or named in SSL_CERT_FILE.
    """
    paths = ssl.get_default_verify_paths()
    files = [Path(certifi.where()), *([Path(paths.cafile)] if paths.cafile else [])]
    folder = Path(paths.capath) if paths.capath else None
    files += sorted(each for each in folder.iterdir() if each.is_file()) if folder and folder.is_dir() else []
    every = dict.fromkeys(pem for file in files for pem in _pems(file.read_bytes()))
    with warnings.catch_warnings(action="ignore"):  # of a serial number that is none: such a root is left out
        return [pem for pem in every if certificates.certificate(pem).serial_number > 0]


def _wrong_with(leaf: x509.Certificate, host: str) -> Iterator[tuple[str, str]]:
    """What keeps clients of a host from trusting a certificate, and the field of a Certificate that this rests on."""
    now, own = datetime.now(UTC), certificates.names(leaf)
    if leaf.not_valid_after_utc <= now:
        yield f"has expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", "duration"
    if leaf.not_valid_before_utc > now:
        yield f"is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on", "duration"
    if not any(certificates.covers(name, host) for name in own):
        yield f"is for {listed(own) or 'no name'}, not for {host}", "dnsNames"
    if certificates.issued_itself(leaf):
        yield "is self-signed", "issuerRef"


def _name_of(reference: dict[str, Any]) -> str:
    return f"{reference.get('kind') or 'Issuer'}/{reference.get('name')}"


def _not_ready(body: dict[str, Any]) -> str:
    """What a condition of an object says of why it is not Ready; empty if it is."""
    conditions = {each["type"]: each for each in (body.get("status") or {}).get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    told: dict[str, Any] = conditions.get("Ready") or next(iter(conditions.values()), {})
    return str(told.get("message") or "cert-manager has not looked at it yet")


def _pems(content: bytes) -> list[str]:
    """The certificates of a text, one by one."""
    return [
        f"{part[part.index('-----BEGIN') :]}{_END}"
        for part in content.decode(errors="replace").replace("\r\n", "\n").split(_END.rstrip())
        if "-----BEGIN CERTIFICATE" in part
    ]


def _time(told: Any) -> datetime | None:
    return datetime.fromisoformat(str(told).replace("Z", "+00:00")) if told else None
