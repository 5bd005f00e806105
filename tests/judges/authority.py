"""Certificates for tests: an authority as Pebble is one, with a root, an intermediate and leaves of any kind."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signoff.evidence.models import CertificateSeen, RouteFound
from signoff.traffic.certificates import certificate

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
HOST = "litellm.home.jetzinger.com"
LIFE = timedelta(days=90)


@cache
def key(kind: str = "P-256", of: str = "") -> Any:
    """A private key of this kind; `of` tells one of several apart."""
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind.split()[1]))
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}[kind])


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _builder(subject: str, issuer: str, public: Any, issuing: Any, began: datetime, ends: datetime) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(1000 + len(subject))
        .not_valid_before(began)
        .not_valid_after(ends)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing), critical=False)
    )


def _pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(Encoding.PEM).decode()


def authority(name: str, issuer: str = "", *, started: str = "") -> str:
    """An authority's certificate; without an issuer a root, which has issued itself.

    Another that is `started` under the same name has a key of its own, as a Pebble that is started again has.
    """
    own, began = key(of=f"{name}{started}"), NOW - timedelta(days=900)
    issuing = key(of=issuer) if issuer else own
    built = _builder(name, issuer or name, own.public_key(), issuing.public_key(), began, NOW + 9 * LIFE)
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    usage |= {"encipher_only": False, "decipher_only": False, "digital_signature": True}
    built = (
        built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    return _pem(built.sign(issuing, SHA256()))


def leaf(
    names: Sequence[str] = (HOST,),
    *,
    issuer: str = "Intermediate",
    common: str = "",
    kind: str = "P-256",
    began: datetime = NOW - timedelta(days=10),
    ends: datetime = NOW + timedelta(days=80),
) -> str:
    """A server's certificate; one whose issuer is empty has issued itself."""
    own = key(kind, "leaf")
    issuing = key(of=issuer) if issuer else own
    built = _builder(common, issuer or common, own.public_key(), issuing.public_key(), began, ends)
    built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if names:
        own_names = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        built = built.add_extension(own_names, critical=not common)
    return _pem(built.sign(issuing, SHA256()))


@cache
def root(name: str = "Root") -> str:
    """A root's certificate."""
    return authority(name)


@cache
def intermediate() -> str:
    """The certificate of the authority that signs leaves."""
    return authority("Intermediate", "Root")


LEAF = leaf()
AT = "ingressroute.yaml:17"


def seen(own: str = LEAF, **more: Any) -> CertificateSeen:
    """What is seen of a certificate that is all right, or of this one with all else right."""
    ends = certificate(own).not_valid_after_utc
    told = {
        "check": "certificate",
        "route": RouteFound(host=HOST, object="IngressRoute/litellm", file=AT),
        "looked_at": NOW,
        "chain": [own, intermediate()],
        "roots": [root()],
        "tls_version": "TLSv1.3",
        "older": {"TLSv1.1": False},
        "certificate": "Certificate/litellm-tls",
        "ready": True,
        "issuer": "ClusterIssuer/letsencrypt-prod",
        "issuer_kind": "acme",
        "server": "https://acme/dir",
        "not_after": ends,
        "renewal_time": ends - LIFE / 3,
        "secret_name": "litellm-tls",
        "secret_leaf": own,
    }
    return CertificateSeen.model_validate({**told, **more})
