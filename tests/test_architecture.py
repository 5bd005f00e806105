"""The shape of the house: what may import what. docs/architecture.md draws it."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from signoff.cluster import registry
from signoff.core.paths import ROOT
from signoff.kube import shipping
from signoff.load.distributed import LOCUSTFILE
from signoff.overhead import timing_job
from signoff.parity import recorder_pod

LAYERS = (
    "core",
    "programs",
    "stats",
    "verdicts",
    "story",
    "traffic",
    "kube",
    "cluster",
    "evidence",
    "in_cluster",
    "gateway",
    "faults",
    "options",
    "overhead",
    "parity",
    "load",
    "judges",
    "report",
    "bdd",
    "commands",
    "cli",
)
"""From what everything stands on to what a person calls; an import goes to an earlier one, or stays at home."""

PROGRAMS = (timing_job.PROGRAM, recorder_pod.PROGRAM, LOCUSTFILE)
OF_THE_IMAGES = {"aiohttp", "flask", "gevent", "geventhttpclient", "httpx", "locust", "psutil"}
"""What LiteLLM's image and Locust's have beyond Python itself."""

TESTS_OF_MORE = {"docs", "doubles", "faults", "features", "mutations", "scripts", "steps"}
"""Folders of tests that are no package's: of the other folders of this project, and what many tests share."""


SLEEPS = {
    "signoff.core.waiting": "the waits themselves",
    "signoff.traffic.delay_proxy": "delays what passes, to the millisecond",
    "signoff.traffic.pairs": "rests before each request that is timed",
    "signoff.traffic.blocks": "rests before each request that is timed",
    "signoff.programs.golang": "pauses between two tries of a download",
    "signoff.cluster.conformance": "behaviours that are defined by their moment",
    "scripts.measure_hop": "sends on a schedule",
}
"""Who sleeps, and why `eventually` or `consistently` is not what is meant."""


@cache
def modules(*folders: str) -> dict[str, Path]:
    """Every module below these folders, by its dotted name."""
    found = {}
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def known(name: str) -> str:
    """The module that an imported name is, or is in."""
    return name if name in modules("signoff") else name.rpartition(".")[0]


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_package_has_a_layer() -> None:
    assert {layer(each) for each in modules("signoff") if "." in each} == set(LAYERS)


@pytest.mark.parametrize("module", sorted(each for each in modules("signoff") if "." in each))
def test_imports_point_down(module: str) -> None:
    here = LAYERS.index(layer(module))
    used = {known(each) for each in imports(modules("signoff")[module]) if each.startswith("signoff.")}
    assert [each for each in sorted(used) if layer(each) and LAYERS.index(layer(each)) > here] == []


def test_no_module_imports_itself_on_any_way() -> None:
    everyone = modules("signoff")
    edges = {name: {known(each) for each in imports(path)} & set(everyone) for name, path in everyone.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for each in edges[waiting.pop()] - seen:
                seen.add(each)
                waiting.append(each)
        return seen

    assert [name for name in everyone if name in reached(name)] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_goes_into_pods_needs_what_their_images_have(program: str) -> None:
    for module in shipping.modules(program):
        tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
        top = {name.partition(".")[0] for each in tree.body for name in imported_by(each)}
        assert top - {"signoff"} - set(sys.stdlib_module_names) <= OF_THE_IMAGES, module


def imported_by(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [each.name for each in statement.names]
    return [statement.module] if isinstance(statement, ast.ImportFrom) and statement.module else []


def test_tests_mirror_the_packages() -> None:
    packages = {path.name for path in (ROOT / "signoff").iterdir() if (path / "__init__.py").exists()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    assert folders <= packages | TESTS_OF_MORE


def test_scripts_need_no_tests() -> None:
    users = [
        name for name, path in modules("scripts").items() if any(each.startswith("tests") for each in imports(path))
    ]
    assert users == []


def test_nobody_waits_by_hand() -> None:
    everywhere = modules("signoff", "steps", "bench", "scripts")
    assert {name for name, path in everywhere.items() if sleeps(path)} == set(SLEEPS)


def sleeps(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


CLUSTERS = "signoff/cluster"
ENGLISH = {"kind", "existing"}
"""Names of providers that are words of their own, so that they name a provider only where a cluster is spoken of."""
_SUFFIXES = {".feature", ".j2", ".py", ".toml", ".yaml"}


def named(text: str) -> Iterator[str]:
    """The places of a text that name a provider."""
    for name in registry.NAMES:
        spoken = [
            rf"--cluster[ =]{name}\b",
            rf"\b{name} clusters?\b",
            rf"\b{name.capitalize()}Cluster",
            rf"\bSIGNOFF_{name.upper()}",
            rf"(?i:cluster|provider)\w*['\"]?\]?\s*(?:==|!=|=|:|\(|,)\s*\(?['\"]{name}['\"]",
            *([] if name in ENGLISH else [rf"(?i:{name})"]),
        ]
        yield from (match.group() for match in re.finditer("|".join(spoken), text))


def home(path: Path) -> str:
    """The provider whose folder this file is in; empty for the rest of the house."""
    parts = path.relative_to(ROOT).parts
    return parts[2] if parts[:2] == tuple(CLUSTERS.split("/")) and parts[2] in registry.NAMES else ""


@pytest.mark.parametrize("folder", ["signoff", "steps", "bench", "features"])
def test_nobody_but_the_registry_knows_a_provider(folder: str) -> None:
    files = [path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in _SUFFIXES and not home(path)]
    assert files
    words = {str(path.relative_to(ROOT)): list(named(path.read_text(encoding="utf-8"))) for path in files}
    assert {path: found for path, found in words.items() if found and path != f"{CLUSTERS}/registry.py"} == {}


@pytest.mark.parametrize("folder", ["signoff", "steps", "bench"])
def test_a_provider_is_imported_by_itself_alone(folder: str) -> None:
    users = {
        name: used
        for name, path in modules(folder).items()
        for used in imports(path)
        if (match := re.match(r"signoff\.cluster\.(\w+)", used)) and match.group(1) in {*registry.NAMES} - {home(path)}
    }
    assert users == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('open_cluster("kind")', True),
        ('cluster == "existing"', True),
        ("take --cluster kind", True),
        ("a kind cluster", True),
        ("from signoff.cluster.embedded import cluster_registry", True),
        ("an Embedded one", True),
        ('body["kind"] == "Deployment"', False),
        ("kind: ConfigMap", False),
        ("a cluster of this kind", False),
    ],
)
def test_a_provider_that_is_named_is_seen(text: str, names: bool) -> None:
    assert bool(list(named(text))) is names
