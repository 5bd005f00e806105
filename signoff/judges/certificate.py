"""The certificate of the way in: the one that cert-manager obtained by ACME, served, and good for every client."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from cryptography import x509

from signoff.core.words import days, listed
from signoff.evidence import Recorded
from signoff.evidence.models import CertificateSeen, RouteSeen
from signoff.judges.registry import Judgement, judge
from signoff.judges.way_in import wrong
from signoff.story.declaration import Check
from signoff.traffic import certificates
from signoff.verdicts.verdict import Code, Verdict, not_judged, passed

_SHORTEST_WINDOW = 0.1
"""Of a certificate's life: what has to be left at its renewal for tries that fail, since cert-manager waits an hour
before the second and twice as long each time after that. It renews when a third is left, if nothing says otherwise.

Source: https://cert-manager.io/docs/usage/certificate/#renewal-of-certificates; cert-manager, CertificateStatus,
failedIssuanceAttempts, in pkg/apis/certmanager/v1/types_certificate.go.
"""
_DEFAULT_WINDOW = 1 / 3
_VERSIONS = ("TLSv1.2", "TLSv1.3")
"""The versions of TLS that are not deprecated (RFC 8996)."""


@judge("certificate", CertificateSeen, wants=str, cases=True)
def certificate(seen: Sequence[CertificateSeen], check: Check, _: Recorded) -> Iterator[Judgement]:
    """The certificate under the host name is the one that cert-manager obtained by ACME, and good for any client."""
    for each in seen:
        for case in check.cases:
            if each.route.host != check.wants:
                told = f"the certificate of {each.route.host} was looked at, the story names {check.wants}"
                yield case, not_judged(told, Code.ASKED_OTHERWISE)
            elif each.untold and case in _OF_CERT_MANAGER:
                yield case, not_judged(f"nothing tells it of {each.route.host}: {each.untold}", Code.NO_OBSERVATION)
            elif case not in _OF_CERTIFICATE:
                yield case, not_judged(f"nothing of a certificate is judged for {case!r}")
            else:
                yield case, _OF_CERTIFICATE[case](Served(each))


@dataclass(frozen=True)
class Served:
    """A certificate as it was seen, read."""

    seen: CertificateSeen

    @cached_property
    def chain(self) -> list[x509.Certificate]:
        """What the ingress served, the leaf first.

        Raises:
            ValueError: a text is no certificate.
        """
        return [certificates.certificate(pem) for pem in self.seen.chain]

    @cached_property
    def roots(self) -> list[x509.Certificate]:
        """The issuer's roots.

        Raises:
            ValueError: a text is no certificate.
        """
        return [certificates.certificate(pem) for pem in self.seen.roots]

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate of the host itself."""
        return self.chain[0]

    @property
    def left(self) -> timedelta:
        """How long it is still valid; less than nothing if it has expired."""
        return self.leaf.not_valid_after_utc - self.seen.looked_at

    @property
    def life(self) -> timedelta:
        """How long it is valid in all."""
        return self.leaf.not_valid_after_utc - self.leaf.not_valid_before_utc

    @property
    def window(self) -> timedelta:
        """How long before its end cert-manager renews it: as it says itself, else by its default."""
        renewal = self.seen.renewal_time
        return self.leaf.not_valid_after_utc - renewal if renewal else self.life * _DEFAULT_WINDOW

    @property
    def issued(self) -> list[tuple[str, str]]:
        """Of each certificate that was served, whom it speaks of and who issued it."""
        return [(certificates.title(each), certificates.title(each, issuer=True)) for each in self.chain]

    def wrong(self, told: str) -> Verdict:
        """A failure, with what cert-manager says."""
        return wrong(told, self.seen.route)


def way_in(evidence: Recorded) -> dict[str, Any]:
    """The way in as it was seen last, in JSON types; empty where none was looked at.

    Without a certificate `not_served` says why there was none. `days_left` are those at the time of the look.
    """
    route, seen = evidence.last(RouteSeen), evidence.last(CertificateSeen)
    of = seen.route if seen else route.route if route else None
    if of is None:
        return {}
    told = {"host": of.host, "route": of.object, "file": of.file}
    if seen is None:
        return told
    told |= {"certificate": seen.certificate, "issuer": seen.issuer, "acme_server": seen.server}
    try:
        return told | _of_the_leaf(Served(seen))
    except ValueError:  # what was served is no certificate, as its check says
        return told


def _of_the_leaf(served: Served) -> dict[str, Any]:
    seen = served.seen
    if not served.chain:
        return {"not_served": seen.handshake_error or "the ingress sent none"}
    return {
        "chain": [{"subject": subject, "issuer": issuer} for subject, issuer in served.issued],
        "not_after": served.leaf.not_valid_after_utc.isoformat(),
        "days_left": round(served.left / timedelta(days=1), 1),
        "key": certificates.key_of(served.leaf),
        "tls": seen.tls_version,
    }


def _on_the_wire(rule: Callable[[Served], Verdict]) -> Callable[[Served], Verdict]:
    """A rule about what was served; nothing served is a failure."""

    def told(served: Served) -> Verdict:
        if not served.seen.chain:
            why = served.seen.handshake_error or "the ingress sent none"
            return served.wrong(f"no certificate is served for {served.seen.route.host}: {why}")
        return rule(served)

    return told


