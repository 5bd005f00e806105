"""The certificate of the way in: each fact about it that is broken turns exactly its cases red."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from signoff import judges
from signoff.evidence.models import CertificateSeen, RouteFound
from signoff.judges.registry import JUDGES
from signoff.story.declaration import Check
from signoff.verdicts import Value, Verdict
from tests.judges.authority import AT, HOST, LEAF, LIFE, NOW, authority, leaf, root, seen

assert judges, "the judges register themselves"
CASES = ("ready", "served", "name", "chain", "acme", "days", "key", "tls", "renewal")
CHECK = Check(text="it is", judge="certificate", wants=HOST, cases=CASES)
OF_THE_WIRE = {"served", "name", "chain", "acme", "days", "key", "tls", "renewal"}
DEFAULT = "TRAEFIK DEFAULT CERT"


def judged(told: CertificateSeen) -> dict[str, Verdict]:
    rule: Callable[..., Any] = JUDGES["certificate"].rule
    return dict(rule([CertificateSeen.model_validate_json(told.model_dump_json())], CHECK, None))


@pytest.mark.parametrize(
    "told",
    [
        seen(),
        seen(leaf([f"*.{HOST.partition('.')[2]}"])),
        seen(leaf([HOST.upper()], common="litellm")),
        seen(leaf(kind="RSA 2048")),
        seen(leaf(kind="P-384")),
        seen(tls_version="TLSv1.2"),
        seen(leaf(began=NOW - timedelta(days=2), ends=NOW + timedelta(days=4)), renewal_time=NOW + timedelta(days=2)),
        seen(roots=[authority("Other"), root()]),
    ],
)
def test_what_is_right_passes(told: CertificateSeen) -> None:
    found = judged(told)
    assert {case: each.value for case, each in found.items()} == dict.fromkeys(CASES, Value.PASSED), found


def test_what_is_right_is_told() -> None:
    told = {case: each.reason for case, each in judged(seen()).items()}
    assert told["chain"] == f"{HOST} ← Intermediate, Intermediate ← Root"
    assert told["days"] == "80 days left, renewed when 30 days are"
    assert told["acme"] == "ClusterIssuer/letsencrypt-prod, https://acme/dir"
    assert told["key"] == "EC P-256"
    assert told["tls"] == "TLSv1.3; TLSv1.1 refused"
    assert told["renewal"] == "Certificate/litellm-tls is renewed at 2026-03-06 12:00 UTC, 30 days before it expires"


def test_without_cert_manager_what_it_would_tell_is_not_judged_and_the_rest_is() -> None:
    why = "Traefik gets the certificate itself, by its resolver le"
    found = judged(seen(certificate="", issuer="", issuer_kind="", secret_leaf="", renewal_time=None, untold=why))
    of_cert_manager = {"ready", "served", "acme", "renewal"}
    assert {case for case, each in found.items() if each.value is Value.NOT_JUDGED} == of_cert_manager
    assert {case for case, each in found.items() if each.value is Value.PASSED} == {*CASES} - of_cert_manager
    assert all(why in found[case].reason for case in of_cert_manager)
    served = judged(seen(leaf(["other.example"]), untold=why))
    assert served["name"].value is Value.FAILED


OTHER = leaf(kind="P-384")
SELF_SIGNED = leaf(issuer="", common=DEFAULT)
EXPIRED = leaf(began=NOW - LIFE, ends=NOW - timedelta(hours=1))
OLD = leaf(began=NOW - timedelta(days=80), ends=NOW + timedelta(days=10))


@pytest.mark.parametrize(
    ("told", "red", "words"),
    [
        (
            seen(ready=False, message="Issuing certificate as Secret does not exist"),
            {"ready"},
            "Certificate/litellm-tls is not Ready: Issuing certificate as Secret does not exist",
        ),
        (seen(ready=False), {"ready"}, "is not Ready: cert-manager says nothing of it"),
        (seen(certificate=""), {"ready"}, f"no Certificate has what is served for {HOST} written into a Secret"),
        (seen(secret_leaf=OTHER), {"served"}, "what is served is not the certificate in Secret/litellm-tls"),
        (seen(secret_leaf=""), {"served"}, f"Secret/litellm-tls holds no certificate; served is {HOST}, issued by Int"),
        (seen(secret_name=""), {"served"}, "the route names no Secret for TLS"),
        (seen(leaf(["other.example"])), {"name"}, f"is valid for other.example; expected {HOST}"),
        (seen(leaf(["*.jetzinger.com"])), {"name"}, f"is valid for *.jetzinger.com; expected {HOST}"),
        (seen(leaf(["*.com"])), {"name"}, "is valid for *.com"),
        (seen(leaf([], common=HOST)), {"name", "chain"}, "valid for no name: it has no subject alternative name"),
        (
            seen(chain=[LEAF]),
            {"chain"},
            "the certificate of Intermediate, which issued it, is neither served nor a root of the issuer",
        ),
        (seen(roots=[authority("Other")]), {"chain"}, "the certificate of Root, which issued it, is neither served"),
        (seen(roots=[]), {"chain"}, "no root of its issuer is known"),
        (
            seen(SELF_SIGNED, secret_leaf=leaf(), chain=[SELF_SIGNED]),
            {"served", "chain", "acme"},
            f"served is {DEFAULT}, issued by itself",
        ),
        (seen(SELF_SIGNED), {"chain", "acme"}, f"the certificate of {DEFAULT} is self-signed; expected ACME's"),
        (
            seen(issuer_kind="selfSigned"),
            {"acme"},
            "letsencrypt-prod is of the kind selfSigned; expected acme",
        ),
        (seen(issuer_kind=""), {"acme"}, "is of the kind unknown"),
        (seen(issuer=""), {"acme"}, "nothing tells who issued the certificate"),
        (
            seen(EXPIRED),
            {"chain", "days", "renewal"},
            "the certificate has expired at 2026-01-15 11:00 UTC",
        ),
        (
            seen(leaf(began=NOW + timedelta(hours=1))),
            {"chain", "days"},
            "the certificate is valid from 2026-01-15 13:00 UTC on",
        ),
        (
            seen(OLD, renewal_time=NOW - timedelta(days=20)),
            {"days", "renewal"},
            "is valid for 10 days more, and should have been renewed when 30 days were left",
        ),
        (
            seen(OLD, renewal_time=None),
            {"days", "renewal"},
            "cert-manager names no time at which it renews",
        ),
        (
            seen(renewal_time=NOW + LIFE),
            {"renewal"},
            "0 hours before it expires; leave at least a tenth",
        ),
        (seen(renewal_time=NOW + timedelta(days=79)), {"renewal"}, "24 hours before it expires; leave at least"),
        (seen(leaf(kind="RSA 1024")), {"key"}, "the certificate's key is RSA 1024; expected RSA of 2048 bits or more"),
        (seen(leaf(kind="P-521")), {"key"}, "the certificate's key is EC secp521r1"),
        (seen(tls_version="TLSv1.1"), {"tls"}, "the ingress speaks TLSv1.1; expected TLSv1.2 or TLSv1.3"),
        (seen(tls_version=""), {"tls"}, "the ingress speaks no TLS"),
        (seen(older={"TLSv1": False, "TLSv1.1": True}), {"tls"}, "the ingress still takes TLSv1.1; set minVersion"),
        (
            seen(chain=[], handshake_error="ConnectionRefusedError: refused"),
            OF_THE_WIRE,
            f"no certificate is served for {HOST}: ConnectionRefusedError: refused",
        ),
        (seen(chain=[]), OF_THE_WIRE, "the ingress sent none"),
    ],
)
def test_what_is_broken_is_red(told: CertificateSeen, red: set[str], words: str) -> None:
    found = judged(told)
    assert {case for case, each in found.items() if each.value is not Value.PASSED} == red, found
    for case in red:
        assert found[case].value is Value.FAILED
        assert AT in found[case].reason and "\n" not in found[case].reason
    assert any(words in found[case].reason for case in red), [found[case].reason for case in red]


def test_a_failure_carries_the_cause_that_cert_manager_names() -> None:
    trouble = "cert-manager: the order is invalid: NXDOMAIN for litellm (ingressroute.yaml:1)"
    route = RouteFound(host=HOST, object="IngressRoute/litellm", file=AT, trouble=[trouble])
    for case, each in judged(seen(chain=[], ready=False, route=route)).items():
        assert each.reason.endswith(f"; {trouble}"), case


def test_a_certificate_of_another_host_and_a_case_that_is_not_judged_are_told() -> None:
    other = seen(route=RouteFound(host="other.example", object="IngressRoute/litellm"))
    assert {each.value for each in judged(other).values()} == {Value.NOT_JUDGED}
    rule: Callable[..., Any] = JUDGES["certificate"].rule
    ((_, verdict),) = rule([seen()], CHECK.model_copy(update={"cases": ("colour",)}), None)
    assert verdict.value is Value.NOT_JUDGED


def test_what_is_no_certificate_is_no_pass() -> None:
    with pytest.raises(ValueError, match="PEM"):
        judged(seen(chain=["nonsense"]))
