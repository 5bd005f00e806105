"""The certificate of a way in as cert-manager has it: the object, its Secret, who is to issue it, and what went wrong.

A Certificate is obtained by a CertificateRequest, which an ACME issuer turns into an Order with a Challenge for each
name (https://cert-manager.io/docs/troubleshooting/acme/); the cause is told by the last of these that there is.
"""

import pathlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import certifi
import httpx
from kubernetes.client.exceptions import ApiException

from signoff.cluster.base import Cluster
from signoff.core.errors import SignoffError
from signoff.core.timeouts import REQUEST
from signoff.kube.client import Kube
from signoff.kube.routes import Route
from signoff.traffic.client import authorities
from signoff.way_in.controllers import DIRECTORY, NAMESPACE, PEBBLE, names_of

_CERT_MANAGER, _ACME = "cert-manager.io/v1", "acme.cert-manager.io/v1"
_ISSUERS = ("acme", "ca", "selfSigned", "vault", "venafi")
_MANAGEMENT = 15000
_END = "-----END CERTIFICATE-----\n"


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


@dataclass(frozen=True)
class Certificates:
    """Those of the way in of one cluster."""

    kube: Kube
    cluster: Cluster

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
        every = self.kube.objects(_CERT_MANAGER, "Certificate", route.secret_namespace) if route.secret else []
        return next((each for each in every if each["spec"].get("secretName") == route.secret), None)

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

        Pebble makes one at each start, and tells it; another ACME server is taken for a public one; a CA of
        cert-manager's puts its root into the Secret. None are known of a certificate that nobody issued.
        """
        state = self.of(route)
        if state.server == DIRECTORY:
            return self._pebbles()
        if state.server:
            with pathlib.Path(certifi.where()).open(encoding="utf-8") as file:
                return _pems(file.read().encode())
        return _pems(self.secret(route).get("ca.crt", b""))

    def told_of(self, route: Route) -> list[str]:
        """What is wrong with a route's certificate, in cert-manager's words; nothing if it is Ready."""
        certificate, state = self.object(route), self.of(route)
        if certificate is None or state.ready:
            return []
        return list(dict.fromkeys(each.rstrip(". ") for each in self._causes(certificate, route) if each))

    def _causes(self, certificate: dict[str, Any], route: Route) -> Iterator[str]:
        reference, namespace = certificate["spec"].get("issuerRef") or {}, route.secret_namespace
        issuer = self._issuer(reference, namespace)
        if issuer is None:
            yield f"{_name_of(reference)}, which is to issue its certificate, is not there"
            return
        if told := _not_ready(issuer):
            yield f"{_name_of(reference)} is not Ready: {told}"
        requests = self._owned(_CERT_MANAGER, "CertificateRequest", certificate, namespace)
        for request in requests[-1:]:
            orders = self._owned(_ACME, "Order", request, namespace)
            for order in orders[-1:]:
                for challenge in self._owned(_ACME, "Challenge", order, namespace):
                    told = str((challenge.get("status") or {}).get("reason", ""))
                    yield f"the challenge for {challenge['spec']['dnsName']} is not met: {told}" if told else ""
                yield str((order.get("status") or {}).get("reason", ""))
            if not orders:
                yield _not_ready(request)
        if not requests:
            yield _not_ready(certificate)

    def _owned(self, version: str, kind: str, owner: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
        """The objects of a kind that another has made, the oldest first."""
        uid = owner["metadata"]["uid"]
        own = [
            each
            for each in self.kube.objects(version, kind, namespace)
            if any(by["uid"] == uid for by in each["metadata"].get("ownerReferences") or [])
        ]
        return sorted(own, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def _issuer(self, reference: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        kind = reference.get("kind") or "Issuer"
        within = "" if kind == "ClusterIssuer" else namespace
        every = self.kube.objects(_CERT_MANAGER, kind, within) if kind in ("Issuer", "ClusterIssuer") else []
        return next((each for each in every if each["metadata"]["name"] == reference.get("name")), None)

    def _pebbles(self) -> list[str]:
        try:
            url = self.cluster.service_url(NAMESPACE, PEBBLE, _MANAGEMENT).replace("http://", "https://")
            own = self.kube.core.read_namespaced_secret(PEBBLE, NAMESPACE).data["ca.crt"]
            name = names_of(PEBBLE)[0]
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
