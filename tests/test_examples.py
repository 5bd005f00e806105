"""The examples in docstrings are true."""

import doctest
from importlib import import_module

import pytest

from signoff.core.paths import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "signoff").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    found = doctest.testmod(import_module(module))
    assert found.attempted and not found.failed


def test_examples_are_found() -> None:
    assert {"signoff.core.errors", "signoff.report.formats"} < {*MODULES}