def _ready(served: Served) -> Verdict:
    seen = served.seen
    if not seen.certificate:
        return served.wrong(f"no Certificate has what is served for {seen.route.host} written into a Secret")
    told = f"{seen.certificate} is not Ready: {seen.message or 'cert-manager says nothing of it'}"
    return passed() if seen.ready else served.wrong(told)


@_on_the_wire
def _is_served(served: Served) -> Verdict:
    seen = served.seen
    if not seen.secret_name:
        return served.wrong(f"the route names no Secret for TLS; {_instead(served)}")
    if not seen.secret_leaf:
        return served.wrong(f"Secret/{seen.secret_name} holds no certificate; {_instead(served)}")
    if certificates.certificate(seen.secret_leaf) != served.leaf:
        return served.wrong(f"what is served is not the certificate in Secret/{seen.secret_name}; {_instead(served)}")
    return passed(f"Secret/{seen.secret_name}")


def _instead(served: Served) -> str:
    """Whose certificate was served."""
    subject, issuer = served.issued[0]
    return f"served is {subject}, issued by {'itself' if certificates.issued_itself(served.leaf) else issuer}"


@_on_the_wire
def _name(served: Served) -> Verdict:
    host, own = served.seen.route.host, certificates.names(served.leaf)
    if any(certificates.covers(name, host) for name in own):
        return passed()
    told = f"valid for {listed(own)}" if own else "valid for no name: it has no subject alternative name"
    return served.wrong(f"the certificate of {certificates.title(served.leaf)} is {told}; expected {host}")


@_on_the_wire
def _chain(served: Served) -> Verdict:
    if why := certificates.distrust(served.chain, served.roots, served.seen.looked_at):
        return served.wrong(f"no client that trusts the issuer's roots trusts the certificate: {why}")
    return passed(", ".join(f"{subject} ← {issuer}" for subject, issuer in served.issued))


@_on_the_wire
def _acme(served: Served) -> Verdict:
    seen = served.seen
    if certificates.issued_itself(served.leaf):
        return served.wrong(f"the certificate of {certificates.title(served.leaf)} is self-signed; expected ACME's")
    if not seen.issuer:
        return served.wrong(f"nothing tells who issued the certificate of {seen.route.host}; expected an ACME issuer")
    if seen.issuer_kind != "acme":
        return served.wrong(f"{seen.issuer} is of the kind {seen.issuer_kind or 'unknown'}; expected acme")
    return passed(f"{seen.issuer}, {seen.server}" if seen.server else seen.issuer)


@_on_the_wire
def _days(served: Served) -> Verdict:
    leaf = served.leaf
    if leaf.not_valid_before_utc > served.seen.looked_at:
        return served.wrong(f"the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on")
    if served.left <= timedelta(0):
        return served.wrong(f"the certificate has expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if served.left <= served.window:
        told = f"the certificate is valid for {days(served.left)} more, and should have been renewed when"
        return served.wrong(f"{told} {days(served.window)} were left")
    return passed(f"{days(served.left)} left, renewed when {days(served.window)} are")


@_on_the_wire
def _key(served: Served) -> Verdict:
    key = certificates.key_of(served.leaf)
    told = f"the certificate's key is {key}; expected RSA of 2048 bits or more, or EC P-256 or P-384"
    return passed(key) if certificates.has_usual_key(served.leaf) else served.wrong(told)


@_on_the_wire
def _tls(served: Served) -> Verdict:
    seen = served.seen
    if seen.tls_version not in _VERSIONS:
        return served.wrong(f"the ingress speaks {seen.tls_version or 'no TLS'}; expected {' or '.join(_VERSIONS)}")
    if taken := [version for version, accepted in seen.older.items() if accepted]:
        return served.wrong(f"the ingress still takes {listed(taken)}; set minVersion VersionTLS12 in its TLSOption")
    if not seen.older:
        return not_judged("no older version of TLS could be tried", Code.NO_OBSERVATION)
    return passed(f"{seen.tls_version}; {listed(list(seen.older))} refused")


@_on_the_wire
def _renewal(served: Served) -> Verdict:
    seen, renewal = served.seen, served.seen.renewal_time
    if renewal is None:
        return served.wrong(f"cert-manager names no time at which it renews {seen.certificate or 'the certificate'}")
    when = f"{seen.certificate} is renewed at {renewal:%Y-%m-%d %H:%M} UTC"
    if renewal <= seen.looked_at:
        return served.wrong(f"{when}, which is over")
    if served.window < served.life * _SHORTEST_WINDOW:
        told = f"{when}, {days(max(served.window, timedelta(0)))} before it expires"
        return served.wrong(f"{told}; leave at least a tenth of its {days(served.life)} (renewBefore)")
    return passed(f"{when}, {days(served.window)} before it expires")


_OF_CERT_MANAGER = frozenset({"ready", "served", "acme", "renewal"})
"""The cases of which cert-manager's objects and Secret tell."""
_OF_CERTIFICATE: Mapping[str, Callable[[Served], Verdict]] = {
    "ready": _ready,
    "served": _is_served,
    "name": _name,
    "chain": _chain,
    "acme": _acme,
    "days": _days,
    "key": _key,
    "tls": _tls,
    "renewal": _renewal,
}
