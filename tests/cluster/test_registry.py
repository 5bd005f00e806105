"""Every provider of the registry is one in full, by mypy's word: a new one needs no line here."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from mypy import api

from signoff.cluster import registry
from signoff.core.paths import ROOT

FOLDERS = {path.parent.name for path in (ROOT / "signoff" / "cluster").glob("*/provider.py")}
PROVIDERS = [f"signoff.cluster.{name}.provider" for name in registry.NAMES]
NO_PROVIDER = "signoff.cluster.registry"


def wanted(code: Path, modules: Iterable[str]) -> str:
    """Write code that has these modules where a provider is wanted."""
    lines = [f"import {module}\nnumber_{number}: Provider = {module}\n" for number, module in enumerate(modules)]
    code.write_text("".join(["from signoff.cluster.base import Provider\n", *lines]), encoding="utf-8")
    return str(code)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says against every provider in providers.py, and against a module that is none in other.py."""
    folder, deep = tmp_path_factory.mktemp("code"), sys.getrecursionlimit()
    code = wanted(folder / "providers.py", PROVIDERS), wanted(folder / "other.py", [NO_PROVIDER])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # where mypy finds the package
        said, errors, _ = api.run(["--config-file", "pyproject.toml", *code])
    sys.setrecursionlimit(deep)  # mypy's own would let other tests nest deeper than a user can
    assert not errors
    return said


def test_every_folder_with_a_provider_is_registered() -> None:
    assert set(registry.NAMES) == FOLDERS


def test_every_provider_is_one_in_full(complaints: str) -> None:
    assert [vars(registry.provider(name))["__name__"] for name in registry.NAMES] == PROVIDERS
    assert "providers.py" not in complaints
    assert "(checked 2 source files)" in complaints


def test_a_module_that_lacks_functions_is_none(complaints: str) -> None:
    assert re.search(r"other\.py:3: error: Incompatible types in assignment", complaints)
