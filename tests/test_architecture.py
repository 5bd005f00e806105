"""The shape of the house: what may import what. docs/architecture.md draws it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
    "settings",
    "traffic",
    "kube",
    "changes",
    "cluster",
    "evidence",
    "in_cluster",
    "gateway",
    "faults",
    "options",
    "overhead",
    "parity",
    "way_in",
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

TESTS_OF_MORE = {"docs", "faults", "features", "labs", "mutations", "scripts", "steps"}
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

PACED = {
    "signoff.changes.lease": "renews the Lease, like a heart",
    "signoff.cluster.embedded.agent.container": "backs off between two starts",
    "signoff.cluster.embedded.agent.logserver": "follows a log as it grows",
    "signoff.cluster.embedded.agent.node": "renews the node's lease, like a heart",
    "signoff.cluster.embedded.agent.pod": "backs off between two requests that failed",
    "signoff.cluster.embedded.agent.preparation": "backs off between two tries",
    "signoff.cluster.embedded.agent.probes": "probes at the period that the pod asks for",
    "signoff.cluster.embedded.agent.process": "a grace period that may be cut short",
    "signoff.cluster.embedded.agent.start": "looks at the memory for as long as the container runs",
    "signoff.cluster.embedded.kubeapi": "backs off between two watches",
    "signoff.cluster.embedded.supervisor": "reaps for as long as the cluster runs",
    "signoff.cluster.kind": "follows kind's log as it grows",
    "signoff.in_cluster.load_generator.arrivals": "sends on a schedule",
    "signoff.in_cluster.load_generator.generator_health": "measures how late it wakes up",
    "signoff.in_cluster.load_generator.request_sender": "hands records over for as long as the load runs",
    "signoff.in_cluster.load_generator.session": "samples while the load runs; waits for its workers' last word",
    "signoff.in_cluster.recorder": "plays faults that pause",
    "signoff.load.distributed": "samples for as long as the load runs",
    "scripts.measure_soak": "samples for as long as the load runs",
}
"""Who pauses in a loop by other means than `time.sleep`, and why it isn't a wait for something to come true."""

UNGATED = {
    "signoff.changes.session": "reads which cluster it is, before there is a gate",
    "signoff.cluster.embedded": "the suite's own cluster",
    "signoff.cluster.embedded.health": "the suite's own cluster",
    "signoff.cluster.embedded.usage": "the suite's own cluster",
    "signoff.cluster.existing": "reads the cluster's nodes, version and Services",
    "signoff.cluster.existing.contexts": "reads which cluster it is",
    "signoff.cluster.existing.provider": "asks what this user may do",
    "signoff.cluster.kind": "the suite's own cluster",
    "signoff.cluster.kind.health": "the suite's own cluster",
    "signoff.cluster.port_forward": "reads a Service's pods, and opens the tunnel to them",
    "signoff.commands.cluster": "the suite's own cluster",
    "signoff.commands.init": "looks, and writes no more than a file",
    "signoff.kube.client": "what the gate is built into",
    "signoff.load.resource_sampler": "reads what pods use, of a cluster that a person names for it",
    "signoff.load.under_load": "the same",
    "signoff.options": "reads what stands there",
}
"""Who opens a cluster's API without a gate, and why nothing is written to a person's own by it."""


@cache
def modules(*folders: str) -> dict[str, Path]:
    """Every module below these folders, by its dotted name."""
    found = {}
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


@dataclass(frozen=True)
class Code:
    """What these tests ask of a file."""

    imports: tuple[str, ...]
    """Everything that it imports, wherever in it."""
    texts: tuple[str, ...]
    sleeps: bool
    polls: bool
    ungated: bool


@cache
def code(path: Path) -> Code:
    """Parsed once for all tests; the tree itself, which garbage collection would walk from then on, is not kept."""
    tree = nodes(path.read_text(encoding="utf-8"))
    texts = tuple(each.value for each in tree if isinstance(each, ast.Constant) and isinstance(each.value, str))
    return Code(tuple(imported(tree, path)), texts, sleeps(tree), polls(tree), ungated(tree))


def nodes(text: str) -> Sequence[ast.AST]:
    return list(ast.walk(ast.parse(text)))


def imported(tree: Iterable[ast.AST], path: Path) -> Iterator[str]:
    """What this code of a file imports."""
    for node in tree:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{imported_from(node, path)}.{each.name}" for each in node.names)


def imported_from(node: ast.ImportFrom, path: Path) -> str:
    """The module by its whole name, also where dots say how many packages above the file it is."""
    above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
    return ".".join((*above, *([node.module] if node.module else [])))


def known(name: str) -> str:
    """The module that an imported name is, or is in."""
    return name if name in modules("signoff") else name.rpartition(".")[0]


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_package_has_a_layer() -> None:
    assert {layer(each) for each in modules("signoff") if "." in each} == set(LAYERS)


def test_imports_point_down() -> None:
    assert {module: used for module in modules("signoff") if layer(module) and (used := below(module))} == {}


def below(module: str) -> list[str]:
    """What a module imports of the layers below its own."""
    here = LAYERS.index(layer(module))
    used = {known(each) for each in code(modules("signoff")[module]).imports if each.startswith("signoff.")}
    return [each for each in sorted(used) if layer(each) and LAYERS.index(layer(each)) > here]


def test_no_module_imports_itself_on_any_way() -> None:
    everyone = modules("signoff")
    edges = {name: {known(each) for each in code(path).imports} & set(everyone) for name, path in everyone.items()}

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


