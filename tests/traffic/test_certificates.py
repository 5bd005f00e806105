"""What a certificate says, and why a client refuses it."""

from datetime import timedelta

import pytest

from signoff.traffic.certificates import certificate, covers, distrust, issued_itself, key_of, title
from tests.judges.authority import HOST, NOW, authority, intermediate, leaf, root


@pytest.mark.parametrize(
    ("name", "host", "is_its"),
    [
        ("a.example.com", "a.example.com", True),
        ("A.Example.com.", "a.example.COM", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.com", "example.com", False),
        ("a*.example.com", "ab.example.com", False),
        ("*", "localhost", False),
        ("b.example.com", "a.example.com", False),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, host: str, is_its: bool) -> None:
    assert covers(name, host) is is_its


@pytest.mark.parametrize(("kind", "told"), [("RSA 2048", "RSA 2048"), ("P-256", "EC P-256"), ("P-521", "EC secp521r1")])
def test_a_key_is_told_in_words(kind: str, told: str) -> None:
    assert key_of(certificate(leaf(kind=kind))) == told


def test_a_certificate_without_a_common_name_is_called_by_its_first_name() -> None:
    assert title(certificate(leaf())) == HOST
    assert title(certificate(leaf(common="litellm"))) == "litellm"
    assert title(certificate(leaf()), issuer=True) == "Intermediate"
    assert [issued_itself(certificate(each)) for each in (root(), intermediate())] == [True, False]


@pytest.mark.parametrize(
    ("served", "roots", "later", "why"),
    [
        ([leaf(), intermediate()], [root()], 0, ""),
        ([leaf(["*.example.com"]), intermediate()], [root()], 0, ""),
        ([leaf(), leaf(["more.example"]), intermediate()], [root()], 0, ""),
        ([leaf()], [root()], 0, "the certificate of Intermediate, which issued it, is neither served nor a root"),
        ([leaf(), intermediate()], [authority("Other")], 0, "the certificate of Root, which issued it, is neither"),
        ([leaf(issuer="", common="Own")], [root()], 0, "Own has issued itself, and is no root of the issuer"),
        ([leaf(issuer="Impostor"), authority("Impostor", "Root")], [root()], 0, ""),
        ([leaf(), intermediate()], [root()], 100, "cert is not valid at validation time"),
        ([leaf([], common=HOST), intermediate()], [root()], 0, "it has no subject alternative name"),
        ([leaf(), intermediate()], [], 0, "no root of its issuer is known"),
    ],
)
def test_a_client_says_why_it_refuses_a_chain(served: list[str], roots: list[str], later: int, why: str) -> None:
    chain, trusted = ([certificate(each) for each in several] for several in (served, roots))
    found = distrust(chain, trusted, NOW + timedelta(days=later))
    assert found.startswith(why) and bool(found) is bool(why), found


def test_a_root_of_the_same_name_has_signed_nothing() -> None:
    chain = [certificate(leaf()), certificate(intermediate())]
    other = certificate(authority("Root", started="again"))
    assert distrust(chain, [other], NOW) == "no root of its issuer has signed what was served"
