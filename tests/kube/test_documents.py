"""Files are read as kubectl reads them, and what is no such file is refused with its line and without a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import SignoffError
from signoff.kube.documents import parse

FILE = Path("gateway.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("-017", -15),
        ("1_000", 1000),
        ("08", 8),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("y", True),
        ("off", False),
        ("~", None),
        ("'0644'", "0644"),
        ("sha256:12", "sha256:12"),
    ],
)
def test_a_plain_scalar_is_what_kubectl_makes_of_it(text: str, value: Any) -> None:
    """Right by goyaml.v2/resolve.go of sigs.k8s.io/yaml v1.4.0."""
    (found,) = parse(f"a: {text}", FILE)
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("", []),
        ("---\n# nothing\n---\na: 1\n---\n", [{"a": 1}]),
        ("1: x\ntrue: z", [{"1": "x", "true": "z"}]),
        ("a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: *a", [{"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1}}]),
        ("a: {<<: &d {<<: {x: 1}, x: 2}}\nc: *d", [{"a": {"x": 2}, "c": {"x": 2}}]),
        ('{\n\t"a": "\\ud83d\\ude00"\n}', [{"a": "😀"}]),
        ("a: 1\r\nb: |\r\n  x\r\n", [{"a": 1, "b": "x\n"}]),
    ],
)
def test_documents_are_what_json_holds_of_them(text: str, documents: list[Any]) -> None:
    assert parse(text, FILE) == documents


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("a: 1\nb: [", "not valid YAML", ":2"),
        ('{"a": {"c": 1, "c": 2}}', "duplicate key 'c'", ""),
        ("a: 1\nb: {c: 1, c: 2}", "duplicate key 'c'", ":2"),
        ("a: {yes: 1, true: 2}", "duplicate key 'true'", ":1"),
        ("a: 1\n---\n- a", "not a mapping", ":3"),
        ("a: !Ref b", "not valid YAML", ":1"),
        ("a: &x {b: *x}", "recursive", ":1"),
        ("a: " + "[" * 5000, "nested too deeply", ":1"),
        ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 200)), "nested too deeply", ":100"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "nested too deeply", ""),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply", ":1"),
        ("a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60, "nested too deeply", ":1"),
        ("a: .inf", "JSON has no value of this kind", ":1"),
        ("a: !!set {b}", "JSON has no value of this kind", ":1"),
        ('a: "\\ud800"', "half a character", ":1"),
        ("? [a]\n: b", "a key is not a string", ":1"),
        ("~: b", "a key is not a string", ":1"),
        ("a: 1" + "0" * 5000, "not valid YAML", ""),
        ("a: &a [" + "x, " * 99 + "]\nb: &b [" + "*a, " * 99 + "]\nc: [" + "*b, " * 999 + "]", "aliases", ":1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, what: str, line: str) -> None:
    with pytest.raises(SignoffError, match=what) as refused:
        parse(text, FILE)
    assert refused.value.where == f"{FILE}{line}"


def test_a_template_is_told_from_a_manifest() -> None:
    with pytest.raises(SignoffError) as refused:
        parse("spec:\n{{- if .Values.x }}\n  a: 1\n{{- end }}\n", FILE)
    assert "helm template" in refused.value.hint


def test_what_a_value_is_stays_out_of_the_refusal() -> None:
    with pytest.raises(SignoffError) as refused:
        parse("data: {key: !!binary c2stc2VjcmV0}", FILE)
    assert "sk-secret" not in str(refused.value)
    assert "c2stc2VjcmV0" not in str(refused.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text, FILE)
    except SignoffError:
        return
    json.dumps(found, allow_nan=False)


@given(st.dictionaries(st.text(), JSON))
def test_any_json_is_what_it_is(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value), FILE) == [value]
    assert parse(json.dumps(value, indent="\t"), FILE) == [value]