def test_every_process_of_the_embedded_cluster_starts_with_pythons_own_modules_alone() -> None:
    """There are dozens of them: a library that each imports costs more processor time than all that they do."""
    program = f"import sys; sys.path.append({str(ROOT)!r}); import signoff.cluster.embedded.namespaces"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tests_mirror_the_packages() -> None:
    packages = {path.name for path in (ROOT / "signoff").iterdir() if (path / "__init__.py").exists()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    assert folders - TESTS_OF_MORE <= packages <= folders
    assert [name for name in sorted(packages) if not list((ROOT / "tests" / name).rglob("test_*.py"))] == []


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        *((folder, ["doubles", "scripts", "tests"]) for folder in ("signoff", "steps", "bench")),
        ("doubles", ["scripts", "tests"]),
        ("scripts", ["tests"]),
    ],
)
def test_what_is_used_needs_nothing_of_what_tries_it(folder: str, others: list[str]) -> None:
    users = {name: needed for name, path in modules(folder).items() if (needed := sorted(needs(path, others)))}
    assert users == {}


def needs(path: Path, folders: Sequence[str]) -> Iterator[str]:
    """What of these folders a file imports, or starts as a program."""
    modules_named = (text for text in code(path).texts if re.fullmatch(r"\w+(\.\w+)+", text))
    for name in (*code(path).imports, *modules_named):
        if name.partition(".")[0] in folders:
            yield name


def test_nobody_waits_by_hand() -> None:
    everywhere = modules("signoff", "steps", "bench", "scripts")
    assert {name for name, path in everywhere.items() if code(path).sleeps} == set(SLEEPS)


def sleeps(tree: Iterable[ast.AST]) -> bool:
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep" for node in tree)


def test_nobody_polls_by_hand() -> None:
    everywhere = modules("signoff", "steps", "bench", "scripts")
    found = {name for name, path in everywhere.items() if code(path).polls}
    assert found - set(SLEEPS) == set(PACED)


def polls(tree: Iterable[ast.AST]) -> bool:
    """Whether a loop of this code pauses: a sleep, or a wait that may be over before its event."""
    loops = [node for node in tree if isinstance(node, ast.While | ast.For | ast.AsyncFor)]
    return any(pauses(each) for loop in loops for each in of_its_own(loop))


def of_its_own(node: ast.AST) -> Iterator[ast.AST]:
    """What is below a node, without the bodies of the functions that are defined in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from of_its_own(child)


def pauses(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name, given = ast.unparse(node.func), [ast.unparse(each) for each in (*node.args, *node.keywords)]
    of_a_change = [each for each in given if each.endswith("kube")]  # `change.wait(kube)` is an `eventually`
    return name.endswith(".sleep") or (name.endswith(".wait") and bool(given) and not of_a_change)


@pytest.mark.parametrize(
    ("text", "polled"),
    [
        ("while not ready():\n    await asyncio.sleep(1)", True),
        ("while not over.wait(1):\n    look()", True),
        ("for each in them:\n    gevent.sleep(1)", True),
        ("while True:\n    done, _ = await asyncio.wait(those, timeout=1)", True),
        ("while True:\n    await changed.wait()", False),
        ("for each in changes:\n    each.wait(kube)", False),
        ("while True:\n    def later():\n        time.sleep(1)", False),
        ("await asyncio.sleep(1)", False),
    ],
)
def test_a_loop_that_polls_is_seen(text: str, polled: bool) -> None:
    assert polls(nodes(text)) is polled


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import signoff.core.words", ["signoff.core.words"]),
        ("from signoff.core import words", ["signoff.core.words"]),
        ("from . import words", ["signoff.core.words"]),
        ("from .words import listed", ["signoff.core.words.listed"]),
        ("from ..stats import trend", ["signoff.stats.trend"]),
    ],
)
def test_an_import_is_seen_however_it_is_written(text: str, names: list[str]) -> None:
    assert list(imported(nodes(text), ROOT / "signoff" / "core" / "console.py")) == names


def test_nobody_goes_around_the_gate() -> None:
    everywhere = modules("signoff", "steps", "bench")
    assert {name for name, path in everywhere.items() if code(path).ungated} == set(UNGATED)
    streams = {
        name for name, path in everywhere.items() if any("kubernetes.stream" in each for each in code(path).imports)
    }
    assert streams == set()  # it goes around the typed clients' requests, and so around the gate


def ungated(tree: Iterable[ast.AST]) -> bool:
    """Whether this code opens a cluster's API and hands no gate to what it opens it by."""
    calls = [node for node in tree if isinstance(node, ast.Call)]
    return any(goes_around(ast.unparse(each.func), len(each.args) + len(each.keywords)) for each in calls)


def goes_around(function: str, given: int) -> bool:
    name = function.rpartition(".")[2]
    return name in _CLIENTS or (name == "Kube" and given < 2)


_CLIENTS = {"new_client_from_config", "new_client_from_config_dict", "load_kube_config", "ApiClient"}


@pytest.mark.parametrize(
    ("text", "around"),
    [
        ("Kube(path)", True),
        ("client.Kube(kubeconfig=path)", True),
        ("config.new_client_from_config(str(path))", True),
        ("Kube(path, gate)", False),
        ("Kube(path, gate=gate)", False),
    ],
)
def test_what_goes_around_the_gate_is_seen(text: str, around: bool) -> None:
    assert ungated(nodes(text)) is around


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
        for used in code(path).imports
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
