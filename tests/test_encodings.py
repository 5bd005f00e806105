"""Files and other programs' words are UTF-8 in every locale, so whoever reads or writes text says so.

Ruff has a rule for this (PLW1514), which sees only those paths whose type it can tell: one in six here.
"""

import ast
from collections.abc import Iterator

import pytest

from signoff.core.paths import ROOT

FOLDERS = ("signoff", "steps", "bench", "scripts")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
_OPENS_NO_TEXT = ("os", "tarfile")
_RUNS = ("run", "Popen", "check_output")


def locale_s_own(source: str) -> Iterator[int]:
    """The lines of calls that leave the encoding of a text to the locale."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and _is_of_text(call) and not _named(call, "encoding"):
            yield call.lineno


def _is_of_text(call: ast.Call) -> bool:
    match call.func:
        case ast.Name("open"):
            return "b" not in _mode(call, 1)
        case ast.Attribute(ast.Name(module), "open") if module in _OPENS_NO_TEXT:
            return False
        case ast.Attribute(_, "open"):
            return "b" not in _mode(call, 0)
        case ast.Attribute(_, "read_text" | "write_text"):
            return True
        case ast.Attribute(_, name) if name in _RUNS:
            return bool(_named(call, "text") or _named(call, "universal_newlines"))
    return False


def _mode(call: ast.Call, at: int) -> str:
    given = call.args[at : at + 1] or _named(call, "mode")
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r"


def _named(call: ast.Call, name: str) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords if keyword.arg == name]


def test_no_text_is_left_to_the_locale() -> None:
    lines = {str(path.relative_to(ROOT)): list(locale_s_own(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path: found for path, found in lines.items() if found} == {}, "say encoding= in these lines"


@pytest.mark.parametrize(
    ("source", "is_left"),
    [
        ("open('a')", True),
        ("open('a', 'rb')", False),
        ("path.open()", True),
        ("path.open(mode='wb')", False),
        ("path.open('w', encoding='utf-8')", False),
        ("os.open('a', 0)", False),
        ("path.read_text(errors='replace')", True),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command)", False),
    ],
)
def test_what_is_left_to_the_locale_is_seen(source: str, is_left: bool) -> None:
    assert bool(list(locale_s_own(source))) is is_left
