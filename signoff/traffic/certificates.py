"""What a certificate says, read from its PEM: its names and key, who issued whom, and whether clients trust it."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

_SMALLEST_RSA = 2048
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}
"""The keys of a server that public authorities sign and browsers take: RSA of 2048 bits and more, and these curves.

Source: CA/Browser Forum, Baseline Requirements for TLS Server Certificates, 6.1.5 and 6.1.6.
"""


def certificate(pem: str) -> x509.Certificate:
    """The certificate.

    Raises:
        ValueError: the text is none.
    """
    return x509.load_pem_x509_certificate(pem.encode())


def names(cert: x509.Certificate) -> list[str]:
    """The DNS names that it is valid for. Its common name is none: no client reads that.

    Source: RFC 9525, 6.3, and RFC 6125, 6.4.4, before it.
    """
    try:
        found = cert.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return []
    assert isinstance(found, x509.SubjectAlternativeName)
    return found.get_values_for_type(x509.DNSName)


def covers(name: str, host: str) -> bool:
    """Whether a certificate's DNS name is that of the host; a wildcard stands for the whole first label and no more.

    Source: RFC 9525, 6.3.

    >>> covers("*.example.com", "a.example.com"), covers("*.example.com", "a.b.example.com")
    (True, False)
    """
    wanted, own = (each.lower().removesuffix(".").split(".") for each in (host, name))
    if own[0] == "*" and len(own) > 2:
        return len(own) == len(wanted) and bool(wanted[0]) and own[1:] == wanted[1:]
    return own == wanted


def key_of(cert: x509.Certificate) -> str:
    """Its public key for a person: "RSA 2048", "EC P-256"."""
    key = cert.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.strip("_").removesuffix("PublicKey")


def has_usual_key(cert: x509.Certificate) -> bool:
    """Whether its key is one that public authorities sign and all clients take."""
    key = cert.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _SMALLEST_RSA
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES


def title(cert: x509.Certificate, *, issuer: bool = False) -> str:
    """Whom it speaks of, or its issuer: the common name, else the first DNS name, else all that the name says."""
    name = cert.issuer if issuer else cert.subject
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    if common:
        return str(common[0].value)
    own = [] if issuer else names(cert)
    return own[0] if own else name.rfc4514_string() or "a certificate without a name"


def issued_itself(cert: x509.Certificate) -> bool:
    """Whether nobody else vouches for it: it is signed with its own key."""
    try:
        cert.verify_directly_issued_by(cert)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def distrust(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime) -> str:
    """Why a client that trusts these roots refuses a served chain, the leaf first, at that time; empty if it doesn't.

    The host's name is left aside: the leaf is asked for one of its own.
    """
    leaf, own = chain[0], names(chain[0])
    if not own:
        return "it has no subject alternative name"
    if not roots:
        return "no root of its issuer is known"
    try:
        name = x509.DNSName(own[0].replace("*", "any", 1))
        verifier = PolicyBuilder().store(Store(list(roots))).time(at).build_server_verifier(name)
        verifier.verify(leaf, list(chain[1:]))
    except (VerificationError, ValueError) as error:
        return _missing(chain, roots) or _plainly(str(error))
    return ""


def _missing(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> str:
    """The authority whose certificate a client would need and does not get; empty if that is not what is wrong."""
    issuers, at = {each.subject: each for each in reversed(chain[1:])}, chain[0]
    known = {each.subject for each in roots}
    for _ in chain:
        if at.issuer in known:
            return ""
        if at.issuer not in issuers or issued_itself(at):
            break
        at = issuers[at.issuer]
    if issued_itself(at):
        return f"{title(at)} has issued itself, and is no root of the issuer"
    return f"the certificate of {title(at, issuer=True)}, which issued it, is neither served nor a root of the issuer"


def _plainly(told: str) -> str:
    """The library's reason without its name for the whole and the object at which it looked."""
    reason = told.removeprefix("validation failed: ").partition(" (encountered processing")[0]
    return "no root of its issuer has signed what was served" if "exhausted" in reason else reason
