"""A secret that is known by its value is missing from all that is written, in whatever form it would come back."""

import base64
import hashlib
import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.core import redact
from signoff.core.errors import reason_in
from signoff.core.redact import hide, keep, redacted, redacted_log, scrub_files, scrubbed

KEY = 'hüsh & "hush"/5+'


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        f"xx{KEY}yy",
        json.dumps(KEY),
        json.dumps(KEY, ensure_ascii=False),
        json.dumps({"data": KEY}),
        repr(KEY),
        quote(KEY, safe=""),
        html.escape(KEY),
        encoded(KEY),
        encoded(KEY).rstrip("="),
        encoded(f"{KEY}\n"),
        encoded(f"user:{KEY}@host"),
        base64.urlsafe_b64encode(f"a{KEY}".encode()).decode(),
        hashlib.sha256(KEY.encode()).hexdigest(),
        f"sk-...{KEY[-4:]}",
    ],
)
def test_whatever_form_it_comes_back_in(form: str) -> None:
    hide(KEY)
    told = scrubbed(f"before {form} after")
    assert redact.HIDDEN in told
    assert told.startswith("before ") and told.endswith(" after")
    for part in (KEY, "hush", encoded(KEY)[4:-4], hashlib.sha256(KEY.encode()).hexdigest()):
        assert part not in told


def test_each_line_of_several_is_hidden() -> None:
    hide("-----BEGIN-----\nc2VjcmV0LWtleQ\nbW9yZS1zZWNyZXQ\n")
    assert scrubbed("key: |\n    c2VjcmV0LWtleQ\n    bW9yZS1zZWNyZXQ\n") == "key: |\n    [redacted]\n    [redacted]\n"


def test_in_evidence_it_is_hidden_as_value_as_key_and_in_lists() -> None:
    hide("hush-hush-5")
    assert redacted({"hush-hush-5": ["x hush-hush-5", {"n": 5}]}) == {"[redacted]": ["x [redacted]", {"n": 5}]}
    assert redacted_log("said hush-hush-5") == "said [redacted]"


def test_what_is_short_is_found_by_chance_and_stays() -> None:
    hide("true")
    hide("sk-1234")
    assert scrubbed("true, sk-1234 and sk-12345") == "true, [redacted] and sk-12345"


def test_the_name_of_an_object_stays_whatever_secret_is_the_same() -> None:
    hide("litellm")
    assert scrubbed("pod litellm-1") == "pod [redacted]-1"
    keep(["litellm", "ghcr.io/berriai/litellm:v1"])
    assert scrubbed("pod litellm-1") == "pod litellm-1"
    hide("litell")
    assert scrubbed("pod litell-1") == "pod [redacted]-1"


def test_what_stands_openly_elsewhere_stays_unless_it_is_surely_a_secret() -> None:
    hide("http://vllm:8000/v1", surely=False)
    hide("swordfish")
    keep([], ["http://vllm:8000/v1", "the password is swordfish"])
    assert scrubbed("http://vllm:8000/v1 swordfish") == "http://vllm:8000/v1 [redacted]"
    hide("http://vllm:8000/v1")
    assert scrubbed("http://vllm:8000/v1") == "[redacted]"


def test_files_of_another_program(tmp_path: Path) -> None:
    hide("hush-hush-5")
    (tmp_path / "logs").mkdir()
    binary = tmp_path / "logs" / "binary"
    binary.write_bytes(b"\xff\xfehush-hush-5\x00\xff")
    scrub_files(tmp_path)
    assert binary.read_bytes() == b"\xff\xfe[redacted]\x00\xff"


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8), st.binary(), st.binary())
def test_no_place_in_base64_shows_it(secret: str, before: bytes, after: bytes) -> None:
    known = redact.Known()
    known.hide(secret, surely=True)
    data = secret.encode(errors="surrogatepass")
    told = known.scrubbed(base64.b64encode(before + data + after).decode())
    assert base64.b64encode(before + data + after).decode() != told


@pytest.mark.parametrize("before", range(280, 301, 5))
def test_the_beginning_of_a_secret_is_not_shown_where_a_reason_is_cut(before: int) -> None:
    hide("hush-hush-that-is-cut")
    assert "hush" not in reason_in(f"{'x' * before} hush-hush-that-is-cut")
