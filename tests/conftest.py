"""What tests of several packages share: a run that was signed off, both arms as doubles, a parity bench, a cluster."""

import atexit
import gc
import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageMetadata, PathDistribution
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from markupsafe import Markup

from signoff.core import redact
from signoff.evidence import circumstances
from signoff.stats import bootstrap
from tests.embedded import api, cluster, kube, namespace, plane, recipes
from tests.evidence import runs
from tests.forks import Interpreter, interpreter
from tests.pair import brisk, never_invalid, pair
from tests.parity_bench import bench, bench_of_all

settings.register_profile(
    "each day",  # on a busy machine, where any of many may take its time; one temporary folder may serve all examples
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("prove", settings.get_profile("each day"), max_examples=500)
pytest_plugins = ["pytester"]
__all__ = [
    "api",
    "bench",
    "bench_of_all",
    "brisk",
    "cluster",
    "kube",
    "namespace",
    "never_invalid",
    "pair",
    "plane",
    "recipes",
    "signed_off",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses the browser, or a fixture that starts a cluster, through whatever other fixtures, is marked."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if isinstance(item, pytest.Function) and any(map(starts_a_cluster, functions_of_fixtures(item))):
            item.add_marker("cluster")


def functions_of_fixtures(test: pytest.Function) -> Iterator[Callable[..., Any]]:
    """Those of the fixtures that a test uses itself or through others."""
    for defined in test._fixtureinfo.name2fixturedefs.values():
        yield from (each.func for each in defined)


@cache
def starts_a_cluster(fixture: Callable[..., Any]) -> bool:
    code = getattr(inspect.unwrap(fixture), "__code__", None)
    return code is not None and {"EmbeddedCluster", "start"} <= set(code.co_names)


def pytest_configure(config: pytest.Config) -> None:
    """`make prove` tries more examples of each property.

    While tests are collected, next to nothing becomes garbage: looking for it would be a sixth of the work.
    """
    os.environ.setdefault("SIGNOFF_TRUST", "yes")  # for machines without namespaces: tests know what they deploy
    settings.load_profile("prove" if config.pluginmanager.hasplugin("tests.prove") else "each day")
    gc.disable()
    atexit.register(gc.freeze)  # nor would its end


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays to the end, and each pytest that a test runs need not look through it for garbage."""
    gc.freeze()
    gc.set_threshold(20_000, 20)  # little of it are cycles
    gc.enable()


@pytest.fixture(autouse=True)
def _no_secrets_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test hides is written by the next."""
    monkeypatch.setattr(redact, "_KNOWN", redact.Known())


@pytest.fixture(scope="session", autouse=True)
def _asked_once() -> Iterator[None]:
    """What is installed, and what git says of the checkout, which every run within a test asks, does not change."""
    git, read = circumstances._git, PathDistribution.read_text
    about: Any = PathDistribution.metadata

    @cache
    def said(path: str, *arguments: str) -> str:
        return git(*arguments)

    @cache
    def file(folder: str, name: str) -> str | None:
        return read(PathDistribution(Path(folder)), name)

    @cache
    def metadata(folder: str) -> PackageMetadata:
        found: PackageMetadata = about.fget(PathDistribution(Path(folder)))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(circumstances, "_git", lambda *arguments: said(os.environ.get("PATH", ""), *arguments))
        patch.setattr(PathDistribution, "read_text", lambda self, name: file(str(self._path), name))
        patch.setattr(PathDistribution, "metadata", property(lambda self: metadata(str(self._path))))
        yield


@pytest.fixture(scope="package")
def signed_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "2026-01-01-abc"
    assert runs.whole_run(folder).signed_off
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts, most of a load's page's time, stay empty, for what reads verdicts and words."""
    monkeypatch.setattr("signoff.report.charts._drawn", lambda *_: Markup())


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals rest on a tenth of the draws, for what reads where they lie and not where exactly they end."""
    monkeypatch.setattr(bootstrap, "DRAWS", 200)


@pytest.fixture(scope="session")
def apart() -> Iterator[Interpreter]:
    """Runs programs that have to be processes of their own: they are sent signals, or import what no test may see."""
    with interpreter() as one:
        yield one
