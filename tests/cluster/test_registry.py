"""Every provider of the registry is one in full, by mypy's word: a new one needs no line here."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from mypy import api

from signoff.cluster import registry
from signoff.core.paths import ROOT

FOLDERS = {path.parent.name for path in (ROOT / "signoff" / "cluster").glob("*/provider.py")}


def complaints(folder: Path, modules: Iterable[str]) -> str:
    """What mypy says against each of these modules where a provider is wanted."""
    code = folder / "providers.py"
    lines = [f"import {module}\nnumber_{number}: Provider = {module}\n" for number, module in enumerate(modules)]
    code.write_text("".join(["from signoff.cluster.base import Provider\n", *lines]), encoding="utf-8")
    said, errors, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(code)])
    assert not errors
    return said


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mypy finds the package."""
    monkeypatch.chdir(ROOT)


def test_every_folder_with_a_provider_is_registered() -> None:
    assert set(registry.NAMES) == FOLDERS


def test_every_provider_is_one_in_full(tmp_path: Path) -> None:
    modules = [f"signoff.cluster.{name}.provider" for name in registry.NAMES]
    assert [vars(registry.provider(name))["__name__"] for name in registry.NAMES] == modules
    assert complaints(tmp_path, modules).startswith("Success")


def test_a_module_that_lacks_functions_is_none(tmp_path: Path) -> None:
    said = complaints(tmp_path, ["signoff.cluster.registry"])
    assert "Incompatible types in assignment" in said
